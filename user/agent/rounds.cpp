// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the agent does again and again: facts -> decisions -> BIRD and the pools.
#include <algorithm>
#include <chrono>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/agent.h"
#include "agent/notify.h"
#include "net/interfaces.h"

namespace anycast::agent {

namespace {

using std::chrono::seconds;

constexpr std::uint64_t kLossEvery = 5, kShownLossEvery = 30, kTrafficEvery = 5, kPagesEvery = 5,
			kAgeEvery = 60; // ticks; sooner where flows are idle sooner

double wall_clock()
{
	return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
		.count();
}

} // namespace

void Agent::problem(const std::string &key, const std::string &text)
{
	const auto found = problems_.find(key);
	if (text.empty()) {
		if (found != problems_.end()) {
			around_.log("over: " + found->second);
			problems_.erase(found);
		}
		return;
	}
	if (found == problems_.end() || found->second != text)
		around_.log(text);
	problems_[key] = text;
}

Health Agent::health_of(const std::string &prefix, std::size_t checks) const
{
	std::vector<Health> parts;
	for (std::size_t i = 0; i < checks; i++) {
		const health::CheckState *state = engine_->find(prefix + std::to_string(i));
		parts.push_back(state ? state->rise_fall.health() : Health::kUnknown);
	}
	return combined(parts);
}

// Somebody has to be there to send to.
Health Agent::pool_health(const std::string &name) const
{
	const auto pool = std::ranges::find(config_.pools, name, &Pool::name);
	if (pool == config_.pools.end() || pool->checks.empty())
		return Health::kUp;
	bool unknown = false;
	for (const Backend &backend : pool->backends) {
		const Health one = health_of(fmt::format("pool/{}/{}/", name, backend.name),
					     pool->checks.size());
		if (one == Health::kUp)
			return Health::kUp;
		unknown = unknown || one == Health::kUnknown;
	}
	return unknown ? Health::kUnknown : Health::kDown;
}

// Has what arrives for it a way on? The kernel serves what is this node's own; for others it takes
// an interface that steers it.
bool Agent::served(const Vip &vip) const
{
	const auto pool = std::ranges::find(config_.pools, vip.pool, &Pool::name);
	const bool elsewhere = pool != config_.pools.end() &&
			       std::ranges::any_of(pool->backends, [&](const Backend &backend) {
				       return !own_addresses_.contains(backend.address);
			       });
	return !elsewhere || backends_.steers(vip);
}

// From before a read that fails: no reason to withdraw.
void Agent::look_at_addresses()
{
	const auto all = interfaces();
	if (!all)
		return;
	own_addresses_.clear();
	for (const Interface &interface : *all)
		own_addresses_.insert(interface.addresses.begin(), interface.addresses.end());
	problem("devices", backends_.refresh_devices(*all));
}

std::map<Address, VipFacts> Agent::facts() const
{
	std::map<Address, VipFacts> facts;
	std::map<Address, std::vector<Health>> parts;
	for (const Vip &vip : config_.vips) {
		VipFacts &fact = facts[vip.address];
		parts[vip.address].push_back(
			health_of(fmt::format("vip/{}/", vip.name), vip.checks.size()));
		parts[vip.address].push_back(pool_health(vip.pool));
		fact.canary = fact.canary || vip.canary;
		fact.served = fact.served && served(vip);
	}
	for (auto &[vip, fact] : facts) {
		fact.health = combined(parts[vip]);
		fact.others_announce = bird_status_ && bird_status_->announced_by_others(vip);
		const auto watch = quiet_.find(vip);
		const auto flows = flow_watch_.find(vip);
		fact.quiet = (watch != quiet_.end() && watch->second.quiet()) ||
			     (flows != flow_watch_.end() && flows->second.quiet());
	}
	return facts;
}

BackendHealth Agent::backend_health() const
{
	BackendHealth health;
	for (const Pool &pool : config_.pools)
		for (const Backend &backend : pool.backends)
			if (!pool.checks.empty())
				health[pool.name + "/" + backend.name] = health_of(
					fmt::format("pool/{}/{}/", pool.name, backend.name),
					pool.checks.size());
	return health;
}

void Agent::soon()
{
	if (acting_soon_)
		return;
	acting_soon_ = true;
	loop_.at(Loop::Clock::now(), [this] {
		acting_soon_ = false;
		act();
	});
}

void Agent::act()
{
	if (stopping_)
		return;
	const double now = wall_clock();
	const auto &decisions = announcer_.decide(facts(), config_.agent, guard_.overloaded(), now);
	std::map<Address, Reach> reach;
	for (const auto &[vip, decision] : decisions) {
		reach[vip] = decision.reach;
		const auto before = reach_.find(vip);
		if (before == reach_.end() || before->second != decision.reach)
			around_.log(fmt::format("{} ({}): {}, {}", vip_names(config_, vip),
						vip.text(), reach_name(decision.reach),
						decision.reason));
		if (decision.reach == Reach::kDraining)
			quiet_[vip].drain(now);
		else
			quiet_[vip].stop();
	}
	reach_ = std::move(reach);
	if (Wanted wanted = wanted_for(config_, reach_); bird_ && wanted != wanted_) {
		bird_->post(wanted);
		wanted_ = std::move(wanted);
	}

	std::vector<std::string> problems;
	const std::vector<std::string> changes = backends_.sync(backend_health(), problems);
	for (const std::string &change : changes)
		around_.log(change);
	problem("backends", fmt::format("{}", fmt::join(problems, "; ")));
	save();
}

void Agent::sample_load(double now)
{
	const auto loss = load_.loss;
	load_ = pressure_.sample();
	load_.loss = loss;
	const bool guarded = config_.agent.overload.loss.high != 0;
	if (ticks_ % (guarded ? kLossEvery : kShownLossEvery) == 0) {
		const auto sums = around_.loss();
		load_.loss.reset();
		if (sums && loss_before_ && sums->second > loss_before_->second)
			load_.loss = 1000 * std::max(sums->first - loss_before_->first, 0.0) /
				     (sums->second - loss_before_->second);
		loss_before_ = sums;
	}
	const bool before = guard_.overloaded();
	if (guard_.judge(config_.agent.overload, load_, now) != before)
		around_.log(before ? "overload: over" : "overload: " + guard_.reason());
}

void Agent::sample_traffic(double now)
{
	traffic_ = around_.traffic();
	std::map<Address, std::uint64_t> packets;
	bool measurable = false;
	for (const auto &interface : traffic_.value("interfaces", nlohmann::ordered_json::array()))
		for (const auto &row : interface.value("vips", nlohmann::ordered_json::array())) {
			const auto vip = std::ranges::find(
				config_.vips, row.value("vip", std::string()), &Vip::name);
			if (vip == config_.vips.end())
				continue;
			packets[vip->address] += row.value("packets", std::uint64_t{0});
			measurable = true;
		}
	for (const auto &[vip, count] : packets)
		quiet_[vip].sample(count, now);
	if (!measurable)
		quiet_.clear();
}

// Only while something drains: a million flows take some 30 ms to read.
void Agent::sample_flows(double now)
{
	std::erase_if(flow_watch_, [&](const auto &watch) {
		const auto reach = reach_.find(watch.first);
		return reach == reach_.end() || reach->second != Reach::kDraining;
	});
	const bool due = std::ranges::any_of(reach_, [&](const auto &one) {
		if (one.second != Reach::kDraining)
			return false;
		const auto watch = flow_watch_.find(one.first);
		return watch == flow_watch_.end() || watch->second.due(now);
	});
	if (!due)
		return;
	const auto by_name = around_.flows();
	std::map<Address, std::vector<std::uint64_t>> by_address;
	for (const Vip &vip : config_.vips)
		if (const auto found = by_name.find(vip.name); found != by_name.end())
			by_address[vip.address].insert(by_address[vip.address].end(),
						       found->second.begin(), found->second.end());
	for (const auto &[vip, reach] : reach_)
		if (reach == Reach::kDraining)
			flow_watch_[vip].sample(std::move(by_address[vip]), now);
}

void Agent::tick()
{
	const auto began = Loop::Clock::now();
	const double now = wall_clock();
	loop_.at(began + seconds(1), [this] { tick(); });
	sample_load(static_cast<double>(ticks_));
	if (ticks_ % kPagesEvery == 0)
		look_at_addresses();
	const auto draining = [](const auto &one) { return one.second == Reach::kDraining; };
	const std::uint64_t age_every =
		std::min<std::uint64_t>(kAgeEvery, config_.limits.flow_idle);
	if (ticks_ % age_every == age_every - 1)
		around_.age(config_.limits.flow_idle);
	if (ticks_ % kTrafficEvery == 0 || std::ranges::any_of(reach_, draining))
		sample_traffic(now);
	sample_flows(now);
	backends_.refresh_next_hops(config_);
	if (ticks_ % kPagesEvery == 0) {
		serve_pages();
		serve_marks();
	}
	act();
	ticks_++;
	notify("WATCHDOG=1");
}

void Agent::save()
{
	Saved saved{.announcer = announcer_.memory(),
		    .health = {},
		    .downed = backends_.downed(),
		    .bird_socket = config_.bird.asn == 0 ? "" : config_.bird.socket,
		    .bird_include = config_.bird.asn == 0 ? "" : config_.bird.include};
	for (auto &[vip, decision] : saved.announcer.decisions)
		decision.wait = 0; // counts down every second: not worth a write
	engine_->each([&](const health::CheckState &state) {
		if (state.rise_fall.health() != Health::kUnknown)
			saved.health[state.target.id] = state.rise_fall.health();
	});
	const auto same_reach = [](const Saved &a, const Saved &b) {
		return std::ranges::equal(a.announcer.decisions, b.announcer.decisions,
					  [](const auto &x, const auto &y) {
						  return x.first == y.first &&
							 x.second.reach == y.second.reach;
					  });
	};
	if (problems_.contains("state") || !same_reach(saved, stored_) ||
	    saved.health != stored_.health || saved.downed != stored_.downed ||
	    saved.announcer.orders != stored_.announcer.orders ||
	    saved.bird_socket != stored_.bird_socket ||
	    saved.bird_include != stored_.bird_include ||
	    saved.announcer.canaries_up_since != stored_.announcer.canaries_up_since) {
		auto stored = store_saved(around_.paths.state + "/agent.json", saved);
		if (stored)
			stored = ledger_.save(wall_clock());
		problem("state", stored ? "" : stored.error().message());
		stored_ = std::move(saved);
	}
}

} // namespace anycast::agent
