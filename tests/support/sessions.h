// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Long-lived TCP sessions that check every byte: what each sends comes back, or it is broken.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "support/connection.h"

namespace anycast::test {

// Greets with its name and a newline, then sends back what it gets.
Process serve_sessions(const Netns &netns, const Endpoint &listen);

class Sessions {
public:
	// Opens them one after the other; each then sends a block every `pause`, and goes on until
	// it is broken or stopped. Throws LabError if one cannot be opened.
	Sessions(const Netns &netns, const Endpoint &to, int count, milliseconds pause);
	~Sessions() { end(); }
	Sessions(const Sessions &) = delete;
	Sessions &operator=(const Sessions &) = delete;

	struct Result {
		int open = 0;
		std::map<std::string, int> broken; // by server
		std::map<std::string, int> total;
		std::string first_error;
		std::uint64_t bytes = 0; // checked
		[[nodiscard]] int all_broken() const;
	};
	// So far.
	[[nodiscard]] int broken() const { return broken_; }
	// Waits until every session that is not broken has had another block back, at most `limit`;
	// one that has not is broken. Then they end.
	Result finish(milliseconds limit);

private:
	struct Session {
		Fd fd;
		std::string server, error;
		std::uint64_t sent = 0, received = 0;
		std::chrono::steady_clock::time_point next;
	};
	void work(const std::stop_token &stop);
	void step(Session &session, bool may_send);
	void end();

	std::vector<Session> sessions_;
	milliseconds pause_;
	std::atomic<int> broken_{0};
	std::jthread worker_;
};

} // namespace anycast::test
