// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/oracle_inspection.h"

namespace anycast::test::oracle {

namespace {

struct Prefix {
	std::uint32_t address;
	int length;
};

bool in_prefix(std::uint32_t address, Prefix prefix)
{
	return (address ^ prefix.address) >> (32 - prefix.length) == 0;
}

bool in_any(std::uint32_t address, std::span<const Prefix> prefixes)
{
	return std::ranges::any_of(prefixes, [&](Prefix p) { return in_prefix(address, p); });
}

constexpr std::uint32_t quad(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d)
{
	return a << 24 | b << 16 | c << 8 | d;
}

constexpr Prefix kThisNetwork{quad(0, 0, 0, 0), 8};
constexpr Prefix kLoopback{quad(127, 0, 0, 0), 8};
constexpr Prefix kMulticast{quad(224, 0, 0, 0), 4};
constexpr Prefix kReserved{quad(240, 0, 0, 0), 4};
constexpr std::array kSpecial{
	// RFC 6890
	Prefix{quad(10, 0, 0, 0), 8},	   Prefix{quad(172, 16, 0, 0), 12},
	Prefix{quad(192, 168, 0, 0), 16},  Prefix{quad(100, 64, 0, 0), 10},
	Prefix{quad(169, 254, 0, 0), 16},  Prefix{quad(192, 0, 2, 0), 24},
	Prefix{quad(198, 51, 100, 0), 24}, Prefix{quad(203, 0, 113, 0), 24},
};

// 0.0.0.0 is the source of hosts without an address yet: DHCP (RFC 2131 section 4.1), and IGMP,
// where receivers must accept it (RFC 3376 section 4.2.13; queriers of switches: RFC 4541
// section 2.1.1).
bool source_is_martian(std::uint32_t src, std::uint32_t dst, std::uint8_t protocol)
{
	const bool nobody_yet = src == 0 && (dst == quad(255, 255, 255, 255) ||
					     (protocol == 2 && in_prefix(dst, kMulticast)));
	return !nobody_yet &&
	       in_any(src, std::array{kThisNetwork, kLoopback, kMulticast, kReserved});
}

bool checksum_is_bad(View header)
{
	std::uint32_t sum = 0;
	for (std::size_t at = 0; at < header.size(); at += 2)
		sum += header.u16(at);
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum != 0xffff;
}

bool addresses_drop(Inspection &in, View header)
{
	const std::uint32_t src = header.u32(12), dst = header.u32(16);
	return in.drops_address(source_is_martian(src, dst, header.u8(9)), AX_R_IP4_SRC_MARTIAN) ||
	       in.drops_address(in_any(dst, std::array{kThisNetwork, kLoopback}),
				AX_R_IP4_DST_MARTIAN) ||
	       in.drops_address(src == dst, AX_R_IP4_LAND) ||
	       in.drops_address(in_any(src, kSpecial), AX_R_IP4_SRC_SPECIAL);
}

bool fragment_drops(Inspection &in, View header, std::size_t payload)
{
	const bool df = (header.u16(6) & 0x4000) != 0, mf = (header.u16(6) & 0x2000) != 0;
	const unsigned offset = header.u16(6) & 0x1fff;
	const bool tcp = header.u8(9) == 6;
	return in.drops_if(df, AX_R_IP4_FRAG_DF) ||
	       in.drops_if(mf && (payload % 8 != 0 || payload == 0), AX_R_IP4_FRAG_LENGTH) ||
	       in.drops_if(offset * 8 + payload + header.size() > 65535, AX_R_IP4_FRAG_BEYOND) ||
	       in.drops_if(tcp && offset == 0 && payload < 20, AX_R_IP4_FRAG_TINY) ||
	       in.drops_if(tcp && offset == 1, AX_R_IP4_FRAG_OFFSET1);
}

bool options_drop(Inspection &in, View options)
{
	while (!options.empty()) {
		const std::uint8_t type = options.u8(0);
		if (type == 0)
			return false;
		if (type == 1) {
			options = options.from(1);
			continue;
		}
		// The header's length is known, so only the options are lost, not what follows
		// them.
		if (options.size() < 2 || options.u8(1) < 2 || options.u8(1) > options.size())
			return in.drops(AX_R_IP4_OPTION_LENGTH);
		if (in.drops_if(type == 131 || type == 137, AX_R_IP4_SOURCE_ROUTE) ||
		    in.drops_if(type == 7, AX_R_IP4_RECORD_ROUTE) ||
		    in.drops_if(type == 68, AX_R_IP4_TIMESTAMP))
			return true;
		options = options.from(options.u8(1));
	}
	return false;
}

} // namespace

void inspect_ip4(Inspection &in, View packet)
{
	if (packet.size() < 20)
		return in.ends(AX_R_IP4_TRUNCATED);
	if (packet.u8(0) >> 4 != 4)
		return in.ends(AX_R_IP4_VERSION);
	const std::size_t header_size = (packet.u8(0) & 15u) * 4;
	if (header_size < 20 || header_size > packet.size())
		return in.ends(AX_R_IP4_IHL);
	const View header = packet.first(header_size);
	in.result().bad_checksum = checksum_is_bad(header);
	in.result().ttl_zero = header.u8(8) == 0;

	std::size_t total = header.u16(2);
	if (total == 0) {
		if (in.drops(AX_R_IP4_ZERO_LENGTH))
			return;
		total = packet.size();
	}
	if (total < header_size || total > packet.size())
		return in.ends(AX_R_IP4_TOTAL_LENGTH);
	const View payload = packet.first(total).from(header_size);

	if (addresses_drop(in, header))
		return;
	if (in.drops_if((header.u16(6) & 0x8000) != 0, AX_R_IP4_EVIL))
		return;
	const unsigned fragment = header.u16(6) & 0x3fff; // MF and offset
	if (fragment != 0 && fragment_drops(in, header, payload.size()))
		return;
	if (options_drop(in, header.from(20)))
		return;

	Upper upper{.family = 4, .protocol = header.u8(9), .hop_limit = header.u8(8)};
	if (fragment != 0)
		upper.piece = (fragment & 0x1fff) == 0 ? Piece::kFirst : Piece::kLater;
	inspect_upper(in, upper, payload);
	if (in.goes_on())
		inspect_session(in, upper, header.from(12).first(4), header.from(16).first(4),
				payload);
}

} // namespace anycast::test::oracle
