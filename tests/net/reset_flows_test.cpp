// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Flow tables of another size, by --reset-flows: which maps are others then, that everything else
// stays, and what is said of it.
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "kernel/features.h"
#include "kernel/mark_reader.h"
#include "net/reset_flows.h"
#include "net/wire.h"
#include "support/loss_lab.h"

namespace anycast::test {

namespace {

using testing::AllOf;
using testing::Contains;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

bool is_reset_group(const std::string &map, std::string_view group)
{
	return std::ranges::any_of(map_shapes({}), [&](const MapShape &shape) {
		return shape.name == map && reset_group(shape) == group;
	});
}

// Which maps are others now: those of this group, and no more.
void expect_only_new(const MapIds &before, std::string_view group)
{
	const MapIds after = map_ids();
	ASSERT_EQ(before.size(), after.size());
	for (const auto &[name, id] : after)
		EXPECT_EQ(id != before.at(name), is_reset_group(name, group)) << name;
	EXPECT_THAT(entries_of(pin_directory(kPaths, "dev0")), Not(Contains(EndsWith("_new"))));
	expect_one_set_of_maps();
}

constexpr std::uint32_t kSomeVip = 0;

void count_something()
{
	const std::vector<ax_traffic> values(static_cast<std::size_t>(libbpf_num_possible_cpus()),
					     ax_traffic{7, 700, 0});
	ASSERT_TRUE(opened().dataplane.map("ax_vip_ctr").update(&kSomeVip, values.data()));
}

std::uint64_t counted_packets()
{
	return opened().dataplane.vip_counters()->at(kSomeVip).packets;
}

} // namespace

TEST(ResetFlows, IsRefusedUnlessAskedFor)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		const MapIds before = map_ids();
		Config v6 = kSmall, marks = kSmall;
		v6.limits.flows_v6 = 8192;
		marks.limits.marked_flows = 99;
		for (const Config &config : {with_flows(65536), v6, marks})
			for (const Error &error :
			     {refused(config), apply(kPaths, "dev0", config).error()}) {
				EXPECT_EQ(error.kind, Exit::kUsage);
				EXPECT_THAT(error.hint, HasSubstr("--reset-flows"));
			}
		Config pools = with_flows(65536);
		pools.limits.pools = 17;
		for (const Error &error : {refused(pools, kReset), apply_reset(pools).error()}) {
			EXPECT_THAT(error.what, HasSubstr("[limits] pools is 16"));
			EXPECT_THAT(error.hint, HasSubstr("detach"));
		}
		EXPECT_EQ(map_ids(), before);
		EXPECT_EQ(opened().applied.config, kSmall);
	});
}

TEST(ResetFlows, MakesTheFlowTablesAnewAndNothingElse)
{
	in_lab([] {
		make_veth();
		const AttachReport first = attached("dev0");
		count_something();
		const MapIds before = map_ids();

		const ApplyReport applied = reset_to(with_flows(65536));
		EXPECT_THAT(applied.forgotten, testing::ElementsAre("flows"));
		EXPECT_TRUE(applied.changed);
		EXPECT_NE(hook_of("dev0").program_id, first.attached.program_id);
		expect_only_new(before, "flows");
		EXPECT_EQ(opened().dataplane.sizes().buckets4,
			  sizes_for(with_flows(65536).limits, possible_cpus()).buckets4);
		EXPECT_EQ(opened().applied.config, with_flows(65536));
		EXPECT_EQ(counted_packets(), 7U * static_cast<unsigned>(possible_cpus()));

		const MapIds middle = map_ids();
		const AttachReport back = attached("dev0", kSmall, kReset);
		EXPECT_THAT(back.forgotten, testing::ElementsAre("flows"));
		EXPECT_TRUE(back.replaced);
		expect_only_new(middle, "flows");
		EXPECT_EQ(back.sizes.bytes, first.sizes.bytes);
		EXPECT_EQ(counted_packets(), 7U * static_cast<unsigned>(possible_cpus()));
		ASSERT_TRUE(detach(kPaths, "dev0"));
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(ResetFlows, OfTheSameSizeForgetsNothing)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		const MapIds before = map_ids();
		EXPECT_THAT(attached("dev0", kSmall, kReset).forgotten, testing::IsEmpty());
		EXPECT_FALSE(reset_to(kSmall).changed);
		// What is rounded up to the same table is no other table, flag or not.
		const Config fewer = with_flows(1023);
		EXPECT_TRUE(apply(kPaths, "dev0", fewer));
		EXPECT_EQ(opened().applied.config, fewer);
		EXPECT_THAT(attached("dev0", kSmall).forgotten, testing::IsEmpty());
		EXPECT_EQ(map_ids(), before);
	});
}

