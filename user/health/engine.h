// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Runs all checks of the node, each at its interval, in one loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "health/exec.h"
#include "health/http.h"
#include "health/pinger.h"
#include "health/probe.h"
#include "health/tunnel.h"

namespace anycast::health {

struct CheckState {
	Target target;
	RiseFall rise_fall;
	bool good = false;    // of the last run
	std::string detail{}; // what the last run said; "" before it
	Milliseconds took{0}; // the last run
	std::uint64_t runs = 0, failures = 0;
};

// How late runs began, against when they were due.
struct Lateness {
	std::uint64_t runs = 0;
	std::chrono::microseconds total{0}, longest{0};
	std::uint64_t over_10ms = 0;
};

class Engine {
public:
	// Its health has changed. Must not call set().
	using OnChange = std::function<void(const CheckState &)>;

	Engine(Loop &loop, ExecUser user, OnChange on_change);
	~Engine();
	Engine(const Engine &) = delete;
	Engine &operator=(const Engine &) = delete;

	// These and no others. An unchanged one goes on as it is; a new or changed one starts as
	// `known` says, else unknown.
	void set(const std::vector<Target> &targets, const std::map<std::string, Health> &known);

	[[nodiscard]] const CheckState *find(const std::string &id) const;
	template <typename Visit> void each(Visit visit) const
	{
		for (const auto &[id, check] : checks_)
			visit(check->state);
	}
	[[nodiscard]] const Lateness &lateness() const { return lateness_; }
	[[nodiscard]] HttpClient &http() { return http_; } // for who asks for more than health

private:
	struct Check {
		CheckState state;
		Loop::Clock::time_point due{}, began{};
		Loop::Timer timer = 0, limit = 0;
		std::unique_ptr<Probe> probe{};
		std::shared_ptr<bool> wanted{}; // this run's result
	};

	void schedule(Check &check, Loop::Clock::time_point when);
	void begin(Check &check);
	void note_lateness(const Check &check);
	Started start(Check &check);
	void out_of_time(Check &check);
	void finish(Check &check, const Outcome &outcome);
	void stop(Check &check);
	void bury(std::unique_ptr<Probe> probe);
	[[nodiscard]] Loop::Clock::duration spread(Loop::Clock::duration most);

	Loop &loop_;
	OnChange on_change_;
	Pinger pinger_;
	TunnelProber tunnel_;
	HttpClient http_;
	ExecRunner exec_;
	std::map<std::string, std::unique_ptr<Check>> checks_;
	std::vector<std::unique_ptr<Probe>> finished_; // and not destroyed yet
	Loop::Timer burial_ = 0;
	Lateness lateness_;
	std::minstd_rand random_;
};

} // namespace anycast::health
