// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/flow.h"
#include "core/flow_ageing.h"

#include <algorithm>

#include <arpa/inet.h>
#include <gtest/gtest.h>

namespace anycast {
namespace {

constexpr std::uint32_t kBuckets = 16; // per CPU
constexpr std::uint32_t kEntries = kBuckets * AX_WAYS;
constexpr std::uint32_t kAnomalies = 8;

// The maps' memory, filled as the data path would.
class Memory {
public:
	explicit Memory(std::uint32_t cpus)
		: cpus_(cpus), buckets4_(cpus * kBuckets), buckets6_(cpus * kBuckets),
		  slots4_(cpus * kBuckets), slots6_(cpus * kBuckets), flows4_(cpus * kEntries),
		  flows6_(cpus * kEntries), anomalies_(cpus * kAnomalies)
	{
	}

	// A TCP flow 203.0.113.5:sport > 198.51.100.80:80 in `slot` (from 1) of `cpu`.
	ax_flow4 &tcp(std::uint32_t cpu, std::uint32_t slot, std::uint16_t sport)
	{
		use(buckets4_, slots4_, cpu, slot);
		ax_flow4 &entry = flows4_[cpu * kEntries + slot - 1];
		entry.saddr = htonl(0xcb007105);
		entry.daddr = htonl(0xc6336450);
		fill(entry.flow, sport);
		return entry;
	}

	ax_flow6 &tcp6(std::uint32_t cpu, std::uint32_t slot, std::uint16_t sport)
	{
		use(buckets6_, slots6_, cpu, slot);
		ax_flow6 &entry = flows6_[cpu * kEntries + slot - 1];
		entry.saddr = Address::parse("2001:db8::5")->raw();
		entry.daddr = Address::parse("2001:db8::80")->raw();
		fill(entry.flow, sport);
		return entry;
	}

	ax_anomaly &anomaly(std::uint32_t cpu, std::uint32_t index, std::uint32_t owner,
			    ax_flow &flow, std::uint8_t family = 4)
	{
		flow.anomaly = index;
		ax_anomaly &state = anomalies_[cpu * kAnomalies + index - 1];
		state.owner = owner;
		state.owner_version = flow.version;
		state.family = family;
		return state;
	}

	ax_bucket &bucket(std::uint32_t cpu, std::uint32_t slot)
	{
		return buckets4_[cpu * kBuckets + (slot - 1) / AX_WAYS];
	}

	[[nodiscard]] std::vector<FlowRecord> decode(std::uint16_t now = 0,
						     std::uint32_t unit_ms = 0) const
	{
		return decode_flows({.cpus = cpus_,
				     .buckets4 = buckets4_,
				     .buckets6 = buckets6_,
				     .slots4 = slots4_,
				     .slots6 = slots6_,
				     .flows4 = flows4_,
				     .flows6 = flows6_,
				     .anomalies = anomalies_,
				     .sacks = {},
				     .now = now,
				     .unit_ms = unit_ms});
	}

	std::uint64_t forget(std::uint16_t now, std::uint32_t idle_s)
	{
		return forget_old_flows(
			       AgeingTable<ax_flow4>{cpus_, buckets4_, slots4_, flows4_, now, 1000},
			       idle_s) +
		       forget_old_flows(
			       AgeingTable<ax_flow6>{cpus_, buckets6_, slots6_, flows6_, now, 1000},
			       idle_s);
	}

private:
	static void use(std::vector<ax_bucket> &buckets, std::vector<ax_slots> &slots,
			std::uint32_t cpu, std::uint32_t slot)
	{
		ax_bucket &bucket = buckets[cpu * kBuckets + (slot - 1) / AX_WAYS];
		bucket.tag[(slot - 1) % AX_WAYS] = 0x12;
		slots[cpu * kBuckets + (slot - 1) / AX_WAYS].slot[(slot - 1) % AX_WAYS] =
			static_cast<std::uint16_t>(slot);
	}

	static void fill(ax_flow &flow, std::uint16_t sport)
	{
		flow.sport = htons(sport);
		flow.dport = htons(80);
		flow.proto = 6;
		flow.forward = AX_FORWARD_IPIP;
		flow.flags = AX_FLOW_SYNCED | AX_FLOW_TS;
		flow.version = 2;
		flow.vip = 3;
		flow.backend = 7;
		flow.packets = 10;
		flow.bytes = 1000;
		flow.segments = 8;
	}

