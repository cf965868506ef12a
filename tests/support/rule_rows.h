// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One packet that breaks each rule of the guard, and one that just does not. All are addressed to
// what may be a VIP; a test run takes no frame below 14 bytes.
#pragma once

#include <algorithm>
#include <iterator>
#include <ostream>
#include <vector>

#include "support/oracle.h"
#include "support/packet.h"
#include "support/protocols.h"

namespace anycast::test {

struct RuleRow {
	ax_reason rule;
	Packet hit;
	Packet near_miss;
};

inline std::ostream &operator<<(std::ostream &out, const RuleRow &row)
{
	return out << reason_label(row.rule);
}

inline Packet eth4(const Ip4 &ip)
{
	return Eth{} / ip / Udp{};
}

inline Packet eth6(const Ip6 &ip)
{
	return Eth{} / ip / Udp{};
}

inline Packet options4(const Bytes &options)
{
	return Eth{} / Ip4{.options = options} / Udp{};
}

inline Packet options6(const Bytes &options)
{
	return Eth{} / Ip6{} / Ip6Ext{.body = options} / Udp{};
}

inline Packet flags(std::uint8_t tcp_flags)
{
	return Eth{} / Ip4{} / Tcp{.flags = tcp_flags};
}

inline Packet extensions(int count)
{
	Packet packet = Eth{} / Ip6{};
	for (int i = 0; i < count; ++i)
		packet = packet / Ip6Ext{};
	return packet / Udp{};
}

inline std::vector<RuleRow> frame_and_ip4()
{
	const Packet tags2 = Eth{} / Vlan{.id = 1, .tpid = 0x88a8} / Vlan{2};
	return {
		{AX_R_ETH_TRUNCATED, (Eth{} / Vlan{5} / Ip4{}).truncate(17),
		 Eth{} / Vlan{5} / Arp{}},
		{AX_R_VLAN_TOO_DEEP, tags2 / Vlan{3} / Ip4{} / Udp{}, tags2 / Ip4{} / Udp{}},
		{AX_R_IP4_TRUNCATED, (Eth{} / Ip4{}).truncate(14 + 19), Eth{} / Ip4{}},
		{AX_R_IP4_VERSION, eth4({.version = 6}), eth4({})},
		{AX_R_IP4_IHL, eth4({.ihl = 4}), Eth{} / Ip4{.options = {1, 1, 1, 1}}},
		{AX_R_IP4_TOTAL_LENGTH, eth4({.total_length = 29}), eth4({}).pad(60)},
		{AX_R_IP4_ZERO_LENGTH, eth4({.total_length = 0}), eth4({})},
		{AX_R_IP4_OPTION_LENGTH, options4({148, 5, 0, 0}), options4({148, 4, 0, 0})},
		{AX_R_IP4_SOURCE_ROUTE, options4(option(131, {4, 0, 0, 0, 0})),
		 options4(option(130, {0, 0, 0, 0, 0, 0, 0, 0, 0}))},
		{AX_R_IP4_RECORD_ROUTE, options4(option(7, {4, 0, 0, 0, 0})),
		 options4(join({{0}, option(7, {4, 0, 0, 0, 0})}))},
		{AX_R_IP4_TIMESTAMP, options4(option(68, {5, 0, 0, 0, 0, 0})),
		 options4(option(82, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}))},
		{AX_R_IP4_FRAG_DF, eth4({.df = true, .mf = true}), eth4({.df = true})},
		{AX_R_IP4_EVIL, eth4({.evil = true}), eth4({})},
		{AX_R_IP4_FRAG_LENGTH, Eth{} / Ip4{.mf = true} / Udp{} / Payload(15),
		 Eth{} / Ip4{.mf = true} / Udp{} / Payload(16)},
		{AX_R_IP4_FRAG_BEYOND, Eth{} / Ip4{.offset = 8189, .protocol = kUdp} / Payload(4),
		 Eth{} / Ip4{.offset = 8189, .protocol = kUdp} / Payload(3)},
		{AX_R_IP4_FRAG_TINY, Eth{} / Ip4{.mf = true, .protocol = kTcp} / Payload(16),
		 Eth{} / Ip4{.mf = true} / Tcp{} / Payload(4)},
		{AX_R_IP4_FRAG_OFFSET1, Eth{} / Ip4{.offset = 1, .protocol = kTcp} / Payload(8),
		 Eth{} / Ip4{.offset = 2, .protocol = kTcp} / Payload(8)},
		{AX_R_IP4_SRC_MARTIAN, eth4({.src = "0.0.0.0"}),
		 eth4({.src = "0.0.0.0", .dst = "255.255.255.255"})},
		{AX_R_IP4_DST_MARTIAN, eth4({.dst = "127.0.0.1"}), eth4({.dst = "128.0.0.1"})},
		{AX_R_IP4_LAND, eth4({.src = "9.9.9.9", .dst = "9.9.9.9"}),
		 eth4({.src = "9.9.9.9", .dst = "9.9.9.8"})},
		{AX_R_IP4_SRC_SPECIAL, eth4({.src = "172.31.255.255"}),
		 eth4({.src = "172.32.0.0"})},
	};
}

