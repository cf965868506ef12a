// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Attaching, replacing and detaching on real devices, and what must not happen on the way.
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <linux/if_link.h>

#include "kernel/attachment.h"
#include "kernel/features.h"
#include "kernel/hook.h"
#include "kernel/pins.h"
#include "kernel/state.h"
#include "support/in_lab.h"

namespace anycast::test {

namespace {

using testing::AllOf;
using testing::HasSubstr;

const Paths kPaths;
const AttachOptions kAuto;

void sh(const std::string &command)
{
	if (std::system(command.c_str()) != 0)
		throw LabError("failed: " + command);
}

// dev0, up, with the address 10.1.0.1/24; its peer is dev1.
void make_veth()
{
	sh("ip link set lo up");
	sh("ip link add dev0 type veth peer name dev1");
	sh("ip link set dev0 up && ip link set dev1 up && ip addr add 10.1.0.1/24 dev dev0");
}

Config config_of(std::size_t vips, std::size_t backends_each)
{
	Config config;

	config.hash_seed = {1, 2};
	config.limits = {.flows_v4 = 1024, .flows_v6 = 1024, .vips = 16, .pools = 16, .backends = 128};
	for (std::size_t p = 0; p < vips; ++p) {
		Pool pool{.name = fmt::format("pool{}", p), .table_size = 65537, .backends = {}};
		for (std::size_t b = 0; b < backends_each; ++b) {
			Backend backend;
			backend.address = *Address::parse(fmt::format("10.1.0.{}", 10 + p * 16 + b));
			backend.name = backend.address.text();
			pool.backends.push_back(backend);
		}
		config.pools.push_back(pool);
		config.vips.push_back({.name = fmt::format("vip{}", p),
				       .address = *Address::parse(fmt::format("198.51.100.{}", p + 1)),
				       .port = 80,
				       .pool = pool.name});
	}
	return config;
}

const Config kSmall = config_of(1, 2);

AttachReport attached(const std::string &device, const Config &config = kSmall,
		      const AttachOptions &options = kAuto)
{
	auto report = attach(kPaths, device, config, options);
	if (!report)
		throw LabError("attach: " + report.error().message());
	return *report;
}

Error refused(const Config &config = kSmall, const AttachOptions &options = kAuto,
	      const std::string &device = "dev0")
{
	auto report = attach(kPaths, device, config, options);
	if (report)
		throw LabError("attach should have been refused");
	return report.error();
}

Instance opened(const std::string &device = "dev0")
{
	auto instance = open_instance(kPaths, device);
	if (!instance)
		throw LabError("open: " + instance.error().message());
	return std::move(*instance);
}

Attached hook_of(const std::string &device)
{
	auto attached = query(kPaths, device);
	if (!attached)
		throw LabError("query: " + attached.error().message());
	return *attached;
}

// Everything that attach may leave on the machine; the kernel's own files in bpffs aside.
std::vector<std::string> traces()
{
	namespace fs = std::filesystem;
	std::vector<std::string> found;

	for (const std::string &root : {kPaths.pins, kPaths.state}) {
		std::error_code ignored;
		for (const auto &entry : fs::recursive_directory_iterator(root, ignored))
			found.push_back(entry.path());
	}
	return found;
}

Fd foreign_program()
{
	const bpf_insn code[] = {
		{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, XDP_PASS},
		{BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
	};
	return Fd(bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign", "GPL", code, 2, nullptr));
}

} // namespace

TEST(Attach, IsNativeAndPinned)
{
	in_lab([] {
		make_veth();
		const AttachReport report = attached("dev0");

		EXPECT_EQ(report.attached.mode, XdpMode::kNative);
		EXPECT_TRUE(report.attached.ours);
		EXPECT_TRUE(report.attached.by_link);
		EXPECT_FALSE(report.replaced);
		EXPECT_EQ(report.generation, 1U);
		EXPECT_GT(report.verified_instructions, 0U);
		EXPECT_GT(report.sizes.bytes, 100'000U);
		EXPECT_EQ(hook_of("dev0").program_id, report.attached.our_program_id);

		const Instance instance = opened();
		EXPECT_EQ(instance.applied.config, kSmall);
		EXPECT_EQ(instance.applied.generation, 1U);
		EXPECT_EQ(instance.applied.digest, report.digest);
		EXPECT_EQ(*attached_interfaces(kPaths), std::vector<std::string>{"dev0"});
	});
}

TEST(Attach, AgainReplacesTheProgramAndKeepsTheMaps)
{
	in_lab([] {
		make_veth();
		const AttachReport first = attached("dev0");
		const std::uint32_t key = AX_R_NOT_VIP;
		{
			Instance instance = opened();
			Map &reasons = instance.dataplane.map("ax_reason");
			std::vector<ax_counter> values(
				static_cast<std::size_t>(libbpf_num_possible_cpus()), {7, 700});
			ASSERT_TRUE(reasons.update(&key, values.data()));
		}
		const AttachReport second = attached("dev0");

		EXPECT_TRUE(second.replaced);
		EXPECT_NE(second.attached.our_program_id, first.attached.our_program_id);
		EXPECT_EQ(hook_of("dev0").program_id, second.attached.our_program_id);
		EXPECT_EQ(second.generation, 1U) << "an equal configuration switches nothing";
		auto sum = opened().dataplane.map("ax_reason").sum(key);
		ASSERT_TRUE(sum);
		EXPECT_GE((*sum)[0], 7U * static_cast<unsigned>(libbpf_num_possible_cpus()));
	});
}

TEST(Attach, AgainWithAnotherConfigurationAppliesIt)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		const AttachReport report = attached("dev0", config_of(2, 3));

		EXPECT_EQ(report.generation, 2U);
		EXPECT_EQ(opened().applied.config, config_of(2, 3));
	});
}

TEST(Attach, AgainWithTheOtherRoleReplacesTheProgram)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		Config config = kSmall;
		config.edges = {*Address::parse("10.1.0.9")};
		const AttachReport report =
			attached("dev0", config, {.roles = AX_ROLE_EDGE | AX_ROLE_BACKEND});

