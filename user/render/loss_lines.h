// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What text and JSON of `loss` have in common: which lines there are, and in which order.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "render/loss.h"

namespace anycast::render {

// One line of the report: a flow, or a group with the sum of its flows.
struct LossLine {
	const NamedFlow *flow = nullptr; // by flow only
	LossGroup group;
	LossReport report;
	std::uint64_t flows = 1, measured = 0;
	std::optional<LossTotals> since_attach{};
};

// Visits the lines to show, worst first; returns how many there are in all. Lines are made one at a
// time, since there may be a million flows.
std::size_t each_loss_line(const std::vector<NamedFlow> &flows, LossBy by, std::size_t limit,
			   const GroupTotals &since_attach,
			   const std::function<void(const LossLine &)> &visit);

LossSum sum_of(const std::vector<NamedFlow> &flows);
std::string prefix_text(const Prefix &prefix);

} // namespace anycast::render
