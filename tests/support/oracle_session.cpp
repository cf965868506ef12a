// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// GTSM: RFC 5082 for BGP, RFC 5881 section 5 for BFD, and what an ICMP error may do to a session.
#include <optional>

#include "support/oracle_inspection.h"

namespace anycast::test::oracle {

namespace {

constexpr std::uint16_t kBgp = 179, kBfd = 3784;
constexpr std::uint8_t kTcp = 6, kUdp = 17;
constexpr int kNear = 255;
constexpr int kQuotedHeaders = 3; // extension headers looked behind in what is quoted

// As the sessions have it: an IPv4-mapped address is the IPv4 address (RFC 4291 section 2.5.5.2).
std::vector<std::uint8_t> plain(View address)
{
	const bool mapped = address.size() == 16 && address.u32(0) == 0 && address.u32(4) == 0 &&
			    address.u32(8) == 0xffff;
	return (mapped ? address.from(12) : address).copy();
}

bool is_local(Inspection &in, View address)
{
	return in.sessions().local.contains(plain(address));
}

bool is_peer(Inspection &in, View address)
{
	return in.sessions().hops.contains(plain(address));
}

// The smallest TTL that packets of this address can arrive with; strangers live next door.
int least_ttl(Inspection &in, View address)
{
	const auto peer = in.sessions().hops.find(plain(address));
	if (peer == in.sessions().hops.end())
		return kNear;
	return peer->second == 0 ? 0 : 256 - peer->second;
}

bool has_port(View transport, std::uint16_t port)
{
	return transport.u16(0) == port || transport.u16(2) == port;
}

bool is_extension(std::uint8_t protocol)
{
	constexpr std::array<std::uint8_t, 8> kAll{0, 43, 44, 51, 60, 135, 139, 140};
	return std::ranges::find(kAll, protocol) != kAll.end();
}

void bgp(Inspection &in, const Upper &ip, View source)
{
	if (in.drops_if(ip.hop_limit < least_ttl(in, source), AX_R_GTSM_TTL) ||
	    in.drops_if(!is_peer(in, source), AX_R_GTSM_UNKNOWN_PEER))
		return;
	in.result().accepted = true;
}

// What an ICMP error is about.
struct Quoted {
	View source, destination;
	std::uint8_t protocol = 0;
	bool later = false; // a fragment without ports
	View transport;
};

// Whether the header says that it is IPv4 interests no kernel (icmp_unreach() in Linux).
std::optional<Quoted> quoted4(View bytes)
{
	if (bytes.size() < 20)
		return std::nullopt;
	const std::size_t header = (bytes.u8(0) & 15U) * 4;
	if (header < 20 || header > bytes.size())
		return std::nullopt;
	return Quoted{bytes.from(12).first(4), bytes.from(16).first(4), bytes.u8(9),
		      (bytes.u16(6) & 0x1fff) != 0, bytes.from(header)};
}

std::optional<Quoted> quoted6(View bytes)
{
	if (bytes.size() < 40)
		return std::nullopt;
	Quoted quoted{bytes.from(8).first(16), bytes.from(24).first(16), bytes.u8(6), false,
		      bytes.from(40)};
	View &rest = quoted.transport;
	for (int i = 0; i < kQuotedHeaders && is_extension(quoted.protocol) && !quoted.later; ++i) {
		if (rest.size() < 8)
			break; // behind it may be anything
		std::size_t length = (rest.u8(1) + 1U) * 8;
		if (quoted.protocol == 51)
			length = (rest.u8(1) + 2U) * 4;
		if (quoted.protocol == 44) {
			length = 8;
			quoted.later = rest.u16(2) >> 3 != 0;
		}
		quoted.protocol = rest.u8(0);
		if (length > rest.size())
			return std::nullopt;
		rest = rest.from(length);
	}
	return quoted;
}

std::optional<Quoted> quote_of(const Upper &ip, View message)
{
	if (message.size() < 8)
		return std::nullopt;
	auto quoted = ip.family == 4 ? quoted4(message.from(8)) : quoted6(message.from(8));
	const bool ports =
		quoted && !quoted->later && (quoted->protocol == kTcp || quoted->protocol == kUdp);
	if (ports && quoted->transport.size() < 4)
		return std::nullopt;
	return quoted;
}

// Of one of our sessions, or so hidden that it may be?
bool is_about_session(const Upper &ip, const Quoted &quoted)
{
	if (ip.family == 6 && is_extension(quoted.protocol))
		return true;
	return quoted.protocol == kTcp && (quoted.later || has_port(quoted.transport, kBgp));
}

bool is_forged(Inspection &in, const Upper &ip, View message, const Quoted &quoted)
{
	// The path MTU belongs to the peer's address, whatever the packet was that did not fit.
	const bool lowers_mtu =
		ip.family == 4 ? message.u8(0) == 3 && message.u8(1) == 4 : message.u8(0) == 2;
	const bool matters =
		(lowers_mtu && is_peer(in, quoted.destination)) || is_about_session(ip, quoted);
	return is_local(in, quoted.source) && matters &&
	       ip.hop_limit < least_ttl(in, quoted.destination);
}

void error(Inspection &in, const Upper &ip, View destination, View message)
{
	const std::optional<Quoted> quoted = quote_of(ip, message);
	const bool cut = ip.piece == Piece::kFirst && ip.hop_limit != kNear &&
			 (!quoted || is_local(in, destination));
	if (cut || (quoted && is_forged(in, ip, message, *quoted)))
		(void)in.drops(AX_R_GTSM_ICMP);
}

bool is_error(const Upper &ip, std::uint8_t type)
{
	if (ip.family == 4)
		return ip.protocol == 1 && (type == 3 || type == 4 || type == 11 || type == 12);
	return ip.protocol == 58 && type >= 1 && type <= 4;
}

// RFC 5082 section 3: a fragment without ports cannot be told; from next door it still has 255.
void later(Inspection &in, const Upper &ip, View source)
{
	const bool maybe_tcp = ip.protocol == kTcp || (ip.family == 6 && is_extension(ip.protocol));
	if (maybe_tcp && is_peer(in, source) && least_ttl(in, source) == kNear &&
	    ip.hop_limit != kNear)
		(void)in.drops(AX_R_GTSM_FRAGMENT);
}

} // namespace

void inspect_session(Inspection &in, const Upper &ip, View source, View destination, View upper)
{
	if (in.sessions().local.empty())
		return;
	if (ip.piece == Piece::kLater) {
		if (is_local(in, destination))
			later(in, ip, source);
	} else if (ip.protocol == kTcp && has_port(upper, kBgp)) {
		if (is_local(in, destination))
			bgp(in, ip, source);
	} else if (ip.protocol == kUdp && upper.u16(2) == kBfd) {
		if (!is_local(in, destination) || in.drops_if(ip.hop_limit != kNear, AX_R_GTSM_BFD))
			return;
		in.result().accepted = true;
	} else if (!upper.empty() && is_error(ip, upper.u8(0))) {
		error(in, ip, destination, upper);
	}
}

} // namespace anycast::test::oracle
