// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/reasons.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

namespace anycast {
namespace {

TEST(Reasons, ARowIsWhatTheTableSays)
{
	const ReasonInfo *reason = find_reason(AX_R_IP4_IHL);
	ASSERT_NE(reason, nullptr);
	EXPECT_EQ(reason->number, 92);
	EXPECT_EQ(reason->id, "IP4_IHL");
	EXPECT_EQ(reason->label, "ip4_ihl");
	EXPECT_EQ(reason->cls, AX_CLASS_RULE);
	EXPECT_EQ(reason->default_action, AX_ACTION_DROP);
	EXPECT_EQ(reason->source, "RFC 1812 section 5.2.2");
	EXPECT_EQ(reason->help, "IHL below 5, or header longer than the frame");
}

TEST(Reasons, EveryReasonIsFoundByNumberAndByLabel)
{
	ASSERT_FALSE(reasons().empty());
	for (const ReasonInfo &reason : reasons()) {
		EXPECT_EQ(find_reason(reason.number), &reason);
		EXPECT_EQ(find_reason(reason.label), &reason);
	}
}

TEST(Reasons, UnusedNumbersAndForeignLabelsAreNotFound)
{
	for (const int number : {-1, 0, 31, 255, 256, 1000000})
		EXPECT_EQ(find_reason(number), nullptr) << number;
	for (const char *label : {"", "IP4_IHL", "ip4_ihl ", "no_such"})
		EXPECT_EQ(find_reason(std::string_view(label)), nullptr) << label;
}

TEST(Reasons, LabelsSuitPrometheusAndToml)
{
	for (const ReasonInfo &reason : reasons()) {
		EXPECT_TRUE(std::ranges::all_of(reason.label, [](char c) {
			return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
		})) << reason.label;
		EXPECT_FALSE(reason.help.empty()) << reason.label;
	}
}

TEST(Reasons, DefaultActionsByNumber)
{
	const auto actions = default_actions();
	EXPECT_EQ(actions[AX_R_IP4_IHL], AX_ACTION_DROP);
	EXPECT_EQ(actions[AX_R_IP4_EVIL], AX_ACTION_COUNT);
	EXPECT_EQ(actions[AX_R_IP4_SRC_SPECIAL], AX_ACTION_OFF);
	EXPECT_EQ(actions[255], AX_ACTION_DROP) << "a number without a row fails closed";
}

TEST(Reasons, AllButNotesAreFinal)
{
	EXPECT_TRUE(is_final(*find_reason(AX_R_NOT_VIP)));
	EXPECT_TRUE(is_final(*find_reason(AX_R_STEERED)));
	EXPECT_TRUE(is_final(*find_reason(AX_R_NO_BACKEND)));
	EXPECT_TRUE(is_final(*find_reason(AX_R_TCP_SYN_FIN)));
	EXPECT_FALSE(is_final(*find_reason(AX_R_FLOW_INSERTED)));
}

TEST(Reasons, EditDistance)
{
	EXPECT_EQ(edit_distance("", ""), 0u);
	EXPECT_EQ(edit_distance("", "abc"), 3u);
	EXPECT_EQ(edit_distance("abc", ""), 3u);
	EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
	EXPECT_EQ(edit_distance("weight", "wieght"), 1u) << "a swap is one edit";
	EXPECT_EQ(edit_distance("abcdef", "badcfe"), 3u);
}

TEST(Reasons, NearestLabelsAreRules)
{
	EXPECT_EQ(nearest_labels("ip4_ilh", 1), std::vector<std::string_view>{"ip4_ihl"});
	EXPECT_EQ(nearest_labels("tcp_synfin", 1), std::vector<std::string_view>{"tcp_syn_fin"});
	// "steered" is a reason but no rule.
	const auto near_steered = nearest_labels("steered", 5);
	EXPECT_EQ(near_steered.size(), 5u);
	for (const std::string_view label : near_steered)
		EXPECT_EQ(find_reason(label)->cls, AX_CLASS_RULE) << label;
	EXPECT_TRUE(nearest_labels("x", 0).empty());
	const auto rules = std::ranges::count(reasons(), AX_CLASS_RULE, &ReasonInfo::cls);
	EXPECT_EQ(nearest_labels("x", 1000).size(), static_cast<std::size_t>(rules));
}

} // namespace
} // namespace anycast
