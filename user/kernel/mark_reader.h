// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Alternate marking's records of a data plane, and their ageing.
#pragma once

#include "core/mark.h"
#include "kernel/dataplane.h"
#include "util/result.h"

namespace anycast {

MarkClock mark_clock();

// Added to what other interfaces of the node have seen.
// Services alone take a millisecond, flows more.
Status read_marks(const Dataplane &dataplane, const MarkClock &clock, MarkReport &report,
		  bool with_flows = true);

// Removes flows that were idle for kMarkIdleMs. Returns how many.
Result<std::size_t> age_marks(Dataplane &dataplane, const MarkClock &clock);

} // namespace anycast
