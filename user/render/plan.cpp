// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/plan.h"

#include <fmt/format.h>

#include "core/names.h"
#include "render/table.h"

namespace anycast::render {

namespace {

using nlohmann::ordered_json;

ordered_json state_json(const std::optional<ax_backend_state> &state)
{
	return state ? ordered_json(state_name(*state)) : ordered_json(nullptr);
}

std::string state_text(const PlannedBackend &backend)
{
	const auto word = [](const std::optional<ax_backend_state> &state) {
		return state ? std::string(state_name(*state)) : std::string("absent");
	};
	const std::string before = word(backend.before), after = word(backend.after);
	return before == after ? after : before + " -> " + after;
}

std::string arrow(const std::string &before, const std::string &after)
{
	return before == after ? after : before + " -> " + after;
}

ordered_json pool_json(const PlannedPool &pool)
{
	ordered_json why = ordered_json::array(), backends = ordered_json::array();

	for (const auto &[cause, share] : pool.why)
		why.push_back({{"cause", cause}, {"share", share}});
	for (const PlannedBackend &backend : pool.backends)
		backends.push_back({{"backend", backend.name},
				    {"state_before", state_json(backend.before)},
				    {"state_after", state_json(backend.after)},
				    {"share_before", backend.share_before},
				    {"share_after", backend.share_after},
				    {"flows_before", backend.flows_before},
				    {"flows_after", backend.flows_after}});
	return {{"pool", pool.name},
		{"slots_before", pool.size_before},
		{"slots_after", pool.size_after},
		{"moved", pool.moved},
		{"why", std::move(why)},
		{"backends", std::move(backends)}};
}

std::string pool_text(const PlannedPool &pool)
{
	std::string text = fmt::format("  pool {}: {} of its hash values move{}\n", pool.name,
				       percent_text(pool.moved), pool.why.empty() ? "" : ":");
	for (const auto &[cause, share] : pool.why)
		text += fmt::format("    {}: {}\n", cause, percent_text(share));
	Table table(
		{{"BACKEND"}, {"STATE"}, {"SHARE", Align::kRight}, {"KNOWN FLOWS", Align::kRight}});
	for (const PlannedBackend &backend : pool.backends)
		table.row({backend.name, state_text(backend),
			   arrow(percent_text(backend.share_before),
				 percent_text(backend.share_after)),
			   arrow(std::to_string(backend.flows_before),
				 std::to_string(backend.flows_after))});
	return text + table.text(4);
}

std::string flows_text(const PlannedFlows &flows)
{
	const std::uint64_t known = flows.stay + flows.second_chance + flows.at_risk();
	std::string text =
		flows.at_risk() == 0
			? fmt::format("  sessions at risk: none of {} known here\n", known)
			: fmt::format("  sessions at risk: {} of {} known here\n", flows.at_risk(),
				      known);
	if (flows.broken != 0)
		text += fmt::format("    {} break: their backend or VIP is gone, down or in "
				    "maintenance afterwards\n",
				    flows.broken);
	if (flows.forgotten != 0)
		text += fmt::format("    {} break: only this node's flow table knows them, and it "
				    "is made anew\n",
				    flows.forgotten);
	if (flows.pinned != 0)
		text += fmt::format("    {} go on as long as this node's flow table knows them: "
				    "another node, or this\n    one with an empty table, would "
				    "send them to their slot's new owner\n",
				    flows.pinned);
	if (flows.second_chance != 0)
		text += fmt::format("  {} change their slot's owner, and are safe by their second "
				    "chance\n",
				    flows.second_chance);
	return text;
}

} // namespace

ordered_json plan_json(const PlannedInterface &planned)
{
	ordered_json pools = ordered_json::array(), rooms = ordered_json::array();
	const PlannedFlows &flows = planned.plan.flows;

	for (const PlannedPool &pool : planned.plan.pools)
		pools.push_back(pool_json(pool));
	for (const Room &room : planned.rooms)
		rooms.push_back({{"limit", room.limit},
				 {"before", room.before},
				 {"after", room.after},
				 {"most", room.most}});
	return {{"interface", planned.interface},
		{"changes", changes_json(planned.changes)},
		{"pools", std::move(pools)},
		{"flows",
		 {{"known", flows.stay + flows.second_chance + flows.at_risk()},
		  {"stay", flows.stay},
		  {"second_chance", flows.second_chance},
		  {"pinned", flows.pinned},
		  {"forgotten", flows.forgotten},
		  {"broken", flows.broken}}},
		{"sessions_at_risk", flows.at_risk()},
		{"memory",
		 {{"total", planned.memory}, {"change", planned.more_memory}, {"limits", rooms}}}};
}

std::string plan_text(const PlannedInterface &planned)
{
	std::string text = fmt::format("{}: {}\n", planned.interface,
				       planned.changes.empty() ? "no difference" : "would change");
	text += changes_text(planned.changes);
	for (const PlannedPool &pool : planned.plan.pools)
		text += pool_text(pool);
	text += flows_text(planned.plan.flows);
	const std::uint64_t memory =
		planned.memory + static_cast<std::uint64_t>(planned.more_memory);
	text += planned.more_memory == 0
			? fmt::format("  memory: {}, as before\n", bytes_text(planned.memory))
			: fmt::format("  memory: {}\n",
				      arrow(bytes_text(planned.memory), bytes_text(memory)));
	for (const Room &room : planned.rooms)
		text += fmt::format("    {}: {} of {}\n", room.limit,
				    arrow(std::to_string(room.before), std::to_string(room.after)),
				    room.most);
	return text;
}

} // namespace anycast::render
