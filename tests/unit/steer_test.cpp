// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/steer.h"

#include <gtest/gtest.h>

#include "unit/image_parts.h"

namespace anycast {

TEST(ParseFlow, AsFlowsPrintsThem)
{
	const FlowTuple four{address("203.0.113.5"), address("198.51.100.80"), 40000, 80, 6};
	EXPECT_EQ(parse_flow("203.0.113.5:40000 > 198.51.100.80:80 tcp"), four);
	EXPECT_EQ(parse_flow("203.0.113.5:40000 198.51.100.80:80 tcp"), four);
	EXPECT_EQ(parse_flow("203.0.113.5:40000 -> 198.51.100.80:80"), four);
	const FlowTuple six{address("2001:db8::5"), address("2001:db8::80"), 1, 53, 17};
	EXPECT_EQ(parse_flow("[2001:db8::5]:1 > [2001:db8::80]:53 udp"), six);
}

TEST(ParseFlow, RefusesEverythingElse)
{
	for (const char *text :
	     {"", "203.0.113.5:40000", "203.0.113.5 198.51.100.80:80", "203.0.113.5:x 1.2.3.4:80",
	      "203.0.113.5:99999 198.51.100.80:80", "2001:db8::5:1 [2001:db8::80]:53",
	      "203.0.113.5:1 [2001:db8::80]:53", "203.0.113.5:1 198.51.100.80:80 icmp",
	      "203.0.113.5:1 198.51.100.80:80 sctp", "203.0.113.5:1 198.51.100.80:80 tcp more"})
		EXPECT_FALSE(parse_flow(text)) << text;
}

TEST(SteerHash, ForgetsWhatItsInputLeavesOut)
{
	const std::array<std::uint64_t, 2> seed = {1, 2};
	const FlowTuple flow{address("203.0.113.5"), address("198.51.100.80"), 40000, 80, 6};
	FlowTuple other_vip = flow, other_port = flow, other_client = flow;
	other_vip.destination = address("198.51.100.81");
	other_vip.protocol = 17;
	other_port.source_port = 1;
	other_client.source = address("203.0.113.6");
	const auto same = [&](const FlowTuple &other, ax_hash_input input) {
		return steer_hash(seed, flow, input) == steer_hash(seed, other, input);
	};
	for (const FlowTuple &other : {other_vip, other_port, other_client})
		EXPECT_FALSE(same(other, AX_HASH_FLOW));
	EXPECT_TRUE(same(other_vip, AX_HASH_SOURCE_PORT));
	EXPECT_FALSE(same(other_port, AX_HASH_SOURCE_PORT));
	EXPECT_TRUE(same(other_vip, AX_HASH_SOURCE));
	EXPECT_TRUE(same(other_port, AX_HASH_SOURCE));
	EXPECT_FALSE(same(other_client, AX_HASH_SOURCE));
}

TEST(FirstPacket, IsWhole)
{
	const auto tcp =
		first_packet({address("203.0.113.5"), address("198.51.100.80"), 40000, 80, 6});
	ASSERT_EQ(tcp.size(), 54U);
	EXPECT_EQ(tcp[12] << 8 | tcp[13], 0x0800);
	EXPECT_EQ(tcp[47], 0x02); // SYN
	const auto udp =
		first_packet({address("2001:db8::5"), address("2001:db8::80"), 40000, 53, 17});
	ASSERT_EQ(udp.size(), 62U);
	EXPECT_EQ(udp[12] << 8 | udp[13], 0x86dd);
	EXPECT_NE(udp[60] << 8 | udp[61], 0) << "IPv6 wants a checksum";
}

} // namespace anycast
