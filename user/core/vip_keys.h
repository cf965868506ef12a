// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Everything by which the data path finds a VIP: keys of ax_vip, the filter's bits, and the flags
// that say which look-ups can be left out.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/model.h"
#include "core/vip_places.h"
#include "util/result.h"

namespace anycast {

// A VIP has its own key, shares its address's, and may be whom fragments go to: see enum
// ax_vip_proto.
inline constexpr std::uint32_t kKeysPerVip = 4;

struct VipKeys {
	std::vector<std::pair<ax_vip_key, std::uint32_t>> keys; // half = 0
	std::vector<ax_prefix> prefixes;			// each once
	std::uint32_t flags = 0; // AX_SETTINGS_ANY_*, AX_SETTINGS_PREFIX
};

// ids[i] is the id of vips[i]. An error if two are the same service.
Result<VipKeys> vip_keys(std::span<const Vip> vips, std::span<const std::uint16_t> ids);

// Of all addresses where they are few; of a larger prefix simply every bit, so that all traffic
// takes the look-up.
void set_filter_bits(ax_settings &settings, const Prefix &prefix);

} // namespace anycast