inline std::vector<RuleRow> ip6()
{
	const auto frag = [](std::uint16_t offset, bool mf, std::uint8_t next) {
		return Eth{} / Ip6{} / Ip6Frag{.offset = offset, .mf = mf, .next_header = next};
	};
	return {
		{AX_R_IP6_TRUNCATED, (Eth{} / Ip6{}).truncate(14 + 39), Eth{} / Ip6{}},
		{AX_R_IP6_VERSION, eth6({.version = 4}), eth6({})},
		{AX_R_IP6_PAYLOAD_LENGTH, eth6({.payload_length = 9}), eth6({}).pad(70)},
		{AX_R_IP6_ZERO_LENGTH, eth6({.payload_length = 0}), (Eth{} / Ip6{}).pad(60)},
		{AX_R_IP6_EXT_TRUNCATED, Eth{} / Ip6{} / Ip6Ext{.length = 1},
		 Eth{} / Ip6{} / Ip6Ext{.body = Bytes(14)}},
		{AX_R_IP6_HOPOPT_LATE, Eth{} / Ip6{} / Ip6Ext{} / Ip6Ext{.kind = kHopByHop} / Udp{},
		 Eth{} / Ip6{} / Ip6Ext{.kind = kHopByHop} / Ip6Ext{} / Udp{}},
		{AX_R_IP6_EXT_TOO_MANY, extensions(AX_IP6_EXT_DEPTH + 1),
		 extensions(AX_IP6_EXT_DEPTH)},
		{AX_R_IP6_ROUTING_TYPE,
		 Eth{} / Ip6{} / Ip6Ext{.kind = kRouting, .routing_type = 3} / Udp{},
		 Eth{} / Ip6{} / Ip6Ext{.kind = kRouting, .routing_type = 2} / Udp{}},
		{AX_R_IP6_SRC_MARTIAN, eth6({.src = "::ffff:9.9.9.9"}), eth6({.src = "::"})},
		{AX_R_IP6_DST_MARTIAN, eth6({.dst = "::1"}), eth6({.dst = "ff02::1"})},
		{AX_R_IP6_LAND, eth6({.src = "2001:db8::1", .dst = "2001:db8::1"}),
		 eth6({.src = "2001:db8::1", .dst = "2001:db8::2"})},
		{AX_R_IP6_FRAG_LENGTH, frag(0, true, kUdp) / Payload(15),
		 frag(0, true, kUdp) / Payload(16)},
		{AX_R_IP6_FRAG_BEYOND, frag(8191, false, kUdp) / Payload(8),
		 frag(8191, false, kUdp) / Payload(7)},
		{AX_R_IP6_FRAG_NO_UPPER, frag(0, true, kTcp) / Payload(16),
		 frag(0, true, kTcp) / Tcp{} / Payload(4)},
		{AX_R_IP6_FRAG_NESTED, Eth{} / Ip6{} / Ip6Frag{} / Ip6Frag{} / Udp{},
		 Eth{} / Ip6{} / Ip6Frag{} / Ip6Ext{} / Udp{}},
		{AX_R_IP6_FRAG_OFFSET1, frag(1, true, kTcp) / Payload(8),
		 frag(1, true, kUdp) / Payload(8)},
		{AX_R_IP6_OPTION_PADDING, options6({1, 1, 7}), options6({1, 5, 0, 0, 0, 0, 0})},
		{AX_R_IP6_OPTION_TWICE, options6({5, 2, 0, 0, 5, 2, 0, 0}),
		 options6({5, 2, 0, 0, 6, 2, 0, 0})},
	};
}

