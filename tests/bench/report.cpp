// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/report.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace anycast::bench {

namespace {

const std::vector<double> *rounds_of(const Outcome &outcome, const std::string &who)
{
	for (const Series &series : outcome.series)
		if (series.name == who)
			return &series.ns;
	return nullptr;
}

std::string judgement(const Row &row)
{
	std::string text;

	if (row.ratio && row.ratio->noisy())
		return name_of(Verdict::kNoisy);
	if (row.ratio)
		text = fmt::format("{:.2f}x [{:.2f}..{:.2f}], bare {:.2f}x", row.ratio->median,
				   row.ratio->low95, row.ratio->high95, row.bare->median);
	if (row.required && row.ratio)
		text += fmt::format(", required {:.1f}: {}", row.required->ratio,
				    name_of(row.verdict));
	if (row.level && !row.level->noisy())
		text += fmt::format("{}with a floor of {:.0f} ns {:.2f}x: {}",
				    text.empty() ? "" : "; ", kKatransFloor, row.level->median,
				    name_of(row.level_verdict));
	return text;
}

} // namespace

// Each less its own machine's floor.
std::optional<double> calibration(const Row &row)
{
	const Summary *proxy = row.find(kProxy), *floor = row.find(kFloor);

	if (!proxy || !floor || !row.level || proxy->noisy() || floor->noisy())
		return {};
	return (proxy->median - floor->median) / (row.required->katran_median - kKatransFloor);
}

std::optional<double> against_katran(const Row &row)
{
	const Summary *ours = row.find(kOurs), *floor = row.find(kFloor);

	if (!ours || !floor || !row.level || ours->noisy() || floor->noisy())
		return {};
	return row.required->katran_median / (ours->median - floor->median + kKatransFloor);
}

std::vector<std::string> too_noisy(const Report &report)
{
	std::vector<std::string> names;

	for (const Row &row : report.rows) {
		const Summary *ours = row.find(kOurs);
		if ((ours && ours->noisy()) || (row.ratio && row.ratio->noisy()) ||
		    (row.level && row.level->noisy()))
			names.push_back(row.name);
	}
	return names;
}

const Summary *Row::find(const std::string &who) const
{
	for (const auto &[label, summary] : series)
		if (label == who)
			return &summary;
	return nullptr;
}

Verdict verdict_of(const Pair &pair)
{
	if (!pair.limit)
		return Verdict::kNone;
	if (pair.difference.high95 <= *pair.limit)
		return Verdict::kPass;
	return pair.difference.low95 > *pair.limit ? Verdict::kMiss : Verdict::kClose;
}

Row row_of(const Outcome &outcome)
{
	Row row;
	row.name = outcome.name;
	row.about = outcome.about;
	row.required = outcome.required;
	row.rounds = outcome.rounds;

	const auto *floor = rounds_of(outcome, kFloor), *proxy = rounds_of(outcome, kProxy),
		   *ours = rounds_of(outcome, kOurs);

	for (const Series &series : outcome.series) {
		row.series.emplace_back(series.name, summarise(series.ns));
		if (!ours || series.name == kFloor || series.name == kProxy || series.name == kOurs)
			continue;
		const auto variant =
			std::ranges::find(outcome.variants, series.name, &Variant::name);
		row.pairs.push_back(
			{series.name, summarise(differences(*ours, series.ns)),
			 variant == outcome.variants.end() ? std::nullopt : variant->limit});
	}
	if (row.required && !proxy && outcome.sends) {
		const std::vector<double> katran(ours->size(), row.required->katran_median);
		row.level = summarise(
			ratios(katran, shifted(differences(*ours, *floor), kKatransFloor)));
		row.level_verdict = judge(*row.level, row.required->ratio);
	}
	if (!proxy || !ours || !floor)
		return row;
	row.ratio = summarise(ratios(*proxy, *ours));
	const auto proxy_bare = differences(*proxy, *floor), ours_bare = differences(*ours, *floor);
	const auto bare = ratios(proxy_bare, ours_bare);
	row.bare = summarise(bare.empty() ? std::vector<double>{0} : bare);
	if (!row.required)
		return row;
	row.verdict = judge(*row.ratio, row.required->ratio);
	if (!outcome.sends)
		return row;
	row.level = summarise(
		ratios(shifted(proxy_bare, kKatransFloor), shifted(ours_bare, kKatransFloor)));
	row.level_verdict = judge(*row.level, row.required->ratio);
	return row;
}

