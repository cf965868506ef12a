// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Has a VIP's traffic stopped since it began to drain? From its packet counter, read every second.
// Pure.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

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

// Do new flows still come to a VIP that drains? From its flows in the table, looked at once a
// window: a long download does not hold a drain open, for another node sends it to the same
// backend.
class FlowWatch {
public:
	// All flows of the VIP, as hashes, at `now`; the first time is the drain's begin.
	void sample(std::vector<std::uint64_t> flows, double now);
	[[nodiscard]] bool due(double now) const { return now - at_ >= QuietWatch::kWindow; }
	// In the last window there was not one new flow for fifty that were there at the begin. A
	// VIP that has no flows in the table then is not judged: they may not be tracked.
	[[nodiscard]] bool quiet() const;

private:
	std::optional<std::size_t> begin_, fresh_;
	std::vector<std::uint64_t> last_; // sorted
	double at_ = 0;
};

} // namespace anycast
