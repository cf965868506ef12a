// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where the entry of a way lies in one CPU's share of a flow table (abi.h).
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>

#include <anycast_xdp/abi.h>

namespace anycast {

// Nothing: the way has taken none yet. `way`: of all ways of all of the share's buckets.
inline std::optional<std::size_t> entry_of_way(std::size_t buckets, std::span<const ax_slots> slots,
					       std::size_t way)
{
	const std::size_t region = std::min<std::size_t>(buckets, AX_REGION) * AX_WAYS;
	const std::size_t slot =
		buckets > AX_DIRECT ? way % region + 1 : slots[way / AX_WAYS].slot[way % AX_WAYS];
	if (slot == 0 || slot > region)
		return std::nullopt;
	return way / region * region + slot - 1;
}

} // namespace anycast
