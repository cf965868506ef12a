// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/plan.h"

#include <algorithm>

#include <gmock/gmock.h>

#include "core/steer.h"
#include "unit/image_parts.h"

namespace anycast {

namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Key;
using testing::UnorderedElementsAre;

constexpr std::uint16_t kFlows = 300;

// A flow of each source port, on its slot's owner in `image`.
std::vector<FlowRecord> flows_on(const Config &config, const Image &image)
{
	std::vector<FlowRecord> flows;
	for (std::uint16_t port = 1; port <= kFlows; ++port) {
		const FlowTuple tuple{address("203.0.113.5"), config.vips[0].address, port, 80, 6};
		FlowRecord flow;
		flow.source = tuple.source;
		flow.destination = tuple.destination;
		flow.source_port = port;
		flow.destination_port = 80;
		flow.protocol = 6;
		flow.vip = 0;
		flow.vip_gen = image.vips[0].gen;
		const ax_pool &pool = image.pools[0];
		flow.backend =
			image.slots[pool.first + steer_hash(config.hash_seed, tuple) % pool.size]
				.backend[0];
		flow.backend_gen = image.backends[flow.backend].gen;
		flows.push_back(flow);
	}
	return flows;
}

struct Change {
	Config before = three_backends(), after = three_backends();
	Plan plan(bool reset_flows = false)
	{
		const Image from = compiled(before);
		const Image to = compiled(after, kFacts, from.ids);
		return plan_change({before, from}, {after, to}, flows_on(before, from),
				   reset_flows);
	}
};

std::uint64_t sum_after(const Plan &plan)
{
	std::uint64_t sum = 0;
	for (const PlannedPool &pool : plan.pools)
		for (const PlannedBackend &backend : pool.backends)
			sum += backend.flows_after;
	return sum;
}

} // namespace

TEST(Plan, NothingChangesNothing)
{
	Change same;
	const Plan plan = same.plan();
	ASSERT_EQ(plan.pools.size(), 1U);
	EXPECT_EQ(plan.pools[0].moved, 0);
	EXPECT_THAT(plan.pools[0].why, IsEmpty());
	EXPECT_EQ(plan.flows.stay, kFlows);
	EXPECT_EQ(plan.flows.at_risk(), 0U);
	for (const PlannedBackend &backend : plan.pools[0].backends) {
		EXPECT_NEAR(backend.share_before, 1.0 / 3, 0.01);
		EXPECT_EQ(backend.share_before, backend.share_after);
		EXPECT_EQ(backend.flows_before, backend.flows_after);
	}
}

TEST(Plan, AllOfItIsOneNotNearlyOne)
{
	Change replaced;
	replaced.before.pools[0].backends.resize(1);
	replaced.after.pools[0].backends.erase(replaced.after.pools[0].backends.begin());
	for (Config *config : {&replaced.before, &replaced.after})
		config->pools[0].table_size = 1009; // 1009 times 1 / 1009 is 1.0000000000000144
	const Plan plan = replaced.plan();
	EXPECT_EQ(plan.pools[0].moved, 1);
	const auto gone =
		std::ranges::find(plan.pools[0].backends, "10.1.0.11", &PlannedBackend::name);
	ASSERT_NE(gone, plan.pools[0].backends.end());
	EXPECT_EQ(gone->share_before, 1);
	EXPECT_EQ(gone->share_after, 0);
}

// What only the flow table knows goes with it; what its slot names stays.
TEST(Plan, WithoutTheFlowTableWhatItPinnedBreaks)
{
	Change same;
	EXPECT_EQ(same.plan(true).flows.stay, kFlows);
	Change drain;
	drain.after.pools[0].backends[1].state = AX_BACKEND_DRAINING;
	const Plan plan = drain.plan(true);
	const PlannedPool &pool = plan.pools[0];
	EXPECT_EQ(plan.flows.pinned, 0U);
	EXPECT_EQ(plan.flows.forgotten, pool.backends[1].flows_before);
	EXPECT_EQ(plan.flows.at_risk(), plan.flows.forgotten);
	EXPECT_EQ(pool.backends[1].flows_after, 0U);
	EXPECT_EQ(sum_after(plan), kFlows);
}

TEST(Plan, DrainingMovesTheShareAndPinsTheFlows)
{
	Change drain;
	drain.after.pools[0].backends[1].state = AX_BACKEND_DRAINING;
	const Plan plan = drain.plan();
	const PlannedPool &pool = plan.pools[0];
	EXPECT_NEAR(pool.moved, 1.0 / 3, 0.01);
	EXPECT_THAT(pool.why, ElementsAre(Key("10.1.0.12 is draining")));
	EXPECT_EQ(pool.backends[1].share_after, 0);
	EXPECT_EQ(plan.flows.broken, 0U);
	EXPECT_EQ(plan.flows.pinned, pool.backends[1].flows_before);
	EXPECT_EQ(pool.backends[1].flows_after, pool.backends[1].flows_before);
	EXPECT_GT(plan.flows.pinned, 0U);
}

