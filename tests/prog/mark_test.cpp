// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Alternate marking in the program: what an edge writes and counts, and what a backend counts. What
// both come to together: mark_pair_test.cpp.
#include "support/gue.h"
#include "support/marking.h"
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

constexpr std::size_t kEth = 14, kGue4 = kEth + 20 + 8, kGue6 = kEth + 40 + 8, kMarkAt = 7;
constexpr const char *kEdge4 = "10.0.0.1", *kHere4 = "10.1.0.11";
constexpr const char *kEdge6 = "2001:db8:e::1", *kHere6 = "2001:db8:1::11";

class MarkEdge : public ProgramTest {
protected:
	MarkReport report() { return report_of(dataplane(), clock_us()); }
	std::uint8_t mark_of(const Packet &in, std::size_t at)
	{
		return expect(AX_R_STEERED, in).frame[at + kMarkAt];
	}
	[[nodiscard]] std::uint8_t period() const
	{
		return static_cast<std::uint8_t>(clock_us() / kPeriodUs % 32);
	}
	// Nothing fits any more beside the flow that is there.
	void fill_table()
	{
		Map &map = dataplane().map("ax_mark");
		ax_mark_key key{};
		const ::ax_mark nothing{};
		for (key.port = 1; map.update(&key, &nothing); key.port++) {
		}
	}
};

TEST_F(MarkEdge, OffUnlessConfigured)
{
	Config config = marked();
	config.marking = false;
	apply(config);
	EXPECT_EQ(mark_of(Eth{} / Ip4{} / Tcp{}, kGue4), 0);
	EXPECT_EQ(report().period_ms, 0);
	EXPECT_FALSE(report().sent.since);
	EXPECT_TRUE(report().sent.sums.empty());
}

TEST_F(MarkEdge, SaysPeriodAndThatItCounts)
{
	apply(marked());
	const Packet in = Eth{} / Ip4{} / Tcp{} / Payload(10);
	const std::uint8_t first = period();
	EXPECT_EQ(mark_of(in, kGue4), kBoth | AX_MARK_PORT | first);
	EXPECT_EQ(mark_of(in, kGue4), kBoth | AX_MARK_PORT | first);
	advance_us(kPeriodUs);
	EXPECT_EQ(mark_of(in, kGue4), kBoth | AX_MARK_PORT | ((first + 1) & 31));

	const MarkReport now = report();
	EXPECT_DOUBLE_EQ(now.period_ms, 1024);
	ASSERT_EQ(now.sent.flows.size(), 1U);
	ASSERT_EQ(now.sent.sums.size(), 1U);
	EXPECT_TRUE(now.received.sums.empty());
	const MarkRecord &flow = now.sent.flows[0];
	EXPECT_EQ(flow.key.edge.text(), "192.0.2.1");
	EXPECT_EQ(flow.key.vip.text(), "198.51.100.80");
	EXPECT_EQ(flow.key.port, 80);
	EXPECT_EQ(flow.key.protocol, kTcp);
	ASSERT_TRUE(flow.key.client);
	EXPECT_EQ(flow.first, first);
	ASSERT_EQ(flow.periods.size(), 2U);
	EXPECT_EQ(now.sent.sums[0].key.port, 80);
	EXPECT_EQ(flow.periods[0].packets, 2U);
	EXPECT_EQ(flow.periods[1].packets, 1U);
	EXPECT_EQ(now.sent.sums[0].packets(), 3U);
	EXPECT_FALSE(now.sent.sums[0].key.client);
}

TEST_F(MarkEdge, Ip6AndUdp)
{
	apply(marked());
	EXPECT_EQ(mark_of(Eth{} / Ip6{} / Tcp{}, kGue6), kBoth | AX_MARK_PORT | period());
	EXPECT_EQ(mark_of(Eth{} / Ip6{} / Udp{} / Payload(9), kGue6),
		  kBoth | AX_MARK_PORT | period());
	EXPECT_EQ(mark_of(Eth{} / Ip4{} / Udp{}, kGue4), kBoth | AX_MARK_PORT | period());
	EXPECT_EQ(report().sent.flows.size(), 3U);
	EXPECT_EQ(report().sent.sums.size(), 3U);
}

