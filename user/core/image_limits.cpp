// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/image_limits.h"

#include <fmt/format.h>

#include "core/image.h"

namespace anycast {

Status too_many(std::string_view what, std::size_t count, std::size_t most, std::string_view limit)
{
	if (count <= most)
		return {};
	return fail(Exit::kUsage, fmt::format("{} {}, and {} is {}", count, what, limit, most));
}

Status check_limits(const Config &config)
{
	constexpr std::size_t kIds = 65535; // slots and flow entries have 16 bits for an id
	constexpr std::string_view kBound = "the most there can be";
	const Limits &limits = config.limits;
	std::size_t backends = 0, slots = 0;

	for (const Pool &pool : config.pools) {
		backends += pool.backends.size();
		slots += pool.table_size;
	}
	AX_TRY(too_many("VIPs", config.vips.size(), limits.vips, "[limits] vips"));
	AX_TRY(too_many("pools", config.pools.size(), limits.pools, "[limits] pools"));
	AX_TRY(too_many("backends", backends, limits.backends, "[limits] backends"));
	AX_TRY(too_many("table slots", slots, limits.table_slots, "[limits] table_slots"));
	AX_TRY(too_many("GTSM peers", config.gtsm_peers.size(), limits.peers, "[limits] peers"));
	AX_TRY(too_many("VIPs", config.vips.size(), kIds, kBound));
	AX_TRY(too_many("backends", backends, kIds, kBound));
	AX_TRY(too_many("GTSM peers", config.gtsm_peers.size(), kIds, kBound));
	return too_many("edges", config.edges.size(), kMaxEdges, kBound);
}

} // namespace anycast
