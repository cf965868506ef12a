// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A whole configuration for BIRD, for those who have none: `anycast-xdp bird render`.
#pragma once

#include <string>

#include "core/model.h"
#include "util/result.h"

namespace anycast::bird {

Result<std::string> base_config(const Config &config);

} // namespace anycast::bird
