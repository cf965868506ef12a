// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Flow tables of another size, by --reset-flows: without a moment without a program, and everything
// but the flows stays.
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <map>

#include <bpf/libbpf.h>

#include "kernel/applying.h"
#include "kernel/egress.h"
#include "kernel/features.h"
#include "kernel/mark_reader.h"
#include "kernel/sizes.h"
#include "net/killed.h"
#include "net/wire.h"
#include "support/chained.h"
#include "support/loss_lab.h"
#include "support/traffic.h"

namespace anycast::test {

namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

constexpr AttachOptions kReset{.reset_flows = true};
using MapIds = std::map<std::string, std::uint32_t>;

Config with_flows(std::uint32_t flows_v4, Config config = kSmall)
{
	config.limits.flows_v4 = flows_v4;
	return config;
}

Result<ApplyReport> apply_reset(const Config &config)
{
	return apply(
		kPaths, "dev0", [&](const Applied &) -> Result<Config> { return config; }, true);
}

ApplyReport reset_to(const Config &config)
{
	auto report = apply_reset(config);
	if (!report)
		throw LabError("apply: " + report.error().message());
	return *report;
}

std::uint32_t id_of(const Map &map)
{
	bpf_map_info info{};
	std::uint32_t length = sizeof(info);
	if (bpf_obj_get_info_by_fd(map.fd(), &info, &length) != 0)
		throw LabError("a map has no id");
	return info.id;
}

// As who reads them finds them.
MapIds map_ids()
{
	MapIds ids;
	const Instance instance = opened();
	for (const auto &[name, map] : instance.dataplane.maps())
		ids[name] = id_of(map);
	return ids;
}

std::vector<std::uint32_t> maps_of_program(std::uint32_t id)
{
	const Fd program(bpf_prog_get_fd_by_id(id));
	std::vector<std::uint32_t> ids(128);
	bpf_prog_info info{};
	std::uint32_t length = sizeof(info);
	info.nr_map_ids = static_cast<std::uint32_t>(ids.size());
	info.map_ids = reinterpret_cast<std::uintptr_t>(ids.data());
	if (bpf_obj_get_info_by_fd(program.get(), &info, &length) != 0)
		throw LabError("a program tells nothing");
	ids.resize(info.nr_map_ids);
	return ids;
}

// What is read is what the program on the hook uses.
void expect_one_set_of_maps()
{
	const auto used = maps_of_program(hook_of("dev0").our_program_id);
	const MapIds read = map_ids();
	for (const MapShape &shape : map_shapes({})) {
		const auto found = read.find(std::string(shape.name));
		if (found != read.end() && !shape.egress) {
			EXPECT_THAT(used, Contains(found->second)) << shape.name;
		}
	}
}

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

namespace {

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

namespace {

int rounds(int number)
{
	return slowness() > 1 ? std::max(2, number / slowness()) : number;
}

// Files that ask for flow tables of two sizes in turn.
std::string sized(const std::string &text, int round, const std::string &path)
{
	std::ofstream(path) << text << "\n[limits]\nflows_v4 = " << (round % 2 ? 4096 : 16384)
			    << "\nflows_v6 = " << (round % 2 ? 16384 : 4096) << "\n";
	return path;
}

void reset_in_a_flood(const Wire &wire)
{
	std::stringstream text;
	text << std::ifstream(wire.config).rdbuf();
	for (int i = 0; i < rounds(6); i++) {
		const std::string file = sized(text.str(), i, "/run/lab/sized.toml");
		const json report = wire.cli.ask(wire.here, {"apply", "--reset-flows", file});
		EXPECT_EQ(report.at("interfaces").at(0).at("forgotten"), json{"flows"});
	}
}

} // namespace

TEST(ResetFlows, CountsEveryPacketOfAFloodOnce)
{
	in_lab([] {
		const Wire wire;
		wire.cli.expect(wire.here, {"attach", "--config", wire.config});
		const std::uint64_t before = wire.counted();
		const std::uint64_t sent = wire.flood([&] { reset_in_a_flood(wire); });
		EXPECT_GT(sent, 100U);
		EXPECT_TRUE(wait_until(milliseconds(5000),
				       [&] { return wire.counted() - before >= sent; }));
		EXPECT_EQ(wire.counted() - before, sent);
	});
}

TEST(ResetFlows, BesideOthersNoPacketIsNobodys)
{
	if (!has_feature("dispatcher"))
		GTEST_SKIP() << "this kernel takes no extension with global functions";
	in_lab([] {
		const Wire wire;
		const Chained first(wire.dev0, 20), last(wire.dev0, 90);
		wire.cli.expect(wire.here, {"attach", "--config", wire.config});
		const std::uint64_t before = wire.counted();
		const std::uint64_t at_first = first.packets(), at_last = last.packets();
		const std::uint64_t sent = wire.flood([&] { reset_in_a_flood(wire); });
		EXPECT_TRUE(wait_until(milliseconds(5000),
				       [&] { return first.packets() - at_first == sent; }));
		EXPECT_EQ(last.packets() - at_last, sent);
		EXPECT_GE(wire.counted() - before, sent) << "packets that nobody of ours saw";
		// Both see a packet that is on its way from one to the other.
		EXPECT_LE(wire.counted() - before, sent + static_cast<unsigned>(rounds(6)) * 4);
		wire.here.run([] { expect_one_set_of_maps(); });
	});
}

namespace {

constexpr std::uint16_t kDownloadPort = 43001;

// The flows that edge1 knows, by the client's port.
std::map<std::uint16_t, json> known_flows(const Cli &cli, const Node &edge)
{
	std::map<std::uint16_t, json> flows;
	const json answer = cli.ask(edge.netns, {"flows"});
	for (const json &flow : answer.at("flows"))
		flows[flow.at("flow").at("source_port")] = flow;
	return flows;
}

std::uint64_t steered_packets(const Cli &cli, const Node &edge)
{
	const json vips = cli.ask(edge.netns, {"vip", "list"}).at("interfaces").at(0).at("vips");
	return vips.at(0).at("packets");
}

// Ports of flows that send nothing any more.
std::vector<std::uint16_t> idle_flows(const Cli &cli, const Node &edge)
{
	std::vector<std::uint16_t> ports;
	for (const auto &[port, flow] : known_flows(cli, edge))
		if (port != kDownloadPort && flow.at("idle_ms") > 2000)
			ports.push_back(port);
	return ports;
}

} // namespace

TEST(ResetFlows, ConnectionsGoOn)
{
	in_lab([] {
		constexpr std::uint64_t kBytes = 8 << 20;
		Lab lab(kBytes);
		const Cli cli;
		const Node &edge = *lab.edges[0];
		lab.start_servers();
		cli.attach_all(lab);
		lab.route_to(edge);
		Requests requests(lab.client, kWww);
		SlowDownload download(lab.client, kWww,
				      (1 << 19) / static_cast<unsigned>(slowness()), kDownloadPort);
		ASSERT_TRUE(download.await_bytes(50000, milliseconds(10000)));
		const std::string text = edge_config(lab, edge);
		const json backend = known_flows(cli, edge)[kDownloadPort].at("backend");
		for (int i = 0; i < rounds(4); i++) {
			std::vector<std::uint16_t> idle;
			ASSERT_TRUE(wait_until(milliseconds(10000) * slowness(), [&] {
				idle = idle_flows(cli, edge);
				return !idle.empty();
			}));
			const std::uint64_t packets = steered_packets(cli, edge);
			cli.expect(edge.netns, {"apply", "--reset-flows",
						sized(text, i, "/run/lab/sized.toml")});
			EXPECT_GE(steered_packets(cli, edge), packets) << "counters go on";
			auto flows = known_flows(cli, edge);
			for (const std::uint16_t port : idle)
				EXPECT_FALSE(flows.contains(port)) << port << " was not forgotten";
			ASSERT_TRUE(wait_until(milliseconds(10000), [&] {
				flows = known_flows(cli, edge);
				return flows.contains(kDownloadPort) || download.bytes() == kBytes;
			}));
			if (flows.contains(kDownloadPort)) {
				EXPECT_EQ(flows[kDownloadPort].at("backend"), backend);
			}
			const json status = cli.ask(edge.netns, {"status"});
			const json &memory = status.at("interfaces").at(0).at("memory");
			EXPECT_EQ(memory.at("flows_v4"), i % 2 ? 4096 : 16384);
			EXPECT_EQ(memory.at("flows_v6"), i % 2 ? 16384 : 4096);
		}
		const Requests::Count count = requests.stop();
		EXPECT_EQ(count.bad, 0) << count.first_error;
		EXPECT_GT(count.good, 20);
		const Download got = download.finish();
		EXPECT_TRUE(got.ok) << got.error;
		EXPECT_EQ(sha256(lab.client, SlowDownload::kCopy), lab.big_sha256);
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
