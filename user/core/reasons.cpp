// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/reasons.h"

#include <algorithm>
#include <utility>

namespace anycast {

namespace {

#define AX_REASON_ROW(id, number, cls, action, label, source, help)                                \
	ReasonInfo{number, #id, label, AX_CLASS_##cls, AX_ACTION_##action, source, help},
constexpr ReasonInfo kReasons[] = {AX_REASONS(AX_REASON_ROW)};
#undef AX_REASON_ROW

constexpr bool ascending_from_one()
{
	int last = AX_CONTINUE;
	for (const ReasonInfo &reason : kReasons) {
		if (reason.number <= last)
			return false;
		last = reason.number;
	}
	return true;
}

constexpr bool labels_unique()
{
	for (const ReasonInfo &a : kReasons)
		for (const ReasonInfo &b : kReasons)
			if (&a != &b && a.label == b.label)
				return false;
	return true;
}

static_assert(ascending_from_one(), "reason numbers must be unique, ascending and above 0");
static_assert(std::end(kReasons)[-1].number < AX_REASON_LIMIT);
static_assert(labels_unique());

} // namespace

std::span<const ReasonInfo> reasons()
{
	return kReasons;
}

const ReasonInfo *find_reason(int number)
{
	const auto *found = std::ranges::lower_bound(kReasons, number, {}, &ReasonInfo::number);
	return found != std::end(kReasons) && found->number == number ? found : nullptr;
}

const ReasonInfo *find_reason(std::string_view label)
{
	const auto *found = std::ranges::find(kReasons, label, &ReasonInfo::label);
	return found != std::end(kReasons) ? found : nullptr;
}

std::array<std::uint8_t, AX_REASON_LIMIT> default_actions()
{
	std::array<std::uint8_t, AX_REASON_LIMIT> actions{};
	for (const ReasonInfo &reason : kReasons)
		actions[static_cast<std::size_t>(reason.number)] = reason.default_action;
	return actions;
}

bool is_final(const ReasonInfo &reason)
{
	return reason.cls != AX_CLASS_NONE && reason.cls != AX_CLASS_NOTE;
}

std::size_t edit_distance(std::string_view a, std::string_view b)
{
	std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
	for (std::size_t j = 0; j <= b.size(); j++)
		last[j] = j;
	for (std::size_t i = 1; i <= a.size(); i++) {
		row[0] = i;
		for (std::size_t j = 1; j <= b.size(); j++) {
			const std::size_t replaced = last[j - 1] + (a[i - 1] != b[j - 1]);
			row[j] = std::min({replaced, last[j] + 1, row[j - 1] + 1});
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = std::min(row[j], before[j - 2] + 1);
		}
		std::swap(before, last);
		std::swap(last, row);
	}
	return last[b.size()];
}

std::vector<std::string_view> nearest_labels(std::string_view typo, std::size_t n)
{
	std::vector<std::pair<std::size_t, std::string_view>> ranked;
	for (const ReasonInfo &reason : kReasons)
		if (reason.cls == AX_CLASS_RULE)
			ranked.emplace_back(edit_distance(typo, reason.label), reason.label);
	std::ranges::stable_sort(ranked, {}, &decltype(ranked)::value_type::first);

	std::vector<std::string_view> labels;
	for (std::size_t i = 0; i < std::min(n, ranked.size()); i++)
		labels.push_back(ranked[i].second);
	return labels;
}

} // namespace anycast
