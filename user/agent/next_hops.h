// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Keeps the next hops in the data path's backends true, so that packets need no look-up: on every
// change of neighbours, links and routes, and once a second whatever was heard.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "kernel/attachment.h"
#include "kernel/resolved.h"
#include "net/next_hop.h"
#include "util/loop.h"

namespace anycast::agent {

class NextHopKeeper {
public:
	using Log = std::function<void(std::string_view)>;

	NextHopKeeper(Loop &loop, Paths paths, Log log)
		: loop_(loop), paths_(std::move(paths)), log_(std::move(log))
	{
	}
	~NextHopKeeper() { stop(); }
	NextHopKeeper(const NextHopKeeper &) = delete;
	NextHopKeeper &operator=(const NextHopKeeper &) = delete;

	Status start();
	void stop(); // no further pass; what is there stays
	[[nodiscard]] bool runs() const { return watch_.has_value(); }
	void soon(); // something has changed: a pass, but not one after the other

	[[nodiscard]] bool any_unresolved() const;
	[[nodiscard]] const std::string &problem() const { return problem_; } // "" if there is none
	[[nodiscard]] nlohmann::ordered_json to_json() const;

private:
	struct Known {
		ResolvedReport report;
		std::map<std::string, std::string> why; // by address, of those without
	};
	void schedule(Loop::Clock::duration pause);
	void pass();
	void pass_over(const std::string &interface, NextHopFinder &finder);

	Loop &loop_;
	Paths paths_;
	Log log_;
	std::optional<RouteWatch> watch_;
	Loop::Timer timer_ = 0;
	Loop::Clock::time_point due_{}, ended_{};
	Loop::Clock::duration took_{};
	std::map<std::string, Known> known_; // by interface
	std::string problem_;
};

} // namespace anycast::agent
