// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// An epoll loop with timers. One thread; callbacks may add and remove anything, themselves too.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>

#include "util/fd.h"
#include "util/result.h"

namespace anycast {

class Loop {
public:
	using Clock = std::chrono::steady_clock;
	using OnEvents = std::function<void(std::uint32_t)>; // EPOLL...
	using Timer = std::uint64_t;			     // 0 is none

	static Result<Loop> make();

	// Level-triggered. A descriptor that is watched already gets the new events and callback.
	Status watch(int fd, std::uint32_t events, OnEvents on_events);
	void forget(int fd); // before it is closed; nothing happens if it is not watched

	Timer at(Clock::time_point when, std::function<void()> callback);
	void cancel(Timer timer); // nothing happens if it has fired or is 0

	// Waits for events or timers, `limit` at most, and calls what is due.
	Status turn(std::chrono::milliseconds limit);
	Status run(); // turns until stop()
	void stop() { stopped_ = true; }

private:
	struct Watched {
		std::uint32_t serial;
		std::shared_ptr<OnEvents> on_events;
	};

	explicit Loop(Fd epoll) : epoll_(std::move(epoll)) {}
	[[nodiscard]] int wait_ms(std::chrono::milliseconds limit) const;
	void fire_timers();

	Fd epoll_;
	std::unordered_map<int, Watched> watched_;
	std::map<std::pair<Clock::time_point, Timer>, std::function<void()>> timers_;
	std::unordered_map<Timer, Clock::time_point> when_;
	std::uint32_t serial_ = 0;
	Timer last_timer_ = 0;
	bool stopped_ = false;
};

} // namespace anycast
