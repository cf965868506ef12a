// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The agent's part of `status`, from what it says of itself (agent/status.cpp).
#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace anycast::render {

std::string agent_text(const nlohmann::ordered_json &status);

} // namespace anycast::render