std::string text_of(const Row &row)
{
	std::string text = fmt::format("{:<15} {}\n", row.name, row.about);

	for (const auto &[name, s] : row.series)
		text += s.noisy() ? fmt::format("    {:<14} too noisy to conclude\n", name)
				  : fmt::format("    {:<14} best {:>5.0f}  median {:>5.0f}  "
						"quartiles {:>5.0f} {:>5.0f} ns\n",
						name, s.best, s.median, s.lower, s.upper);
	for (const auto &[name, difference, limit] : row.pairs)
		text += fmt::format(
			"    ours less '{}': {:+.1f} ns [{:+.1f}..{:+.1f}]{}\n", name,
			difference.median, difference.low95, difference.high95,
			limit ? fmt::format(", at most {:.0f}: {}", *limit,
					    name_of(verdict_of({name, difference, limit})))
			      : "");
	if (const std::string verdict = judgement(row); !verdict.empty())
		text += fmt::format("    {}\n", verdict);
	if (row.rounds.disturbed != 0)
		text += fmt::format(
			"    others had the core in {} of {} rounds, which {} left out\n",
			row.rounds.disturbed, row.rounds.tried,
			row.rounds.left_out ? "are" : "are not");
	if (const auto off = calibration(row))
		text += fmt::format("    proxy/Katran {:.2f}\n", *off);
	return text;
}

std::string summary_of(const Report &report)
{
	std::string text = fmt::format(
		"\n{} ({} CPUs), kernel {}, returns: {}, load {:.1f}\n\n{:<15} {:>11} "
		"{:>13} {:>13} "
		"{:>13} {:>6} {:>6} {:>5} {:>6} {:>6}\n",
		report.machine.cpu, report.machine.cpus, report.machine.kernel,
		report.machine.returns, report.machine.load, "best/median ns", "floor", "proxy",
		"(Katran's)", "ours", "ratio", "needed", "bare", "at 24", "issue");

	for (const Row &row : report.rows) {
		const Summary *floor = row.find(kFloor), *proxy = row.find(kProxy),
			      *ours = row.find(kOurs);
		const auto pair = [](const Summary *s) {
			return !s	    ? std::string("-")
			       : s->noisy() ? std::string("too noisy")
					    : fmt::format("{:.0f}/{:.0f}", s->best, s->median);
		};
		const auto number = [](const std::optional<Summary> &s) {
			return s && !s->noisy() ? fmt::format("{:.2f}", s->median)
						: std::string("-");
		};
		const auto &needed = row.required;
		const auto issue = against_katran(row);
		text += fmt::format(
			"{:<15} {:>10} {:>13} {:>13} {:>13} {:>6} {:>6} {:>5} {:>6} {:>6} {}{}\n",
			row.name, pair(floor), pair(proxy),
			needed ? fmt::format("({:.0f}/{:.0f})", needed->katran_best,
					     needed->katran_median)
			       : "",
			pair(ours), number(row.ratio),
			needed ? fmt::format("{:.1f}", needed->ratio) : "-", number(row.bare),
			number(row.level), issue ? fmt::format("{:.2f}", *issue) : "-",
			name_of(row.verdict),
			row.level ? fmt::format(" / {}", name_of(row.level_verdict)) : "");
	}
	if (!report.memory.empty())
		text += "\na load that waits for the one before, ns: best, quartiles while all "
			"this "
			"was measured\n";
	for (const MemoryStep &step : report.memory)
		text += fmt::format("{:>6} KB {:>5.0f} {:>7.0f} {:>4.0f}\n", step.bytes / 1024,
				    step.ns.best, step.ns.lower, step.ns.upper);
	if (!report.live.empty())
		text += fmt::format("\n{:<12} {:<60} {:>8} {:>14}\n", "live, veth", "",
				    "Mpackets/s", "CPU ns a packet");
	for (const Live &live : report.live)
		text += fmt::format("{:<12} {:<60} {:>8.2f} {:>14}\n", live.name, live.about,
				    live.mega_packets.median,
				    live.ns.noisy() ? std::string("too noisy")
						    : fmt::format("{:.0f}", live.ns.median));
	if (!report.no_live.empty())
		text += "\nno live run: " + report.no_live + "\n";
	if (!report.costs.empty())
		text += fmt::format("\n{:<22} {:<38} {:>9} {:>9}\n", "user space", "", "best",
				    "median");
	for (const Cost &cost : report.costs)
		text += fmt::format("{:<22} {:<38} {:>9.1f} {:>9.1f} {}\n", cost.name, cost.about,
				    cost.value.best, cost.value.median, cost.unit);
	if (const auto names = too_noisy(report); !names.empty()) {
		text += fmt::format("\nToo noisy to conclude (load {:.1f} on {} CPUs; needed: "
				    "below 1):",
				    report.machine.load, report.machine.cpus);
		for (const std::string &name : names)
			text += " " + name;
		text += "\n";
	}
	return text;
}

