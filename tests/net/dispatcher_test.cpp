// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Beside other XDP programs, under libxdp's dispatcher. Kernels that refuse programs of type ext
// skip this; the guests of tests/vm do not.
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <thread>

#include <bpf/libbpf.h>

#include "kernel/features.h"
#include "net/attaching.h"
#include "support/chained.h"
#include "support/netns.h"
#include "support/packet.h"
#include "support/process.h"
#include "support/raw_sender.h"

namespace anycast::test {

namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::uint64_t counted()
{
	std::uint64_t sum = 0;
	const auto counts = opened().dataplane.reasons();

	for (const ReasonCount &count : *counts)
		sum += count.packets;
	return sum;
}

class Dispatcher : public testing::Test {
protected:
	void SetUp() override
	{
		if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_EXT, nullptr) != 1)
			GTEST_SKIP() << "this kernel takes no BPF programs of type ext";
	}
};

// dev0 with xdp-filter and two counting programs; ours comes between these.
struct Crowd {
	Netns here{"here"};
	LinkEnd dev0{here, "dev0"}, dev1{here, "dev1"};
	std::optional<Chained> before, after;
	std::optional<RawSender> sender;

	Crowd()
	{
		here.run([&] {
			make_veth();
			sh("sysctl -qw net.ipv6.conf.dev0.disable_ipv6=1 "
			   "net.ipv6.conf.dev1.disable_ipv6=1");
			sh("xdp-filter load dev0 >/dev/null");
		});
		before.emplace(dev0, 20);
		after.emplace(dev0, 90);
		sender.emplace(dev1);
	}
	void send(const Packet &packet, int times) const
	{
		for (int i = 0; i < times; i++)
			sender->send(packet.bytes());
	}
	// False if the device's queue was full.
	[[nodiscard]] bool offer(const Packet &packet) const
	{
		try {
			sender->send(packet.bytes());
		} catch (const LabError &) {
			return false;
		}
		return true;
	}
};

std::uint64_t handovers()
{
	return slowness() > 1 ? 2 : 5;
}

void reattach()
{
	for (std::uint64_t i = 0; i < handovers(); i++) {
		Config config = kSmall;
		config.hash_seed[0] = i + 7;
		EXPECT_TRUE(attached("dev0", config).replaced);
	}
}

const Packet kFine = Eth{} / Ip4{.src = "10.1.0.9", .dst = "10.1.0.1"} / Udp{};
const Packet kBad = Eth{} / Ip4{.src = "10.1.0.9", .dst = "10.1.0.1"} / Tcp{.flags = kSyn | kFin};

} // namespace

TEST_F(Dispatcher, RunsBetweenOthersAndLeavesThem)
{
	if (!has_feature("dispatcher"))
		GTEST_SKIP() << "this kernel takes extension with global functions";
	in_lab([] {
		const Crowd crowd;
		crowd.here.run([&] {
			const AttachReport report = attached("dev0");
			EXPECT_TRUE(report.attached.ours);
			EXPECT_TRUE(report.attached.dispatcher);
			EXPECT_FALSE(report.attached.by_link);
			EXPECT_THAT(report.attached.chain,
				    ElementsAre(StartsWith("xdpfilt"), "chained", "anycast",
						"chained"));

			const std::uint64_t before = crowd.before->packets();
			const std::uint64_t after = crowd.after->packets();
			crowd.send(kFine, 100);
			crowd.send(kBad, 50);
			EXPECT_TRUE(
				wait_until(milliseconds(2000), [] { return counted() >= 150; }));
			EXPECT_EQ(counted(), 150U);
			EXPECT_EQ(crowd.before->packets() - before, 150U);
			EXPECT_EQ(crowd.after->packets() - after, 100U)
				<< "ours drops the bad ones";

			ASSERT_TRUE(detach(kPaths, "dev0"));
			EXPECT_THAT(hook_of("dev0").chain,
				    ElementsAre(StartsWith("xdpfilt"), "chained", "chained"));
			EXPECT_THAT(traces(), testing::Each(testing::Not(HasSubstr("anycast"))));
			crowd.send(kBad, 50);
			EXPECT_TRUE(wait_until(milliseconds(2000), [&] {
				return crowd.after->packets() - after == 150U;
			}));
		});
	});
}

