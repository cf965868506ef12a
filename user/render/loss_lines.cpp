// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/loss_lines.h"

#include <algorithm>
#include <utility>

namespace anycast::render {

namespace {

// Most lost first, then the higher rate, then what was merely repeated; unknown last. Then by what
// was lost since attach.
struct Badness {
	std::optional<std::uint64_t> lost;
	std::optional<double> rate;
	std::optional<std::uint64_t> rtx_seen;
	std::optional<std::uint64_t> ever{};
	auto operator<=>(const Badness &) const = default;
};

Badness badness_of(const LossReport &report)
{
	const LossFigure &lost = lost_before_node(report);
	return {lost.value, lost.rate(), report.c2s_rtx_seen.value, {}};
}

// The worst `limit` (0: all) things, in order; of the others the order is left open.
template <typename T>
std::vector<std::pair<Badness, T>> worst(std::vector<std::pair<Badness, T>> list, std::size_t limit)
{
	const std::size_t shown = limit == 0 ? list.size() : std::min(limit, list.size());
	std::partial_sort(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(shown),
			  list.end(),
			  [](const auto &a, const auto &b) { return a.first > b.first; });
	list.resize(shown);
	return list;
}

LossLine line_of(const NamedFlow &flow)
{
	LossLine line;
	line.flow = &flow;
	line.group = {flow.vip, flow.pool, flow.backend, {}};
	line.report = loss_report(*flow.flow);
	return line;
}

LossGroup group_of(const NamedFlow &flow, LossBy by)
{
	if (by == LossBy::kVip)
		return {flow.vip, {}, {}, {}};
	if (by == LossBy::kBackend)
		return {{}, flow.pool, flow.backend, {}};
	return {{}, {}, {}, prefix_of(flow.flow->source, flow.client_bits)};
}

// A group's flows stand together in `members`. The sums are made when they are asked for: there may
// be as many prefixes as flows, and a sum takes a kilobyte.
struct Group {
	LossGroup names;
	std::size_t first = 0, flows = 0;
	const LossTotals *since_attach = nullptr;
};

struct Groups {
	std::vector<std::pair<LossGroup, const NamedFlow *>> members;
	std::vector<Group> list;

	Groups(const std::vector<NamedFlow> &flows, LossBy by, const GroupTotals &since_attach)
	{
		members.reserve(flows.size());
		for (const NamedFlow &flow : flows)
			members.emplace_back(group_of(flow, by), &flow);
		std::ranges::sort(members, {}, [](const auto &member) { return member.first; });
		for (std::size_t i = 0; i < members.size(); i++) {
			if (list.empty() || list.back().names != members[i].first)
				list.push_back({members[i].first, i, 0, nullptr});
			list.back().flows++;
		}
		// Both are in order. A group may be here that has no flow any more.
		const std::size_t with_flows = list.size();
		std::size_t at = 0;
		for (const auto &[names, totals] : since_attach) {
			while (at < with_flows && list[at].names < names)
				at++;
			if (at < with_flows && list[at].names == names)
				list[at].since_attach = &totals;
			else
				list.push_back({names, 0, 0, &totals});
		}
	}

	[[nodiscard]] LossSum sum(const Group &group) const
	{
		LossSum sum;
		for (std::size_t i = 0; i < group.flows; i++)
			sum.add(loss_report(*members[group.first + i].second->flow));
		return sum;
	}
};

} // namespace

std::size_t each_loss_line(const std::vector<NamedFlow> &flows, LossBy by, std::size_t limit,
			   const GroupTotals &since_attach,
			   const std::function<void(const LossLine &)> &visit)
{
	if (by == LossBy::kFlow) {
		std::vector<std::pair<Badness, const NamedFlow *>> ranked;
		ranked.reserve(flows.size());
		for (const NamedFlow &flow : flows)
			ranked.emplace_back(badness_of(loss_report(*flow.flow)), &flow);
		for (const auto &[badness, flow] : worst(std::move(ranked), limit))
			visit(line_of(*flow));
		return flows.size();
	}

	const Groups groups(flows, by, since_attach);
	std::vector<std::pair<Badness, const Group *>> ranked;
	ranked.reserve(groups.list.size());
	for (const Group &group : groups.list) {
		Badness badness = badness_of(groups.sum(group).report);
		if (group.since_attach)
			badness.ever = group.since_attach->lost;
		ranked.emplace_back(badness, &group);
	}
	for (const auto &[badness, group] : worst(std::move(ranked), limit)) {
		const LossSum sum = groups.sum(*group);
		LossLine line;
		line.group = group->names;
		line.report = sum.report;
		line.flows = sum.flows;
		line.measured = sum.measured;
		if (group->since_attach)
			line.since_attach = *group->since_attach;
		visit(line);
	}
	return groups.list.size();
}

LossSum sum_of(const std::vector<NamedFlow> &flows)
{
	LossSum sum;
	for (const NamedFlow &flow : flows)
		sum.add(loss_report(*flow.flow));
	return sum;
}

std::string prefix_text(const Prefix &prefix)
{
	return prefix == Prefix() ? "others" : prefix.text();
}

} // namespace anycast::render
