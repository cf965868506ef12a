// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Keeps BIRD announcing what is wanted. Level-triggered: each round compares what BIRD has with
// what it should have and mends the difference, whatever happened in between: BIRD hung, was
// restarted, reconfigured by hand, was absent. Nothing but the include file and BIRD's own answers
// is state that matters, so a new process continues where the last one stopped, without an UPDATE.
//
// Blocks for at most `budget` a round; use it from one thread at a time.
#pragma once

#include <chrono>
#include <map>
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
	void run(Round &round);
	void keep_include(Round &round);
	bool ask_daemon(Round &round);
	bool read_protocols(Round &round);
	struct Families {
		bool ipv4 = true, ipv6 = true;
	};
	// `which`: the end of a `show route`: "all", "exported 'up'".
	Result<std::vector<Route>> routes_of_vips(Round &round, const std::string &which,
						  Families families);
	bool read_own_routes(Round &round);
	bool read_all_own_routes(Round &round);
	void mend(Round &round);
	bool check(Round &round);
	void restore(Round &round, const std::string &complaint);
	void emergency(Round &round);
	void compare_sessions(Round &round);
	void compare_exports(Round &round, SessionStatus &session, bool ipv4, bool ipv6);
	void resend(Round &round);
	Result<Reply> ask(Round &round, const std::string &command);

	BirdConfig config_;
	Client client_;
	bool unread_ = false;		   // the file was written, and BIRD has not taken it yet
	std::string rejected_, complaint_; // a text that BIRD has refused, and why
	Clock::time_point next_try_{};	   // what did not help is not done every second
	std::chrono::seconds pause_{1};
	std::map<std::string, int> lagging_; // sessions that owe routes -> rounds
};

// What a session's state and last error mean, and what to do; empty: nothing is wrong.
std::string advice_for(const SessionStatus &session);

} // namespace anycast::bird