TEST(ResetFlows, WorksByNetlinkAndWithoutARecord)
{
	in_lab([] {
		make_veth();
		force_absent("xdp_link");
		attached("dev0");
		const MapIds before = map_ids();
		std::filesystem::remove_all(kPaths.state);
		attached("dev0", with_flows(4096), kReset);
		expect_only_new(before, "flows");
		EXPECT_EQ(opened().applied.config, with_flows(4096));
	});
}

// The agent, whose group `attach` has given the pins to, does not lose sight of them meanwhile.
TEST(ResetFlows, WhoMayOpenTheOldTablesMayOpenTheNew)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		const std::string pins = pin_directory(kPaths, "dev0");
		sh("chgrp 65534 " + pins + "/* && chmod 0660 " + pins + "/*");
		reset_to(with_flows(65536));
		for (const std::string &name : entries_of(pins)) {
			struct stat info {};
			ASSERT_EQ(::stat((pins + "/" + name).c_str(), &info), 0);
			EXPECT_EQ(info.st_gid, 65534U) << name;
			EXPECT_EQ(info.st_mode & 07777, 0660U) << name;
		}
	});
}

// What was marked is comparable from now on only; by flow and by service alike.
TEST(ResetFlows, OfMarksBeginsToMarkAnew)
{
	in_lab([] {
		make_veth();
		Config config = kSmall;
		config.marking = true;
		config.vips[0].forward = AX_FORWARD_GUE;
		attached("dev0", config);
		if (!opened().dataplane.optional_map("ax_mark"))
			GTEST_SKIP() << "the legacy build marks nothing";
		const MapIds before = map_ids();
		const std::int64_t began = mark_clock().now;
		config.limits.marked_flows = 77;
		EXPECT_THAT(reset_to(config).forgotten, testing::ElementsAre("marks"));
		expect_only_new(before, "marks");
		MarkReport report;
		ASSERT_TRUE(read_marks(opened().dataplane, mark_clock(), report, true));
		ASSERT_TRUE(report.sent.since && report.received.since);
		EXPECT_GE(*report.sent.since, began - 100);
		EXPECT_EQ(opened().dataplane.map("ax_mark").max_entries(), 77U);
	});
}

TEST(ResetFlows, WithoutMemoryForBothNothingChanges)
{
	in_lab([] {
		make_veth();
		const AttachReport report = attached("dev0");
		const MapIds before = map_ids();
		const Config huge = with_flows(1U << 31);
		AttachOptions dry = kReset;
		dry.dry_run = true;
		for (const Error &error :
		     {refused(huge, kReset), refused(huge, dry), apply_reset(huge).error()}) {
			EXPECT_THAT(error.what, HasSubstr("MiB"));
			EXPECT_THAT(error.hint, HasSubstr("would fit"));
		}
		EXPECT_EQ(map_ids(), before);
		EXPECT_EQ(hook_of("dev0").program_id, report.attached.program_id);
		EXPECT_EQ(opened().applied.config, kSmall);
		EXPECT_THAT(entries_of(pin_directory(kPaths, "dev0")),
			    Not(Contains(EndsWith("_new"))));
	});
}

