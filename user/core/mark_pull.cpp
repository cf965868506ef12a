// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/mark_pull.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

namespace anycast {

namespace {

// Of one record between two answers: times are made of ticks and of two clocks.
constexpr std::int64_t kSameMs = 500;
constexpr std::size_t kMostRows = 4 * AX_MARK_SUMS;

bool near(std::int64_t a, std::int64_t b)
{
	return std::abs(a - b) <= kSameMs;
}

// Clocks further apart would give periods wrong numbers.
std::string clocks_apart(const MarkAnswer &answer)
{
	const std::int64_t early = answer.asked - answer.report->time,
			   late = answer.report->time - answer.answered;
	const std::int64_t apart = std::max(early, late);
	return apart <= kMarkSkewMs
		       ? std::string()
		       : fmt::format("the backend's clock is {:.1f} s {}: synchronise both",
				     static_cast<double>(apart) / 1000,
				     late > early ? "ahead" : "behind");
}

// A period that was counted in part, or for something else, is one of these: until half of all
// numbers have passed, an old one may still pass for a new one.
bool torn(const MarkReport &edge, const MarkReport &backend, std::uint64_t period)
{
	const std::int64_t began =
		std::max(edge.sent.since.value_or(0), *backend.received.since) + kMarkSkewMs;
	const double whole = static_cast<double>(edge.period) +
			     static_cast<double>(began - edge.period_began) / edge.period_ms +
			     (AX_MARK_PERIOD + 1) / 2;
	return static_cast<double>(period) < whole;
}

std::string no_answer(const MarkAnswer &answer)
{
	return fmt::format("{} {}", answer.from.text(), answer.why);
}

} // namespace

bool MarkPull::same(const Origin &a, const Origin &b)
{
	// The first packet that arrives makes the record: nothing had arrived before it.
	const bool received = !a.received || (b.received && near(*a.received, *b.received) &&
					      a.first_received == b.first_received);
	return received && near(a.sent, b.sent) && near(a.edge, b.edge) &&
	       near(a.backend, b.backend) && a.first_sent == b.first_sent;
}

// Who has a record of it, the last one to get something; else who had one before, is asked at the
// backend's own address, or has a record of another service there.
class MarkPull::Halves {
public:
	explicit Halves(const std::vector<MarkAnswer> &answers) : answers_(answers)
	{
		for (const MarkAnswer &answer : answers)
			for (const MarkRecord &one :
			     answer.report ? answer.report->received.sums : none_) {
				nodes_[one.key.backend] = &answer;
				Half &half = halves_[one.key];
				if (!half.received || half.received->last < one.last)
					half = {&answer, &one};
			}
	}

