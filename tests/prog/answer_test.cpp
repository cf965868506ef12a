// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// ICMP that the program sends itself: what is too big after encapsulation, and the echo.
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

constexpr std::size_t kEth = 14, kMessage4 = 512, kMessage6 = 1232;

class Answer : public ProgramTest {
protected:
	void tunnel(std::uint16_t mtu, std::uint32_t per_second = 1000, bool echo = false)
	{
		Config config = two_families();
		config.icmp = {.answers_per_second = per_second, .echo = echo};
		apply(config, {}, mtu);
	}
};

Bytes address_bytes(const std::string &text)
{
	const Address address = *Address::parse(text);
	const auto &all = address.bytes();
	return {all.begin() + (address.is_v4() ? 12 : 0), all.end()};
}

Bytes mac(std::uint8_t last)
{
	return {2, 0, 0, 0, 0, last};
}

Packet big4(std::size_t datagram, const Ip4 &ip = {.df = true})
{
	return Eth{} / ip / Tcp{} / Payload(datagram - 40);
}

Packet big6(std::size_t datagram)
{
	return Eth{} / Ip6{} / Tcp{} / Payload(datagram - 60);
}

// Frag-needed from the VIP about `in`, whose network header is at `l3`.
void expect_too_big4(const Packet &out, const Packet &in, std::uint16_t mtu, std::size_t l3 = kEth)
{
	ASSERT_EQ(out.size(), l3 + 20 + kMessage4);
	EXPECT_EQ(bytes_from(out, 0, 6), mac(1));
	EXPECT_EQ(bytes_from(out, 6, 6), mac(2));
	EXPECT_EQ(bytes_from(out, 12, l3 - 12), bytes_from(in, 12, l3 - 12)) << "tags and type";
	EXPECT_EQ(out[l3], 0x45);
	EXPECT_EQ(word_at(out, l3 + 2), 20 + kMessage4);
	EXPECT_EQ(word_at(out, l3 + 6), 0x4000);
	EXPECT_EQ(out[l3 + 8], AX_OUTER_TTL);
	EXPECT_EQ(out[l3 + 9], kIcmp);
	EXPECT_EQ(internet_checksum(bytes_from(out, l3, 20)), 0);
	EXPECT_EQ(bytes_from(out, l3 + 12, 4), address_bytes("198.51.100.80"));
	EXPECT_EQ(bytes_from(out, l3 + 16, 4), address_bytes("203.0.113.5"));
	EXPECT_EQ(word_at(out, l3 + 20), 0x0304); // unreachable, fragmentation needed
	EXPECT_EQ(word_at(out, l3 + 24), 0);
	EXPECT_EQ(word_at(out, l3 + 26), mtu);
	EXPECT_EQ(internet_checksum(bytes_from(out, l3 + 20)), 0);
	EXPECT_EQ(bytes_from(out, l3 + 28), bytes_from(in, l3, kMessage4 - 8));
}

void expect_too_big6(const Packet &out, const Packet &in, std::uint16_t mtu, std::size_t l3 = kEth)
{
	ASSERT_EQ(out.size(), l3 + 40 + kMessage6);
	EXPECT_EQ(bytes_from(out, 0, 6), mac(1));
	EXPECT_EQ(bytes_from(out, 6, 6), mac(2));
	EXPECT_EQ(bytes_from(out, 12, l3 - 12), bytes_from(in, 12, l3 - 12));
	EXPECT_EQ(out[l3] >> 4, 6);
	EXPECT_EQ(word_at(out, l3 + 4), kMessage6);
	EXPECT_EQ(out[l3 + 6], kIcmp6);
	EXPECT_EQ(out[l3 + 7], AX_OUTER_TTL);
	EXPECT_EQ(bytes_from(out, l3 + 8, 16), address_bytes("2001:db8::80"));
	EXPECT_EQ(bytes_from(out, l3 + 24, 16), address_bytes("2001:db8::5"));
	EXPECT_EQ(word_at(out, l3 + 40), 0x0200);
	EXPECT_EQ(word_at(out, l3 + 44), 0);
	EXPECT_EQ(word_at(out, l3 + 46), mtu);
	Bytes sum = bytes_from(out, l3 + 8, 32);
	for (const int byte : {0, 0, static_cast<int>(kMessage6 >> 8),
			       static_cast<int>(kMessage6 & 255), 0, 0, 0, int{kIcmp6}})
		sum.push_back(static_cast<std::uint8_t>(byte));
	const Bytes message = bytes_from(out, l3 + 40);
	sum.insert(sum.end(), message.begin(), message.end());
	EXPECT_EQ(internet_checksum(sum), 0);
	EXPECT_EQ(bytes_from(out, l3 + 48), bytes_from(in, l3, kMessage6 - 8));
}

