// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Reads the flow tables of a data plane: in place where the maps are memory-mapped, copied
// elsewhere.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/flow.h"
#include "core/loss_totals.h"
#include "kernel/dataplane.h"
#include "util/result.h"

namespace anycast {

// `clock`: whether the table's stamps are jiffies of this machine (not so in a replay).
enum class StampClock { kJiffies, kUnknown };

Result<std::vector<FlowRecord>> read_flows(const Dataplane &dataplane,
					   StampClock clock = StampClock::kJiffies);

// Forgets those that ended or were idle for so long (core/flow_ageing.h); returns how many. Nothing
// where the maps are not memory-mapped.
Result<std::uint64_t> age_flows(Dataplane &dataplane, std::uint32_t idle_s);

// The same of what leaves, after that; no more than some at once, the others next time. `arrives`:
// is this flow still there? Then what is idle stays: else who sends queries in vain would seem to
// have sent all of them in vain.
Result<std::uint64_t> age_egress(Dataplane &dataplane, std::uint32_t idle_s,
				 const std::function<bool(const ax_egress_key &)> &arrives);

// What leaves by this data plane's interface, added to that of others; nothing where nobody looks.
Status read_egress(const Dataplane &dataplane, EgressTables &into);

// Does a tc program see what leaves?
bool sees_both_ways(const Dataplane &dataplane);

// The sums by id, with what is known of both directions.
Result<std::vector<LossTotals>> vip_totals(const Dataplane &dataplane);
Result<std::vector<LossTotals>> backend_totals(const Dataplane &dataplane);

Result<std::vector<PrefixTotals>> read_prefixes(const Dataplane &dataplane);

// Entries in use and entries there are, over all CPUs; looks at the buckets only.
struct TableLoad {
	std::uint64_t used4 = 0, size4 = 0, used6 = 0, size6 = 0;
};
Result<TableLoad> table_load(const Dataplane &dataplane);

} // namespace anycast
