// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the benchmark says of its figures, and when it says none.
#include <gtest/gtest.h>

#include "bench/machine.h"
#include "bench/report.h"

namespace anycast::bench {
namespace {

// The same values in each round, for 40 rounds.
Outcome outcome(double floor, double proxy, double ours, double required)
{
	const auto series = [](const char *name, double ns) {
		return Series{name, std::vector<double>(40, ns)};
	};
	return {"tcp4-1",
		"a case",
		Requirement{required, 95, 134},
		true,
		{series(kFloor, floor), series(kProxy, proxy), series(kOurs, ours)}};
}

Summary around(double median, double reach)
{
	return {median - reach,	    median - reach / 2, median,
		median + reach / 2, median - reach / 4, median + reach / 4};
}

TEST(Bench, PassesAndMissesWhereTheBoundsLieOnOneSide)
{
	EXPECT_EQ(judge(around(2.0, 0.2), 1.9), Verdict::kPass);
	EXPECT_EQ(judge(around(2.0, 0.2), 2.1), Verdict::kMiss);
	EXPECT_EQ(judge(around(2.0, 0.2), 2.02), Verdict::kClose);
	EXPECT_EQ(judge(around(2.0, 1.3), 1.0), Verdict::kNoisy);
}

TEST(Bench, SummaryHoldsTheMedianBetweenItsBounds)
{
	std::vector<double> values;
	for (int i = 101; i > 0; --i)
		values.push_back(i);
	const Summary s = summarise(values);

	EXPECT_EQ(s.best, 1);
	EXPECT_EQ(s.median, 51);
	EXPECT_EQ(s.lower, 26);
	EXPECT_EQ(s.upper, 76);
	// ranks 40 and 61: the binomial distribution of 101 tosses, 95 %
	EXPECT_NEAR(s.low95, 41, 1);
	EXPECT_NEAR(s.high95, 61, 1);
}

TEST(Bench, RatioIsTakenWithTheFloorWithoutItAndWithKatrans)
{
	const Row row = row_of(outcome(50, 150, 75, 1.8));

	EXPECT_DOUBLE_EQ(row.ratio->median, 2.0);
	EXPECT_DOUBLE_EQ(row.bare->median, 4.0);
	EXPECT_DOUBLE_EQ(row.level->median, 124.0 / 49.0);
	EXPECT_EQ(row.verdict, Verdict::kPass);
	EXPECT_DOUBLE_EQ(*calibration(row), 100.0 / 110.0);
	EXPECT_DOUBLE_EQ(*against_katran(row), 134.0 / 49.0);
	EXPECT_EQ(row_of(outcome(50, 150, 75, 2.1)).verdict, Verdict::kMiss);
}

TEST(Bench, JudgesWhatAPartCosts)
{
	Outcome two = outcome(50, 150, 75, 1.8);
	two.series.push_back({"not tracked", std::vector<double>(40, 71)});
	two.series.push_back({"another build", std::vector<double>(40, 80)});
	two.variants = {{"not tracked", {}, 10}};
	Row row = row_of(two);

	ASSERT_EQ(row.pairs.size(), 2U);
	EXPECT_DOUBLE_EQ(row.pairs[0].difference.median, 4);
	EXPECT_EQ(verdict_of(row.pairs[0]), Verdict::kPass);
	EXPECT_DOUBLE_EQ(row.pairs[1].difference.median, -5);
	EXPECT_EQ(verdict_of(row.pairs[1]), Verdict::kNone);
	two.variants[0].limit = 3;
	row = row_of(two);
	EXPECT_EQ(verdict_of(row.pairs[0]), Verdict::kMiss);
	for (std::size_t i = 0; i < 40; i += 2)
		two.series[3].ns[i] = 73;
	EXPECT_EQ(verdict_of(row_of(two).pairs[0]), Verdict::kClose);

	const std::string text = text_of(row);
	EXPECT_NE(text.find("'not tracked': +4.0 ns [+4.0..+4.0], at most 3: MISS"),
		  std::string::npos)
		<< text;
	Report report;
	report.rows = {row};
	EXPECT_NE(markdown_of(report).find("| not tracked | 71 / 71 | 75 / 75 | "
					   "+4.0 [+4.0 to +4.0] | 3 | MISS |"),
		  std::string::npos)
		<< markdown_of(report);
	EXPECT_EQ(json_of(report)["cases"][0]["ours_less"]["not tracked"]["limit"], 3.0);
}

TEST(Bench, LeavesOutRoundsInWhichOthersHadTheCore)
{
	using Rounds = std::vector<std::size_t>;

	// Round i lies between probes i and i + 1.
	EXPECT_EQ(undisturbed({44, 41, 54, 42, 45}), (Rounds{0, 3}));
	EXPECT_EQ(undisturbed({54, 54, 54}), (Rounds{0, 1})) << "nothing better was seen";
	EXPECT_EQ(undisturbed({54, 54, 41}), Rounds{});
	EXPECT_EQ(undisturbed({41}), Rounds{});
	EXPECT_EQ(chosen({1, 2, 3, 4}, {0, 3}), (std::vector<double>{1, 4}));

	Outcome disturbed = outcome(50, 150, 75, 1.8);
	disturbed.rounds = {.tried = 60, .disturbed = 20, .left_out = true};
	Report report;
	report.rows = {row_of(disturbed)};
	EXPECT_NE(text_of(report.rows[0]).find("in 20 of 60 rounds, which are left out"),
		  std::string::npos);
	EXPECT_EQ(json_of(report)["cases"][0]["rounds"]["disturbed"], 20);
	EXPECT_NE(markdown_of(report).find("In 20 of 60 rounds others had the core"),
		  std::string::npos);
	disturbed.rounds = {.tried = 60, .disturbed = 50, .left_out = false};
	report.rows = {row_of(disturbed)};
	EXPECT_NE(text_of(report.rows[0]).find("in 50 of 60 rounds, which are not left out"),
		  std::string::npos);
	EXPECT_NE(markdown_of(report).find("Most rounds were disturbed, and are in: tcp4-1"),
		  std::string::npos);
}

TEST(Bench, SaysTooNoisyInsteadOfANumber)
{
	Outcome noisy = outcome(50, 150, 75, 1.8);
	for (std::size_t i = 0; i < 40; i += 2)
		noisy.series[2].ns[i] = 1234;
	Report report;
	report.rows.push_back(row_of(noisy));

	EXPECT_EQ(too_noisy(report), std::vector<std::string>{"tcp4-1"});
	const std::string text = text_of(report.rows[0]) + summary_of(report);
	EXPECT_NE(text.find("too noisy to conclude"), std::string::npos) << text;
	EXPECT_EQ(text.find("1234"), std::string::npos) << text;
	EXPECT_EQ(text.find("654"), std::string::npos) << text; // the median
	EXPECT_EQ(text.find("PASS"), std::string::npos) << text;
	EXPECT_FALSE(json_of(report)["cases"][0]["series"][kOurs].contains("median"));
	report.rows = {row_of(outcome(50, 150, 75, 1.8))};
	EXPECT_TRUE(too_noisy(report).empty());
}

TEST(Bench, ComparesWithAnEarlierRunLessEachOnesFloor)
{
	Report earlier, now;
	earlier.rows.push_back(row_of(outcome(50, 150, 75, 1.8)));
	now.rows.push_back(row_of(outcome(20, 120, 55, 1.8)));
	const nlohmann::json saved = nlohmann::json::parse(json_of(earlier).dump());

	EXPECT_NE(compared(now, saved).find("25       35      +10   SLOWER"), std::string::npos)
		<< compared(now, saved);
	EXPECT_NE(compared(earlier, saved).find("within the noise"), std::string::npos);
	now.rows = {row_of(outcome(50, 150, 70, 1.8))};
	EXPECT_NE(compared(now, saved).find("faster"), std::string::npos);
}

TEST(Bench, ALoadCountsAsOneRoundOfItsMedians)
{
	Contest all;
	add_load({.series = {{kFloor, {40, 41, 60}}, {kOurs, {70, 72, 90}}},
		  .rounds = {.tried = 5, .disturbed = 2, .left_out = true}},
		 all);
	add_load({.series = {{kFloor, {39}}, {kOurs, {75}}}, .rounds = {.tried = 1}}, all);

	ASSERT_EQ(all.series.size(), 2U);
	EXPECT_EQ(all.series[0].name, kFloor);
	EXPECT_EQ(all.series[0].ns, (std::vector<double>{41, 39}));
	EXPECT_EQ(all.series[1].ns, (std::vector<double>{72, 75}));
	EXPECT_EQ(all.rounds.tried, 6U);
	EXPECT_EQ(all.rounds.disturbed, 2U);
	EXPECT_TRUE(all.rounds.left_out);
	add_load({.series = {{kFloor, {50}}, {kOurs, {80}}},
		  .rounds = {.tried = 1, .disturbed = 1, .left_out = false}},
		 all);
	EXPECT_FALSE(all.rounds.left_out);
}

TEST(Bench, ChainsGoThroughEveryLineOnce)
{
	for (const std::size_t lines : {1, 2, 3, 1000, 4096}) {
		Chain chain(lines * 64);
		EXPECT_EQ(chain.bytes(), lines * 64);
		EXPECT_EQ(chain.cycle(), lines);
		EXPECT_GT(chain.ns_a_load(), 0);
	}
	EXPECT_EQ(Chain(0).cycle(), 1) << "one line at least";
}

TEST(Bench, ReportsMemoryHoweverMuchItVaried)
{
	Report report;
	report.memory = {{8 << 20, around(70, 60)}};
	ASSERT_TRUE(report.memory[0].ns.noisy());

	EXPECT_NE(summary_of(report).find("  8192 KB    10      40  100\n"), std::string::npos)
		<< summary_of(report);
	EXPECT_NE(markdown_of(report).find("| 8192 KB | 10 | 40–100 |\n"), std::string::npos);
	EXPECT_EQ(json_of(report)["memory"][0]["bytes"], 8 << 20);
	EXPECT_EQ(json_of(report)["memory"][0]["best"], 10);
}

TEST(Bench, RefusesWithoutRootAndWithoutJit)
{
	EXPECT_TRUE(may_measure(true, "1").has_value());
	EXPECT_TRUE(may_measure(true, "2").has_value());
	const auto user = may_measure(false, "1"), interpreted = may_measure(true, "0"),
		   none = may_measure(true, "");
	ASSERT_FALSE(user.has_value());
	EXPECT_NE(user.error().message().find("root"), std::string::npos);
	EXPECT_EQ(user.error().kind, Exit::kFailed);
	for (const auto &refused : {interpreted, none}) {
		ASSERT_FALSE(refused.has_value());
		EXPECT_NE(refused.error().message().find("bpf_jit_enable"), std::string::npos);
		EXPECT_EQ(refused.error().kind, Exit::kUnsupported);
	}
}

} // namespace
} // namespace anycast::bench
