// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// GUE: what an edge sends, field by field, and what a backend takes apart.
#include <set>

#include "core/maglev.h"
#include "support/gue.h"
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

constexpr std::size_t kEth = 14;
constexpr const char *kEdge4 = "10.0.0.1", *kHere4 = "10.1.0.11";
constexpr const char *kEdge6 = "2001:db8:e::1", *kHere6 = "2001:db8:1::11";

Config by_gue(const std::string &pool = {})
{
	Config config = two_families();
	for (Vip &vip : config.vips) {
		vip.forward = AX_FORWARD_GUE;
		if (!pool.empty())
			vip.pool = pool;
	}
	return config;
}

std::uint32_t tag_of(const Config &config, const std::string &address)
{
	const bool v4 = Address::parse(address)->is_v4();
	return backend_tag((v4 ? "web/" : "web6/") + address, *Address::parse(address),
			   config.hash_seed);
}

std::uint32_t long_at(const Packet &packet, std::size_t at)
{
	return static_cast<std::uint32_t>(word_at(packet, at) << 16 | word_at(packet, at + 2));
}

class GueEdge : public ProgramTest {
protected:
	// What leaves is UDP by the outer header, and behind it GUE and the packet that came.
	void expect_gue(const Packet &in, const Config &config)
	{
		const Outcome outcome = expect(AX_R_STEERED, in);
		const Packet &out = outcome.frame;
		const bool outer4 = word_at(out, 12) == 0x0800, inner4 = word_at(in, 12) == 0x0800;
		const std::size_t ip = outer4 ? 20 : 40, udp = kEth + ip;
		const bool variant0 = config.gue_variant == 0;
		const std::size_t gue = variant0 ? sizeof(ax_gue) : 0;
		const std::size_t inner = in.size() - kEth;
		ASSERT_EQ(out.size(), udp + 8 + gue + inner);
		if (outer4) {
			EXPECT_EQ(out[kEth], 0x45);
			EXPECT_EQ(word_at(out, kEth + 2), ip + 8 + gue + inner);
			EXPECT_EQ(word_at(out, kEth + 6), 0x4000);
			EXPECT_EQ(out[kEth + 8], AX_OUTER_TTL);
			EXPECT_EQ(out[kEth + 9], kUdp);
			EXPECT_EQ(internet_checksum(bytes_from(out, kEth, 20)), 0);
		} else {
			EXPECT_EQ(word_at(out, kEth + 4), 8 + gue + inner);
			EXPECT_EQ(out[kEth + 6], kUdp);
			EXPECT_EQ(out[kEth + 7], AX_OUTER_TTL);
		}
		EXPECT_GE(word_at(out, udp), 0xc000);
		EXPECT_EQ(word_at(out, udp + 2), config.gue_port);
		EXPECT_EQ(word_at(out, udp + 4), 8 + gue + inner);
		EXPECT_EQ(word_at(out, udp + 6), 0); // no checksum, RFC 768, 6935
		EXPECT_EQ(bytes_from(out, udp + 8 + gue), bytes_from(in, kEth));
		if (!variant0)
			return;
		EXPECT_EQ(out[udp + 8], 3);
		EXPECT_EQ(out[udp + 9], inner4 ? kIpIp : kIp6InIp);
		EXPECT_EQ(word_at(out, udp + 10), 0);
		EXPECT_EQ(out[udp + 12], AX_GUE_OPTION);
		EXPECT_EQ(out[udp + 13], 0); // hops
		ASSERT_TRUE(outcome.slot);
		const ax_pool &pool = image().pools[outer4 ? 0 : 1];
		const ax_slot &slot = image().slots[pool.first + *outcome.slot];
		ASSERT_EQ(slot.count, 2);
		EXPECT_EQ(out[udp + 14], config.second_chance ? 1 : 0);
		const std::string other = Address(image().backends[slot.backend[1]].addr).text();
		EXPECT_EQ(long_at(out, udp + 16), config.second_chance ? tag_of(config, other) : 0);
		EXPECT_EQ(long_at(out, udp + 20), 0U);
	}
	void expect_all_four(Config config)
	{
		for (const char *pool : {"web", "web6"}) {
			for (Vip &vip : config.vips)
				vip.pool = pool;
			apply(config);
			reset_flows();
			expect_gue(Eth{} / Ip4{.tos = 0xb9} / Tcp{} / Payload(100), config);
			expect_gue(Eth{} / Ip6{.traffic_class = 0x2e} / Udp{} / Payload(33),
				   config);
			expect_gue(Eth{} / Ip4{} / Udp{}, config);
			expect_gue(Eth{} / Ip6{} / Tcp{}, config);
		}
	}
};

TEST_F(GueEdge, Variant0InAllFourCombinations)
{
	expect_all_four(by_gue());
}

