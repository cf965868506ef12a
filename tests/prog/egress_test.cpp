// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What leaves, as the tc program counts it: by hand-made segments, without a device.
#include <algorithm>
#include <cstring>

#include <bpf/bpf.h>
#include <linux/pkt_cls.h>

#include "core/loss_totals.h"
#include "kernel/egress.h"
#include "kernel/flow_reader.h"
#include "support/program_fixture.h"

namespace anycast::test {

namespace {

constexpr std::uint32_t kIsn = 7000, kMss = 1000;
const char *const kClient = "203.0.113.10", *const kClient6 = "2001:db8:203::10";

class Egress : public ProgramTest {
protected:
	void SetUp() override
	{
		ProgramTest::SetUp();
		Config config = two_families();
		for (Vip &vip : config.vips)
			if (vip.port == 53)
				vip.measure = AX_MEASURE_DNS;
		config.pools.push_back(
			{.name = "own", .table_size = 251, .backends = {backend_at("10.1.0.99")}});
		apply(config,
		      {.interface_addresses = {}, .node_addresses = {*Address::parse("10.1.0.99")}},
		      9000);
	}

	// False: the kernel takes no trains of segments in test runs.
	bool leave(const Packet &packet, std::uint32_t segments = 1)
	{
		__sk_buff context{};
		context.gso_segs = segments;
		context.gso_size = kMss;
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet.data(),
			    .data_size_in = static_cast<std::uint32_t>(packet.size()), .repeat = 1);
		if (segments > 1) {
			run.ctx_in = &context;
			run.ctx_size_in = sizeof(context);
		}
		if (bpf_prog_test_run_opts(egress_.program(), &run) != 0)
			return false;
		EXPECT_EQ(static_cast<int>(run.retval), TC_ACT_UNSPEC);
		return true;
	}
	bool data(std::uint32_t number, std::uint32_t count = 1, std::uint8_t flags = kAck)
	{
		return leave(Eth{} / Ip4{.src = "198.51.100.80", .dst = kClient} /
				     Tcp{.sport = 80,
					 .dport = 40000,
					 .seq = kIsn + 1 + number * kMss,
					 .ack = 500,
					 .flags = flags} /
				     Payload(count * kMss),
			     count);
	}
	void ack(const Bytes &options, std::uint32_t number = 50000)
	{
		leave(Eth{} / Ip4{.src = "198.51.100.80", .dst = kClient} /
		      Tcp{.sport = 80,
			  .dport = 40000,
			  .seq = kIsn + 1,
			  .ack = number,
			  .options = options});
	}
	void syn_ack(std::uint32_t isn = kIsn)
	{
		leave(Eth{} / Ip4{.src = "198.51.100.80", .dst = kClient} /
		      Tcp{.sport = 80,
			  .dport = 40000,
			  .seq = isn,
			  .ack = 1,
			  .flags = kSyn | kAck,
			  .options = mss(kMss + 12)});
	}
	void answer(std::uint16_t id, std::uint16_t port = 40000, std::uint8_t flags = 0x80)
	{
		leave(Eth{} / Ip4{.src = "198.51.100.80", .dst = kClient} /
		      Udp{.sport = 53, .dport = port} / dns(id, flags));
	}
	static Raw dns(std::uint16_t id, std::uint8_t flags)
	{
		return {{static_cast<std::uint8_t>(id >> 8), static_cast<std::uint8_t>(id), flags,
			 0, 0, 1, 0, 0, 0, 0, 0, 0}};
	}
	std::vector<EgressEntry> entries()
	{
		std::vector<EgressEntry> list;
		const auto add = [&](const std::byte *key, const std::byte *value) {
			EgressEntry &entry = list.emplace_back();
			std::memcpy(&entry.first, key, sizeof(entry.first));
			std::memcpy(&entry.second, value, sizeof(entry.second));
		};
		EXPECT_TRUE(Map::from_fd(egress_.flows())->for_each(add));
		return list;
	}
	ax_egress_flow only()
	{
		const auto all = entries();
		EXPECT_EQ(all.size(), 1U);
		return all.empty() ? ax_egress_flow{} : all.front().second;
	}

