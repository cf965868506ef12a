// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `node_drop` of the loss report: what this node itself dropped, by reason, since attach.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "render/reasons.h"

namespace anycast::render {

// A figure as the others, with "reasons": [{"reason", "packets"}], most first.
nlohmann::ordered_json node_drop_json(const std::vector<InterfaceStats> &interfaces);
// A line, or nothing where nothing was dropped.
std::string node_drop_text(const std::vector<InterfaceStats> &interfaces);

} // namespace anycast::render
