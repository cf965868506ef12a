// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `bird status`, and the outcome of `announce`, `withdraw` and `drain`.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/announcement.h"
#include "core/control.h"

namespace anycast::render {

nlohmann::ordered_json bird_json(const BirdStatus &status, const Wanted &wanted);
std::string bird_text(const BirdStatus &status, const Wanted &wanted);

std::string orders_text(const std::vector<OrderResult> &results);

} // namespace anycast::render
