// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/loss_rows.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "support/isolation.h"

namespace anycast::test {

namespace {

constexpr std::uint64_t kMiB = 1 << 20;

std::uint64_t nothing(const LossOutcome &)
{
	return 0;
}

std::uint64_t lost_before(const LossOutcome &outcome)
{
	return outcome.forth.first_lost;
}

LossConditions upload_of(std::uint64_t bytes, unsigned flows)
{
	LossConditions conditions;
	conditions.bytes = bytes / flows;
	conditions.flows = flows;
	return conditions;
}

LossConditions losing(unsigned per_10000, std::uint64_t bytes, unsigned flows)
{
	LossConditions conditions = upload_of(bytes, flows);
	conditions.forth.lose_per_10000 = per_10000;
	return conditions;
}

LossConditions with_rtt(LossConditions conditions, unsigned us)
{
	conditions.forth.delay_us = conditions.back.delay_us = us / 2;
	return conditions;
}

void add_without_loss(std::vector<LossRow> &rows)
{
	rows.push_back(
		{"nothing", "c2s_up_lost", upload_of(96 * kMiB, 4), nothing, 0, 3, 0, false, true});
	for (const bool six : {false, true})
		for (const unsigned ms : {3U, 10U, 30U}) {
			LossConditions conditions = upload_of(96 * kMiB, 4);
			conditions.six = six;
			conditions.forth.hold_per_10000 = 200;
			conditions.forth.hold_us = ms * 1000;
			rows.push_back(
				{fmt::format("2 % reordered by {} ms{}", ms, six ? ", IPv6" : ""),
				 "c2s_up_lost", conditions, nothing, 0, 3, 0, false, ms == 10});
		}
}

void add_before(std::vector<LossRow> &rows)
{
	rows.push_back({"client→node 0.1 %", "c2s_up_lost", losing(10, 320 * kMiB, 8), lost_before,
			2, 0, 2, false, false});
	rows.push_back({"client→node 1 %", "c2s_up_lost", losing(100, 80 * kMiB, 8), lost_before, 2,
			0, 2, false, true});
	rows.push_back({"client→node 5 %", "c2s_up_lost", losing(500, 24 * kMiB, 8), lost_before, 7,
			0, 2, false, true});
	LossConditions bursts = losing(100, 80 * kMiB, 8);
	bursts.forth.burst = 4;
	rows.push_back({"client→node 1 %, bursts of four", "c2s_up_lost", bursts, lost_before, 3, 0,
			0, false, false});
	LossConditions reordered = losing(100, 80 * kMiB, 8);
	reordered.forth.hold_per_10000 = 200;
	reordered.forth.hold_us = 3000;
	rows.push_back({"client→node 1 %, 2 % reordered by 3 ms", "c2s_up_lost", reordered,
			lost_before, 3, 0, 0, false, false});
	rows.push_back({"client→node 1 %, 80 ms RTT", "c2s_up_lost",
			with_rtt(losing(100, 48 * kMiB, 16), 80'000), lost_before, 3, 0, 0, false,
			false});
	rows.push_back({"client→node 1 %, 0.2 ms RTT", "c2s_up_lost",
			with_rtt(losing(100, 80 * kMiB, 4), 200), lost_before, 3, 0, 0, false,
			false});
	LossConditions wrap = losing(100, 80 * kMiB, 8);
	wrap.wrap = true;
	rows.push_back({"client→node 1 %, sequence wrap", "c2s_up_lost", wrap, lost_before, 3, 0, 0,
			false, false});
	LossConditions six = losing(100, 80 * kMiB, 8);
	six.six = true;
	rows.push_back(
		{"client→node 1 %, IPv6", "c2s_up_lost", six, lost_before, 3, 0, 0, false, false});
}

std::uint64_t lost_back(const LossOutcome &outcome)
{
	return outcome.back.first_lost;
}

// From the server to the client, seen in the client's acknowledgements only.
void add_sack(std::vector<LossRow> &rows)
{
	const auto download = [](unsigned per_10000, std::uint64_t bytes) {
		LossConditions conditions = upload_of(bytes, 8);
		conditions.download = true;
		conditions.back.lose_per_10000 = per_10000;
		return conditions;
	};
	rows.push_back({"nothing, download", "s2c_lost_sack", download(0, 96 * kMiB), nothing, 0, 3,
			0, true, false});
	for (const bool six : {false, true})
		for (const unsigned ms : {3U, 10U, 30U}) {
			LossConditions held = download(0, 96 * kMiB);
			held.six = six;
			// See docs/loss.md, limits: of two that are so late at once a client tells
			// of one, and of what is late at the very end nobody does.
			held.back.hold_per_10000 = ms == 30 ? 50 : 200;
			held.back.hold_us = ms * 1000;
			if (ms == 30) {
				held.bytes *= held.flows;
				held.flows = 1;
			}
			const char *share = ms == 30 ? "0.5" : "2";
			rows.push_back({fmt::format("{} % reordered by {} ms, download{}", share,
						    ms, six ? ", IPv6" : ""),
					"s2c_lost_sack", held, nothing, 0, 3, 0, false,
					ms == 3 && !six});
			rows.push_back({fmt::format("{} % reordered by {} ms, download{}, two "
						    "directions",
						    share, ms, six ? ", IPv6" : ""),
					"s2c_lost", held, nothing, 0, 3, 0, false, false});
		}
	rows.push_back({"server→client 1 %, ingress only", "s2c_lost_sack",
			download(100, 80 * kMiB), lost_back, 3, 0, 0, false, true});
	rows.push_back({"server→client 5 %, ingress only", "s2c_lost_sack",
			download(500, 24 * kMiB), lost_back, 7, 0, 0, false, false});
}

std::uint64_t lost_beyond(const LossOutcome &outcome)
{
	return outcome.beyond.first_lost + outcome.beyond.again_lost;
}

std::uint64_t all_lost_back(const LossOutcome &outcome)
{
	return outcome.back.first_lost + outcome.back.again_lost;
}

// The node sees what its server sends, too.
void add_two_directions(std::vector<LossRow> &rows)
{
	for (const auto &[per_10000, bytes] :
	     {std::pair{10U, 160 * kMiB}, {100U, 80 * kMiB}, {500U, 24 * kMiB}}) {
		LossConditions beyond = upload_of(bytes, 8);
		beyond.beyond_per_10000 = per_10000;
		rows.push_back({fmt::format("node→server {} %", per_10000 / 100.0), "c2s_down_lost",
				beyond, lost_beyond, 0, 1, 0, false, per_10000 == 100});
	}
	LossConditions both = losing(100, 80 * kMiB, 8);
	both.beyond_per_10000 = 100;
	rows.push_back({"1 % before and 1 % beyond at once", "c2s_up_lost", both, lost_before, 3, 0,
			0, false, false});
	rows.push_back({"1 % before and 1 % beyond at once", "c2s_down_lost", both, lost_beyond, 3,
			0, 0, false, false});
	for (const unsigned per_10000 : {100U, 500U}) {
		LossConditions back = upload_of(per_10000 == 100 ? 80 * kMiB : 24 * kMiB, 8);
		back.download = true;
		back.back.lose_per_10000 = per_10000;
		rows.push_back({fmt::format("server→client {} %, two directions", per_10000 / 100),
				"s2c_lost", back, all_lost_back, 1, 0, 0, false, per_10000 == 100});
		back.back.hold_per_10000 = 200;
		back.back.hold_us = 3000;
		rows.push_back({fmt::format("server→client {} %, 2 % reordered, two directions",
					    per_10000 / 100),
				"s2c_lost", back, all_lost_back, 2, 0, 0, false, false});
	}
}

// No loss, and something that could be mistaken for it.
void add_oddities(std::vector<LossRow> &rows)
{
	const auto add = [&](const char *what,
			     const std::function<void(LossConditions &)> &change) {
		LossConditions conditions = upload_of(96 * kMiB, 4);
		conditions.forth.hold_per_10000 = 200;
		conditions.forth.hold_us = 3000;
		change(conditions);
		rows.push_back({fmt::format("2 % reordered by 3 ms, {}", what), "c2s_up_lost",
				conditions, nothing, 0, 3, 0, true, false});
	};
	add("no timestamps", [](LossConditions &c) { c.timestamps = false; });
	add("no SACK", [](LossConditions &c) { c.sack = false; });
	add("neither", [](LossConditions &c) { c.timestamps = c.sack = false; });
	add("keep-alives", [](LossConditions &c) { c.meanwhile = Meanwhile::kKeepAlives; });
	add("zero-window probes",
	    [](LossConditions &c) { c.meanwhile = Meanwhile::kClosedWindow; });
	add("ECN, 5 % marked", [](LossConditions &c) {
		c.ecn = true;
		c.forth.mark_per_10000 = 500;
	});
}

// What cannot be measured, though 1 % is lost.
void add_unmeasurable(std::vector<LossRow> &rows)
{
	const auto add = [&](const char *what, Meanwhile meanwhile, unsigned flows,
			     const char *vip) {
		LossConditions conditions = losing(100, 24 * kMiB, flows);
		conditions.meanwhile = meanwhile;
		conditions.vip = vip;
		for (const std::string metric : {"c2s_up_lost", "s2c_lost", "c2s_down_lost"})
			rows.push_back({what, metric, conditions, lost_before, 0, 0, 0, true,
					flows == 1 && metric == "c2s_up_lost", true});
	};
	add("UDP without numbers", Meanwhile::kUdp, 1, "echo");
	add("a flow that moved to another CPU", Meanwhile::kOtherCpu, 1, "sink");
	add("flows of several CPUs at once", Meanwhile::kTwoCpus, 4, "sink");
}

double share(std::uint64_t part, std::uint64_t whole)
{
	return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

bool within(double value, double truth, double percent, double absolute)
{
	return std::abs(value - truth) <= std::max(truth * percent / 100, absolute);
}

} // namespace

std::vector<LossRow> loss_rows()
{
	std::vector<LossRow> rows;
	add_without_loss(rows);
	add_before(rows);
	add_sack(rows);
	add_two_directions(rows);
	add_oddities(rows);
	add_unmeasurable(rows);
	add_marks(rows);
	return rows;
}

LossCell run_row(const LossRow &row, bool brief)
{
	if (row.instead)
		return row.instead();
	LossConditions conditions = row.conditions;
	if (brief)
		conditions.bytes /= 6;
	const LossOutcome outcome = LossLab(conditions).run();
	const LineCounts &line = conditions.download ? outcome.back : outcome.forth;
	const MetricSum metric = outcome.of(row.metric);
	LossCell cell;
	cell.segments = outcome.datagrams != 0 ? outcome.datagrams : line.first;
	cell.truth = row.truth(outcome);
	cell.reported = metric.value;
	cell.rate_truth = share(cell.truth, line.first);
	cell.rate = share(metric.value, metric.of);
	cell.null = metric.known == 0;
	for (const char *also : {"c2s_up_reordered", "c2s_rtx_seen"})
		cell.other += fmt::format("{} {}, ", also, outcome.of(also).value);
	for (const auto &[what, count] : outcome.blind)
		if (count != 0)
			cell.other += fmt::format("{} {}, ", what, count);
	cell.other +=
		fmt::format("rate {:.4f} % of {:.4f} %, ", 100 * cell.rate, 100 * cell.rate_truth);
	cell.other += outcome.verdict;

	if (!outcome.errors.empty())
		cell.why = outcome.errors.front();
	else if (metric.known + metric.unknown == 0)
		cell.why = "no flow";
	else if (cell.null)
		cell.why = row.null_is_right ? "" : "null";
	else if (row.only_null)
		cell.why = "not null";
	else if (!within(static_cast<double>(cell.reported), static_cast<double>(cell.truth),
			 row.percent * (brief ? 1.5 : 1),
			 static_cast<double>(row.segments) + (brief && row.percent > 0 ? 2 : 0)))
		cell.why = "count";
	else if (row.rate_percent > 0 && !brief &&
		 std::abs(cell.rate - cell.rate_truth) > cell.rate_truth * row.rate_percent / 100)
		cell.why = fmt::format("rate {:.4f} %, truth {:.4f} %", 100 * cell.rate,
				       100 * cell.rate_truth);
	cell.good = cell.why.empty();
	return cell;
}

std::string allowed(const LossRow &row)
{
	if (row.only_null)
		return "null";
	if (row.percent == 0)
		return fmt::format("± {}{}", row.segments, row.null_is_right ? " or null" : "");
	return fmt::format("{} %", row.percent);
}

std::string text_of(const LossRow &row, const LossCell &cell)
{
	const double error = 100 * (share(cell.reported, cell.truth) - 1);
	return fmt::format("| {} | `{}` | {} | {} | {} | {} | {} | {} |", row.injected, row.metric,
			   cell.segments, cell.truth,
			   cell.null ? "null" : std::to_string(cell.reported),
			   cell.truth == 0 || cell.null ? "" : fmt::format("{:+.1f} %", error),
			   allowed(row), cell.good ? "yes" : "**no: " + cell.why + "**");
}

} // namespace anycast::test