TEST_F(GueEdge, Variant1)
{
	Config config = by_gue();
	config.gue_variant = 1;
	expect_all_four(config);
}

TEST_F(GueEdge, AnotherPortAndNoSecondChance)
{
	Config config = by_gue();
	config.gue_port = 5555;
	config.second_chance = false;
	expect_all_four(config);
}

TEST_F(GueEdge, KnownFlowsNameTheirCandidatesToo)
{
	apply(by_gue());
	const Packet in = Eth{} / Ip4{} / Tcp{} / Payload(10);
	const Outcome first = expect(AX_R_STEERED, in), second = expect(AX_R_STEERED, in);
	EXPECT_EQ(only_flow().packets, 2U);
	EXPECT_EQ(bytes_from(second.frame, kEth + 28), bytes_from(first.frame, kEth + 28));
}

// An edge that took a connection over in its middle sent it to whom the slot was then. If that one
// is no candidate any more, it must not take the place of one that may have the connection.
TEST_F(GueEdge, AnEntryHidesNoCandidate)
{
	Config later = by_gue();
	later.second_chance = true;
	later.pools[0].backends.push_back(backend_at("10.1.0.14"));
	later.pools[0].generations = {{.number = 1, .retire = 1, .weights = {{"10.1.0.11", 1}}},
				      {.number = 2, .retire = 1, .weights = {{"10.1.0.12", 1}}}};
	Config before = later;
	for (std::size_t i = 0; i < 3; i++) // of four: the last stands in for all
		before.pools[0].backends[i].state = AX_BACKEND_DOWN;
	const auto segment = [](std::uint16_t port, std::uint8_t flags) -> Packet {
		return Eth{} / Ip4{} /
		       Tcp{.sport = port, .seq = flags & kSyn ? 1U : 2U, .flags = flags};
	};
	const auto stranger = [&] { // its slot is .13's, after .12 and .11
		apply(later);
		for (std::uint16_t port = 40000;; port++) {
			const Outcome outcome = send(segment(port, kSyn));
			const ax_slot &slot = image().slots[*outcome.slot];
			if (outcome.backend == "10.1.0.13" && slot.count == 3)
				return port;
		}
	};
	for (const bool with_syn : {false, true}) {
		reset_flows();
		const std::uint16_t port = stranger();
		reset_flows();
		apply(before);
		if (with_syn)
			send(segment(port, kSyn));
		EXPECT_EQ(send(segment(port, kAck)).backend, "10.1.0.14");
		EXPECT_EQ(send(segment(port, kAck)).backend, "10.1.0.14");
		apply(later);
		notes();
		const Outcome outcome = send(segment(port, kAck));
		if (with_syn) { // then it has the connection
			EXPECT_EQ(outcome.backend, "10.1.0.14");
			EXPECT_EQ(notes()[AX_R_FLOW_REVALIDATED], 1U);
			continue;
		}
		EXPECT_EQ(outcome.backend, "10.1.0.13");
		EXPECT_EQ(notes()[AX_R_FLOW_RESTEERED], 1U);
		EXPECT_EQ(outcome.frame[kEth + 20 + 14], 2);
		EXPECT_EQ(long_at(outcome.frame, kEth + 20 + 16), tag_of(later, "10.1.0.12"));
		EXPECT_EQ(long_at(outcome.frame, kEth + 20 + 20), tag_of(later, "10.1.0.11"));
	}
}

TEST_F(GueEdge, TheSourcePortIsTheFlows)
{
	apply(by_gue());
	std::set<std::uint16_t> ports;
	for (std::uint16_t sport = 1000; sport < 1064; ++sport) {
		const Packet in = Eth{} / Ip4{} / Tcp{.sport = sport};
		const std::uint16_t port = word_at(expect(AX_R_STEERED, in).frame, 34);
		EXPECT_EQ(word_at(expect(AX_R_STEERED, in).frame, 34), port);
		ports.insert(port);
	}
	EXPECT_GT(ports.size(), 55U); // of 64 flows over 16384 ports
}

TEST_F(GueEdge, ReservesAsMuchWithCandidatesAsWithout)
{
	for (const bool chance : {true, false}) {
		Config config = by_gue();
		config.second_chance = chance;
		for (const auto &[pool, overhead] : {std::pair("web", 44), std::pair("web6", 64)}) {
			for (Vip &vip : config.vips)
				vip.pool = pool;
			apply(config);
			reset_flows();
			const auto most = static_cast<std::size_t>(1500 - overhead - 40);
			expect(AX_R_STEERED, Eth{} / Ip4{.df = true} / Tcp{} / Payload(most));
			const Outcome more =
				send(Eth{} / Ip4{.df = true} / Tcp{} / Payload(most + 1));
			EXPECT_NE(more.reason, AX_R_STEERED) << more;
		}
	}
}

