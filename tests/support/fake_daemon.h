// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A unix socket whose other side does what a test says: daemons that lie, stall or die.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "util/fd.h"

namespace anycast::test {

// One connection, seen by the daemon.
class Caller {
public:
	explicit Caller(Fd socket) : socket_(std::move(socket)) {}
	bool say(std::string_view text) const; // false: the caller has gone
	std::string line();		       // "" once the caller has gone
	void wait_for_end();		       // until the caller has gone

private:
	Fd socket_;
	std::string buffer_;
};

class FakeDaemon {
public:
	// `serve` is called for one connection after the other, in a thread of its own.
	explicit FakeDaemon(std::function<void(Caller &)> serve, int backlog = 16);
	FakeDaemon(const FakeDaemon &) = delete;
	FakeDaemon &operator=(const FakeDaemon &) = delete;
	~FakeDaemon();

	[[nodiscard]] const std::string &path() const { return path_; }
	[[nodiscard]] int connections() const { return connections_; }

private:
	void run();

	std::string directory_, path_;
	std::function<void(Caller &)> serve_;
	Fd listener_, stop_read_, stop_write_;
	std::atomic<int> connections_ = 0;
	std::thread thread_;
};

} // namespace anycast::test