	// This node is the only backend, or two of them.
	void apply_own(std::size_t backends = 1)
	{
		Config config = two_families();
		config.pools[0].backends.resize(backends);
		for (Vip &vip : config.vips)
			if (vip.port == 53)
				vip.measure = AX_MEASURE_DNS;
		NodeFacts facts;
		for (const Backend &backend : config.pools[0].backends)
			facts.node_addresses.push_back(backend.address);
		apply(config, facts, 9000);
	}
	void from_client(std::uint32_t seq, std::uint32_t bytes, std::uint8_t flags = kAck,
			 const Bytes &options = {})
	{
		send(Eth{} / Ip4{.src = kClient} /
		     Tcp{.sport = 40000,
			 .seq = seq,
			 .ack = kIsn + 1,
			 .flags = flags,
			 .options = options} /
		     Payload(bytes));
	}
	LossTotals of_vip(const std::string &name)
	{
		const auto &vips = image().ids.vips;
		const auto id = static_cast<std::size_t>(
			std::ranges::find(vips, name, &Named::name) - vips.begin());
		return {(*dataplane().vip_loss())[id], (*dataplane().vip_counters())[id].segments,
			true};
	}
	LossTotals of_backends()
	{
		LossTotals all;
		const auto sums = *dataplane().backend_loss();
		for (const ax_loss_sum &sum : sums)
			all.add({sum, 0, true});
		return all;
	}
	LossTotals of_prefix()
	{
		const auto rows = *read_prefixes(dataplane());
		EXPECT_EQ(rows.size(), 1U);
		EXPECT_EQ(rows.empty() ? "" : rows[0].prefix->text(), "203.0.113.0/24");
		return rows.empty() ? LossTotals() : rows[0].totals;
	}