// Medians of ours less the floor of the same run; the machine's own speed cancels out as far as a
// second run can make it.
std::string compared(const Report &report, const nlohmann::json &earlier)
{
	std::string text =
		fmt::format("\n{:<15} {:>8} {:>8} {:>8}   (ours less floor, median ns)\n",
			    "against", "then", "now", "change");

	for (const Row &row : report.rows) {
		const Summary *ours = row.find(kOurs), *floor = row.find(kFloor);
		for (const auto &then : earlier.value("cases", nlohmann::json::array())) {
			const auto &series = then.value("series", nlohmann::json::object());
			if (then.value("name", "") != row.name || !ours || !floor ||
			    !series.contains(kOurs) || !series.contains(kFloor))
				continue;
			if (ours->noisy() || floor->noisy() || !series[kOurs].contains("median") ||
			    !series[kFloor].contains("median")) {
				text += fmt::format("{:<15} {:>26}   too noisy to conclude\n",
						    row.name, "");
				continue;
			}
			const double before = series[kOurs].value("median", 0.0) -
					      series[kFloor].value("median", 0.0);
			const double now = ours->median - floor->median;
			const double noise = (ours->high95 - ours->low95) / 2 +
					     (series[kOurs].value("high95", 0.0) -
					      series[kOurs].value("low95", 0.0)) /
						     2;
			text += fmt::format("{:<15} {:>8.0f} {:>8.0f} {:>+8.0f}   {}\n", row.name,
					    before, now, now - before,
					    std::abs(now - before) <= noise ? "within the noise"
					    : now < before		    ? "faster"
									    : "SLOWER");
		}
	}
	return text;
}

nlohmann::json json_of(const Report &report)
{
	const auto all = [](const Summary &s) {
		return nlohmann::json{{"best", s.best},	  {"lower", s.lower}, {"median", s.median},
				      {"upper", s.upper}, {"low95", s.low95}, {"high95", s.high95}};
	};
	const auto numbers = [&](const Summary &s) {
		return s.noisy() ? nlohmann::json{{"too_noisy", true}} : all(s);
	};
	nlohmann::json json{{"machine",
			     {{"cpu", report.machine.cpu},
			      {"kernel", report.machine.kernel},
			      {"cpus", report.machine.cpus},
			      {"returns", report.machine.returns},
			      {"load", report.machine.load}}},
			    {"unit", "ns"},
			    {"cases", nlohmann::json::array()},
			    {"costs", nlohmann::json::array()}};

	for (const Row &row : report.rows) {
		nlohmann::json out{{"name", row.name}, {"about", row.about}};
		for (const auto &[name, summary] : row.series)
			out["series"][name] = numbers(summary);
		for (const Pair &pair : row.pairs) {
			const Summary &s = pair.difference;
			nlohmann::json one{
				{"median", s.median}, {"low95", s.low95}, {"high95", s.high95}};
			if (pair.limit) {
				one["limit"] = *pair.limit;
				one["verdict"] = name_of(verdict_of(pair));
			}
			out["ours_less"][pair.name] = std::move(one);
		}
		out["rounds"] = {{"tried", row.rounds.tried},
				 {"disturbed", row.rounds.disturbed},
				 {"left_out", row.rounds.left_out}};
		if (row.ratio) {
			out["ratio"] = numbers(*row.ratio);
			out["ratio_without_floor"] = numbers(*row.bare);
		}
		if (row.required) {
			out["required"] = row.required->ratio;
			out["katran"] = {{"best", row.required->katran_best},
					 {"median", row.required->katran_median}};
			out["verdict"] = name_of(row.verdict);
			if (const auto issue = against_katran(row))
				out["katran_by_ours"] = *issue;
			if (row.level) {
				out["ratio_with_katrans_floor"] = numbers(*row.level);
				out["verdict_with_katrans_floor"] = name_of(row.level_verdict);
			}
		}
		json["cases"].push_back(std::move(out));
	}
	for (const MemoryStep &step : report.memory) {
		nlohmann::json out = all(step.ns); // that they spread is what they are for
		out["bytes"] = step.bytes;
		json["memory"].push_back(std::move(out));
	}
	for (const Live &live : report.live)
		json["live"].push_back({{"name", live.name},
					{"about", live.about},
					{"mega_packets_per_second", numbers(live.mega_packets)},
					{"cpu_ns_per_packet", numbers(live.ns)}});
	json["too_noisy"] = too_noisy(report);
	for (const Cost &cost : report.costs) {
		nlohmann::json out = numbers(cost.value);
		out["name"] = cost.name;
		out["about"] = cost.about;
		out["unit"] = cost.unit;
		json["costs"].push_back(std::move(out));
	}
	return json;
}

} // namespace anycast::bench
