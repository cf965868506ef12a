// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/reasons.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "core/names.h"
#include "render/drops.h"
#include "render/loss.h"
#include "render/table.h"

namespace anycast::render {

namespace {

using nlohmann::ordered_json;

// With `all`, rows that counted nothing stay, unless the action in force keeps them empty.
std::vector<ReasonRow> select(const std::vector<ReasonRow> &rows, bool all, ax_action idle)
{
	std::vector<ReasonRow> selected;
	for (const ReasonRow &row : rows)
		if (row.packets != 0 ||
		    (all && (row.info->cls != AX_CLASS_RULE || row.action == idle)))
			selected.push_back(row);
	std::ranges::stable_sort(selected, std::greater<>(), &ReasonRow::packets);
	return selected;
}

std::vector<ReasonRow> finals_of(const InterfaceStats &stats, bool all)
{
	return select(stats.finals, all, AX_ACTION_DROP);
}

std::vector<ReasonRow> drops_of(const InterfaceStats &stats, bool all)
{
	std::vector<ReasonRow> drops = finals_of(stats, all);
	std::erase_if(drops, [](const ReasonRow &row) { return !is_dropped_row(row); });
	return drops;
}

std::vector<ReasonRow> notes_of(const InterfaceStats &stats, bool all)
{
	return select(stats.notes, all, AX_ACTION_COUNT);
}

ordered_json row_json(const ReasonRow &row)
{
	ordered_json json{{"reason", row.info->label}, {"class", class_name(row.info->cls)}};
	if (row.info->cls == AX_CLASS_RULE)
		json["action"] = action_name(row.action);
	json["packets"] = row.packets;
	json["bytes"] = row.bytes;
	return json;
}

ordered_json noted_json(const InterfaceStats &stats, bool all)
{
	ordered_json noted = ordered_json::array();
	for (const ReasonRow &row : notes_of(stats, all))
		noted.push_back(row_json(row));
	return noted;
}

std::string noted_text(const InterfaceStats &stats, bool all)
{
	const auto rows = notes_of(stats, all);
	if (rows.empty())
		return "";
	Table table({{"NOTED BESIDES"}, {"PACKETS", Align::kRight}, {"MEANING"}});
	for (const ReasonRow &row : rows)
		table.row({std::string(row.info->label), std::to_string(row.packets),
			   std::string(row.info->help)});
	return "\n" + table.text(2);
}

} // namespace

bool is_dropped_row(const ReasonRow &row)
{
	// A rule's packets are final only where it drops.
	return row.info->cls == AX_CLASS_DROP || row.info->cls == AX_CLASS_RULE;
}

ax_action action_in_force(const Config &config, const ReasonInfo &reason)
{
	const auto override_row = config.rules.find(std::string(reason.label));
	return override_row != config.rules.end() ? override_row->second : reason.default_action;
}

Total total_of(const std::vector<ReasonRow> &rows)
{
	Total total;
	for (const ReasonRow &row : rows) {
		total.packets += row.packets;
		total.bytes += row.bytes;
	}
	return total;
}

ordered_json stats_json(const std::vector<InterfaceStats> &interfaces, bool all)
{
	ordered_json out = ordered_json::array();
	for (const InterfaceStats &stats : interfaces) {
		ordered_json rows = ordered_json::array(), vips = ordered_json::array(),
			     backends = ordered_json::array();
		for (const ReasonRow &row : finals_of(stats, all))
			rows.push_back(row_json(row));
		for (const VipCount &vip : stats.vips)
			vips.push_back({{"vip", vip.vip},
					{"packets", vip.packets},
					{"bytes", vip.bytes},
					{"loss", loss_totals_json(vip.loss)}});
		for (const BackendCount &backend : stats.backends)
			backends.push_back({{"pool", backend.pool},
					    {"backend", backend.backend},
					    {"address", backend.address},
					    {"state", backend.state},
					    {"weight", backend.weight},
					    {"packets", backend.packets},
					    {"bytes", backend.bytes},
					    {"share", backend.share},
					    {"loss", loss_totals_json(backend.loss)}});
		const Total total = total_of(stats.finals);
		out.push_back({{"interface", stats.interface},
			       {"reasons", std::move(rows)},
			       {"packets", total.packets},
			       {"bytes", total.bytes},
			       {"noted", noted_json(stats, all)},
			       {"vips", std::move(vips)},
			       {"backends", std::move(backends)}});
	}
	return {{"interfaces", std::move(out)}};
}

std::string stats_text(const std::vector<InterfaceStats> &interfaces, bool all)
{
	std::string out;
	for (const InterfaceStats &stats : interfaces) {
		const Total total = total_of(stats.finals);
		if (!out.empty())
			out += "\n";
		out += fmt::format("{}: {}, {}\n", stats.interface,
				   count_text(total.packets, "packet"), bytes_text(total.bytes));
		Table reasons({{"REASON"},
			       {"CLASS"},
			       {"PACKETS", Align::kRight},
			       {"SHARE", Align::kRight},
			       {"BYTES", Align::kRight}});
		for (const ReasonRow &row : finals_of(stats, all))
			reasons.row({std::string(row.info->label),
				     std::string(is_dropped_row(row) ? "drop"
								     : class_name(row.info->cls)),
				     std::to_string(row.packets),
				     total.packets == 0
					     ? ""
					     : percent_text(static_cast<double>(row.packets) /
							    static_cast<double>(total.packets)),
				     bytes_text(row.bytes)});
		out += reasons.empty() ? "  nothing counted yet\n" : reasons.text(2);
		out += noted_text(stats, all);

		Table vips({{"VIP"}, {"PACKETS", Align::kRight}, {"BYTES", Align::kRight}});
		for (const VipCount &vip : stats.vips)
			vips.row({vip.vip, std::to_string(vip.packets), bytes_text(vip.bytes)});
		if (!vips.empty())
			out += "\n" + vips.text(2);

		Table backends({{"POOL"},
				{"BACKEND"},
				{"ADDRESS"},
				{"STATE"},
				{"WEIGHT", Align::kRight},
				{"PROMISED", Align::kRight},
				{"PACKETS", Align::kRight},
				{"BYTES", Align::kRight}});
		for (const BackendCount &backend : stats.backends)
			backends.row({backend.pool, backend.backend, backend.address, backend.state,
				      std::to_string(backend.weight), percent_text(backend.share),
				      std::to_string(backend.packets), bytes_text(backend.bytes)});
		if (!backends.empty())
			out += "\n" + backends.text(2);
	}
	return out;
}

ordered_json drops_json(const std::vector<InterfaceStats> &interfaces, bool all)
{
	ordered_json out = ordered_json::array();
	for (const InterfaceStats &stats : interfaces) {
		ordered_json drops = ordered_json::array();
		for (const ReasonRow &row : drops_of(stats, all)) {
			ordered_json json = row_json(row);
			json["per_second"] = row.per_second ? ordered_json(*row.per_second)
							    : ordered_json(nullptr);
			if (!row.info->source.empty())
				json["source"] = row.info->source;
			json["help"] = row.info->help;
			json["last"] = nullptr;
			if (row.last) {
				json["last"] = sample_json(row.last->sample);
				json["last"]["age_ms"] = row.last->age_us / 1000;
			}
			drops.push_back(std::move(json));
		}
		out.push_back({{"interface", stats.interface},
			       {"drops", std::move(drops)},
			       {"noted", noted_json(stats, all)}});
	}
	return {{"interfaces", std::move(out)}};
}

std::string drops_text(const std::vector<InterfaceStats> &interfaces, bool all)
{
	std::string out;
	for (const InterfaceStats &stats : interfaces) {
		const Total total = total_of(stats.finals);
		Total dropped;
		Table table({{"REASON"},
			     {"PACKETS", Align::kRight},
			     {"RATE", Align::kRight},
			     {"BYTES", Align::kRight},
			     {"LAST FROM"},
			     {"AGO", Align::kRight},
			     {"MEANING"},
			     {"STANDARD"}});
		for (const ReasonRow &row : drops_of(stats, all)) {
			dropped.packets += row.packets;
			dropped.bytes += row.bytes;
			table.row({std::string(row.info->label), std::to_string(row.packets),
				   row.per_second ? rate_text(*row.per_second) : "",
				   bytes_text(row.bytes),
				   row.last ? row.last->sample.source_text() : "",
				   row.last ? duration_text(row.last->age_us) : "",
				   std::string(row.info->help), std::string(row.info->source)});
		}
		if (!out.empty())
			out += "\n";
		out += fmt::format("{}: {} of {} dropped\n", stats.interface, dropped.packets,
				   count_text(total.packets, "packet"));
		if (!table.empty())
			out += table.text(2);
		out += noted_text(stats, all);
	}
	return out;
}

} // namespace anycast::render
