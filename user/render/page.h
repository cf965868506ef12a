// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The agent's status as one HTML page: no script, nothing from elsewhere, nothing to click.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace anycast::render {

std::string status_page(const nlohmann::ordered_json &status);
std::string html_escaped(std::string_view text);

} // namespace anycast::render
