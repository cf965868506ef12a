// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Which [limits] ask for other flow tables, and what tables say about [limits].
#include <algorithm>

#include <gmock/gmock.h>

#include "kernel/sizes.h"

namespace anycast {
namespace {

Limits with(std::uint32_t flows_v4, std::uint32_t flows_v6, std::uint32_t marked_flows = 32768)
{
	Limits limits;
	limits.flows_v4 = flows_v4;
	limits.flows_v6 = flows_v6;
	limits.marked_flows = marked_flows;
	return limits;
}

TEST(Sizes, TablesAreMadeAnewWhereOneGetsAnotherSize)
{
	const Limits running = with(1 << 20, 1 << 16);
	using testing::ElementsAre;
	using testing::IsEmpty;
	EXPECT_THAT(groups_to_reset(running, running), IsEmpty());
	EXPECT_THAT(groups_to_reset(running, with((1 << 20) - 1, 1 << 16)), IsEmpty())
		<< "it is rounded up";
	EXPECT_THAT(groups_to_reset(running, with(1 << 21, 1 << 16)), ElementsAre("flows"));
	EXPECT_THAT(groups_to_reset(running, with(1 << 20, 1 << 15)), ElementsAre("flows"));
	EXPECT_THAT(groups_to_reset(running, with(1 << 20, 1 << 16, 32767)), ElementsAre("marks"));
	EXPECT_THAT(groups_to_reset(running, with(1 << 20, 1 << 15, 32767)),
		    ElementsAre("flows", "marks"));
	Limits others = running;
	others.vips = 17;
	others.backends = 18;
	others.inserts_per_second = 19;
	EXPECT_THAT(groups_to_reset(running, others), IsEmpty()) << "no flow knows of these";
}

// Entries of one map name those of another: all of a group, or none.
TEST(Sizes, EveryMapOfFlowsIsInAGroup)
{
	const auto in = [](std::string_view group) {
		return std::ranges::count(map_shapes({}), group, reset_group);
	};
	EXPECT_GT(in("flows"), 2);
	EXPECT_EQ(in("marks"), 2);
	const auto before = map_shapes(sizes_for(with(1 << 20, 1 << 16), 4));
	const auto after = map_shapes(sizes_for(with(1 << 22, 1 << 18, 99), 4));
	for (std::size_t i = 0; i < after.size(); i++) {
		if (before[i].entries != after[i].entries) {
			EXPECT_TRUE(after[i].egress || !reset_group(after[i]).empty())
				<< after[i].name;
		}
	}
}

TEST(Sizes, TablesSayWhatTheirLimitsAre)
{
	const Limits recorded = with(3000, 50000, 77);
	EXPECT_EQ(limits_of(sizes_for(recorded, 3), recorded), recorded);
	for (const std::uint32_t cpus : {1U, 2U, 3U, 64U})
		for (const Limits &made : {with(1, 1, 1), with(4096, 1 << 27, 5), with(77777, 3)}) {
			const DataplaneSizes held = sizes_for(made, cpus);
			const DataplaneSizes again = sizes_for(limits_of(held, recorded), cpus);
			EXPECT_EQ(again.buckets4, held.buckets4);
			EXPECT_EQ(again.buckets6, held.buckets6);
			EXPECT_EQ(again.marked_flows, held.marked_flows);
		}
}

TEST(Sizes, WhatIsMadeAnewMustFitBesideWhatItReplaces)
{
	const Limits running = with(1024, 1024);
	EXPECT_TRUE(require_memory_to_reset(running, running, true));
	EXPECT_TRUE(require_memory_to_reset(running, with(4096, 1024), true));
	const auto refused = require_memory_to_reset(running, with(1U << 31, 1024), true);
	ASSERT_FALSE(refused);
	EXPECT_NE(refused.error().hint.find("would fit"), std::string::npos);
}

} // namespace
} // namespace anycast
