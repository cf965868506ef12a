// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What `flows` and `loss` are asked about: flows of all attached interfaces, named and filtered,
// both directions joined; and sums since attach.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/context.h"
#include "core/flow.h"
#include "render/flows.h"
#include "render/loss.h"

namespace anycast::cli {

struct FlowArguments {
	std::string vip, backend, source, by = "flow";
	std::size_t limit = 0;
	double active = 0; // seconds; 0 = all
	double watch = 0;  // seconds; 0 = once
	std::uint64_t count = 0;
	bool limit_given = false;
	std::vector<std::string> join; // saved reports
};

// Instances, their flows, and views into both: to be kept together.
struct FlowSet {
	std::vector<Instance> instances;
	std::vector<std::vector<FlowRecord>> records;
	std::vector<render::NamedFlow> flows;
};

Result<FlowSet> collect(const Context &context, const FlowArguments &arguments);

// Since attach, over all interfaces. The groups' names view into the instances.
Result<render::GroupTotals> totals_of(const std::vector<Instance> &instances,
				      const FlowArguments &arguments);

} // namespace anycast::cli
