// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <utility>

#include "render/json_list.h"
#include "render/loss.h"
#include "render/loss_lines.h"
#include "render/verdict.h"

namespace anycast::render {

namespace {

using nlohmann::ordered_json;

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

ordered_json line_json(const LossLine &line, LossBy by)
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

void write_loss_json(std::ostream &out, const std::vector<NamedFlow> &flows, LossBy by,
		     std::size_t limit, const std::vector<std::string> &warnings,
		     const GroupTotals &since_attach, const ordered_json &rest)
{
	const char *key = by == LossBy::kFlow	   ? "flows"
			  : by == LossBy::kVip	   ? "vips"
			  : by == LossBy::kBackend ? "backends"
						   : "prefixes";
	JsonList list(out, key);
	const std::size_t total =
		each_loss_line(flows, by, limit, since_attach,
			       [&](const LossLine &line) { list.add(line_json(line, by)); });

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

} // namespace anycast::render
