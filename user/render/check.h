// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `check`: one line a finding, with what to do below it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/finding.h"

namespace anycast::render {

std::string_view level_name(Level level); // "ok", "warn", "fail"
nlohmann::ordered_json check_json(const std::vector<Finding> &findings);
std::string check_text(const std::vector<Finding> &findings);

} // namespace anycast::render
