// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// IPv6: the extension header chain and its bound, lengths, fragments; what must pass.
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

class Ip6Stage : public ProgramTest {
protected:
	void SetUp() override
	{
		ProgramTest::SetUp();
		apply(two_families());
	}
};

Packet chain(int headers, std::size_t body = 6)
{
	Packet packet = Eth{} / Ip6{};
	for (int i = 0; i < headers; ++i)
		packet = packet / Ip6Ext{.body = Bytes(body)};
	return packet;
}

TEST_F(Ip6Stage, ChainsUpToTheBound)
{
	for (int headers = 0; headers <= AX_IP6_EXT_DEPTH; ++headers) {
		EXPECT_EQ(expect(AX_R_STEERED, chain(headers) / Tcp{}).vip, "www6");
		EXPECT_EQ(expect(AX_R_STEERED, chain(headers) / Udp{}).vip, "dns6");
		expect(AX_R_TCP_SYN_FIN, chain(headers) / Tcp{.flags = kSyn | kFin});
	}
	expect(AX_R_IP6_EXT_TOO_MANY, chain(AX_IP6_EXT_DEPTH + 1) / Tcp{});
	expect(AX_R_IP6_EXT_TOO_MANY, chain(AX_IP6_EXT_DEPTH + 5) / Tcp{});
}

TEST_F(Ip6Stage, LongHeadersAreWalked)
{
	// The frame of a test run takes 3.4 KB: one header of 2 KB, the longest there is.
	apply(two_families(), {}, 9000);
	expect(AX_R_STEERED, chain(1, 2046) / Tcp{});
	expect(AX_R_STEERED, chain(8, 342) / Tcp{});
	expect(AX_R_IP6_EXT_TRUNCATED,
	       (Eth{} / Ip6{.payload_length = 2047} / Ip6Ext{.length = 255, .body = Bytes(2046)})
		       .truncate(14 + 40 + 2047));
}

TEST_F(Ip6Stage, EveryKindOfExtensionHeader)
{
	for (const std::uint8_t kind : {kHopByHop, kDestination, kMobility, std::uint8_t{139},
					std::uint8_t{140}, kAuthentication})
		EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Ip6{} / Ip6Ext{.kind = kind} / Tcp{}).vip,
			  "www6")
			<< int{kind};
	for (int type = 0; type < 256; ++type) {
		const bool banned = type == 0 || type == 1 || type == 3;
		expect(banned ? AX_R_IP6_ROUTING_TYPE : AX_R_STEERED,
		       Eth{} / Ip6{} /
			       Ip6Ext{.kind = kRouting,
				      .routing_type = static_cast<std::uint8_t>(type)} /
			       Tcp{});
	}
}

TEST_F(Ip6Stage, AuthenticationHeadersCountInWords)
{
	// RFC 4302 section 2.2: length in words less two; 24 bytes here.
	const Packet packet =
		Eth{} / Ip6{} / Ip6Ext{.kind = kAuthentication, .body = Bytes(22)} / Tcp{};
	EXPECT_EQ(packet[14 + 40 + 1], 4);
	EXPECT_EQ(expect(AX_R_STEERED, packet).vip, "www6");
}

TEST_F(Ip6Stage, BehindEspAndNoNextHeaderNothingIsRead)
{
	expect(AX_R_VIP_NO_SERVICE, Eth{} / Ip6{.next_header = 50} / Payload(40));
	expect(AX_R_VIP_NO_SERVICE, Eth{} / Ip6{.next_header = kNoNext} / Payload(3));
	notes();
	expect(AX_R_VIP_NO_SERVICE, (Eth{} / Ip6{.next_header = kNoNext}).pad(60));
	EXPECT_TRUE(notes().empty());
}

TEST_F(Ip6Stage, PayloadLengthAtBothBounds)
{
	const auto with = [](std::uint16_t length) {
		return Eth{} / Ip6{.payload_length = length, .next_header = 99} / Payload(10);
	};
	notes();
	expect(AX_R_VIP_NO_SERVICE, with(1));
	expect(AX_R_VIP_NO_SERVICE, with(10));
	EXPECT_TRUE(notes().empty());
	expect(AX_R_IP6_PAYLOAD_LENGTH, with(11));
	expect(AX_R_IP6_PAYLOAD_LENGTH, with(65535));
	expect(AX_R_VIP_NO_SERVICE, with(0));
	EXPECT_EQ(notes()[AX_R_IP6_ZERO_LENGTH], 1U);
}

