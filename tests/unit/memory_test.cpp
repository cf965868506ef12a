// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Tables that do not fit the memory are refused before anything is made of them.
#include <regex>

#include <gtest/gtest.h>

#include "kernel/sizes.h"

namespace anycast {
namespace {

TEST(Memory, TablesThatDoNotFitAreRefusedWithTheLargestThatDo)
{
	Limits limits;
	limits.flows_v4 = limits.flows_v6 = 1U << 31; // 400 GiB
	const auto refused = require_memory(limits, sizes_for(limits, possible_cpus()).bytes);
	if (refused)
		GTEST_SKIP() << "a machine with so much memory that 400 GiB of tables fit";
	EXPECT_EQ(refused.error().kind, Exit::kFailed);

	std::smatch room, fit;
	const std::string &what = refused.error().what, &hint = refused.error().hint;
	ASSERT_TRUE(std::regex_search(what, room, std::regex("and (\\d+) MiB of memory"))) << what;
	ASSERT_TRUE(std::regex_search(hint, fit,
				      std::regex("flows_v4 = (\\d+) and flows_v6 = (\\d+) would")))
		<< hint;
	const auto mib_for = [&](std::uint32_t times) {
		limits.flows_v4 = static_cast<std::uint32_t>(std::stoul(fit[1])) * times;
		limits.flows_v6 = static_cast<std::uint32_t>(std::stoul(fit[2])) * times;
		return sizes_for(limits, possible_cpus()).bytes >> 20;
	};
	EXPECT_LE(mib_for(1), std::stoul(room[1]));
	EXPECT_GE(mib_for(2), std::stoul(room[1])) << "more would have fitted";
}

TEST(Memory, TablesThatFitAreNotRefused)
{
	Limits limits;
	limits.flows_v4 = limits.flows_v6 = 1024;
	EXPECT_TRUE(require_memory(limits, sizes_for(limits, possible_cpus()).bytes).has_value());
}

} // namespace
} // namespace anycast
