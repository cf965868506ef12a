// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// check: BIRD, its sessions, and what protects them.
#include <algorithm>
#include <chrono>
#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "bird/client.h"
#include "bird/parse.h"
#include "bird/speaker.h"
#include "cli/check.h"
#include "core/unprotected.h"
#include "net/interfaces.h"

namespace anycast::cli {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPatience{3000};

bool has_family(const Config &config, bool v4)
{
	return std::ranges::any_of(config.vips,
				   [&](const Vip &vip) { return vip.address.is_v4() == v4; });
}

// BIRD's protocols, however it is configured; nothing if it does not answer.
std::optional<std::vector<bird::Protocol>> protocols(const BirdConfig &config)
{
	bird::Client client(config.socket);
	const auto reply = client.ask("show protocols all", bird::Clock::now() + kPatience);
	if (!reply)
		return std::nullopt;
	auto list = bird::parse_protocols(*reply);
	return list ? std::optional(std::move(*list)) : std::nullopt;
}

// `protocol direct` without channels is legal, and imports nothing.
void check_direct(const Config &config, const std::vector<bird::Protocol> &list, Findings &findings)
{
	for (const bird::Protocol &protocol : list) {
		if (protocol.kind != "Direct")
			continue;
		const bool lacks4 = has_family(config, true) && !protocol.ipv4;
		const bool lacks6 = has_family(config, false) && !protocol.ipv6;
		if (lacks4 || lacks6)
			findings.fail(
				"bird",
				fmt::format("protocol direct {} has no {} channel: VIPs on "
					    "interfaces are not seen",
					    protocol.name, lacks4 ? "ipv4" : "ipv6"),
				fmt::format("add `{};` to it in bird.conf, then birdc configure",
					    lacks4 ? "ipv4" : "ipv6"));
		else
			findings.ok("bird", fmt::format("protocol direct {} has its channels",
							protocol.name));
	}
}

void check_session(const SessionStatus &session, Findings &findings)
{
	const std::string who = fmt::format("{} ({}, AS{})", session.name, session.neighbour,
					    session.neighbour_asn);
	if (!session.established()) {
		findings.fail("bgp",
			      fmt::format("{}: {}{}", who,
					  session.exists ? session.state : "not in BIRD",
					  session.last_error.empty()
						  ? ""
						  : ", last error: " + session.last_error),
			      session.advice);
		return;
	}
	if (!session.missing.empty())
		findings.fail("export",
			      fmt::format("{}: {} of {} VIPs are exported", who, session.exported,
					  session.expected),
			      session.advice);
	else
		findings.ok("bgp", fmt::format("{}: Established, {} of {} VIPs exported", who,
					       session.exported, session.expected));
}

Wanted wanted_by_file(const Config &config)
{
	const auto text = bird::read_file(config.bird.include);
	const auto reach = text ? bird::reach_in(*text) : tl::unexpected(text.error());
	return wanted_for(config, reach ? *reach : std::map<Address, Reach>{});
}

void check_ours(const Config &config, Findings &findings)
{
	const Wanted wanted = wanted_by_file(config);
	bird::Speaker speaker(config.bird);
	const BirdStatus status = speaker.inspect(wanted, kPatience);
	if (status.state != BirdState::kRunning)
		findings.fail("bird",
			      fmt::format("{}: {}", bird_state_name(status.state), status.problem),
			      "see: anycast-xdp bird status");
	else
		findings.ok("bird", fmt::format("runs, version {}", status.version));
	for (const std::string &problem : status.problems)
		findings.fail("bird", problem, "see: anycast-xdp bird status");
	for (const SessionStatus &session : status.sessions)
		check_session(session, findings);
	if (status.degraded())
		findings.warn("bgp",
			      fmt::format("Degraded: {} of {} sessions are up",
					  status.established(), status.configured()),
			      "what is wrong with the others stands above");
}

// A BIRD that was configured by hand: nothing of ours in it.
void check_theirs(const Config &config, const std::vector<bird::Protocol> &list, Findings &findings)
{
	for (const bird::Protocol &protocol : list) {
		if (protocol.kind != "BGP")
			continue;
		SessionStatus session;
		session.name = protocol.name;
		session.neighbour = protocol.neighbour;
		session.neighbour_asn = protocol.neighbour_asn;
		session.local_asn = protocol.local_asn;
		session.state = protocol.bgp_state;
		session.last_error = protocol.last_error;
		session.advice = bird::advice_for(session);
		if (session.established() && protocol.exported == 0 && !config.vips.empty())
			findings.fail("export",
				      fmt::format("{} ({}): Established, but no route is exported",
						  session.name, session.neighbour),
				      "eBGP exports nothing unless it is told to: `export where "
				      "source = RTS_DEVICE;` in the channel, or let [bird] do it");
		else if (session.established())
			findings.ok("bgp", fmt::format("{} ({}): Established, {} routes exported",
						       session.name, session.neighbour,
						       protocol.exported));
		else
			check_session(session, findings);
	}
}

std::vector<BirdNeighbour> neighbours_in(const std::vector<bird::Protocol> &list)
{
	std::vector<BirdNeighbour> neighbours;
	for (const bird::Protocol &protocol : list)
		if (protocol.kind == "BGP")
			neighbours.push_back({protocol.name, protocol.neighbour, protocol.source});
	return neighbours;
}

// Where sessions may end to be protected; empty: not known.
std::vector<Address> session_addresses(const Config &config)
{
	if (!config.gtsm_local.empty())
		return config.gtsm_local;
	std::vector<Address> addresses;
	for (const std::string &interface : config.interfaces)
		if (const auto facts = node_facts(interface))
			std::ranges::copy(facts->interface_addresses,
					  std::back_inserter(addresses));
	return addresses;
}

// BIRD's neighbours against the peers of the file, and against those of what runs.
void check_protection(const CheckInput &input, Findings &findings)
{
	const auto list = protocols(input.config.bird);
	if (!list)
		return; // check_bird() says so
	const std::vector<BirdNeighbour> neighbours = neighbours_in(*list);
	const auto missing =
		unprotected_neighbours(input.config, neighbours, session_addresses(input.config));
	for (const Unprotected &one : missing)
		findings.warn("gtsm",
			      fmt::format("{} ({}) is not protected: {}", one.neighbour.protocol,
					  one.neighbour.address, one.why),
			      "add " + one.hint);
	bool late = false;
	for (const Instance &instance : input.instances)
		for (const Unprotected &one :
		     unprotected_neighbours(instance.applied.config, neighbours)) {
			if (std::ranges::find(missing, one.neighbour, &Unprotected::neighbour) !=
			    missing.end())
				continue;
			late = true;
			findings.fail("gtsm",
				      fmt::format("{} ({}) is a peer in the file, but not yet on "
						  "{}",
						  one.neighbour.protocol, one.neighbour.address,
						  instance.interface),
				      "anycast-xdp apply");
		}
	if (!missing.empty() || late || neighbours.empty())
		return;
	if (input.instances.empty())
		findings.warn("gtsm", "every BGP neighbour is a peer, but nothing is attached",
			      "anycast-xdp attach DEV: until then nothing protects the sessions");
	else
		findings.ok("gtsm", "every BGP neighbour is a protected peer");
}

} // namespace

