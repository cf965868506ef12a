// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// An apply that is killed at any of its writes leaves the old configuration or the new one, over
// all pools.
#include <cstdio>

#include "kernel/applying.h"
#include "kernel/features.h"
#include "net/attaching.h"
#include "net/killed.h"

namespace anycast::test {

namespace {

// What takes time is no write.
Config small_tables(Config config)
{
	for (Pool &pool : config.pools)
		pool.table_size = 251;
	config.limits.table_slots = 4096;
	return config;
}

// Everything the packets see is what one of the two says, and that one is recorded as running: is
// it the first?
bool expect_whole(const Config &one, const Config &other, int write)
{
	const Instance instance = opened();
	const Config &said = instance.applied.config;
	EXPECT_TRUE(said == one || said == other) << "before write " << write;
	const auto image = image_for("dev0", said, instance.applied.roles, instance.applied.ids);
	if (!image)
		throw LabError(image.error().message());
	const auto holds = instance.dataplane.holds(*image);
	EXPECT_TRUE(holds && *holds)
		<< "killed before write " << write << ": the maps are not what is said to run";
	return said == one;
}

// Every pool changes: weights, states, members, tables, VIPs.
Config changed(Config config)
{
	config.vips[0].port = 8080;
	config.vips.pop_back();
	for (std::size_t i = 0; i < config.pools.size(); i++) {
		Pool &pool = config.pools[i];
		pool.backends[i % pool.backends.size()].weight = 7;
		pool.backends[(i + 1) % pool.backends.size()].state = AX_BACKEND_DRAINING;
	}
	config.pools[1].backends.pop_back();
	config.rules["ip4_ttl_zero"] = AX_ACTION_COUNT;
	return config;
}

// `by_calls`: tables are written by system calls.
void killed_at_every_write(std::size_t pools, bool by_calls = false)
{
	make_veth();
	const Config one = small_tables(config_of(pools, 3)), other = changed(one);
	attached("dev0", one);
	int write = 0, old = 0, fresh = 0;
	bool first_runs = true;
	for (;; ++write) {
		const Fate fate = run_until_write(write, [&] {
			return apply(kPaths, "dev0", first_runs ? other : one) ? 0 : 1;
		});
		const bool now = expect_whole(one, other, write);
		(now != first_runs ? fresh : old)++;
		first_runs = now;
		EXPECT_EQ(fate.early, 0) << "a half was written that packets may still read";
		if (by_calls && fate.ended) {
			EXPECT_GT(fate.tables, 0);
			EXPECT_TRUE(fate.waited);
		}
		if (fate.ended || testing::Test::HasFailure() || write > 2000)
			break;
	}
	std::printf("%zu pools, %d writes; killed before each: %d times the old, %d times the "
		    "new\n",
		    pools, write, old, fresh);
	EXPECT_GT(write, 20);
	EXPECT_GT(old, 20);
	EXPECT_GT(fresh, 0);
}

} // namespace

TEST(Apply, KilledAtAnyWriteLeavesTheOldOrTheNew)
{
	in_lab([] { killed_at_every_write(4); });
}

// Where maps are not mapped, tables and the switch itself are written by system calls too.
TEST(Apply, KilledAtAnySystemCallThatWritesATable)
{
	in_lab([] {
		force_absent("mmap_array");
		killed_at_every_write(3, true);
	});
}

} // namespace anycast::test
