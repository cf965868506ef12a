// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/unprotected.h"

#include <algorithm>

#include <fmt/format.h>

namespace anycast {

std::vector<Unprotected> unprotected_neighbours(const Config &config,
						const std::vector<BirdNeighbour> &neighbours)
{
	std::vector<Unprotected> missing;
	for (const BirdNeighbour &neighbour : neighbours) {
		const auto address =
			Address::parse(neighbour.address.substr(0, neighbour.address.find('%')));
		if (!address || address->is_unspecified() ||
		    std::ranges::find(config.gtsm_peers, *address, &GtsmPeer::address) !=
			    config.gtsm_peers.end())
			continue;
		missing.push_back(
			{neighbour,
			 config.gtsm_peers.empty() ? "[gtsm] names no peer: no session is protected"
						   : "no peer of [gtsm] has this address",
			 fmt::format("[[gtsm.peers]] address = \"{}\", hops = 1 (its distance; 0 "
				     "exempts it)",
				     address->text())});
	}
	return missing;
}

} // namespace anycast