	[[nodiscard]] Half of(const Row &row) const
	{
		const MarkKey &key = row.sum.key;
		if (const auto found = halves_.find(key); found != halves_.end())
			return found->second;
		for (const MarkAnswer &answer : answers_)
			if (row.from ? answer.from == *row.from
				     : answer.from.address == key.backend)
				return {&answer, nullptr};
		const auto node = nodes_.find(key.backend);
		return {node == nodes_.end() ? nullptr : node->second, nullptr};
	}

private:
	const std::vector<MarkAnswer> &answers_;
	const std::vector<MarkRecord> none_;
	std::map<MarkKey, Half> halves_;
	std::map<Address, const MarkAnswer *> nodes_;
};

// The first figures, or the first after one side began anew. What is compared from its very
// beginning counts as a whole, but only once.
void MarkPull::begin(Row &row, const MarkReport &edge, const Origin &origin, const MarkLoss &loss)
{
	row.base = Base{.origin = origin,
			.period = loss.period,
			.sent = loss.sent,
			.received = loss.received};
	if (!row.known && loss.lost) {
		row.sum.lost = row.base->counted_lost = *loss.lost;
		row.sum.of = loss.of;
		row.sum.since = loss.sent_since;
	} else if (!row.sum.since) {
		row.sum.since = edge.time;
	}
	row.known = true;
}

void MarkPull::go_on(Row &row, const Origin &origin, const MarkLoss &loss)
{
	Base &base = *row.base;
	if (loss.period <= base.period) // nothing new is over
		return;
	if (loss.sent < base.sent || loss.received < base.received) {
		row.base.reset();
		row.sum.why = "one side counts anew: the next figure is of later packets";
		return;
	}
	const std::uint64_t sent = loss.sent - base.sent, received = loss.received - base.received;
	base.ahead += static_cast<std::int64_t>(received - sent);
	if (base.ahead > static_cast<std::int64_t>(base.counted_lost)) {
		row.sum.why = fmt::format("{} arrived of {} that were sent: another edge has this "
					  "address, or the network copies packets",
					  received, sent);
		row.base.reset();
		return;
	}
	if (base.ahead < 0) {
		row.sum.lost += static_cast<std::uint64_t>(-base.ahead);
		base.counted_lost += static_cast<std::uint64_t>(-base.ahead);
		base.ahead = 0;
	}
	row.sum.of += sent;
	base.origin = origin;
	base.period = loss.period;
	base.sent = loss.sent;
	base.received = loss.received;
}

void MarkPull::account(Row &row, const MarkReport &edge, const MarkRecord &sent, const Half &half)
{
	if (!half.answer) {
		row.sum.why = "no backend of [agent] marks_from has got anything there";
		return;
	}
	if (!half.answer->report) {
		row.sum.why = no_answer(*half.answer);
		return;
	}
	const MarkReport &backend = *half.answer->report;
	row.sum.why = marks_differ(edge, backend);
	if (row.sum.why.empty())
		row.sum.why = clocks_apart(*half.answer);
	if (!row.sum.why.empty())
		return;
	const MarkLoss loss = compare_marks(edge, sent, &backend, half.received, false);
	if (!loss.counts) {
		row.sum.why = loss.why;
		return;
	}
	Origin origin{.sent = sent.since,
		      .edge = edge.sent.since.value_or(0),
		      .backend = *backend.received.since,
		      .received = {},
		      .first_sent = sent.first};
	if (half.received) {
		origin.received = half.received->since;
		origin.first_received = half.received->first;
	}
	if (row.base && (!same(row.base->origin, origin) || row.from != half.answer->from))
		row.base.reset();
	row.from = half.answer->from;
	if (row.base) {
		go_on(row, origin, loss);
	} else if ((loss.lost && !row.known) || !torn(edge, backend, loss.period)) {
		begin(row, edge, origin, loss);
	} else {
		row.sum.why = loss.sent == 0 && !row.known
				      ? loss.why
				      : "one side counts anew: it goes on in some periods";
	}
	if (row.sum.why.empty() && row.sum.of == 0)
		row.sum.why = "nothing of it was sent in a period that is over";
}

void MarkPull::add(const MarkReport &edge, const std::vector<MarkAnswer> &answers)
{
	const Halves halves(answers);
	std::set<MarkKey> seen;
	for (const MarkRecord &sent : edge.sent.sums) {
		if (rows_.size() >= kMostRows && !rows_.contains(sent.key))
			continue;
		Row &row = rows_[sent.key];
		row.sum.key = sent.key;
		row.sum.vip = sent.vip;
		row.sum.backend = sent.backend;
		seen.insert(sent.key);
		account(row, edge, sent, halves.of(row));
	}
	for (auto &[key, row] : rows_)
		if (!seen.contains(key))
			row.sum.why = "this node has sent nothing there since it counts anew";
}

std::vector<MarkSum> MarkPull::sums() const
{
	std::vector<MarkSum> list;
	for (const auto &[key, row] : rows_)
		list.push_back(row.sum);
	std::ranges::stable_sort(list, [](const MarkSum &a, const MarkSum &b) {
		return a.why.empty() != b.why.empty() ? a.why.empty() : a.lost > b.lost;
	});
	return list;
}

} // namespace anycast