	std::uint32_t cpus_;
	std::vector<ax_bucket> buckets4_, buckets6_;
	std::vector<ax_slots> slots4_, slots6_;
	std::vector<ax_flow4> flows4_;
	std::vector<ax_flow6> flows6_;
	std::vector<ax_anomaly> anomalies_;
};

FlowRecord only(const Memory &memory)
{
	const auto flows = memory.decode();
	EXPECT_EQ(flows.size(), 1U);
	return flows.empty() ? FlowRecord{} : flows[0];
}

TEST(FlowAgeing, ForgetsWhatEndedSoonAndWhatIsIdleLater)
{
	Memory memory(2);
	const std::uint16_t now = 100; // the stamps of what is old lie before their wrap
	memory.tcp(0, 1, 1001).flow.stamp = static_cast<std::uint16_t>(now - 5000);
	memory.tcp(1, 17, 1002).flow.stamp = static_cast<std::uint16_t>(now - 3000);
	memory.tcp6(1, 18, 1003).flow.stamp = static_cast<std::uint16_t>(now - 5000);
	ax_flow &ended = memory.tcp(0, 33, 1004).flow;
	ended.stamp = static_cast<std::uint16_t>(now - kEndedFlowIdle);
	ended.flags |= AX_FLOW_FIN;
	ax_flow &reset = memory.tcp(0, 34, 1005).flow;
	reset.stamp = static_cast<std::uint16_t>(now - kEndedFlowIdle + 1);
	reset.flags |= AX_FLOW_RST;
	memory.tcp(0, 35, 1006).flow.stamp = now + 3; // its CPU's clock is ahead of ours
	ax_flow &busy = memory.tcp(0, 36, 1007).flow; // is being replaced
	busy.stamp = static_cast<std::uint16_t>(now - 5000);
	busy.version |= 1;

	EXPECT_EQ(memory.forget(now, 4000), 3U);
	busy.version++;
	std::vector<std::uint16_t> left;
	for (const FlowRecord &flow : memory.decode())
		left.push_back(flow.source_port);
	std::ranges::sort(left);
	EXPECT_EQ(left, (std::vector<std::uint16_t>{1002, 1005, 1006, 1007}));
	EXPECT_EQ(memory.forget(now, 4000), 1U);
	EXPECT_EQ(memory.forget(now, 4000), 0U);
}

TEST(FlowAgeing, WhatLeavesIsAgedByTheSameTimes)
{
	const std::uint16_t now = 100;
	ax_egress_flow flow{};
	const auto old_after = [&](std::uint16_t seconds) {
		flow.stamp = static_cast<std::uint16_t>(now - seconds); // before the wrap
		return is_old(flow, now, 1000, 4000);
	};
	EXPECT_TRUE(old_after(4000));
	EXPECT_FALSE(old_after(3999));
	EXPECT_FALSE(old_after(static_cast<std::uint16_t>(-3))); // a clock ahead of ours
	flow.ended = 1;
	EXPECT_TRUE(old_after(kEndedFlowIdle));
	EXPECT_FALSE(old_after(kEndedFlowIdle - 1));
	EXPECT_FALSE(is_old(flow, now, 0, 4000)) << "no clock";
}

TEST(Flow, DecodesAnIpv4EntryIntoHostOrder)
{
	Memory memory(2);
	ax_flow4 &entry = memory.tcp(1, 5, 40000);
	entry.flow.flags |= AX_FLOW_RTT;
	entry.flow.rtt = 10;
	entry.flow.mss = 1460;

	const FlowRecord flow = only(memory);
	EXPECT_EQ(flow.source.text(), "203.0.113.5");
	EXPECT_EQ(flow.destination.text(), "198.51.100.80");
	EXPECT_EQ(flow.source_port, 40000);
	EXPECT_EQ(flow.destination_port, 80);
	EXPECT_EQ(flow.family, 4);
	EXPECT_EQ(flow.cpu, 1);
	EXPECT_EQ(flow.vip, 3);
	EXPECT_EQ(flow.backend, 7);
	EXPECT_EQ(flow.mss, 1460);
	EXPECT_EQ(flow.rtt_us, 640U);
	EXPECT_FALSE(flow.idle_ms.has_value());
	EXPECT_FALSE(flow.multi_cpu);
}

TEST(Flow, DecodesAnIpv6Entry)
{
	Memory memory(1);
	memory.tcp6(0, 1, 40001);
	const FlowRecord flow = only(memory);
	EXPECT_EQ(flow.source.text(), "2001:db8::5");
	EXPECT_EQ(flow.family, 6);
	EXPECT_FALSE(flow.rtt_us.has_value());
}

TEST(Flow, LeavesOutWhatNoTagPointsAtAndWhatIsBeingReplaced)
{
	Memory memory(1);
	memory.tcp(0, 1, 1000);
	memory.tcp(0, 2, 1001).flow.version = 3;
	memory.tcp(0, 3, 1002);
	memory.bucket(0, 3).tag[2] = 0;
	EXPECT_EQ(only(memory).source_port, 1000);
}

TEST(Flow, IdleFollowsTheStampOverItsWrap)
{
	Memory memory(1);
	memory.tcp(0, 1, 1000).flow.stamp = 0xfffe;
	EXPECT_EQ(memory.decode(2, 1024)[0].idle_ms, 4U * 1024);
	// The kernel's clock is a little ahead of ours: not 18 hours.
	EXPECT_EQ(memory.decode(0xfffd, 1024)[0].idle_ms, 0U);
}

TEST(Flow, AFlowOnTwoCpusIsOneRecordWithoutLoss)
{
	Memory memory(2);
	memory.tcp(0, 1, 1000);
	memory.tcp(1, 4, 1000).flow.packets = 5;
	memory.tcp(1, 5, 2000);

	const auto flows = memory.decode();
	ASSERT_EQ(flows.size(), 2U);
	const auto merged = std::ranges::find(flows, 1000, &FlowRecord::source_port);
	ASSERT_NE(merged, flows.end());
	EXPECT_TRUE(merged->multi_cpu);
	EXPECT_EQ(merged->packets, 15U);
	EXPECT_EQ(merged->bytes, 2000U);
	EXPECT_FALSE(loss_report(*merged).c2s_up_lost.value.has_value());
	EXPECT_EQ(loss_unknown_because(*merged), "multi_cpu");
	const auto other = std::ranges::find(flows, 2000, &FlowRecord::source_port);
	EXPECT_FALSE(other->multi_cpu);
	EXPECT_EQ(loss_report(*other).c2s_up_lost.value, 0U);
}

TEST(Flow, InOrderSoFarIsZeroOfItsSegments)
{
	Memory memory(1);
	memory.tcp(0, 1, 1000);
	const LossFigure lost = loss_report(only(memory)).c2s_up_lost;
	EXPECT_EQ(lost.value, 0U);
	EXPECT_EQ(lost.of, 8U);
	EXPECT_EQ(lost.kind, "estimate");
	EXPECT_EQ(lost.basis, "ts");
	EXPECT_EQ(lost.rate(), 0.0);
}

TEST(Flow, LossIsWhatWasLostLessWhatWasTakenBack)
{
	Memory memory(1);
	ax_flow4 &entry = memory.tcp(0, 3, 1000);
	ax_anomaly &anomaly = memory.anomaly(0, 2, 3, entry.flow);
	anomaly.lost = 5;
	anomaly.undone = 2;
	anomaly.reordered = 4;
	anomaly.rtx_seen = 1;
	anomaly.evicted = 6;
	anomaly.resync = 1;
	anomaly.hole[0] = {.start = 10, .end = 20, .opened_us = 0, .ts = 0};
	anomaly.hole[5] = {.start = 0xfffffff0, .end = 3, .opened_us = 0, .ts = 0};

	const LossReport report = loss_report(only(memory));
	EXPECT_EQ(report.c2s_up_lost.value, 3U);
	EXPECT_DOUBLE_EQ(report.c2s_up_lost.rate().value(), 3.0 / 8);
	EXPECT_EQ(report.c2s_up_lost.evicted, 6U);
	EXPECT_EQ(report.c2s_up_lost.unrepaired, 2U);
	EXPECT_EQ(report.c2s_up_lost.resync, 1U);
	EXPECT_EQ(report.c2s_up_reordered.value, 4U);
	EXPECT_EQ(report.c2s_rtx_seen.value, 1U);
	EXPECT_EQ(report.c2s_rtx_seen.kind, "upper_bound");
}

TEST(Flow, TakingBackMoreThanWasLostIsNotNegative)
{
	Memory memory(1);
	ax_flow4 &entry = memory.tcp(0, 1, 1000);
	ax_anomaly &anomaly = memory.anomaly(0, 1, 1, entry.flow);
	anomaly.lost = 1;
	anomaly.undone = 2;
	EXPECT_EQ(loss_report(only(memory)).c2s_up_lost.value, 0U);
}

TEST(Flow, BasisIsTheBestThatTheFlowOffers)
{
	Memory memory(1);
	ax_flow4 &entry = memory.tcp(0, 1, 1000);
	entry.flow.flags = AX_FLOW_SYNCED | AX_FLOW_IPID;
	EXPECT_EQ(loss_report(only(memory)).c2s_up_lost.basis, "ipid");
	entry.flow.flags = AX_FLOW_SYNCED;
	EXPECT_EQ(loss_report(only(memory)).c2s_up_lost.basis, "time");
}

TEST(Flow, WhatCannotBeMeasuredIsNullNotZero)
{
	Memory memory(1);
	ax_flow4 &entry = memory.tcp(0, 1, 1000);
	const auto expect_unknown = [&](std::string_view because) {
		const FlowRecord flow = only(memory);
		const LossReport report = loss_report(flow);
		EXPECT_EQ(loss_unknown_because(flow), because);
		for (const LossFigure &figure :
		     {report.c2s_up_lost, report.c2s_up_reordered, report.c2s_rtx_seen}) {
			EXPECT_FALSE(figure.value.has_value()) << because;
			EXPECT_EQ(figure.kind, "unsupported") << because;
			EXPECT_FALSE(figure.rate().has_value()) << because;
		}
	};

	entry.flow.proto = 17;
	expect_unknown("protocol");
	entry.flow.proto = 6;
	entry.flow.flags = AX_FLOW_TS;
	expect_unknown("not_synced");
	entry.flow.flags = AX_FLOW_SYNCED | AX_FLOW_LOSS_LOST;
	expect_unknown("state_stolen");
	entry.flow.flags = AX_FLOW_SYNCED;
	entry.flow.anomaly = kAnomalies + 1;
	expect_unknown("state_stolen");
}

TEST(Flow, AnAnomalyOfAnotherOwnerIsNotOurs)
{
	Memory memory(1);
	ax_flow4 &entry = memory.tcp(0, 1, 1000);
	for (const int wrong : {0, 1, 2}) {
		ax_anomaly &anomaly = memory.anomaly(0, 1, 1, entry.flow);
		anomaly.lost = 9;
		if (wrong == 0)
			anomaly.owner = 2;
		else if (wrong == 1)
			anomaly.owner_version += 2;
		else
			anomaly.family = 6;
		EXPECT_EQ(loss_unknown_because(only(memory)), "state_stolen") << wrong;
	}
}

TEST(Flow, SumsCountWhatCouldNotBeMeasuredApart)
{
	LossFigure ts{.value = 3, .kind = "estimate", .basis = "ts", .of = 100, .evicted = 1};
	LossFigure ipid{.value = 2, .kind = "estimate", .basis = "ipid", .of = 50};
	const auto all = [](const LossFigure &figure) {
		LossReport report;
		report.c2s_up_lost = report.c2s_up_reordered = report.c2s_rtx_seen = figure;
		return report;
	};
	LossSum sum;
	sum.add({});
	EXPECT_FALSE(sum.report.c2s_up_lost.value.has_value());
	sum.add(all(ts));
	EXPECT_EQ(sum.report.c2s_up_lost.basis, "ts");
	sum.add(all(ipid));
	EXPECT_EQ(sum.flows, 3U);
	EXPECT_EQ(sum.measured, 2U);
	EXPECT_EQ(sum.report.c2s_up_lost.value, 5U);
	EXPECT_EQ(sum.report.c2s_up_lost.of, 150U);
	EXPECT_EQ(sum.report.c2s_up_lost.evicted, 1U);
	EXPECT_EQ(sum.report.c2s_up_lost.basis, "mixed");
}

TEST(Flow, AMillionEntriesAreDecoded)
{
	constexpr std::uint32_t kCpus = 2, kFlows = 1 << 19; // per CPU
	std::vector<ax_bucket> buckets(kCpus * kFlows / AX_WAYS);
	std::vector<ax_flow4> flows(kCpus * kFlows);
	for (std::uint32_t i = 0; i < kCpus * kFlows; i++) {
		buckets[i / AX_WAYS].tag[i % AX_WAYS] = 1;
		ax_flow4 &entry = flows[i];
		entry.saddr = htonl(0x0a000000 + i);
		entry.daddr = htonl(0xc6336450);
		entry.flow.proto = 6;
	}
	FlowTables tables;
	tables.cpus = kCpus;
	tables.buckets4 = buckets;
	tables.flows4 = flows;

	EXPECT_EQ(decode_flows(tables).size(), std::size_t{kCpus} * kFlows);
}

} // namespace
} // namespace anycast
