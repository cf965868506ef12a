// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "health/tunnel_packet.h"

#include <gtest/gtest.h>

namespace anycast::health {
namespace {

const Address kNode = *Address::parse("10.1.0.2"), kBackend = *Address::parse("10.1.0.11"),
	      kVip = *Address::parse("198.51.100.80"), kNode6 = *Address::parse("2001:db8:1::2"),
	      kBackend6 = *Address::parse("2001:db8:1::11"),
	      kVip6 = *Address::parse("2001:db8:51::80");
const InnerFlow kFlow{kNode, kVip, 64512, 80}, kFlow6{kNode6, kVip6, 65000, 53};

// RFC 1071 over a header or a pseudo header and what follows: right if it gives ffff.
std::uint32_t ones(std::span<const std::uint8_t> bytes, std::uint32_t sum = 0)
{
	for (std::size_t i = 0; i < bytes.size(); i++)
		sum += i % 2 == 0 ? bytes[i] * 256u : bytes[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

TEST(TunnelPacket, ChecksumsAreRight)
{
	const Bytes syn = tcp_packet(kFlow, {.sequence = 7, .flags = kTcpSyn});
	ASSERT_EQ(syn.size(), 40U);
	EXPECT_EQ(ones({syn.data(), 20}), 0xffffU);
	EXPECT_EQ(ones({syn.data() + 12, 28}, 6 + 20), 0xffffU) << "addresses and segment";
	const Bytes odd{'a', 'b', 'c'};
	const Bytes udp = udp_packet(kFlow6, odd);
	ASSERT_EQ(udp.size(), 40U + 8 + 3);
	EXPECT_EQ(ones({udp.data() + 8, 43}, 17 + 11), 0xffffU);
}

TEST(TunnelPacket, AllFourCombinations)
{
	const Bytes inner4 = tcp_packet(kFlow, {.sequence = 7, .flags = kTcpSyn}),
		    inner6 = tcp_packet(kFlow6, {.sequence = 7, .flags = kTcpSyn});
	EXPECT_EQ(in_tunnel(kNode, kBackend, inner4)[9], 4);
	EXPECT_EQ(in_tunnel(kNode, kBackend, inner6)[9], 41);
	EXPECT_EQ(in_tunnel(kNode6, kBackend6, inner4)[6], 4);
	const Bytes outer = in_tunnel(kNode6, kBackend6, inner6);
	EXPECT_EQ(outer[6], 41);
	EXPECT_EQ(Bytes(outer.begin() + 40, outer.end()), inner6);
	EXPECT_EQ(ones({in_tunnel(Address(), kBackend, inner4).data() + 12, 4}), 0U)
		<< "no source: the kernel's choice";
}

// As the VIP would answer: source and destination are the other way round.
TEST(TunnelPacket, AnswersAreRead)
{
	const InnerFlow back{kVip, kNode, 80, 64512}, back6{kVip6, kNode6, 53, 65000};
	const Bytes tcp = tcp_packet(back, {.sequence = 99, .flags = kTcpSyn | kTcpAck});
	const auto answer = parse_answer(tcp);
	ASSERT_TRUE(answer);
	EXPECT_EQ(answer->protocol, 6);
	EXPECT_EQ(answer->flow, kFlow);
	EXPECT_EQ(answer->flags, kTcpSyn | kTcpAck);
	const Bytes text{'p', 'o', 'n', 'g'};
	Bytes udp = udp_packet(back6, text);
	udp.push_back(0); // padding of the frame
	const auto pong = parse_answer(udp);
	ASSERT_TRUE(pong);
	EXPECT_EQ(pong->flow, kFlow6);
	EXPECT_EQ(Bytes(pong->payload.begin(), pong->payload.end()), text);

	for (std::size_t cut = 0; cut < tcp.size(); cut++)
		EXPECT_FALSE(parse_answer(std::span(tcp).first(cut))) << cut;
	Bytes fragment = tcp;
	fragment[6] = 0x20;
	EXPECT_FALSE(parse_answer(fragment));
	Bytes options = tcp;
	options[0] = 0x4f; // a header of 60 bytes is longer than the packet
	EXPECT_FALSE(parse_answer(options));
	Bytes other = tcp;
	other[9] = 47;
	EXPECT_FALSE(parse_answer(other));
	Bytes header = tcp;
	header[32] = 0xf0; // of 60 bytes
	EXPECT_FALSE(parse_answer(header));
}

TEST(TunnelPacket, SegmentsCarryOptionsAndData)
{
	const InnerFlow back{kVip, kNode, 80, 64512};
	const Bytes text{'h', 'i', '!'};
	const Bytes syn = tcp_packet(back, {.sequence = 1,
					    .acknowledged = 2,
					    .flags = kTcpSyn | kTcpAck,
					    .mss = 1200,
					    .payload = text});
	EXPECT_EQ(ones({syn.data() + 12, syn.size() - 12}, 6 + 27), 0xffffU);
	const auto answer = parse_answer(syn);
	ASSERT_TRUE(answer);
	EXPECT_EQ(answer->mss, 1200);
	EXPECT_EQ(answer->sequence, 1U);
	EXPECT_EQ(answer->acknowledged, 2U);
	EXPECT_EQ(Bytes(answer->payload.begin(), answer->payload.end()), text);
	for (const std::uint8_t length : {0, 1, 3, 5, 200}) { // options that lie
		Bytes wrong = syn;
		wrong[41] = length;
		const auto read = parse_answer(wrong);
		ASSERT_TRUE(read);
		EXPECT_EQ(read->mss, 0) << int{length};
	}
}

TEST(TunnelPacket, Echoes)
{
	const InnerFlow to{kNode, kVip, 64600, 0}, to6{kNode6, kVip6, 64600, 0};
	for (const InnerFlow &flow : {to, to6}) {
		const bool v4 = flow.vip.is_v4();
		Bytes echo = echo_packet({flow.vip, flow.source, 64600, 0}, 77);
		const std::size_t at = v4 ? 20 : 40;
		ASSERT_EQ(echo.size(), at + 8);
		EXPECT_EQ(v4 ? ones({echo.data() + at, 8}) : ones({echo.data() + 8, 40}, 58 + 8),
			  0xffffU);
		EXPECT_FALSE(parse_answer(echo)) << "a request is no answer";
		echo[at] = v4 ? 0 : 129;
		const auto reply = parse_answer(echo);
		ASSERT_TRUE(reply);
		EXPECT_EQ(reply->flow, flow);
		EXPECT_EQ(reply->sequence, 77U);
		for (std::size_t cut = 0; cut < echo.size(); cut++)
			EXPECT_FALSE(parse_answer(std::span(echo).first(cut))) << cut;
	}
}

} // namespace
} // namespace anycast::health
