// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/unprotected.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace anycast {

namespace {

std::optional<Address> address_of(const std::string &text)
{
	return Address::parse(text.substr(0, text.find('%')));
}

// Its own end, if that is none of the session addresses.
std::optional<Address> elsewhere(const BirdNeighbour &neighbour,
				 const std::vector<Address> &session_addresses)
{
	const auto local = address_of(neighbour.local);
	if (!local || session_addresses.empty() ||
	    std::ranges::find(session_addresses, *local) != session_addresses.end())
		return std::nullopt;
	return local;
}

} // namespace

std::vector<Unprotected> unprotected_neighbours(const Config &config,
						const std::vector<BirdNeighbour> &neighbours,
						const std::vector<Address> &session_addresses)
{
	std::vector<Unprotected> missing;
	for (const BirdNeighbour &neighbour : neighbours) {
		const auto address = address_of(neighbour.address);
		if (!address || address->is_unspecified())
			continue;
		const auto peer =
			std::ranges::find(config.gtsm_peers, *address, &GtsmPeer::address);
		if (peer == config.gtsm_peers.end()) {
			missing.push_back(
				{neighbour,
				 config.gtsm_peers.empty()
					 ? "[gtsm] names no peer: no session is protected"
					 : "no peer of [gtsm] has this address",
				 fmt::format("[[gtsm.peers]] address = \"{}\", hops = 1 (its "
					     "distance; 0 exempts it)",
					     address->text())});
			continue;
		}
		const auto local = elsewhere(neighbour, session_addresses);
		if (local && peer->hops != 0)
			missing.push_back(
				{neighbour,
				 fmt::format("the session ends at {}, which is no session address",
					     local->text()),
				 fmt::format("\"{}\" to [gtsm] local, beside all others where "
					     "sessions end",
					     local->text())});
	}
	return missing;
}

} // namespace anycast