		EXPECT_EQ(report.generation, 2U);
		EXPECT_EQ(opened().applied.roles, AX_ROLE_EDGE | AX_ROLE_BACKEND);
	});
}

TEST(Attach, SurvivesTheProcessThatMadeIt)
{
	in_lab([] {
		make_veth();
		const pid_t pid = ::fork();
		if (pid == 0) {
			attached("dev0");
			::raise(SIGKILL);
		}
		int status = 0;
		::waitpid(pid, &status, 0);
		ASSERT_TRUE(WIFSIGNALED(status));
		EXPECT_TRUE(hook_of("dev0").ours);
		EXPECT_EQ(opened().applied.generation, 1U);
	});
}

TEST(Attach, DetachLeavesNothing)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		const auto report = detach(kPaths, "dev0");

		ASSERT_TRUE(report) << report.error().message();
		EXPECT_TRUE(report->detached);
		EXPECT_TRUE(report->warnings.empty());
		EXPECT_EQ(hook_of("dev0").program_id, 0U);
		EXPECT_THAT(traces(), testing::IsEmpty());

		const auto again = detach(kPaths, "dev0");
		ASSERT_FALSE(again);
		EXPECT_EQ(again.error().kind, Exit::kNotAttached);
		const auto instance = open_instance(kPaths, "dev0");
		ASSERT_FALSE(instance);
		EXPECT_EQ(instance.error().kind, Exit::kNotAttached);
		EXPECT_THAT(instance.error().hint, HasSubstr("attach dev0"));
	});
}

