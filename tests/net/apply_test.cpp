// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <cstring>

#include "net/attaching.h"

namespace anycast::test {

using testing::AllOf;
using testing::HasSubstr;

TEST(Apply, ChangesOnlyWhatDiffers)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		const auto same = apply(kPaths, "dev0", kSmall);
		ASSERT_TRUE(same) << same.error().message();
		EXPECT_FALSE(same->changed);
		EXPECT_EQ(same->generation, 1U);

		Config drained = kSmall;
		drained.pools[0].backends[0].state = AX_BACKEND_DRAINING;
		const auto other = apply(kPaths, "dev0", drained);
		ASSERT_TRUE(other) << other.error().message();
		EXPECT_TRUE(other->changed);
		EXPECT_EQ(other->generation, 2U);
		EXPECT_EQ(opened().applied.config, drained);
		EXPECT_THAT(entries_of(state_directory(kPaths, "dev0")),
			    testing::UnorderedElementsAre("lock", "generation-2.json"));
	});
}

// The agent takes a backend out while somebody applies another file: the file's change stays.
TEST(Apply, AChangeOfWhatRunsNoMoreIsNotMade)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		const Config read = opened().applied.config;
		Config file = kSmall;
		file.pools[0].backends[0].weight = 7;
		ASSERT_TRUE(apply(kPaths, "dev0", file));
		Config downed = read;
		downed.pools[0].backends[0].state = AX_BACKEND_DOWN;
		const auto late = apply(kPaths, "dev0", downed, &read);
		ASSERT_TRUE(late) << late.error().message();
		EXPECT_TRUE(late->outdated);
		EXPECT_FALSE(late->changed);
		EXPECT_EQ(opened().applied.config, file);
		downed = file;
		downed.pools[0].backends[0].state = AX_BACKEND_DOWN;
		const auto again = apply(kPaths, "dev0", downed, &file);
		ASSERT_TRUE(again) << again.error().message();
		EXPECT_TRUE(again->changed);
	});
}

TEST(Apply, FailureLeavesEverythingAsItWas)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		const Instance before = opened();
		const auto slots = before.dataplane.read_slots(0, 65537);

		for (const std::size_t vips : {17, 40}) { // [limits] vips is 16
			const auto result = apply(kPaths, "dev0", config_of(vips, 1));
			ASSERT_FALSE(result);
			EXPECT_THAT(result.error().what, HasSubstr("[limits] vips"));
		}
		// A map that is full all of a sudden: somebody else's keys in it.
		Instance instance = opened();
		Map &edges = instance.dataplane.map("ax_vip");
		for (std::uint32_t i = 0; i < edges.max_entries(); ++i) {
			ax_vip_key key{};
			key.addr.word[0] = i;
			key.half = 7;
			(void)edges.update(&key, &i);
		}
		const auto result = apply(kPaths, "dev0", config_of(2, 1));
		ASSERT_FALSE(result);
		EXPECT_THAT(result.error().what, AllOf(HasSubstr("full"), HasSubstr("untouched")));

		const Instance after = opened();
		EXPECT_EQ(after.applied.config, kSmall);
		EXPECT_EQ(after.applied.generation, 1U);
		const auto slots_after = after.dataplane.read_slots(0, 65537);
		EXPECT_EQ(std::memcmp(slots->data(), slots_after->data(), 65537 * sizeof(ax_slot)),
			  0);
		EXPECT_THAT(entries_of(state_directory(kPaths, "dev0")),
			    testing::UnorderedElementsAre("lock", "generation-1.json"));
	});
}

TEST(Apply, WarnsOfBackendsThatCannotBeReached)
{
	in_lab([] {
		make_veth();
		sh("ip link add br0 type bridge && ip link set br0 up && ip addr add 10.9.0.1/24 "
		   "dev br0");
		Config config = kSmall;
		config.pools[0].backends[0].address = *Address::parse("203.0.113.1");
		config.pools[0].backends[1].address = *Address::parse("10.9.0.2");
		const AttachReport report = attached("dev0", config);

		EXPECT_THAT(report.warnings, testing::Contains(AllOf(HasSubstr("203.0.113.1"),
								     HasSubstr("no_route"))));
		EXPECT_THAT(report.warnings,
			    testing::Contains(AllOf(HasSubstr("10.9.0.2"), HasSubstr("bridge"))));

		// A line for each trouble, not for each backend.
		Config many = config_of(1, 6);
		for (std::size_t i = 0; i < 5; i++)
			many.pools[0].backends[i].address =
				*Address::parse(fmt::format("203.0.113.{}", i + 1));
		const auto applied = apply(kPaths, "dev0", many);
		ASSERT_TRUE(applied) << applied.error().message();
		EXPECT_EQ(std::ranges::count_if(applied->warnings,
						[](const std::string &warning) {
							return warning.find("no_route") !=
							       std::string::npos;
						}),
			  1);
		EXPECT_THAT(
			applied->warnings,
			testing::Contains(AllOf(HasSubstr("(203.0.113.3) and 2 more: no route "),
						HasSubstr("no_route"))));
	});
}

} // namespace anycast::test