void check_bird(const CheckInput &input, Findings &findings)
{
	const Config &config = input.config;
	const auto list = protocols(config.bird);
	if (list)
		check_direct(config, *list, findings);
	if (config.bird.asn != 0)
		check_ours(config, findings);
	else if (list)
		check_theirs(config, *list, findings);
	else
		findings.ok("bird",
			    "no [bird] is configured, and none answers at " + config.bird.socket);
}

void check_gtsm(const CheckInput &input, Findings &findings)
{
	check_protection(input, findings);
	for (const Instance &instance : input.instances) {
		const auto counters = instance.dataplane.peer_counters();
		if (!counters)
			continue;
		const std::vector<Named> &ids = instance.applied.ids.peers;
		for (std::size_t id = 0; id < ids.size() && id < counters->size(); id++) {
			const auto &[accepted, refused] =
				std::pair((*counters)[id].accepted, (*counters)[id].refused);
			if (!ids[id].used || refused == 0 || refused < accepted)
				continue;
			findings.fail(
				"gtsm",
				fmt::format("{}: {} packets of {} refused for their TTL, {} taken",
					    instance.interface, refused, ids[id].name, accepted),
				"GTSM on one side only: switch `ttl security` on over there, set "
				"`hops` to the distance, or 0 to exempt it; or somebody forges");
		}
	}
}

} // namespace anycast::cli