TEST_F(MarkEdge, EarlierPeriodsAreSettled)
{
	apply(marked());
	const Packet in = Eth{} / Ip4{} / Tcp{};
	for (int i = 0; i < 20; i++) {
		mark_of(in, kGue4);
		advance_us(kPeriodUs);
	}
	const MarkReport now = report();
	ASSERT_EQ(now.sent.flows.size(), 1U);
	EXPECT_EQ(now.sent.flows[0].periods.size(), std::size_t{AX_MARK_SLOTS});
	EXPECT_EQ(now.sent.flows[0].settled, 12U);
	EXPECT_EQ(now.sent.flows[0].packets(), 20U);
}

TEST_F(MarkEdge, TheSameNumberLaterIsAnotherPeriod)
{
	apply(marked());
	const Packet in = Eth{} / Ip4{} / Tcp{};
	mark_of(in, kGue4);
	advance_us(32 * kPeriodUs);
	mark_of(in, kGue4);
	const MarkReport now = report();
	ASSERT_EQ(now.sent.flows.size(), 1U);
	ASSERT_EQ(now.sent.flows[0].periods.size(), 1U);
	EXPECT_EQ(now.sent.flows[0].periods[0].packets, 1U);
	EXPECT_EQ(now.sent.flows[0].settled, 1U);
}

TEST_F(MarkEdge, ASynMakesNoRecord)
{
	apply(marked());
	EXPECT_EQ(mark_of(Eth{} / Ip4{} / Tcp{.flags = kSyn}, kGue4),
		  AX_MARK_SUM | AX_MARK_PORT | period());
	EXPECT_TRUE(report().sent.flows.empty());
	EXPECT_EQ(counted_in(report().sent.sums), 1U);
	EXPECT_EQ(report().sent.no_room, 0U);
}

TEST_F(MarkEdge, AFullTableCountsByServiceAlone)
{
	apply(marked());
	EXPECT_EQ(mark_of(Eth{} / Ip4{} / Tcp{.sport = 1000}, kGue4),
		  kBoth | AX_MARK_PORT | period());
	fill_table();
	EXPECT_EQ(mark_of(Eth{} / Ip4{} / Tcp{.sport = 1001}, kGue4),
		  AX_MARK_SUM | AX_MARK_PORT | period());
	EXPECT_EQ(mark_of(Eth{} / Ip4{} / Tcp{.sport = 1000}, kGue4),
		  kBoth | AX_MARK_PORT | period());
	EXPECT_EQ(counted_in(report().sent.sums), 3U);
	EXPECT_EQ(report().sent.no_room, 1U);
}

TEST_F(MarkEdge, IdleFlowsMakeRoom)
{
	apply(marked());
	mark_of(Eth{} / Ip4{} / Tcp{.sport = 1000}, kGue4);
	advance_us(50'000'000);
	mark_of(Eth{} / Ip4{} / Tcp{.sport = 1001}, kGue4);
	advance_us(20'000'000);
	const MarkClock clock{clock_us() / 4000, 250, 0};
	EXPECT_EQ(*age_marks(dataplane(), clock), 1U);
	const MarkReport now = report();
	ASSERT_EQ(now.sent.flows.size(), 1U);
	EXPECT_EQ(now.sent.flows[0].key.client_port, 1001);
	EXPECT_EQ(counted_in(now.sent.sums), 2U) << "services stay";
}

TEST_F(MarkEdge, FragmentsOptionsAndErrorsAreNotMarked)
{
	apply(marked());
	const Packet fragment = Eth{} / Ip4{.mf = true} / Udp{.length = 108} / Payload(40);
	EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, fragment).frame[kGue4 + kMarkAt], 0);
	const Packet options = Eth{} / Ip4{.options = {1, 1, 1, 1}} / Tcp{} / Payload(4);
	EXPECT_EQ(mark_of(options, kGue4), 0);
	EXPECT_TRUE(report().sent.sums.empty());
}

TEST_F(MarkEdge, WhatCannotBeSentIsNotCounted)
{
	Config config = marked();
	apply(config, {}, 600);
	expect(AX_R_TOO_BIG_NO_DF, Eth{} / Ip4{} / Tcp{} / Payload(1000));
	EXPECT_EQ(counted_in(report().sent.sums), 0U);
	EXPECT_EQ(counted_in(report().sent.flows), 0U);
}

TEST_F(MarkEdge, IpipByTheIdentificationOfAnAtomicDatagram)
{
	apply(marked(AX_FORWARD_IPIP));
	const Packet out = expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{} / Payload(9)).frame;
	EXPECT_EQ(word_at(out, kEth + 4), AX_MARK_ID << 8 | kBoth | AX_MARK_PORT | period());
	EXPECT_EQ(word_at(out, kEth + 6), 0x4000);
	EXPECT_EQ(internet_checksum(bytes_from(out, kEth, 20)), 0);
	EXPECT_EQ(report().sent.flows.size(), 1U);
}

