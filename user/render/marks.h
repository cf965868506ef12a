// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// lb_backend_lost: what alternate marking found between edges and backends.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "core/mark_join.h"

namespace anycast::render {

// {"value": n or null, "kind", "basis": "altmark", "of", "rate", "why"}
nlohmann::ordered_json mark_figure_json(const MarkLoss &loss);
nlohmann::ordered_json mark_loss_json(const MarkLoss &loss);
// {"flows": [...], "services": [...], "notes": [...]}; `limit` 0: all flows.
nlohmann::ordered_json mark_join_json(const MarkJoin &join, std::size_t limit);
std::string mark_join_text(const MarkJoin &join, std::size_t limit);

} // namespace anycast::render
