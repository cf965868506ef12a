// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Has a VIP's traffic stopped since it began to drain? From its packet counter, read every second.
// Pure.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

namespace anycast {

class QuietWatch {
public:
	static constexpr double kWindow = 5; // seconds

	// The counter's value at `now` (seconds); one that goes back begins anew.
	void sample(std::uint64_t packets, double now);
	// The drain begins, ends. Beginning twice is beginning once.
	void drain(double now);
	void stop() { before_.reset(); }
	// A window has passed since the drain began, and in the last window there was not a
	// fiftieth of the packets of the window before it.
	[[nodiscard]] bool quiet() const;

private:
	[[nodiscard]] std::optional<std::uint64_t> last_window() const;

	std::deque<std::pair<double, std::uint64_t>> samples_;
	struct Begin {
		double at;
		std::uint64_t packets; // of the window before
	};
	std::optional<Begin> before_;
};

} // namespace anycast