inline std::vector<RuleRow> upper()
{
	const Packet nd = Eth{} / Ip6{.hop_limit = 255} / Icmp6{.type = 135} / Payload(16);
	return {
		{AX_R_TCP_TRUNCATED, Eth{} / Ip4{.protocol = kTcp} / Payload(19), flags(kAck)},
		{AX_R_TCP_DATA_OFFSET, Eth{} / Ip4{} / Tcp{.data_offset = 6},
		 Eth{} / Ip4{} / Tcp{.data_offset = 6} / Payload(4)},
		{AX_R_TCP_NO_FLAGS, flags(kEce | kCwr), flags(kAck | kEce | kCwr)},
		{AX_R_TCP_SYN_FIN, flags(kSyn | kFin), flags(kAck | kFin)},
		{AX_R_TCP_SYN_RST, flags(kSyn | kRst), flags(kSyn | kEce | kCwr)},
		{AX_R_TCP_FIN_RST, flags(kFin | kRst), flags(kAck | kRst)},
		{AX_R_TCP_NO_ACK, flags(kPsh | kUrg), flags(kPsh | kUrg | kAck)},
		{AX_R_TCP_PORT_ZERO, Eth{} / Ip4{} / Tcp{.sport = 0},
		 Eth{} / Ip4{} / Tcp{.sport = 1, .dport = 1}},
		{AX_R_TCP_OPTION_LENGTH, Eth{} / Ip4{} / Tcp{.options = {2, 5, 5, 0xb4}},
		 Eth{} / Ip4{} / Tcp{.options = mss(1460)}},
		{AX_R_UDP_TRUNCATED, Eth{} / Ip4{.protocol = kUdp} / Payload(7), eth4({})},
		{AX_R_UDP_LENGTH, Eth{} / Ip4{} / Udp{.length = 13} / Payload(4),
		 Eth{} / Ip4{} / Udp{.length = 8} / Payload(4)},
		{AX_R_UDP_PORT_ZERO, Eth{} / Ip4{} / Udp{.dport = 0},
		 Eth{} / Ip4{} / Udp{.sport = 0}},
		{AX_R_UDP6_NO_CHECKSUM, Eth{} / Ip6{} / Udp{.checksum = 0},
		 Eth{} / Ip6{} / Udp{.dport = 6081, .checksum = 0}},
		{AX_R_ICMP_TRUNCATED, Eth{} / Ip4{.protocol = kIcmp} / Payload(7),
		 Eth{} / Ip4{} / Icmp4{}},
		{AX_R_ICMP_FRAGMENTED, Eth{} / Ip4{.mf = true} / Icmp4{} / Payload(8),
		 Eth{} / Ip6{} / Ip6Frag{} / Icmp6{}},
		{AX_R_ICMP_REDIRECT, Eth{} / Ip4{} / Icmp4{.type = 5},
		 Eth{} / Ip4{} / Icmp4{.type = 3}},
		{AX_R_ICMP_DEPRECATED, Eth{} / Ip4{} / Icmp4{.type = 15},
		 Eth{} / Ip4{} / Icmp4{.type = 14}},
		{AX_R_ND_FRAGMENTED, Eth{} / Ip6{.hop_limit = 255} / Ip6Frag{} / Icmp6{.type = 135},
		 nd},
		{AX_R_ND_HOP_LIMIT, Eth{} / Ip6{.hop_limit = 254} / Icmp6{.type = 133}, nd},
	};
}

inline std::vector<RuleRow> rule_rows()
{
	std::vector<RuleRow> all = frame_and_ip4();
	for (auto *part : {&ip6, &upper})
		std::ranges::copy((*part)(), std::back_inserter(all));
	return all;
}

} // namespace anycast::test
