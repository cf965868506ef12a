// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// lb_backend_lost beside what the line between edge and backend has really lost.
#include <gmock/gmock.h>

#include "support/in_lab.h"
#include "support/mark_lab.h"

namespace anycast::test {

namespace {

void expect_exact(const MarkConditions &conditions, std::uint64_t least_lost)
{
	const MarkOutcome outcome = MarkLab(conditions).run();
	const LineCounts &truth = outcome.truth;
	const auto services = outcome.of("services"), flows = outcome.of("flows");
	ASSERT_TRUE(services && flows) << outcome.join.dump(1);
	std::printf("%s%s: of %llu packets %llu lost, reported %llu of %llu; by flow %llu, "
		    "reported %llu\n",
		    conditions.forward.c_str(), conditions.six ? ", IPv6" : "",
		    static_cast<unsigned long long>(truth.segments),
		    static_cast<unsigned long long>(truth.first_lost + truth.again_lost),
		    static_cast<unsigned long long>(services->first),
		    static_cast<unsigned long long>(services->second),
		    static_cast<unsigned long long>(truth.first_lost),
		    static_cast<unsigned long long>(flows->first));
	for (const std::string &error : outcome.errors)
		ADD_FAILURE() << error;
	EXPECT_GE(truth.first_lost, least_lost);
	EXPECT_EQ(services->first, truth.first_lost + truth.again_lost);
	EXPECT_EQ(services->second, truth.segments);
	EXPECT_EQ(flows->first, truth.first_lost);
	EXPECT_EQ(flows->second, truth.first);
	EXPECT_EQ(outcome.join["flows"].size(), conditions.flows);
	EXPECT_EQ(outcome.join["services"][0]["vip"], conditions.six ? "sink6" : "sink");
}

MarkConditions losing(unsigned per_10000)
{
	MarkConditions conditions;
	conditions.line.lose_per_10000 = per_10000;
	return conditions;
}

} // namespace

TEST(Marks, OnePercentExactly)
{
	in_lab([] { expect_exact(losing(100), 50); });
}

TEST(Marks, FivePercentOfIp6Exactly)
{
	in_lab([] {
		MarkConditions conditions = losing(500);
		conditions.six = true;
		conditions.bytes = 2 << 20;
		expect_exact(conditions, 100);
	});
}

TEST(Marks, ATenthOfAPercentByIpipExactly)
{
	in_lab([] {
		MarkConditions conditions = losing(10);
		conditions.forward = "ipip";
		conditions.bytes = 8 << 20;
		expect_exact(conditions, 8);
	});
}

TEST(Marks, ReorderingIsNoLoss)
{
	in_lab([] {
		MarkConditions conditions;
		conditions.line.hold_per_10000 = 200;
		conditions.line.hold_us = 10000;
		expect_exact(conditions, 0);
	});
}

} // namespace anycast::test
