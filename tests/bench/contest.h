// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Programs measured against each other: by turns, round after round, in one process on one CPU.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/wrapped.h"

namespace anycast::bench {

struct Contender {
	std::string name;
	Wrapped wrapped;
	std::optional<std::uint32_t> verdict; // what the program must return, if that is known
	// Afterwards: did it do what it was meant to, in as many rounds?
	std::function<Status(std::uint32_t)> check = nullptr;
	std::function<Status()> ready = nullptr; // before each round, not measured
};

struct Rounds {
	std::uint32_t rounds = 30;
	std::uint32_t repeat = 20000; // repetitions of one measured run
	std::uint32_t warm = 0;	      // repetitions before each, which are not measured
	// Times as many rounds at most, until there are enough in which nobody else had the core.
	std::uint32_t patience = 1;
	// How often everything is loaded anew, for so many rounds each. More than once: then what
	// counts as a round is a load, with its rounds' medians.
	std::uint32_t loads = 1;
};

struct Series {
	std::string name;
	std::vector<double> ns; // by round
};

struct Disturbance {
	std::uint32_t tried = 0, disturbed = 0; // rounds
	bool left_out = false;			// the disturbed ones; else too few would be left
};

struct Contest {
	std::vector<Series> series;
	Disturbance rounds;
};

// Adds a load's medians, each as one round.
void add_load(const Contest &load, Contest &all);

// Contenders take turns; who begins changes from round to round. The first is the floor: it also
// tells, before and after each round, whether the core is ours. Neighbours on the same core cost
// code that keeps it busy more than code that waits for memory, so ratios of disturbed rounds are
// of another machine.
Result<Contest> contest(std::vector<Contender> &contenders, const Rounds &rounds);

} // namespace anycast::bench
