// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where VIPs are: at one address, or at all of a prefix.
#pragma once

#include <string>
#include <vector>

#include "core/model.h"
#include "core/prefix.h"

namespace anycast {

// The shortest prefixes that a VIP may be.
inline constexpr std::uint8_t kShortestVip4 = 8, kShortestVip6 = 16;

Prefix prefix_of(const Vip &vip);
std::string place_of(const Vip &vip); // "192.0.2.1" or "192.0.2.0/24"

// Those that an interface can carry as a host address; each once, in the configuration's order.
std::vector<Address> single_vips(const Config &config);
// The others.
std::vector<Prefix> prefix_vips(const Config &config);

} // namespace anycast
