// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "agent/next_hops.h"

#include <sys/epoll.h>

#include <algorithm>

#include <fmt/format.h>

namespace anycast::agent {

namespace {

using std::chrono::milliseconds;

// A pass takes time for each backend: at most a tenth of one's own after news, a fiftieth without.
constexpr milliseconds kAfterNews{50}, kWithout{1000};
constexpr int kShareAfterNews = 10, kShareWithout = 50;

} // namespace

Status NextHopKeeper::start()
{
	auto watch = RouteWatch::open();
	if (!watch)
		return tl::unexpected(std::move(watch.error()));
	watch_ = std::move(*watch);
	AX_TRY(loop_.watch(watch_->fd(), EPOLLIN, [this](std::uint32_t) {
		if (watch_->changed())
			soon();
	}));
	pass();
	return {};
}

void NextHopKeeper::stop()
{
	if (!watch_)
		return;
	loop_.forget(watch_->fd());
	watch_.reset();
	loop_.cancel(timer_);
	known_.clear();
}

void NextHopKeeper::soon()
{
	if (!runs())
		return;
	const auto earliest =
		ended_ + std::max<Loop::Clock::duration>(kAfterNews, took_ * kShareAfterNews);
	if (earliest < due_)
		schedule(earliest - Loop::Clock::now());
}

void NextHopKeeper::schedule(Loop::Clock::duration pause)
{
	loop_.cancel(timer_);
	due_ = Loop::Clock::now() + std::max(pause, Loop::Clock::duration(0));
	timer_ = loop_.at(due_, [this] { pass(); });
}

void NextHopKeeper::pass()
{
	const auto began = Loop::Clock::now();
	problem_.clear();
	const auto interfaces = attached_interfaces(paths_);
	if (!interfaces)
		problem_ = interfaces.error().what;
	std::erase_if(known_, [&](const auto &known) {
		return !interfaces ||
		       std::ranges::find(*interfaces, known.first) == interfaces->end();
	});
	NextHopFinder finder;
	for (const std::string &interface : interfaces ? *interfaces : std::vector<std::string>{})
		pass_over(interface, finder);
	ended_ = Loop::Clock::now();
	took_ = ended_ - began;
	schedule(std::max<Loop::Clock::duration>(kWithout, took_ * kShareWithout));
	if (std::ranges::any_of(known_, [](const auto &one) { return one.second.report.busy; }))
		soon();
}

void NextHopKeeper::pass_over(const std::string &interface, NextHopFinder &finder)
{
	Known now;
	const auto hop_of = [&](const Address &backend) -> std::optional<NextHop> {
		const auto &hop = finder.find(backend);
		if (!hop)
			now.why[backend.text()] = hop.error().what;
		return hop ? std::optional(*hop) : std::nullopt;
	};
	const auto report = set_next_hops(paths_, interface, hop_of);
	if (!report) {
		problem_ = fmt::format("next hops of {}: {}", interface, report.error().what);
		return;
	}
	now.report = *report;
	Known &before = known_[interface];
	if (report->changed != 0)
		log_(fmt::format("{}: next hops: {} written, {} known, {} not", interface,
				 report->changed, report->resolved, report->unresolved));
	for (const auto &[address, why] : now.why)
		if (const auto known = before.why.find(address);
		    known == before.why.end() || known->second != why)
			log_(fmt::format("{}: backend {}: looked up per packet: {}", interface,
					 address, why));
	before = std::move(now);
}

bool NextHopKeeper::any_unresolved() const
{
	return std::ranges::any_of(
		known_, [](const auto &one) { return one.second.report.unresolved != 0; });
}

nlohmann::ordered_json NextHopKeeper::to_json() const
{
	nlohmann::ordered_json list = nlohmann::ordered_json::array();
	for (const auto &[interface, known] : known_)
		list.push_back({{"interface", interface},
				{"known", known.report.resolved},
				{"not_known", known.report.unresolved},
				{"why", known.why}});
	return list;
}

} // namespace anycast::agent