TEST_F(Answer, TooBigForTheTunnelIsToldTheMtuThatFits)
{
	tunnel(1400);
	expect(AX_R_STEERED, big4(1380));
	expect_too_big4(expect(AX_R_PTB_SENT, big4(1381)).frame, big4(1381), 1380);
	expect_too_big4(expect(AX_R_PTB_SENT, big4(3000)).frame, big4(3000), 1380);
	expect(AX_R_STEERED, big6(1360));
	expect_too_big6(expect(AX_R_PTB_SENT, big6(1361)).frame, big6(1361), 1360);
	// known flows, which go the express way, and flows that are new
	expect(AX_R_PTB_SENT, big4(1381));
	expect(AX_R_PTB_SENT, Eth{} / Ip4{.df = true} / Tcp{.sport = 7} / Payload(1400));
	expect(AX_R_PTB_SENT, Eth{} / Ip4{.df = true} / Udp{.sport = 7} / Payload(1400));
	expect(AX_R_PTB_SENT, Eth{} / Ip6{} / Udp{.sport = 7} / Payload(1400));
}

TEST_F(Answer, TagsAndOptionsComeBack)
{
	tunnel(1400);
	const Ip4 plain{.df = true}, options{.df = true, .options = Bytes(8, 1)};
	for (const Ip4 &ip : {plain, options}) {
		const Packet one = Eth{} / Vlan{5} / ip / Tcp{} / Payload(1400);
		expect_too_big4(expect(AX_R_PTB_SENT, one).frame, one, 1380, kEth + 4);
		const Packet two = Eth{} / Vlan{5} / Vlan{6} / ip / Tcp{} / Payload(1400);
		expect_too_big4(expect(AX_R_PTB_SENT, two).frame, two, 1380, kEth + 8);
	}
	const Packet one = Eth{} / Vlan{5} / Ip6{} / Ip6Ext{} / Tcp{} / Payload(1400);
	expect_too_big6(expect(AX_R_PTB_SENT, one).frame, one, 1360, kEth + 4);
	const Packet two = Eth{} / Vlan{5} / Vlan{6} / Ip6{} / Tcp{} / Payload(1400);
	expect_too_big6(expect(AX_R_PTB_SENT, two).frame, two, 1360, kEth + 8);
}

