// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// --reset-flows, killed at each of its writes: the old tables or the new are in force, and the next
// command makes it whole.
#include <sys/resource.h>

#include "kernel/egress.h"
#include "kernel/features.h"
#include "net/killed.h"
#include "net/reset_flows.h"
#include "net/wire.h"
#include "support/chained.h"

namespace anycast::test {

namespace {

using testing::Contains;

// Whether the newer tables are those in force.
bool whole_with(const Config &one, const Config &other)
{
	const Instance instance = opened();
	const auto buckets = [](const Config &config) {
		return sizes_for(config.limits, possible_cpus()).buckets4;
	};
	EXPECT_TRUE(hook_of("dev0").ours);
	expect_one_set_of_maps();
	EXPECT_THAT(instance.dataplane.sizes().buckets4,
		    testing::AnyOf(buckets(one), buckets(other)));
	// What is said of the tables is true, also where the record is older than they are.
	EXPECT_EQ(buckets(instance.applied.config), instance.dataplane.sizes().buckets4);
	const auto image = image_for("dev0", instance.applied.config, instance.applied.roles,
				     instance.applied.ids);
	const auto holds = instance.dataplane.holds(*image);
	EXPECT_TRUE(holds && *holds);
	return instance.dataplane.sizes().buckets4 == buckets(other);
}

// An edit as `backend drain` makes it, which knows nothing of tables.
void edit()
{
	const auto report = apply(kPaths, "dev0", [](const Applied &applied) -> Result<Config> {
		Config config = applied.config;
		config.pools[0].backends[0].weight = 3 - config.pools[0].backends[0].weight;
		return config;
	});
	EXPECT_TRUE(report) << report.error().message();
}

void expect_the_tc_program_has_its_map()
{
	const Fd program(bpf_obj_get((pin_directory(kPaths, "dev0") + "/" AX_PIN_EGRESS).c_str()));
	bpf_prog_info info{};
	std::uint32_t length = sizeof(info);
	ASSERT_EQ(bpf_obj_get_info_by_fd(program.get(), &info, &length), 0);
	EXPECT_NE(hook_of("dev0").egress, "");
	const Instance instance = opened();
	const Map &flows = instance.dataplane.map("ax_egress");
	EXPECT_THAT(maps_of_program(info.id), Contains(id_of(flows)));
	EXPECT_EQ(flows.max_entries(), egress_entries(instance.dataplane.sizes()));
}

void expect_killed_anywhere_is_mended(const std::function<bool(const Config &)> &change)
{
	Config one = kSmall;
	one.pools[0].table_size = 251;
	one.pools[0].backends[1].address = *Address::parse("10.1.0.1"); // so there is a tc program
	one.pools[0].backends[0].weight = 1;
	one.limits.table_slots = 4096;
	const Config other = with_flows(8192, one);
	const int step = slowness() > 1 ? 11 : 1;
	int write = 0, mended = 0;
	attached("dev0", one);
	for (bool other_runs = false;; write += step) {
		SCOPED_TRACE(fmt::format("killed before write {}", write));
		const Fate fate = run_until_write(
			write, [&] { return change(other_runs ? one : other) ? 0 : 1; });
		const bool now_other = whole_with(one, other);
		const auto pins = [] { return entries_of(pin_directory(kPaths, "dev0")); };
		const auto staged = [](const auto &names) {
			return std::ranges::any_of(names, [](const std::string &name) {
				return name.find("_new") != name.npos;
			});
		};
		mended += staged(pins()) ? 1 : 0;
		if (fate.ended) {
			EXPECT_FALSE(staged(pins()));
		}
		const MapIds before = map_ids();
		edit();
		EXPECT_FALSE(staged(pins())) << "the next command makes it whole";
		expect_the_tc_program_has_its_map();
		MapIds after = map_ids();
		after["ax_egress"] = before.at("ax_egress"); // may have been left for this command
		EXPECT_EQ(after, before) << "and forgets nothing";
		EXPECT_EQ(whole_with(one, other), now_other);
		if (fate.ended || testing::Test::HasFailure() || write > 1000)
			break;
		other_runs = now_other;
	}
	std::printf("%d writes; %d times something was left to mend\n", write, mended);
	EXPECT_GT(mended, 20 / step);
}

} // namespace

TEST(ResetFlows, KilledAtAnyWriteTheNextCommandMakesItWhole)
{
	in_lab([] {
		make_veth();
		expect_killed_anywhere_is_mended(
			[](const Config &config) { return apply_reset(config).has_value(); });
	});
}

// Here the hook is changed by a message to the kernel.
TEST(ResetFlows, KilledAtAnyWriteByNetlinkTheNextCommandMakesItWhole)
{
	in_lab([] {
		make_veth();
		force_absent("xdp_link");
		expect_killed_anywhere_is_mended([](const Config &config) {
			return attach(kPaths, "dev0", config, kReset).has_value();
		});
	});
}

// Here both programs are on the hook for a while, and the control record says which one acts.
TEST(ResetFlows, KilledAtAnyWriteBesideOthersTheNextCommandMakesItWhole)
{
	if (!has_feature("dispatcher"))
		GTEST_SKIP() << "this kernel takes no extension with global functions";
	in_lab([] {
		const rlimit many{65536, 65536}; // libxdp 1.3 leaves some open whenever it is asked
		ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &many), 0);
		const Wire wire;
		const Chained first(wire.dev0, 20), last(wire.dev0, 90);
		wire.here.run([] {
			expect_killed_anywhere_is_mended([](const Config &config) {
				return apply_reset(config).has_value();
			});
		});
	});
}

} // namespace anycast::test
