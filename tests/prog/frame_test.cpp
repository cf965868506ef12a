// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Ethernet and VLAN tags.
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

using Frame = ProgramTest;

Packet tagged(int tags)
{
	Packet packet = Eth{};
	for (int i = 0; i < tags; ++i)
		packet = packet / Vlan{.id = static_cast<std::uint16_t>(i + 1)};
	return packet;
}

TEST_F(Frame, WithoutConfigurationEverythingPasses)
{
	expect(AX_R_UNCONFIGURED, Eth{} / Ip4{.version = 7} / Tcp{.flags = 0});
	expect(AX_R_UNCONFIGURED, Eth{} / Ip4{.src = "11.2.3.5"} / Tcp{});
	expect(AX_R_UNCONFIGURED, Eth{} / Ip6{} / Udp{});
	expect(AX_R_NOT_IP, Eth{}); // passes before the configuration is looked at
}

TEST_F(Frame, UnknownEthertypesPassUntouched)
{
	apply(two_families());
	for (const std::uint16_t type : {0x0806, 0x88cc, 0x8847, 0x0000, 0xffff, 0x05dc, 0x9100})
		expect(AX_R_NOT_IP, Eth{.ethertype = type} / Payload(46));
	expect(AX_R_NOT_IP, Eth{} / Arp{});
	expect(AX_R_NOT_IP, Eth{.ethertype = 0x88cc}); // 14 bytes and no more
	expect(AX_R_NOT_IP, Eth{} / Vlan{7} / Arp{});
}

TEST_F(Frame, UpToTwoTagsAreLookedBehind)
{
	apply(two_families());
	for (int tags = 0; tags <= AX_VLAN_DEPTH; ++tags) {
		EXPECT_EQ(expect(AX_R_STEERED, tagged(tags) / Ip4{} / Tcp{}).vip, "www");
		EXPECT_EQ(expect(AX_R_STEERED, tagged(tags) / Ip6{} / Tcp{}).vip, "www6");
		expect(AX_R_TCP_SYN_FIN, tagged(tags) / Ip4{} / Tcp{.flags = kSyn | kFin});
	}
}

TEST_F(Frame, ATagMoreThanIsLookedBehindPassesAndIsCounted)
{
	apply(two_families());
	notes();
	const Packet packet = tagged(AX_VLAN_DEPTH + 1) / Ip4{} / Tcp{.flags = 0};
	expect(AX_R_TOO_DEEP, packet);
	EXPECT_EQ(notes(), (std::map<ax_reason, std::uint64_t>{{AX_R_VLAN_TOO_DEEP, 1}}));
	// Cut inside that tag: nobody has looked there.
	expect(AX_R_TOO_DEEP, packet.truncate(14 + 8));
	expect(AX_R_TOO_DEEP, packet.truncate(14 + 8 + 3));
}

TEST_F(Frame, BothTagTypesInAnyOrder)
{
	apply(two_families());
	for (const std::uint16_t outer : {0x8100, 0x88a8})
		for (const std::uint16_t inner : {0x8100, 0x88a8})
			expect(AX_R_STEERED, Eth{} / Vlan{.id = 1, .tpid = outer} /
						     Vlan{.id = 2, .tpid = inner} / Ip4{} / Tcp{});
	// Priority, DEI and id 0 do not matter.
	expect(AX_R_STEERED, Eth{} / Vlan{.id = 0, .priority = 7, .dei = true} / Ip4{} / Tcp{});
}

TEST_F(Frame, AFrameThatEndsInsideATagIsDropped)
{
	apply(two_families());
	for (std::size_t length = 14; length < 18; ++length)
		expect(AX_R_ETH_TRUNCATED, (tagged(1) / Ip4{}).truncate(length));
	for (std::size_t length = 18; length < 22; ++length)
		expect(AX_R_ETH_TRUNCATED, (tagged(2) / Ip4{}).truncate(length));
	// The first byte behind them is the network layer's.
	expect(AX_R_IP4_TRUNCATED, (tagged(1) / Ip4{}).truncate(18));
	expect(AX_R_IP4_TRUNCATED, (tagged(2) / Ip4{}).truncate(22));
}

TEST_F(Frame, EveryLengthOfEveryHeaderIsReadWithinBounds)
{
	apply(two_families());
	const Packet whole[] = {
		tagged(2) / Ip4{.options = Bytes(40, 1)} / Tcp{.options = timestamps(1, 2)},
		tagged(2) / Ip6{} / Ip6Ext{.kind = kHopByHop} / Ip6Ext{} / Tcp{.options = mss(9)},
		Eth{} / Ip4{} / Icmp4{.type = 3} / (Eth{} / Ip4{} / Tcp{}).slice(14),
		Eth{} / Ip6{} / Icmp6{.type = 1} / (Eth{} / Ip6{} / Udp{}).slice(14)};
	for (const Packet &packet : whole)
		for (std::size_t length = 14; length < packet.size(); ++length) {
			const Outcome outcome = send(packet.truncate(length));
			EXPECT_EQ(outcome.verdict, XDP_DROP) << outcome << " at " << length;
		}
}

} // namespace
} // namespace anycast::test
