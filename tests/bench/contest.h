// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Programs measured against each other: by turns, round after round, in one process on one CPU.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/wrapped.h"

namespace anycast::bench {

struct Contender {
	std::string name;
	Wrapped wrapped;
	std::optional<std::uint32_t> verdict;	 // what the program must return, if that is known
	std::function<Status()> check = nullptr; // afterwards: did it do what it was meant to?
	std::function<Status()> ready = nullptr; // before each round, not measured
};

struct Rounds {
	std::uint32_t rounds = 30;
	std::uint32_t repeat = 20000; // repetitions of one measured run
	std::uint32_t warm = 0;	      // repetitions before each, which are not measured
};

struct Series {
	std::string name;
	std::vector<double> ns; // by round
};

// Contenders take turns; who begins changes from round to round.
Result<std::vector<Series>> contest(std::vector<Contender> &contenders, const Rounds &rounds);

} // namespace anycast::bench