// The agent looks as long as it runs, and libxdp leaves descriptors open when it is asked.
TEST_F(Dispatcher, MayBeLookedAtForEver)
{
	if (!has_feature("dispatcher"))
		GTEST_SKIP() << "this kernel takes extension with global functions";
	in_lab([] {
		const Crowd crowd;
		crowd.here.run([&] {
			attached("dev0");
			EXPECT_TRUE(hook_of("dev0").ours);
			const auto open = [] {
				return std::distance(
					std::filesystem::directory_iterator("/proc/self/fd"),
					std::filesystem::directory_iterator());
			};
			const auto before = open();
			for (int i = 0; i < 20; i++)
				EXPECT_TRUE(hook_of("dev0").ours);
			EXPECT_EQ(open(), before);
			// another takes its place
			attached("dev0");
			EXPECT_THAT(hook_of("dev0").chain,
				    ElementsAre(StartsWith("xdpfilt"), "chained", "anycast",
						"chained"));
			EXPECT_TRUE(hook_of("dev0").ours);
			ASSERT_TRUE(detach(kPaths, "dev0"));
			EXPECT_FALSE(hook_of("dev0").ours);
		});
	});
}

TEST_F(Dispatcher, HandsOverWithoutAPacketThatNobodyCounts)
{
	if (!has_feature("dispatcher"))
		GTEST_SKIP() << "this kernel takes extension with global functions";
	in_lab([] {
		const Crowd crowd;
		crowd.here.run([&] {
			attached("dev0");
			const std::uint64_t before = crowd.before->packets();
			const std::uint64_t after = crowd.after->packets();
			const std::uint64_t at_first = counted();
			std::uint64_t sent = 0;
			std::atomic<bool> enough = false;
			std::thread flood([&] {
				for (; !enough; leave_room())
					sent += crowd.offer(kFine) ? 1 : 0;
			});
			std::exception_ptr broken;
			try {
				reattach();
			} catch (...) {
				broken = std::current_exception();
			}
			enough = true;
			flood.join();
			if (broken)
				std::rethrow_exception(broken);
			EXPECT_TRUE(wait_until(
				milliseconds(5000),
				[&] { return crowd.before->packets() - before == sent; }))
				<< crowd.before->packets() - before << " of " << sent;
			EXPECT_EQ(crowd.after->packets() - after, sent);
			EXPECT_GE(counted() - at_first, sent) << "packets that nobody of ours saw";
			// Both see a packet that is on its way from one to the other.
			EXPECT_LE(counted() - at_first, sent + handovers() * 4);
			EXPECT_THAT(hook_of("dev0").chain,
				    ElementsAre(StartsWith("xdpfilt"), "chained", "anycast",
						"chained"));
		});
	});
}

// Kernels since 6.13 refuse ours a place in the dispatchers that libxdp makes before 1.5.5: then
// the other tool's command fails, and ours goes on.
TEST_F(Dispatcher, SurvivesWhatOtherToolsDoLater)
{
	if (!has_feature("dispatcher"))
		GTEST_SKIP() << "this kernel takes no extension with global functions";
	in_lab([] {
		const Crowd crowd;
		crowd.here.run([&] {
			attached("dev0");
			bool joined = true;
			try {
				const Chained later(crowd.dev0, 95);
			} catch (const LabError &error) {
				joined = false;
				std::printf("%s\n", error.what());
			}
			EXPECT_THAT(hook_of("dev0").chain, testing::SizeIs(joined ? 5 : 4));
			const std::uint64_t before = counted();
			crowd.send(kBad, 20);
			EXPECT_TRUE(wait_until(milliseconds(2000),
					       [&] { return counted() - before == 20; }));
			EXPECT_TRUE(attached("dev0").replaced);
			ASSERT_TRUE(detach(kPaths, "dev0"));
			EXPECT_THAT(hook_of("dev0").chain, testing::SizeIs(joined ? 4 : 3));
		});
	});
}

TEST_F(Dispatcher, RefusesToJoinWhereTheKernelCannot)
{
	in_lab([] {
		const Crowd crowd;
		crowd.here.run([&] {
			force_absent("dispatcher");
			const Error error = refused();
			EXPECT_EQ(error.kind, Exit::kUnsupported);
			EXPECT_THAT(error.what, HasSubstr("xdpfilt"));
			EXPECT_THAT(error.hint, HasSubstr("--replace"));
			EXPECT_THAT(hook_of("dev0").chain, testing::SizeIs(3));
		});
	});
}

} // namespace anycast::test
