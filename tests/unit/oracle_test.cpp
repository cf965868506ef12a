// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the rules mean together: order, going on after a rule, edges of a rule.
#include "support/oracle.h"

#include <random>

#include <gtest/gtest.h>

#include "support/packet.h"

namespace anycast::test {
namespace {

using Hits = std::vector<ax_reason>;

// Every rule that a packet breaks, but for its documentation addresses.
Hits hits(const Packet &packet)
{
	const GuardRules rules =
		GuardRules::all(AX_ACTION_COUNT).with(AX_R_IP4_SRC_SPECIAL, AX_ACTION_OFF);
	return guard_oracle(packet, rules).counted;
}

Seen seen(const Packet &packet)
{
	return guard_oracle(packet, GuardRules::all(AX_ACTION_OFF)).seen;
}

TEST(OracleTest, HonestPacketsBreakNothing)
{
	EXPECT_EQ(guard_oracle(Eth{} / Ip4{} / Tcp{} / Payload(100)), GuardVerdict{});
	EXPECT_EQ(guard_oracle(Eth{} / Vlan{1} / Vlan{2} / Ip6{} / Udp{} / Payload(9)),
		  GuardVerdict{});
	EXPECT_EQ(guard_oracle(Eth{} / Arp{}), GuardVerdict{.seen = Seen::kNotIp});
	EXPECT_EQ(hits(Eth{} / Ip4{.options = {148, 4, 0, 0}} / Icmp4{}), Hits{}); // Router Alert
	EXPECT_EQ(hits(Eth{} / Ip4{} / Udp{.checksum = 0}), Hits{});
	EXPECT_EQ(hits(Eth{} / Ip4{} / Tcp{.flags = kSyn} / Payload(10)), Hits{}); // Fast Open
}

TEST(OracleTest, FirstRuleThatDropsIsTheVerdictAndOnlyEarlierOnesAreCounted)
{
	const Packet packet = Eth{} / Ip4{.evil = true, .options = option(7, {4, 0, 0, 0, 0})} /
			      Tcp{.sport = 0, .flags = 0};
	EXPECT_EQ(guard_oracle(packet),
		  (GuardVerdict{.verdict = AX_R_TCP_NO_FLAGS,
				.counted = {AX_R_IP4_EVIL, AX_R_IP4_RECORD_ROUTE}}));
	EXPECT_EQ(hits(packet), (Hits{AX_R_IP4_EVIL, AX_R_IP4_RECORD_ROUTE, AX_R_TCP_NO_FLAGS,
				      AX_R_TCP_NO_ACK, AX_R_TCP_PORT_ZERO}));
	EXPECT_EQ(hits(Eth{} / Ip4{} / Tcp{.flags = kSyn | kFin | kRst}),
		  (Hits{AX_R_TCP_SYN_FIN, AX_R_TCP_SYN_RST, AX_R_TCP_FIN_RST}));
}

TEST(OracleTest, PacketsThatCannotBeReadFurtherAreOpaque)
{
	const Packet base = Eth{} / Ip4{} / Tcp{};
	for (const Packet &packet :
	     {base.truncate(10), base.truncate(20), Packet(Eth{} / Vlan{1}).truncate(17),
	      Packet(Eth{} / Ip4{.version = 5} / Tcp{}), Packet(Eth{} / Ip4{.ihl = 3} / Tcp{}),
	      base.truncate(53), Packet(Eth{} / Ip4{.total_length = 19} / Tcp{}),
	      Packet(Eth{} / Ip4{.protocol = 6} / Payload(3)),
	      Packet(Eth{} / Ip4{} / Tcp{.data_offset = 4}),
	      Packet(Eth{} / Ip6{.payload_length = 9} / Udp{}),
	      Packet(Eth{} / Ip6{} / Ip6Ext{.length = 9} / Udp{})})
		EXPECT_EQ(seen(packet), Seen::kOpaque) << packet;
	for (const Packet &packet : {base, Packet(Eth{} / Ip4{.options = {148, 1, 0, 0}} / Tcp{}),
				     Packet(Eth{} / Ip4{} / Tcp{.options = {2, 1, 0, 0}}),
				     Packet(Eth{} / Ip4{} / Udp{.length = 99}),
				     Packet(Eth{} / Ip4{.total_length = 0} / Tcp{})})
		EXPECT_EQ(seen(packet), Seen::kIp) << packet;
}

TEST(OracleTest, ATagTooManyIsNotLookedAt)
{
	const Packet three = Eth{} / Vlan{1} / Vlan{2} / Vlan{3};
	EXPECT_EQ(guard_oracle(three.truncate(23)),
		  (GuardVerdict{.counted = {AX_R_VLAN_TOO_DEEP}, .seen = Seen::kTooDeep}));
	EXPECT_EQ(guard_oracle(three.truncate(21)).verdict, AX_R_ETH_TRUNCATED);
}

TEST(OracleTest, PaddingIsNoPartOfThePacket)
{
	EXPECT_EQ(hits(Packet(Eth{} / Ip4{.protocol = 17} / Payload(7)).pad(60)),
		  Hits{AX_R_UDP_TRUNCATED});
	EXPECT_EQ(hits(Packet(Eth{} / Ip6{.next_header = 17} / Payload(7)).pad(80)),
		  Hits{AX_R_UDP_TRUNCATED});
}

TEST(OracleTest, AddressRulesCanBeSwitchedOffTogether)
{
	const Packet land = Eth{} / Ip4{.src = "127.0.0.1", .dst = "127.0.0.1"} / Udp{};
	EXPECT_EQ(guard_oracle(land).verdict, AX_R_IP4_SRC_MARTIAN);
	EXPECT_EQ(hits(land), (Hits{AX_R_IP4_SRC_MARTIAN, AX_R_IP4_DST_MARTIAN, AX_R_IP4_LAND}));
	EXPECT_EQ(guard_oracle(land, GuardRules{}.without_addresses()), GuardVerdict{});
	const Packet land6 = Eth{} / Ip6{.src = "::1", .dst = "::1"} / Udp{};
	EXPECT_EQ(guard_oracle(land6, GuardRules{}.without_addresses()), GuardVerdict{});
}

TEST(OracleTest, HostsWithoutAnAddressMaySpeakDhcpAndIgmp)
{
	const auto igmp = [](const char *src, const char *dst) {
		return hits(Eth{} / Ip4{.src = src, .dst = dst, .ttl = 1, .protocol = 2} /
			    Payload(8));
	};
	EXPECT_EQ(igmp("0.0.0.0", "224.0.0.22"), Hits{});
	EXPECT_EQ(igmp("0.0.0.1", "224.0.0.22"), Hits{AX_R_IP4_SRC_MARTIAN});
	EXPECT_EQ(igmp("0.0.0.0", "198.51.100.80"), Hits{AX_R_IP4_SRC_MARTIAN});
	EXPECT_EQ(hits(Eth{} / Ip4{.src = "0.0.0.0", .dst = "224.0.0.22"} / Udp{}),
		  Hits{AX_R_IP4_SRC_MARTIAN});
}

TEST(OracleTest, SteeringIsToldOfChecksumAndTtl)
{
	GuardVerdict verdict = guard_oracle(Eth{} / Ip4{.ttl = 0, .checksum = 1} / Udp{});
	EXPECT_EQ(verdict, (GuardVerdict{.bad_checksum = true, .ttl_zero = true}));
	verdict = guard_oracle(Eth{} / Ip4{.options = {1, 1, 1, 1}} / Udp{});
	EXPECT_EQ(verdict, GuardVerdict{});
	verdict = guard_oracle(Eth{} / Ip6{.hop_limit = 0} / Udp{});
	EXPECT_EQ(verdict, (GuardVerdict{.ttl_zero = true, .hop_zero = true}));
}

TEST(OracleTest, Ip4OptionsEachAtItsPlace)
{
	const Bytes rr = option(7, {4, 0, 0, 0, 0}), lsrr = option(131, {4, 0, 0, 0, 0});
	EXPECT_EQ(hits(Eth{} / Ip4{.options = join({rr, nop(), lsrr, rr, {148, 1}})} / Udp{}),
		  (Hits{AX_R_IP4_RECORD_ROUTE, AX_R_IP4_SOURCE_ROUTE, AX_R_IP4_OPTION_LENGTH}));
	// A kind without a length byte, at the very end.
	EXPECT_EQ(hits(Eth{} / Ip4{.options = {1, 1, 1, 7}} / Udp{}), Hits{AX_R_IP4_OPTION_LENGTH});
	// The rest of the packet is still looked at.
	EXPECT_EQ(hits(Eth{} / Ip4{.options = {148, 0, 0, 0}} / Udp{.dport = 0}),
		  (Hits{AX_R_IP4_OPTION_LENGTH, AX_R_UDP_PORT_ZERO}));
}

TEST(OracleTest, Ip4Fragments)
{
	// Later fragments have no upper header to look at.
	EXPECT_EQ(hits(Eth{} / Ip4{.mf = true, .offset = 3, .protocol = 6} / Payload(8)), Hits{});
	EXPECT_EQ(hits(Eth{} / Ip4{.offset = 3, .protocol = 1} / Payload(1)),
		  Hits{AX_R_ICMP_FRAGMENTED});
	EXPECT_EQ(hits(Eth{} / Ip4{.mf = true, .offset = 3, .protocol = 17}),
		  Hits{AX_R_IP4_FRAG_LENGTH}); // MF and nothing
	EXPECT_EQ(hits(Eth{} / Ip4{.mf = true, .protocol = 6} / Payload(16)),
		  (Hits{AX_R_IP4_FRAG_TINY, AX_R_TCP_TRUNCATED}));
	// A first fragment's TCP header may go on in the next one; its flags are here.
	EXPECT_EQ(hits(Eth{} / Ip4{.mf = true} / Tcp{.data_offset = 15, .flags = 0} / Payload(4)),
		  (Hits{AX_R_TCP_NO_FLAGS, AX_R_TCP_NO_ACK}));
	EXPECT_EQ(hits(Eth{} / Ip4{.mf = true} / Tcp{.data_offset = 4} / Payload(4)),
		  Hits{AX_R_TCP_DATA_OFFSET});
	EXPECT_EQ(hits(Eth{} / Ip4{.mf = true} / Udp{.length = 3000}), Hits{});
	EXPECT_EQ(hits(Eth{} / Ip4{.mf = true} / Udp{.dport = 0, .length = 0}), Hits{});
}

TEST(OracleTest, Ip6Fragments)
{
	const auto frag = [](std::uint16_t offset, bool mf, std::uint8_t next) {
		return Eth{} / Ip6{} / Ip6Frag{.offset = offset, .mf = mf, .next_header = next};
	};
	EXPECT_EQ(hits(frag(3, true, 6) / Payload(8)), Hits{});
	EXPECT_EQ(hits(frag(3, false, 58) / Payload(1)), Hits{AX_R_ICMP_FRAGMENTED});
	EXPECT_EQ(hits(frag(3, true, kDestination) / Payload(8)), Hits{}); // not walked further
	// RFC 7112: the chain, cut in a first fragment.
	EXPECT_EQ(hits(frag(0, true, kDestination) / Ip6Ext{.next_header = 6, .length = 1}),
		  Hits{AX_R_IP6_FRAG_NO_UPPER});
	EXPECT_EQ(hits(frag(0, true, 17) / Payload(8)), (Hits{}));
	EXPECT_EQ(hits(frag(0, true, 132) / Payload(8)), Hits{});
	EXPECT_EQ(hits(frag(0, true, 58) / Icmp6{}), Hits{AX_R_ICMP_FRAGMENTED});
	// An atomic fragment is a whole packet.
	EXPECT_EQ(hits(frag(0, false, 6) / Payload(7)), Hits{AX_R_TCP_TRUNCATED});
	EXPECT_EQ(hits(frag(0, false, 58) / Icmp6{}), Hits{});
}

TEST(OracleTest, Ip6Chain)
{
	// AH counts in words: 12 bytes here, not the 16 of another header of "length" 1.
	EXPECT_EQ(hits(Eth{} / Ip6{} /
		       Ip6Ext{.kind = kAuthentication, .next_header = 17, .length = 1, .body = {}} /
		       Raw{{0, 0, 0, 0}} / Udp{}),
		  Hits{});
	EXPECT_EQ(hits(Eth{} / Ip6{.next_header = 50} / Payload(1)), Hits{});	  // ESP
	EXPECT_EQ(hits(Eth{} / Ip6{.next_header = 59} / Payload(100)), Hits{});	  // RFC 8200 4.7
	EXPECT_EQ(hits(Eth{} / Ip6{.next_header = 1} / Payload(1)), Hits{});	  // ICMPv4
	EXPECT_EQ(hits(Eth{} / Ip4{.protocol = 58} / Payload(1)), Hits{});	  // ICMPv6
	EXPECT_EQ(hits(Eth{} / Ip6{.next_header = 6}), Hits{AX_R_TCP_TRUNCATED}); // no zero length
	EXPECT_EQ(hits(Eth{} / Ip6{} / Ip6Ext{.kind = kHopByHop} / Ip6Ext{.kind = kHopByHop} /
		       Ip6Ext{.kind = kRouting, .routing_type = 0} / Udp{}),
		  (Hits{AX_R_IP6_HOPOPT_LATE, AX_R_IP6_ROUTING_TYPE}));
}

TEST(OracleTest, NeighbourDiscovery)
{
	const auto nd = [](std::uint8_t type, std::uint8_t hop_limit) {
		return hits(Eth{} / Ip6{.hop_limit = hop_limit} / Icmp6{.type = type} / Payload(8));
	};
	EXPECT_EQ(nd(132, 1), Hits{});
	EXPECT_EQ(nd(133, 254), Hits{AX_R_ND_HOP_LIMIT});
	EXPECT_EQ(nd(137, 255), Hits{AX_R_ICMP_REDIRECT});
	EXPECT_EQ(nd(137, 64), (Hits{AX_R_ND_HOP_LIMIT, AX_R_ICMP_REDIRECT}));
	EXPECT_EQ(nd(138, 64), Hits{});
	EXPECT_EQ(hits(Eth{} / Ip6{} / Ip6Frag{.mf = true} / Icmp6{.type = 134} / Payload(8)),
		  (Hits{AX_R_ICMP_FRAGMENTED, AX_R_ND_FRAGMENTED, AX_R_ND_HOP_LIMIT}));
}

// Whatever the bytes, an answer (the oracle's View throws when it is read beyond its end), and one
// that does not depend on rules behind the first that drops.
TEST(OracleTest, DamagedPacketsGetAnAnswer)
{
	const std::vector<Packet> seeds{
		Eth{} / Vlan{1} / Ip4{.options = option(7, {4, 0, 0, 0, 0})} /
			Tcp{.options = join({mss(1460), timestamps(1, 2)})} / Payload(20),
		Eth{} / Ip4{.mf = true} / Icmp4{} / Payload(8),
		Eth{} / Ip6{} / Ip6Ext{.kind = kHopByHop} / Ip6Ext{.kind = kRouting} /
			Ip6Frag{.mf = true} / Ip6Ext{} / Udp{} / Payload(8),
		Eth{} / Ip6{} / Ip6Ext{.kind = kAuthentication, .body = Bytes(14)} /
			Icmp6{.type = 135}};
	const GuardRules count = GuardRules::all(AX_ACTION_COUNT);
	std::mt19937 random(1);
	for (const Packet &seed : seeds) {
		for (int i = 0; i < 20000; ++i) {
			Bytes bytes = seed.bytes();
			for (int n = 0; n < 3; ++n)
				bytes[12 + random() % (bytes.size() - 12)] =
					static_cast<std::uint8_t>(random());
			if (random() % 2 == 0)
				bytes.resize(random() % bytes.size());
			const Hits all = guard_oracle(bytes, count).counted;
			const ax_reason verdict =
				guard_oracle(bytes, GuardRules::all(AX_ACTION_DROP)).verdict;
			ASSERT_EQ(verdict, all.empty() ? AX_CONTINUE : all.front());
		}
	}
}

} // namespace
} // namespace anycast::test