TEST_F(Answer, ThePoolsLargestOverheadIsReserved)
{
	// One backend behind an IPv6 tunnel: 40 bytes, whoever gets the packet.
	Config config = two_families();
	config.pools[0].backends.push_back(backend_at("2001:db8:1::14"));
	apply(config, {}, 1500);
	std::map<std::string, int> backends;
	for (std::uint16_t port = 1000; port < 1060; ++port) {
		const Packet fits =
			Eth{} / Ip4{.df = true} / Tcp{.sport = port} / Payload(1460 - 40);
		const Packet not_quite =
			Eth{} / Ip4{.df = true} / Tcp{.sport = port} / Payload(1461 - 40);
		advance_us(200'000);
		backends[expect(AX_R_STEERED, fits).backend]++;
		expect_too_big4(expect(AX_R_PTB_SENT, not_quite).frame, not_quite, 1460);
		expect(AX_R_STEERED, fits); // the express way
		expect_too_big4(expect(AX_R_PTB_SENT, not_quite).frame, not_quite, 1460);
	}
	EXPECT_EQ(backends.size(), 4U);
}

TEST_F(Answer, L2dsrBeyondTheLinksMtu)
{
	Config config = two_families();
	for (Vip &vip : config.vips)
		vip.forward = AX_FORWARD_L2DSR;
	apply(config, {}, 1400);
	expect(AX_R_STEERED, big4(1400));
	expect_too_big4(expect(AX_R_PTB_SENT, big4(1401)).frame, big4(1401), 1400);
	expect(AX_R_STEERED, big6(1400));
	expect_too_big6(expect(AX_R_PTB_SENT, big6(1401)).frame, big6(1401), 1400);
}

TEST_F(Answer, WhatMustNotBeAnsweredHasReasonsOfItsOwn)
{
	tunnel(1400);
	expect(AX_R_TOO_BIG_NO_DF, big4(1381, {.df = false}));
	expect(AX_R_TOO_BIG_NO_DF, Eth{} / Ip4{.mf = true} / Udp{} / Payload(1392 - 8));
	// RFC 1812 section 4.3.2.7: not about later fragments, nor about errors
	expect(AX_R_TOO_BIG,
	       Eth{} / Ip4{.df = true, .offset = 9, .protocol = kUdp} / Payload(1400));
	const Packet flow = Eth{} / Ip4{.src = "198.51.100.80", .dst = "203.0.113.5"} /
			    Tcp{.sport = 80, .dport = 3000} / Payload(1400);
	expect(AX_R_TOO_BIG, Eth{} / Ip4{.src = "203.0.113.200", .df = true} /
				     Icmp4{.type = 3, .code = 1} / flow.slice(14));
	EXPECT_EQ(counted(AX_R_PTB_SENT), 0U);
}

TEST_F(Answer, NobodyIsToldLessThanIp6sLeast)
{
	// 1280 - 40 = 1240, which IPv6 does not know: larger packets are told 1280 (RFC 8200
	// section 5), and those of 1280 have nobody to tell.
	tunnel(1280);
	expect(AX_R_STEERED, big6(1240));
	expect_too_big6(expect(AX_R_PTB_SENT, big6(1281)).frame, big6(1281), 1280);
	expect(AX_R_TOO_BIG, big6(1280));
	expect_too_big4(expect(AX_R_PTB_SENT, big4(1261)).frame, big4(1261), 1260);
}

TEST_F(Answer, AMartianSourceIsNotAnswered)
{
	Config config = two_families();
	config.rules = every_rule(AX_ACTION_OFF);
	apply(config, {}, 1400);
	for (const char *source : {"0.0.0.1", "127.0.0.1", "224.0.0.1", "255.255.255.255"})
		expect(AX_R_TOO_BIG, big4(1400, {.src = source, .df = true}));
	for (const char *source : {"ff02::1", "::1", "::"})
		expect(AX_R_TOO_BIG, Eth{} / Ip6{.src = source} / Tcp{} / Payload(1400));
}

TEST_F(Answer, WhatCameToAGroupOnTheLinkIsNotAnswered)
{
	tunnel(1400, 1000, true);
	for (const char *group : {"ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"}) {
		const Eth eth{.dst = group};
		expect(AX_R_TOO_BIG, eth / Ip4{.df = true} / Tcp{} / Payload(1400));
		expect(AX_R_TOO_BIG, eth / Ip6{} / Tcp{} / Payload(1400));
		expect(AX_R_VIP_ICMP, eth / Ip4{} / Icmp4{});
		expect(AX_R_VIP_ICMP, eth / Ip6{} / Icmp6{});
	}
	expect(AX_R_ECHO_ANSWERED, Eth{} / Ip4{} / Icmp4{});
}

TEST_F(Answer, AnswersAreLimited)
{
	tunnel(1400, 100, true); // 13 in 134 ms
	const Packet echo = Eth{} / Ip4{} / Icmp4{} / Payload(8);
	set_clock_us(100ULL << 27);
	for (int i = 0; i < 13; ++i)
		expect(AX_R_PTB_SENT, big4(1400));
	expect(AX_R_TOO_BIG_LIMITED, big4(1400));
	expect(AX_R_TOO_BIG_LIMITED, big6(1400));
	for (int i = 0; i < 13; ++i) // counted for themselves
		expect(AX_R_ECHO_ANSWERED, echo);
	expect(AX_R_ECHO_LIMITED, echo);
	advance_us(140'000);
	expect(AX_R_PTB_SENT, big6(1400));
	expect(AX_R_ECHO_ANSWERED, echo);

	tunnel(1400, 0, true);
	advance_us(140'000);
	expect(AX_R_TOO_BIG_LIMITED, big4(1400));
	expect(AX_R_ECHO_LIMITED, echo);
}

TEST_F(Answer, EchoRequestsToVips)
{
	tunnel(1500, 1000, true);
	for (const std::size_t bytes : {0U, 1U, 56U, 1400U}) {
		const Icmp4 request4{.type = 8, .id = 77, .seq = 3},
			reply4{.type = 0, .id = 77, .seq = 3};
		const Eth back{.dst = "02:00:00:00:00:01", .src = "02:00:00:00:00:02"};
		const Packet in4 = Eth{} / Ip4{.tos = 4, .ttl = 7} / request4 / Payload(bytes);
		EXPECT_EQ(expect(AX_R_ECHO_ANSWERED, in4).frame, Packet(back /
									Ip4{.src = "198.51.100.80",
									    .dst = "203.0.113.5",
									    .tos = 4,
									    .ttl = AX_OUTER_TTL} /
									reply4 / Payload(bytes)));
		const Packet in6 = Eth{} / Vlan{9} / Ip6{.flow_label = 5, .hop_limit = 7} /
				   Icmp6{.type = 128, .id = 77, .seq = 3} / Payload(bytes);
		EXPECT_EQ(expect(AX_R_ECHO_ANSWERED, in6).frame,
			  Packet(back / Vlan{9} /
				 Ip6{.src = "2001:db8::80",
				     .dst = "2001:db8::5",
				     .flow_label = 5,
				     .hop_limit = AX_OUTER_TTL} /
				 Icmp6{.type = 129, .id = 77, .seq = 3} / Payload(bytes)));
	}
}

// A prefix's too; of a VIP of any protocol they are for the backend.
TEST_F(Answer, EchoRequestsToPrefixesAndToAnyProtocol)
{
	Config config = two_families();
	config.icmp.echo = true;
	config.vips = {vip_at("net", "198.51.100.0", 80, kTcp, "web"),
		       vip_at("six", "2001:db8:5::", 80, kTcp, "web6"),
		       vip_at("all", "198.51.101.80", 0, 0, "web")};
	config.vips[0].prefix = 24;
	config.vips[1].prefix = 48;
	apply(config);
	for (const char *within : {"198.51.100.0", "198.51.100.77", "198.51.100.255"}) {
		const Packet reply = expect(AX_R_ECHO_ANSWERED,
					    Eth{} / Ip4{.dst = within} / Icmp4{} / Payload(8))
					     .frame;
		const Packet from = Eth{} / Ip4{.src = within, .dst = "203.0.113.5"};
		EXPECT_EQ(bytes_from(reply, 26, 8), bytes_from(from, 26, 8));
	}
	expect(AX_R_ECHO_ANSWERED, Eth{} / Ip6{.dst = "2001:db8:5:9::1"} / Icmp6{} / Payload(8));
	expect(AX_R_NOT_VIP, Eth{} / Ip4{.dst = "198.51.99.255"} / Icmp4{} / Payload(8));
	EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Ip4{.dst = "198.51.101.80"} / Icmp4{} / Payload(8))
			  .vip,
		  "all");
}

TEST_F(Answer, OtherIcmpStaysTheStacks)
{
	tunnel(1500, 1000, true);
	for (const std::uint8_t type : {0, 13, 14})
		expect(AX_R_VIP_ICMP, Eth{} / Ip4{} / Icmp4{.type = type} / Payload(40));
	expect(AX_R_VIP_ICMP, Eth{} / Ip6{} / Icmp6{.type = 129} / Payload(40));
	expect(AX_R_VIP_ICMP, Eth{} / Ip4{.options = Bytes(4, 1)} / Icmp4{} / Payload(8));
	expect(AX_R_VIP_ICMP, Eth{} / Ip6{} / Ip6Ext{} / Icmp6{} / Payload(8));
	expect(AX_R_VIP_ICMP, Eth{} / Ip4{.mf = true} / Icmp4{} / Payload(8));
	expect(AX_R_NOT_VIP, Eth{} / Ip4{.dst = "198.51.100.81"} / Icmp4{});
	expect(AX_R_IP4_CHECKSUM, Eth{} / Ip4{.checksum = 1} / Icmp4{} / Payload(8));
	expect(AX_R_IP4_TTL_ZERO, Eth{} / Ip4{.ttl = 0} / Icmp4{} / Payload(8));
}

} // namespace
} // namespace anycast::test
