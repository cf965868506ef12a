// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A line between two links that delays, reorders and loses, and counts what it does: the truth that
// loss figures are held against. In user space, since not every kernel has netem. What happens to a
// packet depends on the seed and on its number among the TCP segments with data of its direction,
// never on time.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <queue>
#include <span>
#include <thread>
#include <tuple>
#include <vector>

#include "support/netns.h"
#include "support/process.h"

namespace anycast::test {

// Of one direction. Everything but the delay is for TCP segments with data.
struct Impairment {
	std::uint64_t seed = 20260101;
	unsigned delay_us = 0;
	unsigned lose_per_10000 = 0; // segments; with bursts: share of segments lost in the end
	unsigned burst = 1;	     // so many at a time
	unsigned hold_per_10000 = 0; // segments that are held up, so that others overtake them
	unsigned hold_us = 0;
	// Instead: for what carries a mark of ours (mark.h). `first` counts those that are counted
	// by flow, `again` the others.
	bool marked = false;
	unsigned mark_per_10000 = 0; // set to "congestion experienced", if ECN capable
};

struct LineCounts {
	std::uint64_t segments = 0;   // with data
	std::uint64_t first = 0;      // of these, with something not seen before
	std::uint64_t first_lost = 0; // lost, and had something not seen before
	std::uint64_t again_lost = 0; // lost retransmissions
	std::uint64_t held = 0, marked = 0;
};

class Line {
public:
	enum Direction { kForth = 0, kBack = 1 };

	// Links `a` and `b` to each other. Both ends lie in a namespace of the line's own.
	Line(const LinkEnd &a, const LinkEnd &b, unsigned mtu);
	~Line();
	Line(const Line &) = delete;
	Line &operator=(const Line &) = delete;

	// From the next packet on; counters start from 0.
	void impair(Direction direction, const Impairment &impairment);
	[[nodiscard]] LineCounts counts(Direction direction) const;
	// The line's own end: a node that sends by XDP needs a program there.
	[[nodiscard]] LinkEnd end_at_b() const { return {netns_, "line1"}; }
	[[nodiscard]] static unsigned cpu(); // that handles all its packets
	// From now on another one does; with `every` they take turns, so many packets each. False
	// if the machine has none.
	bool use_other_cpu(unsigned every = 0);

private:
	using Flow = std::array<std::uint8_t, 36>;
	struct Held {
		std::int64_t due_ns;
		std::uint64_t number; // packets of the same time leave as they came
		std::vector<std::uint8_t> frame;
		bool operator<(const Held &other) const
		{
			return std::tie(due_ns, number) > std::tie(other.due_ns, other.number);
		}
	};
	struct Side {
		Impairment impairment;
		LineCounts counts;
		std::map<Flow, std::uint32_t> next; // sequence numbers
		std::priority_queue<Held> waiting;
		std::uint64_t packets = 0;
		unsigned burst_left = 0;
		Fd in;
	};
	void work(const std::stop_token &stop);
	void run_on(unsigned cpu);
	void take_turns();
	void take(Direction direction);
	static std::uint8_t mark_in(std::span<const std::uint8_t> frame);
	void judge(Side &side, std::span<std::uint8_t> frame, std::int64_t now);
	std::int64_t release(Direction direction, std::int64_t now);

	Netns netns_{"line"};
	mutable std::mutex mutex_;
	std::array<Side, 2> sides_;
	const unsigned own_cpu_ = cpu();
	unsigned other_cpu_ = 0, turn_ = 0; // packets
	std::uint64_t sent_ = 0, turned_ = 0;
	std::jthread thread_; // last: it uses the others
};

} // namespace anycast::test
