// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// This build and others of the same command on one interface: the release before it, and one whose
// maps are laid out otherwise. upgrade_test.cpp has the same with TCP.
#include "net/releases.h"

#include <gmock/gmock.h>

#include "kernel/features.h"
#include "net/wire.h"
#include "support/chained.h"

namespace anycast::test {

namespace {

using testing::AllOf;
using testing::HasSubstr;

std::uint64_t rounds()
{
	return slowness() > 1 ? 1 : 3;
}

// Previous, this, previous, this ...
std::uint64_t flood_while_builds_replace_each_other(const Wire &wire)
{
	return wire.flood([&] {
		for (std::uint64_t i = 0; i < rounds(); i++) {
			wire.replace_by(previous_release());
			wire.replace_by(wire.cli);
		}
	});
}

} // namespace

TEST(Releases, ReplaceEachOtherAndEveryPacketIsCountedOnce)
{
	AX_NEED_PREVIOUS_RELEASE();
	in_lab([] {
		const Wire wire;
		wire.cli.expect(wire.here, {"attach", "--config", wire.config});
		const std::uint64_t before = wire.counted();
		const std::uint64_t sent = flood_while_builds_replace_each_other(wire);
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
		const std::uint64_t sent = flood_while_builds_replace_each_other(wire);
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
