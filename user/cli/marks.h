// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// This node's counters of alternate marking, and `loss --join`.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/context.h"
#include "core/mark.h"

namespace anycast::cli {

Result<MarkReport> marks_of(const std::vector<Instance> &instances, bool with_flows = true);

// What the agent has summed up of what backends lacked, as core/mark_pull.h; "why": it has not.
nlohmann::ordered_json pulled_marks(const Context &context, const std::vector<Instance> &instances);

// Compares saved reports of edges and backends.
Status join_reports(const Context &context, const std::vector<std::string> &files,
		    std::size_t limit);

} // namespace anycast::cli
