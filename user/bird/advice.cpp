// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// BIRD's words for what went wrong, in words that say what to do.
#include "bird/speaker.h"

#include <fmt/format.h>

namespace anycast::bird {

namespace {

struct Known {
	std::string_view part; // of BIRD's "Last error"
	std::string_view meaning;
};

// The longer and rarer phrases first.
constexpr Known kKnown[] = {
	{"Received: Bad peer AS", "the neighbour expects another ASN than ours: compare [bird] asn "
				  "with its configuration"},
	{"Bad peer AS", "the neighbour says that it is another AS: compare `asn` of "
			"[[bird.neighbours]] with what it is"},
	{"Bad BGP identifier", "both have the same router id: set [bird] router_id"},
	{"Unacceptable hold time", "the neighbour wants a longer hold time: raise `hold_time`"},
	{"Unsupported optional parameter", "the neighbour lacks a capability that BIRD offers"},
	{"Required capability missing", "the neighbour does not carry this address family"},
	{"Hold timer expired",
	 "no keepalive came in time: loss, an overloaded neighbour, or a path "
	 "whose MTU is smaller than the interface's"},
	{"BFD session down", "BFD has seen the neighbour vanish: look at the link, or raise "
			     "bfd_interval_ms if the CPU is busy"},
	{"Maximum number of prefixes reached",
	 "the neighbour's prefix limit is smaller than what is "
	 "sent: compare the counts"},
	{"Administrative shutdown", "the neighbour's operator has shut the session down"},
	{"Administrative reset", "the neighbour's operator has reset the session"},
	{"Peer de-configured", "the neighbour's configuration has no such session any more"},
	{"Connection rejected", "the neighbour knows no session with our address: compare `local`"},
	{"Connection collision resolution", "both opened a session at once; harmless"},
	{"Connection refused", "nobody listens on TCP port 179 there: is its BGP daemon running?"},
	{"Connection reset by peer", "the neighbour closed the connection: it may not know our "
				     "address or ASN; passwords may differ"},
	{"Connection timed out", "no answer: a firewall, a wrong password, or TTL security on one "
				 "side only"},
	{"Connection closed", "the neighbour closed the connection: it may not know our address"},
	{"No route to host",
	 "the neighbour does not answer ARP or neighbour discovery: look at the "
	 "link and its address"},
	{"Network is unreachable", "there is no route to the neighbour: look at our addresses"},
	{"Invalid next hop", "no interface has a network with that neighbour: multihop?"},
	{"Link down", "the link is down"},
	{"Cease", "the neighbour ended the session on purpose"},
};

std::string_view meaning_of(std::string_view last_error)
{
	for (const Known &known : kKnown)
		if (last_error.find(known.part) != last_error.npos)
			return known.meaning;
	return {};
}

std::string_view meaning_of_state(std::string_view state)
{
	if (state == "Active" || state == "Connect")
		return "no connection yet: is the neighbour up, does it know our address, does a "
		       "firewall stop TCP port 179?";
	if (state == "OpenSent" || state == "OpenConfirm")
		return "connected, but not agreed: compare ASNs, passwords and TTL security";
	if (state == "Idle")
		return "BIRD waits before it tries again, or for the interface";
	if (state == "Down")
		return "the protocol is disabled in BIRD: birdc enable NAME";
	return {};
}

} // namespace

std::string advice_for(const SessionStatus &session)
{
	if (!session.exists)
		return "BIRD has no session with this neighbour: `anycast-xdp bird render` writes "
		       "one";
	if (session.established()) {
		if (!session.missing.empty())
			return fmt::format("{} is not sent: the channel's export filter must say "
					   "`export where "
					   "{}();`",
					   session.missing.front().text(),
					   session.local_asn == session.neighbour_asn
						   ? kExportIbgp
						   : kExportEbgp);
		if (!session.unwanted.empty())
			return fmt::format("{} is sent though it is withdrawn: the export filter "
					   "lets other routes to it through",
					   session.unwanted.front().text());
		return {};
	}
	const std::string_view meaning = meaning_of(session.last_error);
	return std::string(meaning.empty() ? meaning_of_state(session.state) : meaning);
}

} // namespace anycast::bird