TEST_F(Ip6Stage, AChainMustEndWithinThePayloadNotThePadding)
{
	expect(AX_R_IP6_EXT_TRUNCATED, (Eth{} / Ip6{} / Ip6Ext{.length = 1}).pad(100));
	expect(AX_R_TCP_TRUNCATED, (Eth{} / Ip6{.next_header = kTcp} / Payload(19)).pad(200));
}

TEST_F(Ip6Stage, HopByHopStandsFirstOrNowhere)
{
	expect(AX_R_STEERED, Eth{} / Ip6{} / Ip6Ext{.kind = kHopByHop} / Ip6Ext{} / Tcp{});
	for (int before = 1; before < AX_IP6_EXT_DEPTH; ++before)
		expect(AX_R_IP6_HOPOPT_LATE, chain(before) / Ip6Ext{.kind = kHopByHop} / Tcp{});
}

TEST_F(Ip6Stage, FragmentsAtTheirBounds)
{
	const auto fragment = [](std::uint16_t offset, bool mf, std::size_t bytes) {
		return Eth{} / Ip6{} / Ip6Frag{.offset = offset, .mf = mf, .next_header = kUdp} /
		       Payload(bytes);
	};
	expect(AX_R_STEERED_FRAGMENT, fragment(2, true, 8));
	expect(AX_R_IP6_FRAG_LENGTH, fragment(2, true, 9));
	expect(AX_R_IP6_FRAG_LENGTH, fragment(2, true, 0));
	expect(AX_R_STEERED_FRAGMENT, fragment(2, false, 1));
	expect(AX_R_STEERED_FRAGMENT, fragment(8191, false, 7));
	expect(AX_R_IP6_FRAG_BEYOND, fragment(8191, false, 8));
	// The first one must hold the upper header.
	expect(AX_R_STEERED_FRAGMENT, fragment(0, true, 8));
	expect(AX_R_IP6_FRAG_NO_UPPER,
	       Eth{} / Ip6{} / Ip6Frag{.mf = true, .next_header = kTcp} / Payload(16));
}

TEST_F(Ip6Stage, AtomicFragmentsAreWholePackets)
{
	// RFC 6946: steered by their ports like the packet without that header.
	const Outcome plain = expect(AX_R_STEERED, Eth{} / Ip6{} / Tcp{.sport = 777});
	const Outcome atomic = expect(AX_R_STEERED, Eth{} / Ip6{} / Ip6Frag{} / Tcp{.sport = 777});
	EXPECT_EQ(plain.backend, atomic.backend);
	EXPECT_EQ(flows().size(), 1U);
}

TEST_F(Ip6Stage, LaterFragmentsEndTheChain)
{
	// What stands behind a later fragment's header is payload, even where it looks like
	// headers.
	expect(AX_R_STEERED_FRAGMENT,
	       Eth{} / Ip6{} / Ip6Frag{.offset = 5, .next_header = kUdp} / Payload(3));
	expect(AX_R_VIP_NO_SERVICE, Eth{} / Ip6{} /
					    Ip6Frag{.offset = 5, .next_header = kDestination} /
					    Raw{{0, 255, 0, 0, 0, 0, 0, 0}});
	expect(AX_R_STEERED_FRAGMENT,
	       chain(7) / Ip6Frag{.offset = 5, .next_header = kTcp} / Payload(8));
}

TEST_F(Ip6Stage, NeighbourDiscoveryPassesToTheStack)
{
	notes();
	for (const std::uint8_t type : {133, 134, 135, 136}) {
		expect(AX_R_VIP_ICMP,
		       Eth{} / Ip6{.hop_limit = 255} / Icmp6{.type = type} / Payload(16));
		expect(AX_R_NOT_VIP, Eth{} / Ip6{.dst = "ff02::1:ff00:80", .hop_limit = 255} /
					     Icmp6{.type = type} / Payload(16));
		expect(AX_R_ND_HOP_LIMIT,
		       Eth{} / Ip6{.hop_limit = 254} / Icmp6{.type = type} / Payload(16));
	}
	expect(AX_R_NOT_VIP, Eth{} / Ip6{.src = "::", .dst = "ff02::1:ff00:80", .hop_limit = 255} /
				     Icmp6{.type = 135} / Payload(16)); // address detection
	EXPECT_TRUE(notes().empty());
}

} // namespace
} // namespace anycast::test
