// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Keeps BIRD announcing what is wanted. Level-triggered: each round compares what BIRD has with
// what it should have and mends the difference, whatever happened in between: BIRD hung, was
// restarted, reconfigured by hand, was absent. Nothing but the include file and BIRD's own answers
// is state that matters, so a new process continues where the last one stopped, without an UPDATE.
//
// Blocks for at most `budget` a round; use it from one thread at a time.
#pragma once

#include <chrono>
#include <string>

#include "bird/client.h"
#include "bird/include_file.h"
#include "bird/parse.h"
#include "core/announcement.h"

namespace anycast::bird {

class Speaker {
public:
	explicit Speaker(BirdConfig config) : config_(std::move(config)), client_(config_.socket) {}

	// One round. Never throws, never waits longer than the budget; what could not be done is in
	// the status, and is tried again by the next round.
	BirdStatus reconcile(const Wanted &wanted, std::chrono::milliseconds budget);
	// Looks only.
	BirdStatus inspect(const Wanted &wanted, std::chrono::milliseconds budget);

private:
	struct Round;
	void write_include(Round &round);
	bool ask_daemon(Round &round);
	void configure(Round &round);
	void compare_sessions(Round &round);
	void run(Round &round);

	BirdConfig config_;
	Client client_;
	std::string rejected_;		     // a text that BIRD has refused: not tried again
	Clock::time_point next_configure_{}; // not more often than that, if it does not help
	std::chrono::seconds pause_{1};
};

} // namespace anycast::bird
