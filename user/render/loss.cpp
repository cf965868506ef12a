// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/loss.h"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "render/json_list.h"
#include "render/table.h"
#include "render/verdict.h"

namespace anycast::render {

namespace {

using nlohmann::ordered_json;

// One line of the report: a flow, or a group with the sum of its flows.
struct Line {
	const NamedFlow *flow = nullptr; // by flow only
	LossGroup group;
	LossReport report;
	std::uint64_t flows = 1, measured = 0;
	std::optional<LossTotals> since_attach{};
};

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

Line line_of(const NamedFlow &flow)
{
	Line line;
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

// Visits the lines to show, worst first; returns how many there are in all. Lines are made one at a
// time, since there may be a million flows.
std::size_t each_line(const std::vector<NamedFlow> &flows, LossBy by, std::size_t limit,
		      const GroupTotals &since_attach,
		      const std::function<void(const Line &)> &visit)
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
		Line line;
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

ordered_json text_or_null(std::string_view text)
{
	return text.empty() ? ordered_json(nullptr) : ordered_json(text);
}

void add_figures(ordered_json &json, const LossReport &report)
{
	json["c2s_up_lost"] = figure_json(report.c2s_up_lost);
	json["c2s_up_reordered"] = figure_json(report.c2s_up_reordered);
	json["c2s_rtx_seen"] = figure_json(report.c2s_rtx_seen);
	json["s2c_lost_sack"] = figure_json(report.s2c_lost_sack);
	json["s2c_lost"] = figure_json(report.s2c_lost);
	json["c2s_down_lost"] = figure_json(report.c2s_down_lost);
	json.update(payload_json(report));
}

std::string prefix_text(const Prefix &prefix)
{
	return prefix == Prefix() ? "others" : prefix.text();
}

ordered_json since_attach_json(const LossTotals &totals)
{
	ordered_json json;
	const LossReport report = totals.report();
	add_figures(json, report);
	if (report.dns_unanswered.value) // of mixed sums that know of no repeated query
		json["dns_unanswered"] = figure_json(report.dns_unanswered);
	json["both_ways_unknown"] = text_or_null(totals.one_way_because());
	json["c2s_duplicated"] = totals.duplicated;
	json["syn_rtx"] = totals.syn_rtx;
	return json;
}

ordered_json line_json(const Line &line, LossBy by)
{
	ordered_json json;
	if (by == LossBy::kFlow)
		json["flow"] = key_json(*line.flow->flow);
	if (by == LossBy::kPrefix)
		json["prefix"] = prefix_text(line.group.prefix);
	if (by == LossBy::kFlow || by == LossBy::kVip)
		json["vip"] = text_or_null(line.group.vip);
	if (by == LossBy::kFlow || by == LossBy::kBackend) {
		json["pool"] = text_or_null(line.group.pool);
		json["backend"] = text_or_null(line.group.backend);
	}
	add_figures(json, line.report);
	if (by != LossBy::kFlow) {
		json["flows"] = line.flows;
		json["measured"] = line.measured;
		json["since_attach"] = line.since_attach ? since_attach_json(*line.since_attach)
							 : ordered_json(nullptr);
		return json;
	}
	const FlowRecord &flow = *line.flow->flow;
	json["rtt_us"] = flow.rtt_us ? ordered_json(*flow.rtt_us) : ordered_json(nullptr);
	json["syn_rtx"] = flow.syn_rtx;
	json["ecn_ce"] = flow.sack.ce;
	json["ecn_ece"] = flow.sack.ece;
	json["loss_unknown"] = text_or_null(loss_unknown_because(flow));
	if (!line.flow->interface.empty())
		json["interface"] = line.flow->interface;
	return json;
}

// In columns that say nothing of the kind.
std::string bound_text(const LossFigure &figure)
{
	return (figure.kind == "upper_bound" && figure.value != 0 ? "<=" : "") +
	       figure_text(figure);
}

std::string rate_text(const LossFigure &figure)
{
	const auto rate = figure.rate();
	return rate ? percent_text(*rate) : "";
}

std::vector<std::string> figures_cells(const LossReport &report)
{
	const LossFigure &lost = lost_before_node(report);
	const auto blind = [&](std::uint64_t count) {
		return lost.value ? std::to_string(count) : "";
	};
	return {figure_text(lost),
		lost.value ? std::to_string(lost.of) : "",
		rate_text(lost),
		lost.value ? fmt::format("{}/{}", lost.kind, lost.basis) : std::string(lost.kind),
		figure_text(report.c2s_up_reordered),
		figure_text(report.c2s_rtx_seen),
		bound_text(report.c2s_down_lost),
		bound_text(report.s2c_lost.value ? report.s2c_lost : report.s2c_lost_sack),
		blind(lost.evicted),
		blind(lost.unrepaired),
		blind(lost.resync)};
}

std::vector<Column> figures_columns()
{
	return {{"LOST", Align::kRight},      {"OF", Align::kRight},
		{"RATE", Align::kRight},      {"KIND"},
		{"REORDERED", Align::kRight}, {"RTX<=", Align::kRight},
		{"BEYOND", Align::kRight},    {"S2C LOST", Align::kRight},
		{"EVICTED", Align::kRight},   {"UNREPAIRED", Align::kRight},
		{"RESYNC", Align::kRight}};
}

template <typename T> void append(std::vector<T> &to, std::vector<T> from)
{
	to.insert(to.end(), std::make_move_iterator(from.begin()),
		  std::make_move_iterator(from.end()));
}

std::vector<Column> columns_of(LossBy by)
{
	std::vector<Column> columns;
	if (by == LossBy::kFlow) {
		columns = {{"FLOW"}, {"VIP"}, {"BACKEND"}};
		append(columns, figures_columns());
		columns.push_back({"RTT", Align::kRight});
		return columns;
	}
	columns = {{by == LossBy::kVip	     ? "VIP"
		    : by == LossBy::kBackend ? "BACKEND"
					     : "PREFIX"},
		   {"FLOWS", Align::kRight}};
	append(columns, figures_columns());
	append(columns, {{"EVER LOST", Align::kRight},
			 {"EVER OF", Align::kRight},
			 {"EVER RATE", Align::kRight},
			 {"EVER BEYOND", Align::kRight},
			 {"EVER S2C", Align::kRight}});
	return columns;
}

std::vector<std::string> cells_of(const Line &line, LossBy by)
{
	const LossGroup &group = line.group;
	std::vector<std::string> cells;
	if (by == LossBy::kFlow) {
		cells = {key_text(*line.flow->flow), std::string(group.vip),
			 std::string(group.backend)};
		append(cells, figures_cells(line.report));
		const auto rtt = line.flow->flow->rtt_us;
		cells.push_back(rtt ? rtt_text(*rtt) : "");
		return cells;
	}
	if (by == LossBy::kVip)
		cells = {std::string(group.vip)};
	else if (by == LossBy::kPrefix)
		cells = {prefix_text(group.prefix)};
	else
		cells = {group.backend.empty() ? ""
					       : fmt::format("{}/{}", group.pool, group.backend)};
	cells.push_back(std::to_string(line.flows));
	append(cells, figures_cells(line.report));
	const LossReport ever = line.since_attach ? line.since_attach->report() : LossReport{};
	const LossFigure &lost = lost_before_node(ever);
	append(cells, {figure_text(lost), lost.of != 0 ? std::to_string(lost.of) : "",
		       rate_text(lost), bound_text(ever.c2s_down_lost),
		       bound_text(ever.s2c_lost.value ? ever.s2c_lost : ever.s2c_lost_sack)});
	return cells;
}

} // namespace

ordered_json figure_json(const LossFigure &figure)
{
	const auto rate = figure.rate();
	return {{"value", figure.value ? ordered_json(*figure.value) : ordered_json(nullptr)},
		{"kind", figure.kind},
		{"basis", text_or_null(figure.basis)},
		{"of", figure.of},
		{"rate", rate ? ordered_json(*rate) : ordered_json(nullptr)},
		{"evicted", figure.evicted},
		{"unrepaired", figure.unrepaired},
		{"resync", figure.resync}};
}

// Only what some VIP declares; null figures of all would be the rule.
ordered_json payload_json(const LossReport &report)
{
	ordered_json json = ordered_json::object();
	if (report.rtp_lost.value)
		json["rtp_lost"] = figure_json(report.rtp_lost);
	if (report.dns_repeat.value) {
		json["dns_repeat"] = figure_json(report.dns_repeat);
		json["dns_unanswered"] = figure_json(report.dns_unanswered);
	}
	if (report.quic_lost.value) {
		json["quic_lost"] = figure_json(report.quic_lost);
		json["quic_lost_end_to_end"] = figure_json(report.quic_lost_end_to_end);
	}
	return json;
}

// Counters only: a scraper makes rates of them, so none may go back.
ordered_json loss_totals_json(const LossTotals &totals)
{
	ordered_json json{{"segments", totals.segments},
			  {"c2s_up_lost", totals.lost},
			  {"c2s_up_lost_undone", totals.undone},
			  {"c2s_up_reordered", totals.reordered},
			  {"c2s_rtx_seen", totals.rtx_seen},
			  {"c2s_duplicated", totals.duplicated},
			  {"syn_rtx", totals.syn_rtx},
			  {"s2c_lost_sack", totals.sack_lost},
			  {"s2c_lost_sack_undone", totals.sack_undone},
			  {"rtp_lost", totals.rtp_lost},
			  {"rtp_lost_undone", totals.rtp_undone},
			  {"dns_repeat", totals.dns_repeat},
			  {"quic_lost", totals.quic_q},
			  {"quic_lost_end_to_end", totals.quic_l},
			  {"evicted", totals.evicted},
			  {"unrepaired", totals.unrepaired},
			  {"resync", totals.resync}};
	const std::string_view unknown = totals.one_way_because();
	json["both_ways_unknown"] = text_or_null(unknown);
	for (const auto &[key, count] :
	     std::initializer_list<std::pair<const char *, std::uint64_t>>{
		     {"s2c_segments", totals.sent},
		     {"s2c_sent_again", totals.sent_again},
		     {"s2c_duplicates", totals.client_twice},
		     {"c2s_down_segments", totals.own_segments},
		     {"c2s_down_rtx", totals.own_rtx},
		     {"c2s_down_duplicates", totals.server_twice},
		     {"dns_queries", totals.queries},
		     {"dns_answers", totals.answers}})
		json[key] = unknown.empty() ? ordered_json(count) : ordered_json(nullptr);
	return json;
}

std::string figure_text(const LossFigure &figure)
{
	return figure.value ? std::to_string(*figure.value) : "-";
}

void write_loss_json(std::ostream &out, const std::vector<NamedFlow> &flows, LossBy by,
		     std::size_t limit, const std::vector<std::string> &warnings,
		     const GroupTotals &since_attach, const ordered_json &rest)
{
	const char *key = by == LossBy::kFlow	   ? "flows"
			  : by == LossBy::kVip	   ? "vips"
			  : by == LossBy::kBackend ? "backends"
						   : "prefixes";
	JsonList list(out, key);
	const std::size_t total = each_line(flows, by, limit, since_attach, [&](const Line &line) {
		list.add(line_json(line, by));
	});

	const LossSum sum = sum_of(flows);
	const LossVerdict verdict = loss_verdict(flows);
	ordered_json totals{{"flows", sum.flows}, {"measured", sum.measured}};
	add_figures(totals, sum.report);
	ordered_json end{{"total", total},
			 {"totals", std::move(totals)},
			 {"verdict", text_or_null(verdict.text)},
			 {"verdict_missing", text_or_null(verdict.why_not)},
			 {"warnings", warnings}};
	end.update(rest);
	list.close(end);
}

std::string loss_text(const std::vector<NamedFlow> &flows, LossBy by, std::size_t limit,
		      const GroupTotals &since_attach, const std::string &own_drops)
{
	if (flows.empty() && since_attach.empty())
		return "no flows\n" + own_drops;
	Table table(columns_of(by));
	std::size_t shown = 0;
	const std::size_t total_lines =
		each_line(flows, by, limit, since_attach, [&](const Line &line) {
			table.row(cells_of(line, by));
			shown++;
		});

	const LossSum sum = sum_of(flows);
	const LossFigure &lost = sum.report.c2s_up_lost;
	std::string total =
		lost.value ? fmt::format("lost before this node: {} of {} segments ({}; {})",
					 *lost.value, lost.of, lost.of == 0 ? "-" : rate_text(lost),
					 lost.kind)
			   : std::string("lost before this node: unknown");
	if (lost.evicted != 0)
		total += fmt::format(", up to {} with evicted holes", *lost.value + lost.evicted);
	total += fmt::format("; {} of {} measured\n", sum.measured, count_text(sum.flows, "flow"));
	return table.text() + more_text(shown, total_lines) + "\n" + total + own_drops +
	       verdict_line(loss_verdict(flows));
}

} // namespace anycast::render
