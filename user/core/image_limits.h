// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What does not fit into the maps is refused before they are touched.
#pragma once

#include <cstddef>
#include <string_view>

#include "core/model.h"
#include "util/result.h"

namespace anycast {

// "17 VIPs, and [limits] vips is 16"
Status too_many(std::string_view what, std::size_t count, std::size_t most, std::string_view limit);
Status check_limits(const Config &config);

} // namespace anycast
