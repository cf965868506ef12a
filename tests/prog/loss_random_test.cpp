// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The loss tracker on random paths: what it reports beside what was lost. The accuracy it is held
// to stands in docs/loss.md.
#include <queue>
#include <random>

#include "prog/loss_client.h"

namespace anycast::test {
namespace {

struct Path {
	std::string name;
	double loss = 0, reorder = 0, duplicate = 0;
	std::uint64_t late_ms = 3; // by how much a reordered segment is late
	bool timestamps = true, v6 = false;
	double least = 1;	// of the truth that has to be found
	double false_share = 0; // of the late originals that may be called lost
};

std::ostream &operator<<(std::ostream &out, const Path &path)
{
	return out << path.name;
}

class LossOnPath : public LossTest, public testing::WithParamInterface<Path> {
protected:
	struct Event {
		std::uint64_t at_us, order;
		Segment segment;
		bool again;
		bool operator<(const Event &other) const // the earliest on top
		{
			return std::pair(at_us, order) > std::pair(other.at_us, other.order);
		}
	};
	struct Truth {
		std::uint64_t lost = 0, late = 0, copied = 0;
	};
	static constexpr std::uint64_t kRttMs = 20, kGapUs = 1000;

	Truth transfer(unsigned segments)
	{
		const Path &path = GetParam();
		std::mt19937_64 random(setting("AX_FUZZ_SEED", 1));
		std::uniform_real_distribution<double> chance;
		std::priority_queue<Event> wire;
		Truth truth;
		std::uint64_t order = 0;
		Client client = open({.timestamps = path.timestamps,
				      .v6 = path.v6,
				      .isn = 0xffff0000,
				      .rtt_ms = kRttMs});
		std::uint64_t next_us = clock_us() + kGapUs;
		for (unsigned made = 0; made < segments || !wire.empty();) {
			if (made < segments && (wire.empty() || next_us <= wire.top().at_us)) {
				set_clock_us(next_us);
				const Segment segment = client.skip();
				const bool last = ++made == segments; // or nobody would miss it
				if (!last && chance(random) < path.loss) {
					++truth.lost;
					wire.push({next_us + kRttMs * 1000 + 500, ++order, segment,
						   true});
				} else if (!last && chance(random) < path.reorder) {
					++truth.late;
					wire.push({next_us + path.late_ms * 1000 + 500, ++order,
						   segment, false});
				} else {
					client.original(segment);
					if (!last && chance(random) < path.duplicate) {
						++truth.copied;
						wire.push(
							{next_us + 2500, ++order, segment, false});
					}
				}
				next_us += kGapUs;
				continue;
			}
			const Event event = wire.top();
			wire.pop();
			set_clock_us(event.at_us);
			if (!event.again)
				client.original(event.segment);
			else if (chance(random) < path.loss) // lost again: nobody can see that
				wire.push({event.at_us + 2 * kRttMs * 1000, ++order, event.segment,
					   true});
			else
				client.again(event.segment);
		}
		return truth;
	}
};

TEST_P(LossOnPath, ReportIsNearTheTruth)
{
	const Path &path = GetParam();
	const unsigned segments = in_vm() ? 1000 : 20000;
	const Truth truth = transfer(segments);
	const FlowRecord flow = only_flow();
	const LossReport report = loss_report(flow);
	ASSERT_TRUE(report.c2s_up_lost.value);
	const auto lost = static_cast<double>(*report.c2s_up_lost.value);
	const auto really = static_cast<double>(truth.lost);
	std::cout << path.name << ": lost " << truth.lost << " / reported " << lost << " + "
		  << flow.loss.evicted << " evicted; late " << truth.late << " / "
		  << flow.loss.reordered << "; copies " << truth.copied << " / "
		  << flow.loss.duplicated << "; seen again " << flow.loss.rtx_seen << "\n";
	EXPECT_LE(lost, really + path.false_share * static_cast<double>(truth.late));
	EXPECT_GE(lost + flow.loss.evicted, path.least * really);
	EXPECT_GE(lost, path.least * really - 1);
	EXPECT_EQ(flow.loss.unrepaired, 0U);
	EXPECT_EQ(flow.loss.resync, 0U);
	EXPECT_NEAR(flow.segments, segments + 1.0, 0.01 * segments);
	EXPECT_LE(flow.loss.rtx_seen, flow.loss.evicted * 2 + truth.copied / 100);
}

INSTANTIATE_TEST_SUITE_P(
	Paths, LossOnPath,
	testing::Values(
		Path{.name = "none"}, Path{.name = "loss01", .loss = 0.001},
		Path{.name = "loss1", .loss = 0.01, .least = 0.98},
		Path{.name = "loss5", .loss = 0.05, .least = 0.93},
		Path{.name = "loss1_v6", .loss = 0.01, .v6 = true, .least = 0.98},
		Path{.name = "loss1_without_ts", .loss = 0.01, .timestamps = false, .least = 0.98},
		Path{.name = "loss5_without_ts", .loss = 0.05, .timestamps = false, .least = 0.93},
		Path{.name = "reorder2", .reorder = 0.02},
		Path{.name = "reorder2_by_10ms", .reorder = 0.02, .late_ms = 10},
		Path{.name = "reorder2_beyond_rtt", .reorder = 0.02, .late_ms = 30},
		Path{.name = "reorder2_without_ts", .reorder = 0.02, .timestamps = false},
		Path{.name = "loss1_reorder2", .loss = 0.01, .reorder = 0.02, .least = 0.97},
		Path{.name = "copies1", .duplicate = 0.01},
		Path{.name = "copies1_without_ts", .duplicate = 0.01, .timestamps = false}),
	[](const auto &row) { return row.param.name; });

} // namespace
} // namespace anycast::test