TEST_F(MarkEdge, IpipInIp6HasNoRoom)
{
	apply(marked(AX_FORWARD_IPIP));
	expect(AX_R_STEERED, Eth{} / Ip6{} / Tcp{} / Payload(9));
	EXPECT_TRUE(report().sent.sums.empty());
}

TEST_F(MarkEdge, IpipIsAsBeforeWhereNothingIsMarked)
{
	Config config = marked(AX_FORWARD_IPIP);
	config.marking = false;
	apply(config);
	EXPECT_EQ(word_at(expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{}).frame, kEth + 4), 0);
}

TEST_F(MarkEdge, AServiceOfAnyPortIsItsAddress)
{
	Config config = marked();
	config.vips[0].port = 0;
	apply(config);
	EXPECT_EQ(mark_of(Eth{} / Ip4{} / Tcp{.dport = 8080}, kGue4), kBoth | period());
	ASSERT_EQ(report().sent.sums.size(), 1U);
	EXPECT_EQ(report().sent.sums[0].key.port, 0);
	EXPECT_EQ(report().sent.sums[0].key.protocol, 0);
	EXPECT_EQ(report().sent.flows.at(0).key.port, 8080);
}

class MarkBackend : public BackendTest {
protected:
	void configure(bool marking = true)
	{
		Config config = marked();
		config.marking = marking;
		config.roles = AX_ROLE_BACKEND;
		config.edges = {*Address::parse(kEdge4), *Address::parse(kEdge6)};
		config.tunnel_addresses = {*Address::parse(kHere4), *Address::parse(kHere6)};
		apply(config);
	}
	MarkReport report() { return report_of(dataplane(), clock_us()); }
	static Packet packet(std::uint8_t mark, const Packet &inner)
	{
		return Eth{} / Ip4{.src = kEdge4, .dst = kHere4} /
		       Udp{.sport = 50000, .dport = AX_GUE_PORT} / layer(Gue{.mark = mark}) /
		       Raw{bytes_from(inner, kEth)};
	}
};

TEST_F(MarkBackend, CountsWhatThePacketSays)
{
	configure();
	const Packet inner = Eth{} / Ip4{} / Tcp{.sport = 1000} / Payload(7);
	expect(AX_R_DECAPSULATED, packet(kBoth | 5, inner));
	expect(AX_R_DECAPSULATED, packet(kBoth | 5, inner));
	expect(AX_R_DECAPSULATED, packet(AX_MARK_SUM | 6, inner));
	expect(AX_R_DECAPSULATED, packet(5, inner)); // a period alone counts nothing
	expect(AX_R_DECAPSULATED, packet(0, inner));
	const MarkReport now = report();
	ASSERT_EQ(now.received.flows.size(), 1U);
	ASSERT_EQ(now.received.sums.size(), 1U);
	EXPECT_TRUE(now.sent.sums.empty());
	EXPECT_EQ(now.received.flows[0].key.edge.text(), kEdge4);
	EXPECT_EQ(now.received.flows[0].key.backend.text(), kHere4);
	EXPECT_EQ(now.received.flows[0].key.client_port, 1000);
	EXPECT_EQ(now.received.flows[0].packets(), 2U);
	EXPECT_EQ(now.received.flows[0].first, 5);
	EXPECT_EQ(now.received.sums[0].packets(), 3U);
	EXPECT_EQ(now.received.sums[0].key.port, 0); // all of the address
	EXPECT_EQ(now.received.sums[0].periods.size(), 2U);
}

TEST_F(MarkBackend, LatePacketsCountForTheirPeriod)
{
	configure();
	const Packet inner = Eth{} / Ip4{} / Tcp{.sport = 1000};
	expect(AX_R_DECAPSULATED, packet(kBoth | 31, inner));
	expect(AX_R_DECAPSULATED, packet(kBoth | 0, inner));
	expect(AX_R_DECAPSULATED, packet(kBoth | 31, inner));
	expect(AX_R_DECAPSULATED, packet(kBoth | 7, inner));  // 31's slot: 31 is settled
	expect(AX_R_DECAPSULATED, packet(kBoth | 31, inner)); // 7 stays
	const MarkReport now = report();
	ASSERT_EQ(now.received.flows.size(), 1U);
	EXPECT_EQ(now.received.flows[0].settled, 3U);
	EXPECT_EQ(now.received.flows[0].packets(), 5U);
	EXPECT_EQ(now.received.flows[0].periods.size(), 2U);
}

