// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A node's counters of alternate marking as JSON: what `loss --json` has under "marking", and what
// a backend's agent gives an edge's. Format: docs/loss.md.
#pragma once

#include <cstddef>

#include <nlohmann/json.hpp>

#include "core/mark.h"
#include "util/result.h"

namespace anycast {

// Of what a backend's agent gives: AX_MARK_SUMS services, with all their periods, fit.
inline constexpr std::size_t kMostMarkBytes = 4 << 20;

// Without flows: services alone, for who asks every second.
nlohmann::ordered_json marks_to_json(const MarkReport &report, bool with_flows = true);

// Of such an object, or of a whole report that has one under "marking".
Result<MarkReport> marks_from_json(const nlohmann::ordered_json &json);
Result<MarkReport> parse_marks(std::string_view text);

} // namespace anycast