	egress::Loaded egress_ = std::move(*egress::Loaded::load(dataplane(), ""));
};

TEST_F(Egress, SegmentsInOrderAreCountedOnce)
{
	syn_ack();
	syn_ack(); // once more: not lost data
	for (std::uint32_t i = 0; i < 10; i++)
		data(i);
	data(10, 1, kFin | kAck);
	const ax_egress_flow flow = only();
	EXPECT_EQ(flow.segments, 12U); // SYN-ACK, ten, one with FIN
	EXPECT_EQ(flow.rtx, 0U);
	EXPECT_EQ(flow.whole, 1);
	EXPECT_EQ(flow.mss, kMss + 12);
}

TEST_F(Egress, WhatIsSentAgain)
{
	syn_ack();
	for (std::uint32_t i = 0; i < 5; i++)
		data(i);
	data(1);
	data(2);
	const ax_egress_flow flow = only();
	EXPECT_EQ(flow.segments, 6U);
	EXPECT_EQ(flow.rtx, 2U);
}

TEST_F(Egress, AFinAloneThatIsSentAgainIsNoKeepAlive)
{
	const auto alone = [&](std::uint32_t seq, std::uint8_t flags, std::size_t bytes) {
		leave(Eth{} / Ip4{.src = "198.51.100.80", .dst = kClient} /
		      Tcp{.sport = 80, .dport = 40000, .seq = seq, .ack = 500, .flags = flags} /
		      Payload(bytes));
	};
	syn_ack();
	data(0);
	alone(kIsn + kMss, kAck, 0); // keep-alives: RFC 9293 section 3.8.4
	alone(kIsn + kMss, kAck, 1);
	EXPECT_EQ(only().rtx, 0U);
	alone(kIsn + 1 + kMss, kFin | kAck, 0);
	EXPECT_EQ(only().segments, 3U);
	alone(kIsn + 1 + kMss, kFin | kAck, 0);
	EXPECT_EQ(only().rtx, 1U);
}

TEST_F(Egress, TrainsOfSegmentsCountAsTheSegmentsTheyBecome)
{
	syn_ack();
	if (!data(0, 3))
		GTEST_SKIP() << "this kernel takes no gso_segs in test runs";
	data(3, 2);
	data(1, 2);
	const ax_egress_flow flow = only();
	EXPECT_EQ(flow.segments, 6U);
	EXPECT_EQ(flow.rtx, 2U);
}

TEST_F(Egress, DuplicateReportsBelowTheAcknowledgement)
{
	syn_ack();
	ack(join({nop(), nop(), timestamps(1, 1), nop(), nop(), sack({{10000, 10000 + kMss}})}));
	EXPECT_EQ(only().duplicates, 1U);
	ack(join({nop(), nop(), sack({{20000, 20000 + 2 * kMss}})}));
	EXPECT_EQ(only().duplicates, 3U);
	ack(join({nop(), nop(), sack({{30000, 30001}})})); // a keep-alive was answered
	EXPECT_EQ(only().duplicates, 3U);
}

TEST_F(Egress, DuplicateReportsWithinTheSecondBlock)
{
	syn_ack();
	ack(join({nop(), nop(), sack({{60000, 60000 + kMss}, {60000, 60000 + 3 * kMss}})}));
	EXPECT_EQ(only().duplicates, 1U);
	ack(join({nop(), nop(), sack({{60000, 60000 + kMss}})})); // a hole, no duplicate
	ack(join({nop(), nop(), sack({{60000, 60000 + kMss}, {70000, 70000 + kMss}})}));
	EXPECT_EQ(only().duplicates, 1U);
}

TEST_F(Egress, AnotherConnectionOfTheSamePortsStartsAnew)
{
	syn_ack();
	data(0);
	data(0);
	syn_ack(900000);
	const ax_egress_flow flow = only();
	EXPECT_EQ(flow.rtx, 0U);
	EXPECT_EQ(flow.segments, 1U);
	EXPECT_EQ(flow.nxt, 900001U);
}

TEST_F(Egress, JoinedInTheMiddleItIsNotWhole)
{
	data(5);
	data(5);
	const ax_egress_flow flow = only();
	EXPECT_EQ(flow.whole, 0);
	EXPECT_EQ(flow.segments, 1U);
	EXPECT_EQ(flow.rtx, 1U);
}

// Each program adds its half, for all three dimensions.
TEST_F(Egress, SumsOfBothDirectionsOutliveTheFlow)
{
	apply_own();
	from_client(400, 0, kSyn, mss(kMss));
	syn_ack();
	from_client(401, 0);
	from_client(401, 100);
	from_client(401, 100); // sent again
	for (std::uint32_t i = 0; i < 4; i++)
		data(i);
	data(1);					    // sent again, too
	ack(join({nop(), nop(), sack({{401, 501}})}), 501); // that had come twice
	from_client(501, 0, kAck, join({nop(), nop(), sack({{kIsn - 1001, kIsn - 1}})}));
	EXPECT_EQ(of_vip("www").sent, 5U) << "as of the last finding";
	data(4);
	data(5, 1, kFin | kAck);
	from_client(501, 0, kFin | kAck);

	LossTotals sums = of_vip("www");
	EXPECT_EQ(sums.own_segments, 3U); // SYN, data, FIN
	EXPECT_EQ(sums.own_rtx, 1U);
	EXPECT_EQ(sums.server_twice, 1U);
	EXPECT_EQ(sums.sent, 7U); // SYN-ACK, five, one with FIN
	EXPECT_EQ(sums.sent_again, 1U);
	EXPECT_EQ(sums.client_twice, 1U);
	EXPECT_EQ(sums.report().c2s_down_lost.value, 0U);
	EXPECT_EQ(sums.report().c2s_down_lost.of, 3U);
	EXPECT_EQ(sums.report().s2c_lost.value, 0U);
	EXPECT_EQ(sums.report().s2c_lost.of, 7U);
	for (const LossTotals &others : {of_backends(), of_prefix()}) {
		EXPECT_EQ(others.own_segments, 3U);
		EXPECT_EQ(others.own_rtx, 1U);
		EXPECT_EQ(others.server_twice, 1U);
		EXPECT_EQ(others.sent, 7U);
		EXPECT_EQ(others.sent_again, 1U);
		EXPECT_EQ(others.client_twice, 1U);
	}

	// Forgotten, and another connection of the same ports that ends by a reset.
	forget_entries();
	EXPECT_EQ(of_vip("www"), sums);
	syn_ack(900000);
	leave(Eth{} / Ip4{.src = "198.51.100.80", .dst = kClient} /
	      Tcp{.sport = 80, .dport = 40000, .seq = 900001, .flags = kRst | kAck});
	sums.sent++;
	EXPECT_EQ(of_vip("www"), sums);
}

// Which of them answers, nothing that leaves tells: both halves are in the sums of VIP and prefix,
// and neither in those of a backend.
TEST_F(Egress, TwoBackendsOfThisNodeKnowOneDirection)
{
	apply_own(2);
	from_client(499, 0, kSyn);
	syn_ack();
	from_client(500, 0);
	data(0);
	data(0);
	from_client(500, 100);
	from_client(500, 100);
	for (const LossTotals &sums : {of_vip("www"), of_prefix()}) {
		EXPECT_EQ(sums.rtx_seen, 1U);
		EXPECT_EQ(sums.own_rtx, 1U);
		EXPECT_EQ(sums.sent_again, 1U);
		LossTotals with = sums;
		with.both_ways = true;
		EXPECT_EQ(with.report().c2s_down_lost.value, 1U);
		EXPECT_EQ(with.report().c2s_down_lost.of, sums.own_segments);
	}
	LossTotals all;
	const auto backends = backend_totals(dataplane());
	ASSERT_TRUE(backends) << backends.error().message();
	for (const LossTotals &one : *backends)
		all.add(one);
	EXPECT_EQ(all.rtx_seen, 1U);
	EXPECT_EQ(all.own_segments + all.own_rtx + all.client_twice, 0U);
	EXPECT_EQ(all.sent + all.sent_again + all.server_twice, 0U);
	EXPECT_TRUE(all.twins);
	EXPECT_EQ(all.one_way_because(), "not_watched");
	all.both_ways = true;
	EXPECT_EQ(all.one_way_because(), "several_own_backends");
	EXPECT_FALSE(all.report().c2s_down_lost.value);
	EXPECT_FALSE(all.report().s2c_lost.value);
	EXPECT_TRUE(all.report().c2s_rtx_seen.value) << "what one direction tells stays known";
}

TEST_F(Egress, EntriesSayWhenTheyWereUsedAndWhatEnded)
{
	const auto stamp_now = [&] {
		timespec tick{};
		clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
		timespec now{};
		clock_gettime(CLOCK_MONOTONIC, &now);
		const std::int64_t jiffies = (now.tv_sec - 300) * (1000000000 / tick.tv_nsec) +
					     now.tv_nsec / tick.tv_nsec;
		return static_cast<std::uint16_t>(jiffies >> 8);
	};
	const auto is_now = [&](const ax_egress_flow &flow) {
		return static_cast<std::int16_t>(stamp_now() - flow.stamp) <= 60 &&
		       static_cast<std::int16_t>(stamp_now() - flow.stamp) >= -2;
	};
	syn_ack();
	EXPECT_TRUE(is_now(only()));
	data(0);
	EXPECT_TRUE(is_now(only()));
	EXPECT_FALSE(only().ended);
	data(1, 1, kFin | kAck);
	EXPECT_TRUE(only().ended);
	data(0); // sent again behind its end
	EXPECT_TRUE(only().ended);
	syn_ack(900000); // another connection of the same ports
	EXPECT_FALSE(only().ended);
	EXPECT_TRUE(is_now(only()));
	leave(Eth{} / Ip4{.src = "198.51.100.80", .dst = kClient} /
	      Tcp{.sport = 80, .dport = 40000, .seq = 900001, .flags = kRst | kAck});
	EXPECT_TRUE(only().ended);
	EXPECT_TRUE(Map::from_fd(egress_.flows())->erase_all());
	answer(1);
	EXPECT_TRUE(is_now(only()));
	EXPECT_FALSE(only().ended);
}

TEST_F(Egress, SumsOfAnotherNodesFlowsKnowOneDirection)
{
	from_client(400, 0, kSyn); // tunnelled to somebody else
	from_client(401, 0);
	from_client(401, 100);
	from_client(401, 100);
	EXPECT_EQ(of_vip("www").rtx_seen, 1U);
	EXPECT_EQ(of_vip("www").own_rtx, 0U);
	EXPECT_FALSE(of_vip("www").report().c2s_down_lost.value);
	EXPECT_FALSE(of_vip("www").report().s2c_lost.value);
}

TEST_F(Egress, AnswersAreSummedToo)
{
	apply_own();
	for (std::uint16_t id = 1; id <= 5; id++)
		send(Eth{} / Ip4{.src = kClient} / Udp{} / dns(id, 0));
	for (const std::uint16_t id : {1, 2, 4})
		answer(id);
	for (const LossTotals &sums : {of_vip("dns"), of_backends(), of_prefix()}) {
		EXPECT_EQ(sums.queries, 5U);
		EXPECT_EQ(sums.answers, 3U);
		LossTotals with = sums;
		with.both_ways = true;
		EXPECT_EQ(with.report().dns_unanswered.value, 2U);
	}
}

TEST_F(Egress, OnlyServicesAreWatched)
{
	const auto from = [&](const char *address, std::uint16_t port) {
		leave(Eth{} / Ip4{.src = address, .dst = kClient} /
		      Tcp{.sport = port, .dport = 40000} / Payload(10));
	};
	from("198.51.100.81", 80); // another address
	from("198.51.100.80", 22); // a port of the address that is no service
	leave(Eth{} / Ip4{.src = "198.51.100.80", .dst = kClient} /
	      Tcp{.sport = 80, .dport = 40000, .flags = kRst});
	leave(Eth{} / Ip4{.src = "198.51.100.80", .dst = kClient, .offset = 5} / Payload(40));
	leave(Eth{} / Arp{});
	EXPECT_EQ(entries().size(), 0U);
	from("198.51.100.80", 80);
	EXPECT_EQ(entries().size(), 1U);
}

TEST_F(Egress, ServicesOfPrefixesAreWatched)
{
	Config config = two_families();
	config.pools.push_back(
		{.name = "own", .table_size = 251, .backends = {backend_at("10.1.0.99")}});
	Vip prefix = vip_at("net", "198.51.100.0", 0, kTcp, "own");
	prefix.prefix = 24;
	Vip six = vip_at("net6", "2001:db8::", 80, kTcp, "own");
	six.prefix = 64;
	config.vips = {prefix, six};
	apply(config, {.interface_addresses = {}, .node_addresses = {*Address::parse("10.1.0.99")}},
	      9000);
	for (const char *address : {"198.51.100.0", "198.51.100.255", "198.51.99.255"})
		leave(Eth{} / Ip4{.src = address, .dst = kClient} / Tcp{.sport = 7} / Payload(10));
	for (const std::uint16_t port : {80, 81})
		leave(Eth{} / Ip6{.src = "2001:db8::77", .dst = kClient6} / Tcp{.sport = port} /
		      Payload(10));
	EXPECT_EQ(entries().size(), 3U); // neither beyond the prefix nor another port
}

TEST_F(Egress, SixIsCountedToo)
{
	for (int twice = 0; twice < 2; twice++)
		leave(Eth{} / Ip6{.src = "2001:db8::80", .dst = kClient6} /
		      Tcp{.sport = 80, .dport = 40000, .seq = 9} / Payload(100));
	leave(Eth{} / Ip6{.src = "2001:db8::80", .dst = kClient6} / Ip6Frag{.mf = true} /
	      Udp{.sport = 53, .dport = 41000} / dns(7, 0x80));
	leave(Eth{} / Ip6{.src = "2001:db8::80", .dst = kClient6} / Ip6Frag{.offset = 4} /
	      Payload(64));
	ASSERT_EQ(entries().size(), 2U);
	for (const auto &[key, flow] : entries()) {
		EXPECT_EQ(Address(key.client).text(), kClient6);
		EXPECT_EQ(flow.segments, 1U);
		EXPECT_EQ(flow.rtx, key.proto == kTcp ? 1U : 0U);
	}
}

TEST_F(Egress, EachQueryIsAnsweredOnce)
{
	answer(1);
	answer(2);
	answer(1);	     // to a repeated query
	answer(3, 40000, 0); // a query of ours, no answer
	EXPECT_EQ(only().segments, 2U);
	for (std::uint16_t id = 10; id < 30; id++)
		answer(id);
	EXPECT_EQ(only().segments, 22U);
	answer(29);
	answer(22);
	EXPECT_EQ(only().segments, 22U);
}

// Both programs, joined by the reader: a query of each kind.
TEST_F(Egress, UnansweredQueriesAreKnownWhereTheAnswersPass)
{
	for (std::uint16_t id = 1; id <= 5; id++)
		send(Eth{} / Ip4{.src = kClient} / Udp{} / dns(id, 0));
	send(Eth{} / Ip4{.src = kClient} / Udp{.sport = 40001} / dns(9, 0));
	for (const std::uint16_t id : {1, 2, 4})
		answer(id);
	std::vector<FlowRecord> records = flows();
	ASSERT_EQ(records.size(), 2U);
	EXPECT_FALSE(loss_report(records[0]).dns_unanswered.value) << "nobody looks";
	EgressTables tables{.entries = entries(), .watched = true, .evicted = false};
	const auto yes = [](const FlowRecord &) { return true; };
	const auto no = [](const FlowRecord &) { return false; };

	join_egress(records, tables, no);
	LossSum sum;
	for (const FlowRecord &record : records)
		sum.add(loss_report(record));
	EXPECT_EQ(sum.report.dns_unanswered.value, 2U) << "another node may have answered";
	EXPECT_EQ(sum.report.dns_unanswered.of, 5U);

	join_egress(records, tables, yes);
	sum = {};
	for (const FlowRecord &record : records)
		sum.add(loss_report(record));
	EXPECT_EQ(sum.report.dns_unanswered.value, 3U);
	EXPECT_EQ(sum.report.dns_unanswered.of, 6U);
	EXPECT_EQ(sum.report.dns_unanswered.kind, "estimate");

	records = flows();
	tables.evicted = true;
	join_egress(records, tables, yes);
	EXPECT_EQ(std::ranges::count_if(
			  records,
			  [](const FlowRecord &record) {
				  return loss_report(record).dns_unanswered.value.has_value();
			  }),
		  1)
		<< "its answers may have been forgotten";
}

} // namespace

} // namespace anycast::test
