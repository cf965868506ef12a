// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// This build and others of the same command on one interface: the release before it, and one whose
// maps are laid out otherwise. upgrade_test.cpp has the same with TCP.
#include "net/releases.h"

#include <atomic>
#include <fstream>
#include <functional>
#include <optional>
#include <thread>

#include <gmock/gmock.h>

#include "kernel/features.h"
#include "net/attaching.h"
#include "support/chained.h"
#include "support/packet.h"
#include "support/raw_sender.h"

namespace anycast::test {

namespace {

using testing::AllOf;
using testing::HasSubstr;

std::uint64_t rounds()
{
	return slowness() > 1 ? 1 : 3;
}

// dev0 here, and somebody who sends to it from dev1.
struct Wire {
	Netns here{"here"};
	LinkEnd dev0{here, "dev0"}, dev1{here, "dev1"};
	Cli cli;
	std::string config = "/run/lab/wire.toml";
	std::optional<RawSender> sender;

	Wire()
	{
		here.run([] {
			make_veth();
			sh("sysctl -qw net.ipv6.conf.dev0.disable_ipv6=1 "
			   "net.ipv6.conf.dev1.disable_ipv6=1");
		});
		std::ofstream(config) << "[node]\nname = \"wire\"\ninterfaces = [\"dev0\"]\n"
					 "roles = [\"edge\"]\n";
		sender.emplace(dev1);
	}
	[[nodiscard]] std::uint64_t counted() const { return cli.stats(here).packets; }
	void replace_by(const Cli &build) const
	{
		const auto report = build.ask(here, {"attach", "--config", config});
		EXPECT_EQ(report.at("interfaces").at(0).at("replaced"), true);
	}
	// Sends all the time while `body` runs; how many frames went out.
	[[nodiscard]] std::uint64_t flood(const std::function<void()> &body) const
	{
		const Packet packet = Eth{} / Ip4{.src = "10.1.0.9", .dst = "10.1.0.1"} / Udp{};
		std::atomic<bool> enough = false;
		std::uint64_t sent = 0;
		std::exception_ptr broken;
		std::thread sending([&] {
			for (; !enough; leave_room()) {
				try {
					sender->send(packet.bytes());
					sent++;
				} catch (const LabError &) { // the device's queue is full
				}
			}
		});
		try {
			body();
		} catch (...) {
			broken = std::current_exception();
		}
		enough = true;
		sending.join();
		if (broken)
			std::rethrow_exception(broken);
		return sent;
	}
	// Previous, this, previous, this ...
	[[nodiscard]] std::uint64_t flood_while_builds_replace_each_other() const
	{
		return flood([&] {
			for (std::uint64_t i = 0; i < rounds(); i++) {
				replace_by(previous_release());
				replace_by(cli);
			}
		});
	}
};

} // namespace

TEST(Releases, ReplaceEachOtherAndEveryPacketIsCountedOnce)
{
	AX_NEED_PREVIOUS_RELEASE();
	in_lab([] {
		const Wire wire;
		wire.cli.expect(wire.here, {"attach", "--config", wire.config});
		const std::uint64_t before = wire.counted();
		const std::uint64_t sent = wire.flood_while_builds_replace_each_other();
		EXPECT_GT(sent, 100U);
		EXPECT_TRUE(wait_until(milliseconds(5000),
				       [&] { return wire.counted() - before >= sent; }));
		EXPECT_EQ(wire.counted() - before, sent);
	});
}

TEST(Releases, ReplaceEachOtherBetweenForeignPrograms)
{
	AX_NEED_PREVIOUS_RELEASE();
	if (!has_feature("dispatcher"))
		GTEST_SKIP() << "this kernel takes no extension with global functions";
	in_lab([] {
		const Wire wire;
		const Chained first(wire.dev0, 20), last(wire.dev0, 90);
		wire.cli.expect(wire.here, {"attach", "--config", wire.config});
		const std::uint64_t before = wire.counted();
		const std::uint64_t at_first = first.packets(), at_last = last.packets();
		const std::uint64_t sent = wire.flood_while_builds_replace_each_other();
		EXPECT_GT(sent, 100U);
		EXPECT_TRUE(wait_until(milliseconds(5000),
				       [&] { return first.packets() - at_first == sent; }));
		EXPECT_EQ(last.packets() - at_last, sent);
		EXPECT_GE(wire.counted() - before, sent) << "packets that nobody of ours saw";
		// Both see a packet that is on its way from one to the other.
		EXPECT_LE(wire.counted() - before, sent + rounds() * 2 * 4);
	});
}

TEST(Releases, AnotherAbiIsRefusedAndChangesNothing)
{
	if (!std::getenv("AX_VM") && !other_abi().exists())
		GTEST_SKIP() << "no " << other_abi().binary() << ": make it first";
	in_lab([] {
		const Wire wire;
		const std::string speaks = fmt::format("v{}", AX_ABI_VERSION);
		const auto program = [&](const Cli &build) {
			return build.ask(wire.here, {"status"})
				.at("interfaces")
				.at(0)
				.at("program_id");
		};
		for (const auto &[mine, other] :
		     {std::pair(wire.cli, other_abi()), std::pair(other_abi(), wire.cli)}) {
			mine.expect(wire.here, {"attach", "--config", wire.config});
			const auto id = program(mine);
			const Output refused =
				other.run(wire.here, {"attach", "--config", wire.config});
			EXPECT_EQ(refused.status, 1);
			EXPECT_THAT(refused.err, AllOf(HasSubstr("dev0 was attached by a build "
								 "with ABI v"),
						       HasSubstr(speaks), HasSubstr("detach")));
			EXPECT_EQ(program(mine), id);
			mine.expect(wire.here, {"detach", "dev0"});
		}
	});
}

} // namespace anycast::test
