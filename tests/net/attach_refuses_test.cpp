// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What attach does not do, what it says then, and that nothing has changed.
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include "kernel/hook.h"
#include "kernel/program.h"
#include "kernel/state.h"
#include "net/attaching.h"

namespace anycast::test {

using testing::AllOf;
using testing::HasSubstr;

TEST(AttachRefuses, UnknownDeviceIsNamedBesideThoseThereAre)
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

TEST(AttachRefuses, RefusesAnotherModeWhileAttached)
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

TEST(AttachRefuses, BackendRoleWantsEdges)
{
	in_lab([] {
		make_veth();
		const Error error = refused(kSmall, {.roles = AX_ROLE_BACKEND});

		EXPECT_EQ(error.kind, Exit::kUsage);
		EXPECT_THAT(error.what, HasSubstr("[tunnel] edges"));
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(AttachRefuses, ForeignProgramStaysUnlessEvicted)
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
		EXPECT_TRUE(attached("dev0").replaced)
			<< "by netlink, too, an upgrade is a replacement";
		ASSERT_TRUE(detach(kPaths, "dev0"));
		EXPECT_EQ(hook_of("dev0").program_id, 0U);
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(AttachRefuses, ForeignLinkIsItsOwnersAlone)
{
	in_lab([] {
		make_veth();
		const Fd foreign = foreign_program();
		LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
		const Fd link(
			bpf_link_create(foreign.get(), hook_of("dev0").ifindex, BPF_XDP, &options));
		ASSERT_TRUE(link.valid());

		const Error error = refused(kSmall, {.replace_foreign = true});
		EXPECT_THAT(error.what, HasSubstr("link"));
		EXPECT_THAT(error.hint, HasSubstr("bpftool link show"));
		EXPECT_EQ(hook_of("dev0").program_id, hook::program_id(foreign.get()));
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(AttachRefuses, SaysThatBpffsIsNotMounted)
{
	in_lab([] {
		make_veth();
		int mounts = 0; // the lab's own, and what the machine had there before
		while (::umount("/sys/fs/bpf") == 0)
			++mounts;
		ASSERT_GE(mounts, 1);
		EXPECT_THAT(refused().hint, HasSubstr("mount -t bpf"));
		EXPECT_EQ(hook_of("dev0").program_id, 0U);
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

TEST(AttachRefuses, NamesAPinnedMapThatIsNotOurs)
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

TEST(AttachRefuses, RefusesOtherLimitsWhileAttached)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		Config config = kSmall;
		config.limits.flows_v4 = 65536;

		for (const Error &error :
		     {refused(config), apply(kPaths, "dev0", config).error()}) {
			EXPECT_EQ(error.kind, Exit::kUsage);
			EXPECT_THAT(error.what, AllOf(HasSubstr("flows_v4"), HasSubstr("1024"),
						      HasSubstr("65536")));
			EXPECT_THAT(error.hint, HasSubstr("detach"));
		}
		EXPECT_EQ(opened().applied.config, kSmall);
	});
}

TEST(AttachRefuses, NamesTheFlowTableThatWouldFit)
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

TEST(AttachRefuses, KnowsARenamedDevice)
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

TEST(AttachRefuses, RefusesPinsOfAnotherAbi)
{
	in_lab([] {
		make_veth();
		const std::string other = fmt::format("{}/v{}/{}/dev0/x", kPaths.pins,
						      AX_ABI_VERSION + 1, netns_name());
		ASSERT_TRUE(make_directories(other));
		EXPECT_THAT(refused().what, AllOf(HasSubstr("ABI v2"), HasSubstr("v1")));
	});
}

TEST(AttachRefuses, FullDiskLeavesNothingBehind)
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

TEST(AttachRefuses, TwoCommandsDoNotMix)
{
	in_lab([] {
		const auto held = state::Lock::take("/run/some/state");
		ASSERT_TRUE(held);
		const auto second = state::Lock::take("/run/some/state", 0.1);
		ASSERT_FALSE(second);
		EXPECT_THAT(second.error().what, HasSubstr(std::to_string(::getpid())));
	});
}

// Messages as an ordinary user sees them; the child's exit status says whether they were right.
TEST(AttachRefuses, TellsAnOrdinaryUserWhatIsMissing)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		const pid_t pid = ::fork();
		if (pid == 0) {
			if (::setresgid(65534, 65534, 65534) || ::setresuid(65534, 65534, 65534))
				::_exit(2);
			const auto opened = open_instance(kPaths, "dev0");
			EXPECT_THAT(opened.error().message(), HasSubstr("root is needed"));
			EXPECT_THAT(refused().message(), HasSubstr("root is needed"));
			EXPECT_THAT(Program::load({}).error().message(), HasSubstr("CAP_BPF"));
			::_exit(testing::Test::HasFailure() ? 1 : 0);
		}
		int status = 0;
		::waitpid(pid, &status, 0);
		EXPECT_EQ(status, 0);
	});
}

} // namespace anycast::test
