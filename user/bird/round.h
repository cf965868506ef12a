// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What one round of the speaker works with.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "bird/speaker.h"

namespace anycast::bird {

using RouteMap = std::map<Address, BgpAttributes>;

struct Speaker::Round {
	const Wanted &wanted;
	Deadline deadline;
	bool may_mend;
	BirdStatus status{};
	std::string before{}; // the include file's text before this round wrote it
	bool written = false;
	std::vector<Protocol> protocols{};
	bool included = false; // BIRD knows our protocols
	RouteMap own{};	       // what they announce

	void problem(std::string text) { status.problems.push_back(std::move(text)); }
	void stop(BirdState state, const Error &error)
	{
		status.state = state;
		status.problem = error.message();
	}
};

} // namespace anycast::bird
