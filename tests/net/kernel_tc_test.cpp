// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Programs of others behind ours, at the kernel's tc hooks: they see what ours passes, and nothing
// of what it drops.
#include <optional>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>

#include "kernel/features.h"
#include "net/attaching.h"
#include "support/netns.h"
#include "support/packet.h"
#include "support/process.h"
#include "support/raw_sender.h"

namespace anycast::test {

namespace {

constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46); // BPF_TCX_INGRESS (6.6)

Fd tc_program()
{
	const bpf_insn code[] = {
		{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, -1}, // go on with the next
		{BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
	};
	Fd program(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "behind", "GPL", code, 2, nullptr));
	if (!program.valid())
		throw LabError("a tc program does not load");
	return program;
}

std::uint64_t runs_of(const Fd &program)
{
	bpf_prog_info info{};
	std::uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(program.get(), &info, &size))
		throw LabError("no information of the tc program");
	return info.run_cnt;
}

// `attach_behind` puts the program on dev0's ingress.
void sees_what_ours_passes(const std::function<void(const Fd &program, int dev0)> &attach_behind)
{
	const Netns here("here");
	const LinkEnd dev1{here, "dev1"};
	std::optional<RawSender> sender;

	here.run([] {
		make_veth();
		sh("sysctl -qw net.ipv6.conf.dev0.disable_ipv6=1 "
		   "net.ipv6.conf.dev1.disable_ipv6=1");
	});
	sender.emplace(dev1);
	here.run([&] {
		const Fd counting(bpf_enable_stats(BPF_STATS_RUN_TIME));
		const Fd program = tc_program();
		ASSERT_TRUE(counting.valid());
		attach_behind(program, static_cast<int>(if_nametoindex("dev0")));
		EXPECT_EQ(attached("dev0").attached.mode, XdpMode::kNative);

		const Packet fine =
			Eth{} / Ip4{.src = "10.1.0.9", .dst = "10.1.0.1"} / Udp{.dport = 9};
		const Packet bad = Eth{} / Ip4{.src = "10.1.0.9", .dst = "10.1.0.1"} /
				   Tcp{.flags = kSyn | kFin};
		const std::uint64_t before = runs_of(program);
		for (int i = 0; i < 100; i++) {
			sender->send(fine.bytes());
			sender->send(bad.bytes());
		}
		EXPECT_TRUE(wait_until(milliseconds(2000),
				       [&] { return runs_of(program) - before >= 100; }));
		EXPECT_LT(runs_of(program) - before, 120U) << "ours drops the bad ones";
		ASSERT_TRUE(detach(kPaths, "dev0"));
	});
}

} // namespace

TEST(KernelTc, ClsactSeesWhatOursPasses)
{
	const auto add_clsact = [] {
		const Netns probe("probe");
		return run(probe, {"tc", "qdisc", "add", "dev", "lo", "clsact"}).status;
	};
	if (run_isolated(add_clsact) != 0)
		GTEST_SKIP() << "this kernel has no clsact";
	in_lab([] {
		sees_what_ours_passes([](const Fd &program, int dev0) {
			LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = dev0,
				    .attach_point = BPF_TC_INGRESS);
			LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program.get());
			ASSERT_EQ(bpf_tc_hook_create(&hook), 0) << "no clsact";
			ASSERT_EQ(bpf_tc_attach(&hook, &options), 0);
		});
	});
}

TEST(KernelTc, TcxSeesWhatOursPasses)
{
	if (!has_feature("tcx"))
		GTEST_SKIP() << "this kernel has no tcx";
	in_lab([] {
		std::optional<Fd> link;
		sees_what_ours_passes([&](const Fd &program, int dev0) {
			link.emplace(bpf_link_create(program.get(), dev0, kTcxIngress, nullptr));
			ASSERT_TRUE(link->valid());
		});
	});
}

} // namespace anycast::test
