// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/mark_reader.h"

#include <chrono>
#include <cstring>
#include <ctime>

#include "kernel/clock.h"

namespace anycast {

namespace {

Status read_map(const Dataplane &dataplane, std::string_view name, std::vector<MarkEntry> &into)
{
	const Map *map = dataplane.optional_map(name);

	if (!map) // the legacy build, or attached by a version before
		return {};
	return map->for_each(
		[&](const std::byte *key, const std::byte *value) {
			MarkEntry &entry = into.emplace_back();
			std::memcpy(&entry.first, key, sizeof(entry.first));
			std::memcpy(&entry.second, value, sizeof(entry.second));
		},
		BPF_F_LOCK);
}

} // namespace

// jiffies start at -300 seconds, in 32 bits (linux/jiffies.h, INITIAL_JIFFIES), and tick with the
// coarse clock.
MarkClock mark_clock()
{
	using namespace std::chrono;
	MarkClock clock;
	timespec mono{};

	clock.hz = kernel_hz();
	clock_gettime(CLOCK_MONOTONIC_COARSE, &mono);
	clock.now = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
	clock.jiffies = static_cast<std::uint32_t>(-300 * static_cast<std::int64_t>(clock.hz));
	clock.jiffies += static_cast<std::uint64_t>(mono.tv_sec) * clock.hz +
			 static_cast<std::uint64_t>(mono.tv_nsec) / (1000000000 / clock.hz);
	return clock;
}

Status read_marks(const Dataplane &dataplane, const MarkClock &clock, MarkReport &report,
		  bool with_flows)
{
	std::vector<MarkEntry> entries;
	auto ctl = dataplane.control();

	if (!ctl)
		return tl::unexpected(std::move(ctl.error()));
	AX_TRY(read_map(dataplane, "ax_mark_sum", entries));
	if (with_flows)
		AX_TRY(read_map(dataplane, "ax_mark", entries));
	add_marks(report, entries, clock);
	set_period(report, ctl->half[ctl->generation & 1].mark_shift, clock);
	return {};
}

Result<std::size_t> age_marks(Dataplane &dataplane, const MarkClock &clock)
{
	std::vector<MarkEntry> entries;
	std::size_t removed = 0;

	AX_TRY(read_map(dataplane, "ax_mark", entries));
	for (const auto &[key, mark] : entries) {
		if (mark.since == 0 || clock.now - clock.unix_ms_of_low(mark.stamp) < kMarkIdleMs)
			continue;
		AX_TRY(dataplane.map("ax_mark").erase(&key));
		removed++;
	}
	return removed;
}

} // namespace anycast
