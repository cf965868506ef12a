// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Every rule of the guard, by the program: dropped, counted or ignored as the configuration says,
// and the frame that just keeps the rule let by.
#include <set>

#include "core/reasons.h"
#include "prog/malformed_rows.h"

namespace anycast::test {
namespace {

class Malformed : public ProgramTest, public testing::WithParamInterface<RuleRow> {
protected:
	void only(ax_action action)
	{
		Config config = guard_only();
		config.rules = every_rule(AX_ACTION_OFF);
		config.rules[std::string(reason_label(GetParam().rule))] = action;
		apply(config);
		notes();
	}

	// The pass reason that the oracle sees.
	static ax_reason passed_as(const Packet &packet, const GuardRules &rules)
	{
		switch (guard_oracle(packet, rules).seen) {
		case Seen::kNotIp:
			return AX_R_NOT_IP;
		case Seen::kTooDeep:
			return AX_R_TOO_DEEP;
		case Seen::kOpaque:
			return AX_R_OPAQUE;
		case Seen::kIp:
			break;
		}
		return AX_R_NOT_VIP;
	}
};

TEST_P(Malformed, HitIsDroppedAndNearMissPasses)
{
	const auto &[rule, hit, near_miss] = GetParam();
	only(AX_ACTION_DROP);
	expect(rule, hit);
	expect(passed_as(near_miss, GuardRules::all(AX_ACTION_OFF)), near_miss);
	EXPECT_TRUE(notes().empty());
}

TEST_P(Malformed, CountLetsTheHitPassAndNotesItOnce)
{
	const auto &[rule, hit, near_miss] = GetParam();
	const GuardRules count = GuardRules::all(AX_ACTION_OFF).with(rule, AX_ACTION_COUNT);
	only(AX_ACTION_COUNT);
	expect(passed_as(hit, count), hit);
	EXPECT_EQ(notes(), (std::map<ax_reason, std::uint64_t>{{rule, 1}}));
	expect(passed_as(near_miss, count), near_miss);
	EXPECT_TRUE(notes().empty());
}

TEST_P(Malformed, OffLetsTheHitPassInSilence)
{
	const auto &[rule, hit, near_miss] = GetParam();
	only(AX_ACTION_OFF);
	expect(passed_as(hit, GuardRules::all(AX_ACTION_OFF)), hit);
	EXPECT_TRUE(notes().empty());
}

TEST_P(Malformed, DefaultsAreThoseOfTheReasonTable)
{
	const auto &[rule, hit, near_miss] = GetParam();
	Config config = guard_only();
	for (const ReasonInfo &reason : reasons()) // what else the packet breaks is of no interest
		if (reason.cls == AX_CLASS_RULE && reason.number != rule)
			config.rules.emplace(reason.label, AX_ACTION_OFF);
	apply(config);
	const ReasonInfo *info = find_reason(static_cast<int>(rule));
	const GuardRules rules = GuardRules::all(AX_ACTION_OFF).with(rule, info->default_action);
	const bool drops = info->default_action == AX_ACTION_DROP;
	expect(drops ? rule : passed_as(hit, rules), hit);
	EXPECT_EQ(notes().contains(rule), info->default_action == AX_ACTION_COUNT);
}

TEST_P(Malformed, HitIsNeverSteered)
{
	const auto &[rule, hit, near_miss] = GetParam();
	apply(two_families());
	const Outcome outcome = send(hit);
	if (find_reason(static_cast<int>(rule))->default_action == AX_ACTION_DROP) {
		EXPECT_EQ(outcome.verdict, XDP_DROP) << outcome << hit;
	}
	EXPECT_NE(outcome.verdict, XDP_ABORTED);
}

INSTANTIATE_TEST_SUITE_P(Rules, Malformed, testing::ValuesIn(rule_rows()),
			 [](const auto &row) { return std::string(reason_label(row.param.rule)); });

// GTSM's rules are in gtsm_test, the four that speak of steered packets in steer_test.
TEST(MalformedRows, EveryRuleHasOne)
{
	std::set<int> expected, covered;
	for (const ReasonInfo &reason : reasons())
		if (reason.cls == AX_CLASS_RULE && reason.number >= 80)
			expected.insert(reason.number);
	for (const int other :
	     {AX_R_IP4_CHECKSUM, AX_R_IP4_CHECKSUM_PASSED, AX_R_IP4_TTL_ZERO, AX_R_IP6_HOP_ZERO})
		expected.erase(other);
	for (const RuleRow &row : rule_rows())
		covered.insert(row.rule);
	EXPECT_EQ(covered, expected);
}

} // namespace
} // namespace anycast::test
