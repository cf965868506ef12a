// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/mark_join.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>

namespace anycast {

namespace {

constexpr double kSkewMs = kMarkSkewMs;
constexpr std::int64_t kNumbers = AX_MARK_PERIOD + 1;

// Numbers of periods as the edge counts them, without the wrap at 32.
class EdgeClock {
public:
	explicit EdgeClock(const MarkReport &edge) : edge_(edge) {}

	// The period at a time, in fractions.
	[[nodiscard]] double at(std::int64_t time) const
	{
		return static_cast<double>(edge_.period) +
		       static_cast<double>(time - edge_.period_began) / edge_.period_ms;
	}
	// The one of this number that was nearest to the time.
	[[nodiscard]] std::int64_t full(std::uint8_t number, std::int64_t time) const
	{
		const double distance = (at(time) - number) / kNumbers;
		return static_cast<std::int64_t>(std::floor(distance + 0.5)) * kNumbers + number;
	}
	// The last period that was over by `margin_ms` at a time.
	[[nodiscard]] std::int64_t over(std::int64_t time, double margin_ms) const
	{
		return static_cast<std::int64_t>(
			       std::floor(at(time) - margin_ms / edge_.period_ms)) -
		       1;
	}
	[[nodiscard]] double half_ms() const { return edge_.period_ms / 2; }

private:
	const MarkReport &edge_;
};

std::int64_t newest_of(const MarkRecord &record, const EdgeClock &clock)
{
	std::int64_t newest = clock.full(record.first, record.since);
	for (const MarkPeriod &period : record.periods)
		newest = std::max(newest, clock.full(period.period, period.began));
	return newest;
}

// What was counted up to a period's end; nothing: it is too long ago to tell.
std::optional<std::uint64_t> count_until(const MarkRecord &record, std::int64_t until,
					 const EdgeClock &clock)
{
	std::uint64_t count = record.settled;

	if (until < newest_of(record, clock) - AX_MARK_SLOTS && record.settled != 0)
		return std::nullopt;
	for (const MarkPeriod &period : record.periods)
		if (clock.full(period.period, period.began) <= until)
			count += period.packets;
	return count;
}

// The last period of which nothing can come any more: packets of a later one came half a period
// ago, or the clock says so.
std::int64_t closed_at(const MarkReport &backend, const Address &edge, const EdgeClock &clock)
{
	std::int64_t closed = clock.over(backend.time, clock.half_ms() + kSkewMs);

	for (const MarkRecord &record : backend.received.sums)
		if (record.key.edge == edge)
			for (const MarkPeriod &period : record.periods)
				if (static_cast<double>(backend.time - period.began) >=
				    clock.half_ms())
					closed = std::max(closed,
							  clock.full(period.period, period.began) -
								  1);
	return closed;
}

std::string reports_apart(const MarkReport &edge, const MarkReport &backend)
{
	return fmt::format("the reports are {:.1f} s apart, and periods are kept for {:.1f} s",
			   std::abs(static_cast<double>(backend.time - edge.time)) / 1000,
			   edge.period_ms * AX_MARK_SLOTS / 1000);
}

// Why what the backend has is not the whole of what this record counted; "" if it is.
std::string incomparable(const MarkReport &edge, const MarkRecord &sent, const MarkReport &backend,
			 const MarkRecord *received, bool by_flow, const EdgeClock &clock)
{
	const auto before = [](std::int64_t a, std::int64_t b) {
		return static_cast<double>(a) < static_cast<double>(b) + kSkewMs;
	};

	if (std::string why = marks_differ(edge, backend); !why.empty())
		return why;
	if (before(sent.since, *backend.received.since))
		return "it began before the backend counted";
	if (by_flow && backend.received.last_no_room &&
	    !before(*backend.received.last_no_room + 2 * static_cast<std::int64_t>(kSkewMs),
		    sent.since))
		return "the backend's table was full: raise [limits] marked_flows there";
	if (!received) {
		if (by_flow && edge.time - sent.since >= kMarkIdleMs)
			return "no counterpart: the backend has no record of it, or none any more";
		return {};
	}
	if (clock.full(received->first, received->since) < clock.full(sent.first, sent.since) ||
	    static_cast<double>(received->since) + kSkewMs < static_cast<double>(sent.since))
		return "the edge counts anew since: it was restarted, or had forgotten it";
	if (by_flow && received->since - sent.since >= kMarkIdleMs)
		return "the backend counts anew since: it was restarted, or had forgotten it";
	return {};
}

// Most lost first, then the higher rate; unknown last.
void sort_worst_first(std::vector<MarkLoss> &list)
{
	std::ranges::sort(list, [](const MarkLoss &a, const MarkLoss &b) {
		if (a.lost != b.lost)
			return a.lost > b.lost;
		return a.of != b.of ? a.of < b.of : a.key < b.key;
	});
}

using Records = std::map<MarkKey, std::pair<const MarkReport *, const MarkRecord *>>;

// An address may be two nodes' in turn: the record that was used last counts.
void add_received(const MarkReport &report, const std::vector<MarkRecord> &list, Records &records)
{
	for (const MarkRecord &record : list) {
		auto &entry = records[record.key];
		if (!entry.second || entry.second->last < record.last)
			entry = {&report, &record};
	}
}

class Joiner {
public:
	explicit Joiner(const std::vector<MarkReport> &reports)
	{
		std::map<std::string, const MarkReport *> latest;
		for (const MarkReport &report : reports) {
			auto &known = latest[report.node];
			if (!known || known->time < report.time)
				known = &report;
		}
		for (const auto &[node, report] : latest)
			reports_.push_back(report);
		for (const MarkReport *report : reports_) {
			add_received(*report, report->received.sums, sums_);
			add_received(*report, report->received.flows, flows_);
			for (const MarkRecord &record : report->received.sums)
				nodes_[record.key.backend] = report;
		}
	}

