// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One packet that breaks each rule, and one that just does not.
#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "support/rule_rows.h"

namespace anycast::test {
namespace {

class OracleRuleTest : public testing::TestWithParam<RuleRow> {};

TEST_P(OracleRuleTest, HitDropsAndNearMissDoesNot)
{
	const auto &[rule, hit, near_miss] = GetParam();
	const GuardRules only = GuardRules::all(AX_ACTION_OFF).with(rule, AX_ACTION_DROP);
	EXPECT_EQ(guard_oracle(hit, only).verdict, rule) << hit;
	EXPECT_EQ(guard_oracle(near_miss, only).verdict, AX_CONTINUE) << near_miss;
	EXPECT_EQ(guard_oracle(near_miss).verdict, AX_CONTINUE) << "by default:\n" << near_miss;
}

TEST_P(OracleRuleTest, HitIsCountedAndNearMissIsNot)
{
	const RuleRow &row = GetParam();
	const GuardRules count = GuardRules::all(AX_ACTION_COUNT);
	const auto counted = [&](const Packet &packet) {
		const GuardVerdict verdict = guard_oracle(packet, count);
		EXPECT_EQ(verdict.verdict, AX_CONTINUE);
		return std::ranges::count(verdict.counted, row.rule);
	};
	EXPECT_EQ(counted(row.hit), 1) << row.hit;
	EXPECT_EQ(counted(row.near_miss), 0) << row.near_miss;
	const GuardRules off = GuardRules::all(AX_ACTION_OFF);
	EXPECT_TRUE(guard_oracle(row.hit, off).counted.empty());
}

INSTANTIATE_TEST_SUITE_P(Rules, OracleRuleTest, testing::ValuesIn(rule_rows()),
			 [](const auto &row) { return std::string(reason_label(row.param.rule)); });

// The program is never given one: a test run takes no frame below 14 bytes.
TEST(OracleTest, AFrameBelowItsEthernetHeaderIsTruncated)
{
	EXPECT_EQ(guard_oracle((Eth{} / Payload(0)).truncate(13)).verdict, AX_R_ETH_TRUNCATED);
	EXPECT_EQ(guard_oracle(Bytes{}).verdict, AX_R_ETH_TRUNCATED);
	EXPECT_EQ(guard_oracle(Packet(Eth{})).verdict, AX_CONTINUE);
}

// GTSM is a stage of its own, and so are the six rules that speak of steered and passed packets.
TEST(OracleTest, EveryRuleOfTheGuardHasARow)
{
	std::set<ax_reason> expected;
#define AX_TEST_RULE(id, number, cls, action, label, source, help)                                 \
	if (AX_CLASS_##cls == AX_CLASS_RULE && number >= 80)                                       \
		expected.insert(AX_R_##id);
	AX_REASONS(AX_TEST_RULE)
#undef AX_TEST_RULE
	for (const ax_reason other :
	     {AX_R_IP4_CHECKSUM, AX_R_IP4_CHECKSUM_PASSED, AX_R_IP4_TTL_ZERO, AX_R_IP6_HOP_ZERO,
	      AX_R_IP4_TTL_ZERO_PASSED, AX_R_IP6_HOP_ZERO_PASSED})
		expected.erase(other);
	std::set<ax_reason> covered;
	for (const RuleRow &row : rule_rows())
		covered.insert(row.rule);
	EXPECT_EQ(covered, expected);
}

} // namespace
} // namespace anycast::test