TEST_F(GueEdge, FragmentsAndIcmpErrorsGoByGueToo)
{
	apply(by_gue());
	const Outcome fragment =
		expect(AX_R_STEERED_FRAGMENT, Eth{} / Ip4{.mf = true} / Tcp{} / Payload(12));
	EXPECT_EQ(word_at(fragment.frame, kEth + 22), AX_GUE_PORT);
	const Outcome error =
		expect(AX_R_STEERED_ICMP,
		       Eth{} / Ip4{.src = "203.0.113.9"} / Icmp4{.type = 3, .code = 4} /
			       (Eth{} / Ip4{.src = "198.51.100.80", .dst = "203.0.113.5"} /
				Tcp{.sport = 80, .dport = 40000})
				       .slice(kEth));
	EXPECT_EQ(word_at(error.frame, kEth + 22), AX_GUE_PORT);
}

// ---- the backend -------------------------------------------------------------------------------

Config as_backend()
{
	Config config = by_gue();
	config.roles = AX_ROLE_BACKEND;
	config.edges = {*Address::parse(kEdge4), *Address::parse(kEdge6)};
	config.tunnel_addresses = {*Address::parse(kHere4), *Address::parse(kHere6)};
	return config;
}

Packet in_gue(const Packet &inner, Gue gue = {}, const std::string &source = kEdge4,
	      std::uint8_t tos = 0, std::uint16_t port = AX_GUE_PORT)
{
	if (gue.protocol == 4 && word_at(inner, 12) == 0x86dd)
		gue.protocol = 41;
	return Eth{} / Ip4{.src = source, .dst = kHere4, .tos = tos} /
	       Udp{.sport = 50000, .dport = port, .checksum = 0} / layer(gue) / inner.slice(kEth);
}

Packet in_gue6(const Packet &inner, std::uint8_t protocol)
{
	return Eth{} / Ip6{.src = kEdge6, .dst = kHere6} /
	       Udp{.sport = 50000, .dport = AX_GUE_PORT, .checksum = 0} /
	       layer({.protocol = protocol}) / inner.slice(kEth);
}

const Packet &web4()
{
	static const Packet packet = Eth{} / Ip4{.ttl = 7} / Tcp{} / Payload(100);
	return packet;
}

const Packet &web6()
{
	static const Packet packet = Eth{} / Ip6{.hop_limit = 7} / Tcp{} / Payload(100);
	return packet;
}

class GueBackend : public BackendTest {
protected:
	void SetUp() override
	{
		ProgramTest::SetUp();
		apply(as_backend());
	}
};

TEST_F(GueBackend, TakesBothVariantsOfAllFamiliesApart)
{
	EXPECT_EQ(expect(AX_R_DECAPSULATED, in_gue(web4())).frame, web4());
	EXPECT_EQ(expect(AX_R_DECAPSULATED, in_gue(web6())).frame, web6());
	EXPECT_EQ(expect(AX_R_DECAPSULATED, in_gue6(web4(), 4)).frame, web4());
	EXPECT_EQ(expect(AX_R_DECAPSULATED, in_gue6(web6(), 41)).frame, web6());
	for (const Packet &inner : {web4(), web6()}) {
		const Packet direct = Eth{} / Ip4{.src = kEdge4, .dst = kHere4} /
				      Udp{.dport = AX_GUE_PORT, .checksum = 0} / inner.slice(kEth);
		EXPECT_EQ(expect(AX_R_DECAPSULATED, direct).frame, inner);
	}
}

TEST_F(GueBackend, WhatAnEdgeSentComesOutAsItWas)
{
	Config config = by_gue();
	Program edge = load(AX_ROLE_EDGE);
	ASSERT_TRUE(edge.dataplane().apply(resolved(config, {}, {}, 1500)));
	const Packet in = Eth{} / Ip4{} / Udp{} / Payload(100);
	const auto sent = edge.run(in);
	ASSERT_TRUE(sent);
	config = as_backend();
	config.edges = {*config.source_v4};
	config.tunnel_addresses.clear();
	for (const Backend &backend : config.pools[0].backends)
		config.tunnel_addresses.push_back(backend.address);
	apply(config);
	const Outcome got = send(sent->frame);
	EXPECT_EQ(got.reason, AX_R_DECAPSULATED) << got;
	EXPECT_EQ(bytes_from(got.frame, kEth), bytes_from(in, kEth));
}

TEST_F(GueBackend, OthersPrivateDataIsSkipped)
{
	const Packet bare = Eth{} / Ip4{.src = kEdge4, .dst = kHere4} /
			    Udp{.dport = AX_GUE_PORT, .checksum = 0} / Raw{{0, 4, 0, 0}} /
			    web4().slice(kEth);
	EXPECT_EQ(expect(AX_R_DECAPSULATED, bare).frame, web4());
	Gue foreign{.option = 1, .hops = 9, .count = 99};
	EXPECT_EQ(expect(AX_R_DECAPSULATED, in_gue(web4(), foreign)).frame, web4());
}