TEST(Attach, DryRunChangesNothing)
{
	in_lab([] {
		make_veth();
		const AttachReport report = attached("dev0", kSmall, {.dry_run = true});

		EXPECT_GT(report.sizes.bytes, 0U);
		EXPECT_EQ(hook_of("dev0").program_id, 0U);
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(Attach, UnknownDeviceIsNamedBesideThoseThereAre)
{
	in_lab([] {
		make_veth();
		const Error error = refused(kSmall, kAuto, "eth7");

		EXPECT_EQ(error.kind, Exit::kUsage);
		EXPECT_THAT(error.what, HasSubstr("eth7"));
		EXPECT_THAT(error.hint, HasSubstr("dev0"));
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(Attach, FallsBackToGenericAndSaysSo)
{
	in_lab([] {
		sh("ip link add br0 type bridge && ip link set br0 up && ip addr add 10.1.0.1/24 dev br0");
		const AttachReport report = attached("br0");

		EXPECT_EQ(report.attached.mode, XdpMode::kGeneric);
		ASSERT_FALSE(report.warnings.empty());
		EXPECT_THAT(report.warnings[0],
			    AllOf(HasSubstr("native"), HasSubstr("br0"), HasSubstr("generic")));
		EXPECT_EQ(attached("br0").attached.mode, XdpMode::kGeneric);
		EXPECT_TRUE(detach(kPaths, "br0"));

		const Error error = refused(kSmall, {.mode = "native"}, "br0");
		EXPECT_EQ(error.kind, Exit::kUnsupported);
		EXPECT_THAT(error.hint, HasSubstr("--mode generic"));
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(Attach, RefusesAnotherModeWhileAttached)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		const Error error = refused(kSmall, {.mode = "generic"});

		EXPECT_THAT(error.what, HasSubstr("native"));
		EXPECT_THAT(error.hint, HasSubstr("detach dev0"));
		EXPECT_EQ(opened().attached.mode, XdpMode::kNative);
	});
}

TEST(Attach, BackendRoleWantsEdges)
{
	in_lab([] {
		make_veth();
		const Error error = refused(kSmall, {.roles = AX_ROLE_BACKEND});

		EXPECT_EQ(error.kind, Exit::kUsage);
		EXPECT_THAT(error.what, HasSubstr("[tunnel] edges"));
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(Attach, ForeignProgramStaysUnlessEvicted)
{
	in_lab([] {
		make_veth();
		const Fd foreign = foreign_program();
		const int ifindex = hook_of("dev0").ifindex;
		ASSERT_EQ(bpf_xdp_attach(ifindex, foreign.get(), XDP_FLAGS_DRV_MODE, nullptr), 0);

		const Error error = refused();
		EXPECT_THAT(error.what, HasSubstr("foreign"));
		EXPECT_THAT(error.hint, HasSubstr("--replace"));
		EXPECT_EQ(hook_of("dev0").program_id, hook::program_id(foreign.get()));
		EXPECT_THAT(traces(), testing::IsEmpty());

		const AttachReport report = attached("dev0", kSmall, {.replace_foreign = true});
		EXPECT_TRUE(report.attached.ours);
		EXPECT_FALSE(report.attached.by_link);
		EXPECT_TRUE(attached("dev0").replaced) << "by netlink, too, an upgrade is a replacement";
		ASSERT_TRUE(detach(kPaths, "dev0"));
		EXPECT_EQ(hook_of("dev0").program_id, 0U);
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(Attach, ForeignLinkIsItsOwnersAlone)
{
	in_lab([] {
		make_veth();
		const Fd foreign = foreign_program();
		LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
		const Fd link(bpf_link_create(foreign.get(), hook_of("dev0").ifindex, BPF_XDP, &options));
		ASSERT_TRUE(link.valid());

		const Error error = refused(kSmall, {.replace_foreign = true});
		EXPECT_THAT(error.what, HasSubstr("link"));
		EXPECT_THAT(error.hint, HasSubstr("bpftool link show"));
		EXPECT_EQ(hook_of("dev0").program_id, hook::program_id(foreign.get()));
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(Attach, WorksByNetlinkWhereThereAreNoLinks)
{
	in_lab([] {
		make_veth();
		force_absent("xdp_link");
		EXPECT_FALSE(attached("dev0").attached.by_link);
		EXPECT_TRUE(attached("dev0").replaced);
		ASSERT_TRUE(detach(kPaths, "dev0"));
		EXPECT_EQ(hook_of("dev0").program_id, 0U);
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(Attach, SaysThatBpffsIsNotMounted)
{
	in_lab([] {
		make_veth();
		ASSERT_EQ(::umount("/sys/fs/bpf"), 0);
		EXPECT_THAT(refused().hint, HasSubstr("mount -t bpf"));
		EXPECT_EQ(hook_of("dev0").program_id, 0U);
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(Attach, NamesAPinnedMapThatIsNotOurs)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		const std::uint32_t before = hook_of("dev0").program_id;
		const std::string pin = pin_directory(kPaths, "dev0") + "/ax_pool";
		const Fd other(bpf_map_create(BPF_MAP_TYPE_ARRAY, "other", 4, 24, 3, nullptr));
		ASSERT_EQ(::unlink(pin.c_str()), 0);
		ASSERT_EQ(bpf_obj_pin(other.get(), pin.c_str()), 0);

		EXPECT_THAT(refused().what, AllOf(HasSubstr("ax_pool"), HasSubstr("24 bytes")));
		const auto instance = open_instance(kPaths, "dev0");
		ASSERT_FALSE(instance);
		EXPECT_THAT(instance.error().what, HasSubstr("ax_pool"));
		EXPECT_EQ(hook_of("dev0").program_id, before);
		EXPECT_TRUE(detach(kPaths, "dev0"));
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(Attach, RefusesOtherLimitsWhileAttached)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		Config config = kSmall;
		config.limits.flows_v4 = 65536;

		for (const Error &error : {refused(config), apply(kPaths, "dev0", config).error()}) {
			EXPECT_EQ(error.kind, Exit::kUsage);
			EXPECT_THAT(error.what, AllOf(HasSubstr("flows_v4"), HasSubstr("1024"),
						      HasSubstr("65536")));
			EXPECT_THAT(error.hint, HasSubstr("detach"));
		}
		EXPECT_EQ(opened().applied.config, kSmall);
	});
}

TEST(Attach, NamesTheFlowTableThatWouldFit)
{
	in_lab([] {
		make_veth();
		Config config = kSmall;
		config.limits.flows_v4 = 1U << 31;
		const Error error = refused(config);

		EXPECT_THAT(error.what, HasSubstr("MiB"));
		EXPECT_THAT(error.hint, HasSubstr("flows_v4 = "));
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(Attach, ClearsWhatADeviceThatWentAwayLeft)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		sh("ip link del dev0");
		EXPECT_EQ(open_instance(kPaths, "dev0").error().kind, Exit::kNotAttached);
		make_veth();
		EXPECT_EQ(open_instance(kPaths, "dev0").error().kind, Exit::kNotAttached);

		const AttachReport report = attached("dev0");
		EXPECT_FALSE(report.replaced);
		EXPECT_THAT(report.warnings, testing::Contains(HasSubstr("left-overs")));
		sh("ip link del dev0");
		EXPECT_TRUE(detach(kPaths, "dev0"));
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(Attach, KnowsARenamedDevice)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		sh("ip link set dev0 down && ip link set dev0 name wan0 && ip link set wan0 up");
		EXPECT_THAT(refused(kSmall, kAuto, "wan0").hint, HasSubstr("detach dev0"));
		EXPECT_TRUE(detach(kPaths, "dev0"));
		EXPECT_EQ(hook_of("wan0").program_id, 0U);
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(Attach, RefusesPinsOfAnotherAbi)
{
	in_lab([] {
		make_veth();
		const std::string other =
			fmt::format("{}/v{}/{}/dev0/x", kPaths.pins, AX_ABI_VERSION + 1, netns_name());
		ASSERT_TRUE(make_directories(other));
		EXPECT_THAT(refused().what, AllOf(HasSubstr("ABI v2"), HasSubstr("v1")));
	});
}

TEST(Attach, GoesOnWithoutItsRecord)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		std::filesystem::remove_all(kPaths.state);
		const auto instance = open_instance(kPaths, "dev0");
		ASSERT_FALSE(instance);
		EXPECT_THAT(instance.error().hint, HasSubstr("attach"));

		const AttachReport report = attached("dev0");
		EXPECT_TRUE(report.replaced);
		// Nobody knows whom the old ids named: the new names must not be taken for them.
		EXPECT_EQ(opened().applied.ids.backends[0].gen, 2U);
	});
}

TEST(Attach, FullDiskLeavesNothingBehind)
{
	in_lab([] {
		make_veth();
		ASSERT_TRUE(make_directories(kPaths.state));
		ASSERT_EQ(::mount("tmpfs", kPaths.state.c_str(), "tmpfs", 0, "nr_blocks=1"), 0);
		const Error error = refused();
		EXPECT_THAT(error.what, HasSubstr("No space left"));
		EXPECT_EQ(hook_of("dev0").program_id, 0U);
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(Attach, TwoCommandsDoNotMix)
{
	in_lab([] {
		const auto held = state::Lock::take("/run/some/state");
		ASSERT_TRUE(held);
		const auto second = state::Lock::take("/run/some/state", 0.1);
		ASSERT_FALSE(second);
		EXPECT_THAT(second.error().what, HasSubstr(std::to_string(::getpid())));
	});
}

TEST(Attach, TenVipsWithHundredBackendsInASecond)
{
	in_lab([] {
		make_veth();
		Config config = config_of(10, 10);
		config.limits = {};
		const auto begin = std::chrono::steady_clock::now();
		attached("dev0", config);
		const std::chrono::duration<double> fresh = std::chrono::steady_clock::now() - begin;
		attached("dev0", config);
		const std::chrono::duration<double> both = std::chrono::steady_clock::now() - begin;

		std::printf("attach of 10 VIPs, 100 backends: %.3f s, again: %.3f s\n", fresh.count(),
			    (both - fresh).count());
		EXPECT_LT(fresh.count(), 1.0);
		EXPECT_LT((both - fresh).count(), 1.0);
	});
}

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
		EXPECT_EQ(std::memcmp(slots->data(), slots_after->data(), 65537 * sizeof(ax_slot)), 0);
		EXPECT_THAT(entries_of(state_directory(kPaths, "dev0")),
			    testing::UnorderedElementsAre("lock", "generation-1.json"));
	});
}

TEST(Apply, WarnsOfBackendsThatCannotBeReached)
{
	in_lab([] {
		make_veth();
		sh("ip link add br0 type bridge && ip link set br0 up && ip addr add 10.9.0.1/24 dev br0");
		Config config = kSmall;
		config.pools[0].backends[0].address = *Address::parse("203.0.113.1");
		config.pools[0].backends[1].address = *Address::parse("10.9.0.2");
		const AttachReport report = attached("dev0", config);

		EXPECT_THAT(report.warnings,
			    testing::Contains(AllOf(HasSubstr("203.0.113.1"), HasSubstr("no_route"))));
		EXPECT_THAT(report.warnings,
			    testing::Contains(AllOf(HasSubstr("10.9.0.2"), HasSubstr("bridge"))));
	});
}

} // namespace anycast::test