// The configuration beside it does not fit, which shows when the newer program is on the hook.
TEST(ResetFlows, FailureLeavesEverythingAsItWas)
{
	in_lab([] {
		make_veth();
		const AttachReport report = attached("dev0");
		const MapIds before = map_ids();
		Instance instance = opened();
		Map &vips = instance.dataplane.map("ax_vip");
		for (std::uint32_t i = 0; i < vips.max_entries(); ++i) {
			ax_vip_key key{};
			key.addr.word[0] = i;
			key.half = 7;
			(void)vips.update(&key, &i);
		}
		const auto result = apply_reset(with_flows(65536, config_of(2, 1)));
		ASSERT_FALSE(result);
		EXPECT_THAT(result.error().what, HasSubstr("full"));
		EXPECT_EQ(map_ids(), before);
		EXPECT_EQ(hook_of("dev0").program_id, report.attached.program_id);
		EXPECT_EQ(opened().applied.config, kSmall);
		EXPECT_THAT(entries_of(pin_directory(kPaths, "dev0")),
			    Not(Contains(EndsWith("_new"))));
	});
}

// The tc program's own table goes by the size of the flow tables.
TEST(ResetFlows, GivesTheTcProgramItsTableToo)
{
	in_lab([] {
		LossLab lab({});
		const std::string config = std::string(kLabDir) + "/node.toml";
		std::stringstream text;
		text << std::ifstream(config).rdbuf();
		const auto entries = [&] {
			return lab.node.netns.run([] {
				return opened("eth0").dataplane.map("ax_egress").max_entries();
			});
		};
		const auto before = entries();
		std::ofstream(config, std::ios::app)
			<< "\n[limits]\nflows_v4 = 4096\nflows_v6 = 4096\n";
		lab.cli.expect(lab.node.netns,
			       {"attach", "eth0", "--reset-flows", "--config", config});
		EXPECT_NE(entries(), before);
		const auto pins = lab.node.netns.run(
			[] { return entries_of(pin_directory(kPaths, "eth0")); });
		EXPECT_THAT(pins, Not(Contains(EndsWith("_new"))));
		const auto status = lab.cli.ask(lab.node.netns, {"status"});
		EXPECT_TRUE(status.at("interfaces").at(0).at("egress").is_string());
		const Upload sent = upload(lab.client, lab.sink(), 1 << 20);
		EXPECT_TRUE(sent.ok) << sent.error;
		EXPECT_EQ(lab.read().of("s2c_lost").known, 1U);
	});
}

TEST(ResetFlows, TellsWhatItWouldDo)
{
	in_lab([] {
		const Wire wire;
		std::stringstream text;
		text << std::ifstream(wire.config).rdbuf();
		const std::string file = sized(text.str(), 0, "/run/lab/sized.toml");
		wire.cli.expect(wire.here, {"attach", "--config", wire.config});
		const auto before = wire.here.run([] { return map_ids(); });
		const auto told = [&](const Argv &arguments) {
			return wire.cli.expect(wire.here, arguments);
		};

		EXPECT_THAT(told({"apply", "--dry-run", "--reset-flows", file}).out,
			    AllOf(HasSubstr("would be changed"),
				  HasSubstr("flows_v4 524288 -> 16384"),
				  HasSubstr("would be forgotten: flows")));
		EXPECT_THAT(told({"attach", "--dry-run", "--reset-flows", "--config", file}).out,
			    HasSubstr("would be replaced, flows forgotten"));
		EXPECT_THAT(told({"plan", "--reset-flows", file}).out, HasSubstr(" MiB -> "));
		const Output refused = wire.cli.run(wire.here, {"apply", "--dry-run", file});
		EXPECT_EQ(refused.status, 2);
		EXPECT_THAT(refused.err, HasSubstr("--reset-flows"));
		EXPECT_THAT(wire.cli.run(wire.here, {"apply", "--host", "--reset-flows", file}).err,
			    HasSubstr("--host"));
		EXPECT_EQ(wire.here.run([] { return map_ids(); }), before);

		EXPECT_THAT(told({"apply", "--reset-flows", file}).out,
			    HasSubstr("\nforgotten: flows\n"));
		const Output again = told({"apply", "--reset-flows", file});
		EXPECT_THAT(again.out, HasSubstr("unchanged"));
		EXPECT_THAT(again.err, HasSubstr("no flow is forgotten"));
		EXPECT_THAT(told({"attach", "--reset-flows", "--config", file}).err,
			    HasSubstr("no flow is forgotten"));
	});
}

} // namespace anycast::test
