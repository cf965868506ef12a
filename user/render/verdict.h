// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// "Is it us, the network before us, or what lies beyond?" in one line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "render/flows.h"

namespace anycast::render {

struct LossVerdict {
	// "1.0 % lost between 203.0.113.0/24 and this node, 0 beyond"; "" where the evidence does
	// not carry that far. Then `why_not`: no_flows, generic_mode, mostly_unmeasured,
	// too_few_segments, other_way (more gaps that nobody filled than losses: packets pass by
	// this node).
	std::string text;
	std::string_view why_not;
};
LossVerdict loss_verdict(const std::vector<NamedFlow> &flows);

// The line that ends the report: the verdict, or why there is none.
std::string verdict_line(const LossVerdict &verdict);

} // namespace anycast::render
