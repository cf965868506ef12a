// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/bad_frames.h"

namespace anycast::test {

std::vector<BadFrame> malformed_frames(const std::string &from_mac, const std::string &to_mac)
{
	const Eth eth{.dst = to_mac, .src = from_mac};
	const Tcp syn{.flags = kSyn};
	constexpr std::uint8_t kTcp = 6, kIcmp = 1;
	const Bytes loose_route{131, 7, 4, 10, 0, 0, 1};

	return {
		{"ip4_truncated", "12 bytes of an IPv4 header", (eth / Ip4{} / syn).truncate(26)},
		{"ip4_version", "version 5", eth / Ip4{.version = 5} / syn},
		{"ip4_ihl", "header length 12", eth / Ip4{.ihl = 3} / syn},
		{"ip4_total_length", "1400 bytes promised, 40 sent",
		 eth / Ip4{.total_length = 1400} / syn},
		{"ip4_checksum", "wrong header checksum", eth / Ip4{.checksum = 0x1234} / syn},
		{"ip4_option_length", "option of length 1",
		 eth / Ip4{.options = {68, 1, 0, 0}} / syn},
		{"ip4_source_route", "loose source route", eth / Ip4{.options = loose_route} / syn},
		{"ip4_frag_length", "27 bytes, more to come",
		 eth / Ip4{.mf = true} / Udp{} / Payload(19)},
		{"ip4_frag_beyond", "fragment beyond 65535",
		 eth / Ip4{.offset = 8191, .protocol = 17} / Payload(104)},
		{"ip4_frag_tiny", "first fragment cuts TCP header",
		 eth / Ip4{.mf = true, .protocol = kTcp} / Payload(16)},
		{"ip4_frag_offset1", "fragment over the TCP flags",
		 eth / Ip4{.offset = 1, .protocol = kTcp} / Payload(40)},
		{"ip4_src_martian", "from 127.0.0.1", eth / Ip4{.src = "127.0.0.1"} / syn},
		{"ip4_land", "source = destination", eth / Ip4{.src = "198.51.100.80"} / syn},
		{"ip6_version", "ethertype IPv6, version 4", eth / Ip6{.version = 4} / syn},
		{"ip6_routing_type", "routing header type 0",
		 eth / Ip6{} / Ip6Ext{.kind = kRouting, .routing_type = 0, .segments_left = 1} /
			 syn},
		{"tcp_truncated", "10 bytes of TCP", eth / Ip4{.protocol = kTcp} / Payload(10)},
		{"tcp_data_offset", "data offset 12", eth / Ip4{} / Tcp{.data_offset = 3}},
		{"tcp_no_flags", "no flag at all", eth / Ip4{} / Tcp{.flags = 0}},
		{"tcp_syn_fin", "SYN and FIN", eth / Ip4{} / Tcp{.flags = kSyn | kFin}},
		{"tcp_no_ack", "PSH and URG only", eth / Ip4{} / Tcp{.flags = kPsh | kUrg}},
		{"tcp_port_zero", "to port 0", eth / Ip4{} / Tcp{.dport = 0, .flags = kSyn}},
		{"udp_length", "length 200 of 18", eth / Ip4{} / Udp{.length = 200} / Payload(10)},
		{"icmp_truncated", "3 bytes of ICMP", eth / Ip4{.protocol = kIcmp} / Payload(3)},
	};
}

std::vector<Packet> spoofed_bgp(const std::string &from_mac, const std::string &to_mac,
				const std::string &from, const std::string &to)
{
	const Packet head =
		Eth{.dst = to_mac, .src = from_mac} / Ip4{.src = from, .dst = to, .ttl = 64};

	return {
		head / Tcp{.sport = 40179, .dport = 179, .flags = kSyn},
		head / Tcp{.sport = 179, .dport = 40179, .flags = kSyn | kAck},
		head / Tcp{.sport = 40179, .dport = 179, .flags = kAck | kPsh} / Payload(19),
		head / Tcp{.sport = 40179, .dport = 179, .flags = kRst},
		head / Tcp{.sport = 40179, .dport = 179, .flags = kAck | kFin},
	};
}

} // namespace anycast::test