TEST(Plan, ASecondChanceSavesTcpInGue)
{
	Change drain;
	for (Config *config : {&drain.before, &drain.after}) {
		config->second_chance = true;
		config->source_v4 = address("10.1.0.1");
		for (Vip &vip : config->vips)
			vip.forward = AX_FORWARD_GUE;
	}
	drain.after.pools[0].backends[1].state = AX_BACKEND_DRAINING;
	const Plan plan = drain.plan();
	EXPECT_GT(plan.flows.second_chance, 0U);
	EXPECT_EQ(plan.flows.at_risk(), 0U);
	EXPECT_EQ(plan.flows.stay + plan.flows.second_chance, kFlows);
	drain.after.second_chance = false;
	EXPECT_GT(drain.plan().flows.pinned, 0U);
}

TEST(Plan, DownAndRemovedBreakTheirsAndNobodyElses)
{
	for (const bool removed : {false, true}) {
		Change gone;
		if (removed)
			gone.after.pools[0].backends.erase(gone.after.pools[0].backends.begin() +
							   1);
		else
			gone.after.pools[0].backends[1].state = AX_BACKEND_DOWN;
		const Plan plan = gone.plan();
		const auto lost = std::ranges::find(plan.pools[0].backends, "10.1.0.12",
						    &PlannedBackend::name);
		ASSERT_NE(lost, plan.pools[0].backends.end());
		EXPECT_EQ(plan.flows.broken, lost->flows_before);
		EXPECT_GT(plan.flows.broken, 0U);
		EXPECT_EQ(lost->flows_after, 0U);
		EXPECT_EQ(lost->after.has_value(), !removed);
		EXPECT_EQ(sum_after(plan), kFlows) << "somebody gets each of them";
		EXPECT_TRUE(plan.pools[0].why.contains(removed ? "10.1.0.12 is removed"
							       : "10.1.0.12 is down"));
	}
}

TEST(Plan, AddedAndReturningOnesTakeTheirShare)
{
	Change add;
	add.after.pools[0].backends.push_back(backend("10.1.0.14"));
	const Plan added = add.plan();
	EXPECT_TRUE(added.pools[0].why.contains("10.1.0.14 is added"));
	EXPECT_GE(added.pools[0].moved, 0.24);
	EXPECT_EQ(added.flows.broken, 0U);
	EXPECT_EQ(added.flows.pinned + added.flows.stay, kFlows);

	Change back;
	back.before.pools[0].backends[2].state = AX_BACKEND_DOWN;
	EXPECT_THAT(back.plan().pools[0].why, ElementsAre(Key("10.1.0.13 is active again")));
}

TEST(Plan, WeightSizeSeedAndAddressHaveTheirNames)
{
	Change weight;
	weight.after.pools[0].backends[0].weight = 200;
	EXPECT_THAT(weight.plan().pools[0].why, ElementsAre(Key("weights or the set of backends")));
	Change size;
	size.after.pools[0].table_size = 509;
	EXPECT_THAT(size.plan().pools[0].why, ElementsAre(Key("table_size 251 -> 509")));
	Change seed;
	seed.after.hash_seed = {3, 4};
	EXPECT_THAT(seed.plan().pools[0].why, ElementsAre(Key("another hash_seed")));
	Change moved;
	moved.after.pools[0].backends[0].address = address("10.1.0.99");
	const Plan plan = moved.plan();
	EXPECT_THAT(plan.pools[0].why, ElementsAre(Key("10.1.0.11 has another address")));
	EXPECT_NEAR(plan.pools[0].moved, 1.0 / 3, 0.01);
	EXPECT_GT(plan.flows.broken, 0U);
}

TEST(Plan, AVipThatGoesTakesItsFlows)
{
	Change gone;
	gone.after.vips.clear();
	EXPECT_EQ(gone.plan().flows.broken, kFlows);
}

TEST(Plan, NobodyUp)
{
	Change down;
	for (Backend &backend : down.after.pools[0].backends)
		backend.state = AX_BACKEND_DOWN;
	const Plan plan = down.plan();
	EXPECT_DOUBLE_EQ(plan.pools[0].moved, 1);
	EXPECT_THAT(plan.pools[0].why, ElementsAre(Key("nobody is up")));
	EXPECT_EQ(plan.flows.broken, kFlows);
	std::swap(down.before, down.after);
	const Image from = compiled(down.before), to = compiled(down.after, kFacts, from.ids);
	const Plan up = plan_change({down.before, from}, {down.after, to}, {});
	EXPECT_THAT(up.pools[0].why, ElementsAre(Key("nobody was up")));
}

TEST(Plan, PoolsOfEitherSide)
{
	Change other;
	other.before.pools.push_back(pool("old", {backend("10.1.0.21")}));
	other.after.pools.push_back(pool("new", {backend("10.1.0.31")}));
	const Plan plan = other.plan();
	std::vector<std::string> names;
	for (const PlannedPool &pool : plan.pools)
		names.push_back(pool.name);
	EXPECT_THAT(names, ElementsAre("web", "new", "old"));
	EXPECT_EQ(plan.pools[1].size_before, 0U);
	EXPECT_EQ(plan.pools[2].size_after, 0U);
	EXPECT_EQ(plan.flows.stay, kFlows);
}

} // namespace anycast
