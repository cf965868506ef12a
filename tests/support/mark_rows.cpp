// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The proof's rows of what is lost between edge and backend.
#include <fmt/format.h>

#include "support/loss_rows.h"
#include "support/mark_lab.h"

namespace anycast::test {

namespace {

LossCell run_marks(const MarkConditions &conditions)
{
	const MarkOutcome outcome = MarkLab(conditions).run();
	const LineCounts &truth = outcome.truth;
	const auto services = outcome.of("services"), flows = outcome.of("flows");
	LossCell cell;

	cell.segments = truth.segments;
	cell.truth = truth.first_lost + truth.again_lost;
	cell.null = !services || !flows;
	if (!outcome.errors.empty())
		cell.why = outcome.errors.front();
	else if (cell.null)
		cell.why = "null";
	else if (services->first != cell.truth || services->second != truth.segments)
		cell.why = "by service";
	else if (flows->first != truth.first_lost || flows->second != truth.first)
		cell.why = "by flow";
	if (services)
		cell.reported = services->first;
	if (flows)
		cell.other = fmt::format("by flow {} of {}, truth {} of {}", flows->first,
					 flows->second, truth.first_lost, truth.first);
	cell.good = cell.why.empty();
	return cell;
}

} // namespace

void add_marks(std::vector<LossRow> &rows)
{
	const auto add = [&](const std::string &injected, const MarkConditions &conditions) {
		LossRow row;
		row.injected = "edge→backend " + injected;
		row.metric = "lb_backend_lost";
		row.instead = [conditions] { return run_marks(conditions); };
		rows.push_back(std::move(row));
	};
	for (const auto &[share, per_10000, bytes] : {std::tuple{"0.1 %", 10U, 24ULL << 20},
						      {"1 %", 100U, 12ULL << 20},
						      {"5 %", 500U, 4ULL << 20}})
		for (const bool six : {false, true}) {
			MarkConditions conditions;
			conditions.line.lose_per_10000 = per_10000;
			conditions.bytes = bytes;
			conditions.six = six;
			add(std::string(share) + (six ? ", IPv6" : ""), conditions);
		}
	MarkConditions reordered;
	reordered.line.hold_per_10000 = 200;
	reordered.line.hold_us = 10'000;
	add("nothing, 2 % reordered by 10 ms", reordered);
	MarkConditions ipip;
	ipip.line.lose_per_10000 = 100;
	ipip.forward = "ipip";
	add("1 %, IPIP", ipip);
}

} // namespace anycast::test