TEST_F(MarkBackend, CountsBeforeTheInnerGuard)
{
	configure();
	const Packet bad = Eth{} / Ip4{} / Tcp{.flags = kSyn | kFin};
	expect(AX_R_TCP_SYN_FIN, packet(kBoth | 5, bad));
	EXPECT_EQ(counted_in(report().received.sums), 1U);
}

TEST_F(MarkBackend, NotWhatNoEdgeSent)
{
	configure();
	const Packet inner = Eth{} / Ip4{} / Tcp{};
	const Packet stranger = Eth{} / Ip4{.src = "10.0.0.99", .dst = kHere4} /
				Udp{.sport = 50000, .dport = AX_GUE_PORT} /
				layer(Gue{.mark = kBoth}) / Raw{bytes_from(inner, kEth)};
	expect(AX_R_TUNNEL_UNTRUSTED, stranger);
	EXPECT_TRUE(report().received.sums.empty());
}

TEST_F(MarkBackend, OffUnlessConfigured)
{
	configure(false);
	expect(AX_R_DECAPSULATED, packet(kBoth | 5, Eth{} / Ip4{} / Tcp{}));
	EXPECT_TRUE(report().received.sums.empty());
	EXPECT_FALSE(report().received.since);
}

TEST_F(MarkBackend, AFullTableIsNoted)
{
	configure();
	Map &map = dataplane().map("ax_mark");
	ax_mark_key key{};
	const ::ax_mark nothing{};
	for (key.port = 1; map.update(&key, &nothing); key.port++) {
	}
	expect(AX_R_DECAPSULATED, packet(kBoth | 5, Eth{} / Ip4{} / Tcp{}));
	EXPECT_EQ(counted_in(report().received.sums), 1U);
	EXPECT_EQ(report().received.no_room, 1U);
	EXPECT_TRUE(report().received.last_no_room);
}

TEST_F(MarkBackend, IpipNeedsTheAtomicDatagram)
{
	configure();
	const Packet inner = Eth{} / Ip4{} / Tcp{.sport = 1000};
	const auto ipip = [&](std::uint16_t id, bool df) {
		return Eth{} /
		       Ip4{.src = kEdge4, .dst = kHere4, .id = id, .df = df, .protocol = kIpIp} /
		       Raw{bytes_from(inner, kEth)};
	};
	expect(AX_R_DECAPSULATED, ipip(AX_MARK_ID << 8 | kBoth | 9, true));
	expect(AX_R_DECAPSULATED, ipip(AX_MARK_ID << 8 | kBoth | 9, false)); // somebody else's
	expect(AX_R_DECAPSULATED, ipip(kBoth | 9, true));
	expect(AX_R_DECAPSULATED, ipip(0, true));
	EXPECT_EQ(counted_in(report().received.flows), 1U);
	EXPECT_EQ(counted_in(report().received.sums), 1U);
}

TEST_F(MarkBackend, WhatIsPassedOnIsNotMarkedAgain)
{
	Config config = marked();
	config.roles = AX_ROLE_BACKEND;
	config.edges = {*Address::parse(kEdge4)};
	config.tunnel_addresses = {*Address::parse(kHere4)};
	apply(config, {.interface_addresses = {}, .node_addresses = {*Address::parse(kHere4)}});
	const std::uint32_t tag = image().tags.at(1);
	const Packet in = Eth{} / Ip4{.src = kEdge4, .dst = kHere4} /
			  Udp{.sport = 50000, .dport = AX_GUE_PORT} /
			  layer(Gue{.count = 1, .other = {tag, 0}, .mark = kBoth | 5}) /
			  Raw{bytes_from(Eth{} / Ip4{} / Tcp{.sport = 1000}, kEth)};
	const Packet out = expect(AX_R_SECOND_CHANCE, in).frame;
	EXPECT_EQ(out[kGue4 + kMarkAt], 0);
	EXPECT_EQ(counted_in(report().received.flows), 1U);
	EXPECT_EQ(counted_in(report().received.sums), 1U);
	EXPECT_TRUE(report().sent.sums.empty());
}

} // namespace
} // namespace anycast::test
