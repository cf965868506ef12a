// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Prometheus' text exposition format 0.0.4, from the agent's status or from `stats --json`.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

namespace anycast::render {

std::string metrics_text(const nlohmann::ordered_json &status);

} // namespace anycast::render
