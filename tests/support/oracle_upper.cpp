// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// TCP, UDP, ICMP.
#include "support/oracle_inspection.h"

namespace anycast::test::oracle {

namespace {

// RFC 7112 section 5 has a name of its own for a first fragment that ends in the upper header.
ax_reason truncated(const Upper &ip, ax_reason whole)
{
	return ip.family == 6 && ip.piece == Piece::kFirst ? AX_R_IP6_FRAG_NO_UPPER : whole;
}

bool flags_drop(Inspection &in, std::uint8_t flags)
{
	const bool fin = flags & 0x01, syn = flags & 0x02, rst = flags & 0x04, ack = flags & 0x10;
	return in.drops_if((flags & 0x3f) == 0, AX_R_TCP_NO_FLAGS) ||
	       in.drops_if(syn && fin, AX_R_TCP_SYN_FIN) ||
	       in.drops_if(syn && rst, AX_R_TCP_SYN_RST) ||
	       in.drops_if(fin && rst, AX_R_TCP_FIN_RST) ||
	       in.drops_if(!syn && !rst && !ack, AX_R_TCP_NO_ACK);
}

bool option_lengths_are_bad(View options)
{
	while (!options.empty() && options.u8(0) != 0) {
		if (options.u8(0) == 1) {
			options = options.from(1);
			continue;
		}
		if (options.size() < 2 || options.u8(1) < 2 || options.u8(1) > options.size())
			return true;
		options = options.from(options.u8(1));
	}
	return false;
}

void inspect_tcp(Inspection &in, const Upper &ip, View segment)
{
	if (segment.size() < 20)
		return in.ends(truncated(ip, AX_R_TCP_TRUNCATED));
	const std::size_t header = (segment.u8(12) >> 4) * 4u;
	const bool first = ip.piece == Piece::kFirst; // its header may go on in the next fragment
	if (header < 20 || (header > segment.size() && !first))
		return in.ends(AX_R_TCP_DATA_OFFSET);
	if (flags_drop(in, segment.u8(13)))
		return;
	if (in.drops_if(segment.u16(0) == 0 || segment.u16(2) == 0, AX_R_TCP_PORT_ZERO))
		return;
	if (!first && !in.is_off(AX_R_TCP_OPTION_LENGTH) &&
	    option_lengths_are_bad(segment.first(header).from(20)))
		(void)in.drops(AX_R_TCP_OPTION_LENGTH);
}

void inspect_udp(Inspection &in, const Upper &ip, View datagram)
{
	if (datagram.size() < 8)
		return in.ends(truncated(ip, AX_R_UDP_TRUNCATED));
	// A first fragment's fields are left to the host that has all of it: test traffic in the
	// clean corpus (ipv6-reassembly-state-leak) has zeros there.
	if (ip.piece == Piece::kFirst)
		return;
	const std::size_t length = datagram.u16(4);
	if (in.drops_if(length < 8 || length > datagram.size(), AX_R_UDP_LENGTH))
		return;
	const std::uint16_t port = datagram.u16(2);
	if (in.drops_if(port == 0, AX_R_UDP_PORT_ZERO))
		return;
	const bool tunnel =
		std::ranges::find(kUdp6ZeroChecksumPorts, port) != kUdp6ZeroChecksumPorts.end();
	if (ip.family == 6 && datagram.u16(6) == 0 && !tunnel)
		(void)in.drops(AX_R_UDP6_NO_CHECKSUM);
}

void inspect_icmp4(Inspection &in, const Upper &ip, View message)
{
	if (ip.piece != Piece::kLater && message.size() < 8)
		return in.ends(AX_R_ICMP_TRUNCATED);
	if (in.drops_if(ip.piece != Piece::kWhole, AX_R_ICMP_FRAGMENTED))
		return;
	if (ip.piece == Piece::kLater)
		return;
	const std::uint8_t type = message.u8(0);
	if (in.drops_if(type == 5, AX_R_ICMP_REDIRECT))
		return;
	const bool deprecated =
		type == 4 || type == 6 || (type >= 15 && type <= 18) || (type >= 30 && type <= 39);
	if (deprecated)
		(void)in.drops(AX_R_ICMP_DEPRECATED);
}

void inspect_icmp6(Inspection &in, const Upper &ip, View message)
{
	if (ip.piece != Piece::kLater && message.size() < 4)
		return in.ends(truncated(ip, AX_R_ICMP_TRUNCATED));
	if (in.drops_if(ip.piece != Piece::kWhole, AX_R_ICMP_FRAGMENTED))
		return;
	if (ip.piece == Piece::kLater)
		return;
	const std::uint8_t type = message.u8(0);
	const bool neighbour_discovery = type >= 133 && type <= 137;
	// RFC 6980 section 5 speaks of the header, so an atomic fragment counts too; Linux agrees.
	if (in.drops_if(neighbour_discovery && ip.fragment_header, AX_R_ND_FRAGMENTED) ||
	    in.drops_if(neighbour_discovery && in.nearness(ip.hop_limit) != 255, AX_R_ND_HOP_LIMIT))
		return;
	if (type == 137)
		(void)in.drops(AX_R_ICMP_REDIRECT);
}

} // namespace

void inspect_upper(Inspection &in, const Upper &ip, View upper)
{
	if (ip.protocol == 1 && ip.family == 4)
		inspect_icmp4(in, ip, upper);
	else if (ip.protocol == 58 && ip.family == 6)
		inspect_icmp6(in, ip, upper);
	else if (ip.piece == Piece::kLater)
		return;
	else if (ip.protocol == 6)
		inspect_tcp(in, ip, upper);
	else if (ip.protocol == 17)
		inspect_udp(in, ip, upper);
}

} // namespace anycast::test::oracle
