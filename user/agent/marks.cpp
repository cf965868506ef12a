// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "agent/marks.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/mark_json.h"

namespace anycast::agent {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kEvery{2000}, kLimit{1000};

constexpr int kSilent = 3; // rounds, before it is worth a word

std::int64_t unix_ms()
{
	return std::chrono::duration_cast<milliseconds>(
		       std::chrono::system_clock::now().time_since_epoch())
		.count();
}

} // namespace

Marks::Marks(Loop &loop, health::HttpClient &http, Around around)
	: loop_(loop), http_(http), around_(std::move(around))
{
}

Marks::~Marks()
{
	drop_round();
	loop_.cancel(next_);
}

void Marks::drop_round()
{
	if (round_)
		*round_ = false;
	loop_.cancel(end_);
	end_ = 0;
	for (Source &source : sources_)
		source.probe.reset();
}

void Marks::set(const Config &config)
{
	not_marked_.clear();
	for (const Vip &vip : config.vips)
		if (std::string why = unmarked_because(config, vip); !why.empty())
			not_marked_.emplace_back(vip.name, std::move(why));
	const auto &from = config.agent.marks_from;
	if (next_ != 0 && std::ranges::equal(from, sources_, {}, {}, [](const Source &source) {
		    return source.answer.from;
	    }))
		return;
	drop_round();
	loop_.cancel(next_);
	next_ = 0;
	sources_.clear();
	for (const Endpoint &one : from)
		sources_.push_back({.answer = {.from = one, .report = {}, .why = {}}});
	around_.problem("");
	if (!sources_.empty())
		next_ = loop_.at(Loop::Clock::now(), [this] { begin(); });
}

void Marks::begin()
{
	next_ = loop_.at(Loop::Clock::now() + kEvery, [this] { begin(); });
	drop_round();
	round_ = std::make_shared<bool>(true);
	waiting_ = sources_.size();
	end_ = loop_.at(Loop::Clock::now() + kLimit, [this] { end(); });
	for (std::size_t i = 0; i < sources_.size(); i++)
		ask(i);
}

void Marks::ask(std::size_t which)
{
	Source &source = sources_[which];
	source.answered = false;
	source.answer.report.reset();
	source.answer.asked = unix_ms();
	auto started = http_.fetch(
		source.answer.from, "/marks", kMostMarkBytes,
		[this, which, round = round_](const health::HttpClient::Answer &answer) {
			if (*round)
				take(which, answer);
		});
	if (started) {
		source.probe = std::move(*started);
		return;
	}
	source.answer.why = "cannot be asked: " + started.error().what;
	done_with(which);
}

void Marks::take(std::size_t which, const health::HttpClient::Answer &answer)
{
	MarkAnswer &to = sources_[which].answer;
	to.answered = unix_ms();
	if (!answer.ended) {
		to.why = "does not answer: " + answer.trouble;
	} else if (answer.status != 200) {
		to.why = fmt::format("does not answer: status {}", answer.status);
	} else if (auto report = parse_marks(answer.body); report) {
		to.report = std::move(*report);
		to.why.clear();
	} else {
		to.why = "answers something else: " + health::printable(report.error().what, 120);
	}
	done_with(which);
}

// Its probe calls this, so the round is not ended from within.
void Marks::done_with(std::size_t which)
{
	sources_[which].answered = true;
	if (--waiting_ != 0)
		return;
	loop_.cancel(end_);
	end_ = loop_.at(Loop::Clock::now(), [this] { end(); });
}

void Marks::end()
{
	std::vector<MarkAnswer> answers;
	std::vector<std::string> silent;
	for (Source &source : sources_) {
		if (!source.answered)
			source.answer.why =
				fmt::format("does not answer within {} ms, waiting for {}",
					    kLimit.count(), source.probe->waiting_for());
		const MarkAnswer &answer = source.answer;
		source.why = answer.why;
		source.silent = answer.report ? 0 : source.silent + 1;
		if (answer.report)
			source.node = answer.report->node;
		if (source.silent >= kSilent)
			silent.push_back(answer.from.text() + " " + answer.why);
		answers.push_back(std::move(source.answer));
		source.answer = {.from = answers.back().from, .report = {}, .why = {}};
	}
	drop_round();
	const auto own = around_.own();
	why_ = own ? "" : own.error().message();
	if (own)
		pull_.add(*own, answers);
	around_.problem(silent.empty()
				? ""
				: fmt::format("[agent] marks_from: {}", fmt::join(silent, "; ")));
}

nlohmann::ordered_json Marks::status() const
{
	std::vector<render::MarkSource> from;
	for (const Source &source : sources_)
		from.push_back({source.answer.from, source.node, source.why});
	return render::pulled_json(pull_.sums(), from, not_marked_,
				   sources_.empty() ? "[agent] marks_from names no backend" : why_);
}

} // namespace anycast::agent
