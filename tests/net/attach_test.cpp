// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Attaching, replacing and detaching on real devices.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

#include <bpf/libbpf.h>

#include "kernel/features.h"
#include "net/attaching.h"
#include "support/kernel.h"

namespace anycast::test {

using testing::AllOf;
using testing::HasSubstr;

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
		// bpf_prog_info.verified_insns
		EXPECT_EQ(report.verified_instructions > 0, test::kernel_at_least(5, 16));
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

// Wherever a command is killed, what is on the wire stays, and the next command puts things right.
TEST(Attach, KilledAtAnyMomentItCanBeRunAgain)
{
	in_lab([] {
		make_veth();
		for (unsigned delay_us = 0; delay_us < 120000; delay_us += 6000) {
			const bool was_ours = hook_of("dev0").ours;
			const pid_t pid = ::fork();
			if (pid == 0) {
				attached("dev0", config_of(1 + delay_us / 6000 % 3, 2));
				::_exit(0);
			}
			::usleep(delay_us);
			::kill(pid, SIGKILL);
			::waitpid(pid, nullptr, 0);
			const Attached now = hook_of("dev0");
			EXPECT_TRUE(now.ours || (!was_ours && now.program_id == 0))
				<< "killed after " << delay_us << " us";
			if (delay_us % 18000 == 0 && now.ours) {
				EXPECT_TRUE(detach(kPaths, "dev0"));
			}
		}
		EXPECT_TRUE(attached("dev0").attached.ours);
		EXPECT_EQ(opened().applied.config, kSmall);
		EXPECT_TRUE(detach(kPaths, "dev0"));
		EXPECT_THAT(traces(), testing::IsEmpty());
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

TEST(Attach, FallsBackToGenericAndSaysSo)
{
	in_lab([] {
		sh("ip link add br0 type bridge && ip link set br0 up && ip addr add 10.1.0.1/24 "
		   "dev br0");
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

TEST(Attach, WorksAtAnMtuBeyondAPage)
{
	in_lab([] {
		make_veth();
		sh("ip link set dev0 mtu 9000 && ip link set dev1 mtu 9000");
		if (has_feature("xdp_frags")) {
			EXPECT_EQ(attached("dev0").attached.mode, XdpMode::kNative);
			ASSERT_TRUE(detach(kPaths, "dev0"));
		}
		force_absent("xdp_frags");
		const AttachReport report = attached("dev0");
		EXPECT_EQ(report.attached.mode, XdpMode::kGeneric);
		EXPECT_THAT(report.warnings, testing::Contains(HasSubstr("generic")));
		ASSERT_TRUE(detach(kPaths, "dev0"));
		EXPECT_THAT(traces(), testing::IsEmpty());
	});
}

// What attaching makes use of, then everything; each with those before it.
TEST(Attach, WorksWithoutEveryOptionalFeature)
{
	in_lab([] {
		make_veth();
		std::vector<std::vector<std::string_view>> rounds{{"mmap_array"},
								  {"xdp_link", "batch_ops"}};
		std::vector<std::string_view> &rest = rounds.emplace_back();
		for (const Feature &feature : features()) {
			if (!feature.required)
				rest.push_back(feature.name);
		}
		for (const auto &round : rounds) {
			for (const std::string_view name : round) {
				force_absent(name);
				EXPECT_FALSE(has_feature(name));
			}
			EXPECT_EQ(attached("dev0").attached.mode, XdpMode::kNative)
				<< "without " << round.front();
			EXPECT_TRUE(apply(kPaths, "dev0", config_of(1, 3))) << round.front();
			EXPECT_EQ(opened().dataplane.backend_counters()->size(), 128U);
			ASSERT_TRUE(detach(kPaths, "dev0"));
		}
		EXPECT_THAT(traces(), testing::IsEmpty());
		force_absent("fib_lookup");
		const Error error = refused();
		EXPECT_EQ(error.kind, Exit::kUnsupported);
		EXPECT_THAT(error.what, HasSubstr("fib_lookup"));
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

TEST(Attach, TenVipsWithHundredBackendsInASecond)
{
	in_lab([] {
		make_veth();
		Config config = config_of(10, 10);
		config.limits = {};
		const auto begin = std::chrono::steady_clock::now();
		attached("dev0", config);
		const std::chrono::duration<double> fresh =
			std::chrono::steady_clock::now() - begin;
		attached("dev0", config);
		const std::chrono::duration<double> both = std::chrono::steady_clock::now() - begin;

		std::printf("attach of 10 VIPs, 100 backends: %.3f s, again: %.3f s\n",
			    fresh.count(), (both - fresh).count());
		EXPECT_LT(fresh.count(), 1.0);
		EXPECT_LT((both - fresh).count(), 1.0);
	});
}

} // namespace anycast::test
