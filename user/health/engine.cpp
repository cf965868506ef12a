// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "health/engine.h"

#include <algorithm>

#include <fmt/format.h>

namespace anycast::health {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;

Engine::Engine(Loop &loop, ExecUser user, OnChange on_change)
	: loop_(loop), on_change_(std::move(on_change)), pinger_(loop), tunnel_(loop),
	  http_(loop, tunnel_), exec_(loop, std::move(user)), random_(std::random_device{}())
{
}

Engine::~Engine()
{
	for (const auto &[id, check] : checks_)
		stop(*check);
	loop_.cancel(burial_);
}

void Engine::set(const std::vector<Target> &targets, const std::map<std::string, Health> &known)
{
	std::map<std::string, std::unique_ptr<Check>> next;
	for (const Target &target : targets) {
		const auto running = checks_.find(target.id);
		if (running != checks_.end() && running->second->state.target == target) {
			next.emplace(target.id, std::move(running->second));
			checks_.erase(running);
			continue;
		}
		const auto before = known.find(target.id);
		const Health health = before == known.end() ? Health::kUnknown : before->second;
		auto check = std::make_unique<Check>(Check{
			.state = {.target = target,
				  .rise_fall = {target.spec.rise, target.spec.fall, health}}});
		// All at once would be a burst, every time anew: spread over the interval.
		schedule(*check, Loop::Clock::now() + spread(target.spec.interval));
		next.emplace(target.id, std::move(check));
	}
	for (const auto &[id, check] : checks_)
		stop(*check);
	checks_ = std::move(next);
}

const CheckState *Engine::find(const std::string &id) const
{
	const auto found = checks_.find(id);
	return found == checks_.end() ? nullptr : &found->second->state;
}

Loop::Clock::duration Engine::spread(Loop::Clock::duration most)
{
	return std::uniform_int_distribution<std::int64_t>(0, most.count())(random_) *
	       Loop::Clock::duration(1);
}

void Engine::schedule(Check &check, Loop::Clock::time_point when)
{
	check.due = when;
	check.timer = loop_.at(when, [this, &check] { begin(check); });
}

void Engine::note_lateness(const Check &check)
{
	const auto late =
		std::max(duration_cast<microseconds>(check.began - check.due), microseconds(0));
	lateness_.runs++;
	lateness_.total += late;
	lateness_.longest = std::max(lateness_.longest, late);
	lateness_.over_10ms += late > milliseconds(10);
}

Started Engine::start(Check &check)
{
	const Target &target = check.state.target;
	// Between its end and its burial a probe may still have something to say.
	auto done = [this, &check, wanted = check.wanted](const Outcome &outcome) {
		if (*wanted)
			finish(check, outcome);
	};
	switch (target.spec.type) {
	case CheckType::kTcp:
		return target.tunnel ? tunnel_.start_tcp(target, std::move(done))
				     : start_tcp(loop_, target, std::move(done));
	case CheckType::kUdp:
		return start_udp(loop_, tunnel_, target, std::move(done));
	case CheckType::kIcmp:
		return target.tunnel ? tunnel_.start_icmp(target, std::move(done))
				     : pinger_.start(target, std::move(done));
	case CheckType::kHttp:
	case CheckType::kHttps:
		return http_.start(target, std::move(done));
	case CheckType::kDns:
		return start_dns(loop_, tunnel_, target, std::move(done));
	case CheckType::kExec:
		return exec_.start(target, std::move(done));
	}
	return fail(Exit::kFailed, "no such check");
}

void Engine::begin(Check &check)
{
	const CheckSpec &spec = check.state.target.spec;
	if (check.limit != 0) // due at the very moment that ends the run before
		out_of_time(check);
	check.began = Loop::Clock::now();
	note_lateness(check);

	// From when it was due, not from when it began: lateness must not add up. But never before
	// this run's limit, and not to catch up after the machine has slept.
	const auto swing = spec.interval * spec.jitter / 100;
	const auto next = check.due + spec.interval - swing + spread(2 * swing);
	const auto limit = check.began + spec.timeout;
	schedule(check, std::max({next, limit, check.began}));
	check.limit = loop_.at(limit, [this, &check] { out_of_time(check); });

	check.wanted = std::make_shared<bool>(true);
	auto started = start(check);
	if (started)
		check.probe = std::move(*started);
	else
		finish(check, {false, started.error().message()});
}

void Engine::out_of_time(Check &check)
{
	finish(check, {false, fmt::format("no end after {} ms, waiting for {}",
					  check.state.target.spec.timeout.count(),
					  check.probe->waiting_for())});
}

void Engine::finish(Check &check, const Outcome &outcome)
{
	CheckState &state = check.state;
	loop_.cancel(check.limit);
	check.limit = 0;
	*check.wanted = false;
	bury(std::move(check.probe));
	state.good = outcome.good;
	state.detail = outcome.detail;
	state.took = duration_cast<milliseconds>(Loop::Clock::now() - check.began);
	state.runs++;
	state.failures += !outcome.good;
	if (state.rise_fall.add(outcome.good))
		on_change_(state);
}

void Engine::stop(Check &check)
{
	loop_.cancel(check.timer);
	loop_.cancel(check.limit);
	if (check.wanted)
		*check.wanted = false;
	bury(std::move(check.probe));
}

// A probe calls finish(), so it cannot be destroyed here.
void Engine::bury(std::unique_ptr<Probe> probe)
{
	if (!probe)
		return;
	finished_.push_back(std::move(probe));
	if (burial_ == 0)
		burial_ = loop_.at(Loop::Clock::now(), [this] {
			burial_ = 0;
			finished_.clear();
		});
}

} // namespace anycast::health
