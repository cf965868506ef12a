// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What tests of alternate marking in the program have in common.
#pragma once

#include <gtest/gtest.h>

#include "core/mark.h"
#include "kernel/mark_reader.h"
#include "support/program_fixture.h"

namespace anycast::test {

inline constexpr std::uint64_t kPeriodUs = 1024000; // 256 ticks of 4 ms
inline constexpr std::uint8_t kBoth = AX_MARK_SUM | AX_MARK_FLOW;

inline Config marked(ax_forward forward = AX_FORWARD_GUE)
{
	Config config = two_families();
	config.marking = true;
	for (Vip &vip : config.vips)
		vip.forward = forward;
	return config;
}

inline MarkReport report_of(Dataplane &dataplane, std::uint64_t us)
{
	MarkReport report;
	const MarkClock clock{us / 4000, 250, static_cast<std::int64_t>(us / 1000)};
	const Status read = read_marks(dataplane, clock, report);
	EXPECT_TRUE(read) << read.error().message();
	return report;
}

inline std::uint64_t counted_in(const std::vector<MarkRecord> &records)
{
	std::uint64_t packets = 0;
	for (const MarkRecord &record : records)
		packets += record.packets();
	return packets;
}

} // namespace anycast::test
