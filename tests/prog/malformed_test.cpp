// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Every rule of the guard, by the program: dropped, counted or ignored as the configuration says,
// and the frame that just keeps the rule let by.
#include <set>

#include "core/reasons.h"
#include "support/program_fixture.h"
#include "support/rule_rows.h"

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

class CountedOnce : public ProgramTest {
protected:
	// Both are judged where a packet is steered: by the stage of known flows, and again, where
	// the flow has to be steered anew, by that of new ones.
	void expect_one_note(ax_reason rule, const Packet &good, const Packet &bad)
	{
		Config config = two_families();
		config.rules = every_rule(AX_ACTION_COUNT);
		apply(config);
		const std::string owner = expect(AX_R_STEERED, good).backend;
		notes();
		expect(AX_R_STEERED, bad);
		EXPECT_EQ(notes()[rule], 1U) << "known flow";
		for (Pool &pool : config.pools)
			for (Backend &backend : pool.backends)
				if (backend.name == owner)
					backend.state = AX_BACKEND_DOWN;
		apply(config);
		EXPECT_NE(expect(AX_R_STEERED, bad).backend, owner);
		const auto noted = notes();
		EXPECT_EQ(noted.at(rule), 1U) << "steered anew";
		EXPECT_EQ(noted.at(AX_R_FLOW_RESTEERED), 1U);
	}
};

TEST_F(CountedOnce, AFlowThatIsSteeredAnew)
{
	expect_one_note(AX_R_IP4_CHECKSUM, Eth{} / Ip4{} / Udp{.dport = 53},
			Eth{} / Ip4{.checksum = 1} / Udp{.dport = 53});
	expect_one_note(AX_R_IP4_TTL_ZERO, Eth{} / Ip4{} / Udp{.sport = 9, .dport = 53},
			Eth{} / Ip4{.ttl = 0} / Udp{.sport = 9, .dport = 53});
	expect_one_note(AX_R_IP6_HOP_ZERO, Eth{} / Ip6{} / Udp{.dport = 53},
			Eth{} / Ip6{.hop_limit = 0} / Udp{.dport = 53});
}

// GTSM's rules are in gtsm_test, the six that speak of steered and passed packets in steer_test.
TEST(MalformedRows, EveryRuleHasOne)
{
	std::set<int> expected, covered;
	for (const ReasonInfo &reason : reasons())
		if (reason.cls == AX_CLASS_RULE && reason.number >= 80)
			expected.insert(reason.number);
	for (const int other :
	     {AX_R_IP4_CHECKSUM, AX_R_IP4_CHECKSUM_PASSED, AX_R_IP4_TTL_ZERO, AX_R_IP6_HOP_ZERO,
	      AX_R_IP4_TTL_ZERO_PASSED, AX_R_IP6_HOP_ZERO_PASSED})
		expected.erase(other);
	for (const RuleRow &row : rule_rows())
		covered.insert(row.rule);
	EXPECT_EQ(covered, expected);
}

} // namespace
} // namespace anycast::test
