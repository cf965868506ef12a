// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A whole configuration for BIRD, for those who have none: `anycast-xdp bird render`.
#pragma once

#include <string>
#include <string_view>

#include "core/model.h"
#include "util/result.h"

namespace anycast::bird {

// Of our neighbours' protocols: with it no name is one of BIRD's keywords.
inline constexpr std::string_view kPeerPrefix = "peer_";

Result<std::string> base_config(const Config &config);

} // namespace anycast::bird