	MarkJoin run()
	{
		std::size_t receivers = 0;
		for (const MarkReport *report : reports_)
			receivers += report->received.since.has_value();
		for (const MarkReport *report : reports_) {
			if (report->period_ms == 0)
				result_.notes.push_back(fmt::format(
					"{}: [tunnel] marking is off there", report->node));
			for (const MarkRecord &sent : report->sent.sums)
				result_.sums.push_back(one(*report, sent, sums_, false));
			for (const MarkRecord &sent : report->sent.flows)
				result_.flows.push_back(one(*report, sent, flows_, true));
			if (report->sent.no_room != 0)
				result_.notes.push_back(fmt::format(
					"{}: {} packets of flows that found no room are counted by "
					"service alone: raise [limits] marked_flows",
					report->node, report->sent.no_room));
		}
		if (receivers == 0)
			result_.notes.emplace_back("no report is a backend's that counts");
		sort_worst_first(result_.flows);
		sort_worst_first(result_.sums);
		return std::move(result_);
	}

private:
	MarkLoss one(const MarkReport &edge, const MarkRecord &sent, const Records &records,
		     bool by_flow)
	{
		const auto found = records.find(sent.key);
		const auto node = nodes_.find(sent.key.backend);
		const MarkReport *backend = found != records.end() ? found->second.first
					    : node != nodes_.end() ? node->second
								   : nullptr;
		return compare_marks(edge, sent, backend,
				     found == records.end() ? nullptr : found->second.second,
				     by_flow);
	}

	std::vector<const MarkReport *> reports_;
	Records sums_, flows_;
	std::map<Address, const MarkReport *> nodes_; // who receives at an address
	MarkJoin result_;
};

} // namespace

std::string marks_differ(const MarkReport &edge, const MarkReport &backend)
{
	if (edge.period_ms == 0)
		return "[tunnel] marking is off at the edge";
	if (!backend.received.since || backend.period_ms == 0)
		return "the backend does not count: [tunnel] marking is off there";
	if (std::abs(backend.period_ms - edge.period_ms) > edge.period_ms / 2)
		return fmt::format(
			"periods differ: {:.0f} ms at the edge, {:.0f} ms at the backend",
			edge.period_ms, backend.period_ms);
	return {};
}

MarkLoss compare_marks(const MarkReport &edge, const MarkRecord &sent, const MarkReport *backend,
		       const MarkRecord *received, bool by_flow)
{
	const EdgeClock clock(edge);
	MarkLoss loss;

	loss.key = sent.key;
	loss.vip = sent.vip;
	loss.backend = sent.backend;
	loss.sent_since = sent.since;
	if (edge.period_ms == 0) {
		loss.why = "[tunnel] marking is off at the edge";
		return loss;
	}
	if (!backend) {
		loss.why = "no report of the backend";
		return loss;
	}
	const std::int64_t until = std::min(clock.over(edge.time, clock.half_ms()),
					    closed_at(*backend, sent.key.edge, clock));
	const auto out = count_until(sent, until, clock);
	const auto in =
		received ? count_until(*received, until, clock) : std::optional<std::uint64_t>(0);
	if (!out || !in) {
		loss.why = reports_apart(edge, *backend);
		return loss;
	}
	loss.period = static_cast<std::uint64_t>(std::max<std::int64_t>(until, 0));
	loss.sent = *out;
	loss.received = *in;
	loss.received_since = received ? received->since : 0;
	loss.counts = true;
	loss.why = incomparable(edge, sent, *backend, received, by_flow, clock);
	if (!loss.why.empty())
		return loss;
	if (*out == 0)
		loss.why = "nothing of it was sent in a period that is over";
	else if (*in > *out)
		loss.why = fmt::format("{} arrived of {} that were sent: another edge has this "
				       "address, or the network copies packets",
				       *in, *out);
	else
		loss.lost = *out - *in;
	loss.of = *out;
	return loss;
}

MarkJoin join_marks(const std::vector<MarkReport> &reports)
{
	return Joiner(reports).run();
}

} // namespace anycast
