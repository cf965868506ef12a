// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/node_drops.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "render/loss.h"
#include "render/table.h"

namespace anycast::render {

namespace {

constexpr std::size_t kNamed = 3; // reasons in the line of text

struct Drops {
	LossFigure figure;
	std::vector<std::pair<std::uint64_t, std::string_view>> reasons; // most first

	explicit Drops(const std::vector<InterfaceStats> &interfaces)
	{
		std::map<std::string_view, std::uint64_t> by_reason;
		figure.kind = "exact";
		figure.basis = "reasons";
		figure.value = 0;
		for (const InterfaceStats &stats : interfaces)
			for (const ReasonRow &row : stats.finals) {
				figure.of += row.packets;
				if (!is_dropped_row(row) || row.packets == 0)
					continue;
				*figure.value += row.packets;
				by_reason[row.info->label] += row.packets;
			}
		for (const auto &[label, packets] : by_reason)
			reasons.emplace_back(packets, label);
		std::ranges::stable_sort(reasons, std::greater(),
					 [](const auto &reason) { return reason.first; });
	}
};

} // namespace

nlohmann::ordered_json node_drop_json(const std::vector<InterfaceStats> &interfaces)
{
	const Drops drops(interfaces);
	nlohmann::ordered_json json = figure_json(drops.figure);
	json["reasons"] = nlohmann::ordered_json::array();
	for (const auto &[packets, label] : drops.reasons)
		json["reasons"].push_back({{"reason", label}, {"packets", packets}});
	return json;
}

std::string node_drop_text(const std::vector<InterfaceStats> &interfaces)
{
	const Drops drops(interfaces);
	std::vector<std::string> named;

	if (drops.reasons.empty())
		return "";
	for (const auto &[packets, label] : drops.reasons)
		if (named.size() < kNamed)
			named.push_back(fmt::format("{} {}", label, packets));
	if (drops.reasons.size() > kNamed)
		named.emplace_back("..");
	return fmt::format("dropped by this node: {} of {} packets (exact): {}; `drops` has more\n",
			   *drops.figure.value, drops.figure.of, fmt::join(named, ", "));
}

} // namespace anycast::render
