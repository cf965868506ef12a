// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/loss.h"

#include <utility>

#include <fmt/format.h>

#include "render/loss_lines.h"
#include "render/table.h"
#include "render/verdict.h"

namespace anycast::render {

namespace {

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

std::vector<std::string> cells_of(const LossLine &line, LossBy by)
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

std::string figure_text(const LossFigure &figure)
{
	return figure.value ? std::to_string(*figure.value) : "-";
}

std::string loss_text(const std::vector<NamedFlow> &flows, LossBy by, std::size_t limit,
		      const GroupTotals &since_attach, const std::string &own_drops)
{
	if (flows.empty() && since_attach.empty())
		return "no flows\n" + own_drops;
	Table table(columns_of(by));
	std::size_t shown = 0;
	const std::size_t total_lines =
		each_loss_line(flows, by, limit, since_attach, [&](const LossLine &line) {
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