TEST_F(GueBackend, WhatItCannotUnderstandIsDropped)
{
	for (const Gue &bad :
	     {Gue{.first = 3 | AX_GUE_CONTROL}, Gue{.first = 0x80 | 3}, Gue{.first = 0xc0 | 3},
	      Gue{.flags = 1}, Gue{.flags = 0x8000}, Gue{.protocol = 6}, Gue{.protocol = 59},
	      Gue{.count = 3}, Gue{.hops = 2, .count = 1}, Gue{.first = 31, .option = 0}}) {
		const Packet short_inner = Eth{} / Ip4{} / Tcp{};
		expect(AX_R_TUNNEL_MALFORMED, in_gue(short_inner, bad));
	}
	for (std::size_t bytes = 0; bytes < 20; ++bytes)
		expect(AX_R_TUNNEL_MALFORMED, in_gue(web4().truncate(kEth + bytes)));
}

TEST_F(GueBackend, OnlyFromEdgesAndFellowBackends)
{
	EXPECT_EQ(expect(AX_R_DECAPSULATED, in_gue(web4(), {}, "10.1.0.12")).frame, web4());
	expect(AX_R_TUNNEL_UNTRUSTED, in_gue(web4(), {}, "10.0.0.2"));
	Config alone = as_backend();
	alone.second_chance = false;
	apply(alone); // then backends send each other nothing
	expect(AX_R_TUNNEL_UNTRUSTED, in_gue(web4(), {}, "10.1.0.12"));
	alone.edges.clear();
	apply(alone);
	expect(AX_R_TUNNEL_UNTRUSTED, in_gue(web4()));
}

TEST_F(GueBackend, TheInnerPacketIsGuarded)
{
	expect(AX_R_TCP_SYN_FIN, in_gue(Eth{} / Ip4{} / Tcp{.flags = kSyn | kFin}));
	expect(AX_R_ECN_ILLEGAL, in_gue(web4(), {}, kEdge4, 3));
	expect(AX_R_DECAPSULATED, in_gue(Eth{} / Ip4{.tos = 2} / Tcp{}, {}, kEdge4, 3));
	expect(AX_R_IP6_VERSION, in_gue(web4(), {.protocol = 41}));
	// a tunnel in a tunnel
	expect(AX_R_TUNNEL_MALFORMED, in_gue(in_gue(web4())));
	expect(AX_R_TUNNEL_MALFORMED, in_gue(Eth{} / Ip4{.protocol = kIpIp} / web4().slice(kEth)));
	// the same port at a VIP is a service's
	expect(AX_R_DECAPSULATED, in_gue(Eth{} / Ip4{} / Udp{.dport = AX_GUE_PORT} / Payload(40)));
}

TEST_F(GueBackend, GtsmCannotBeTunnelledPast)
{
	Config config = as_backend();
	config.gtsm_local = {*Address::parse("192.0.2.1")};
	config.gtsm_peers = {{*Address::parse("192.0.2.254"), 1}};
	apply(config);
	const Packet low = Eth{} / Ip4{.src = "192.0.2.254", .dst = "192.0.2.1", .ttl = 64} /
			   Tcp{.dport = 179};
	expect(AX_R_GTSM_TTL, low);
	expect(AX_R_GTSM_TTL, in_gue(low));
	expect(AX_R_TUNNEL_UNTRUSTED, in_gue(low, {}, "203.0.113.66"));
}

TEST_F(GueEdge, LetsNoStrangersTunnelToItsBackends)
{
	Config config = by_gue();
	config.edges = {*Address::parse(kEdge4)};
	apply(config);
	expect(AX_R_TUNNEL_UNTRUSTED, in_gue(web4(), {}, "203.0.113.66"));
	expect(AX_R_TUNNEL_UNTRUSTED,
	       Eth{} / Ip4{.src = "203.0.113.66", .dst = kHere4, .protocol = kIpIp} /
		       web4().slice(kEth));
	expect(AX_R_TUNNEL_UNTRUSTED,
	       Eth{} / Ip6{.src = "2001:db8::66", .dst = kHere6, .next_header = kIp6InIp} /
		       web6().slice(kEth));
	expect(AX_R_NOT_VIP, in_gue(web4())); // another edge's, on its way
	Packet elsewhere = Eth{} / Ip4{.dst = "10.9.9.9"} / Udp{.dport = AX_GUE_PORT} / Payload(60);
	expect(AX_R_NOT_VIP, elsewhere); // whose, we do not know
}

} // namespace
} // namespace anycast::test
