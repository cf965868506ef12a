// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A measurement in namespaces of its own, whose figures come back as JSON.
#pragma once

#include <functional>

#include <nlohmann/json.hpp>

#include "util/result.h"

namespace anycast::bench {

// `body` runs in a lab (support/isolation.h). Whatever it throws becomes the error.
Result<nlohmann::json> in_lab(const std::function<nlohmann::json()> &body);

} // namespace anycast::bench
