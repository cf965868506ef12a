// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Which of BIRD's neighbours GTSM does not protect. Pure.
#pragma once

#include <string>
#include <vector>

#include "core/model.h"

namespace anycast {

struct BirdNeighbour {
	std::string protocol; // BIRD's name of the session
	std::string address;  // as BIRD prints it, perhaps with "%interface"
	std::string local{};  // the same of our own end; "" if BIRD does not say
	bool operator==(const BirdNeighbour &) const = default;
};

struct Unprotected {
	BirdNeighbour neighbour;
	std::string why;  // "no peer of [gtsm]"
	std::string hint; // the lines that would protect it
};

// In the order given. An exempt peer (hops = 0) was exempted on purpose and is left out; so is what
// is no address (a dynamic session that waits for its neighbour). A session with a peer is
// protected only at one of the session addresses; if none are given, those are not looked at.
std::vector<Unprotected> unprotected_neighbours(const Config &config,
						const std::vector<BirdNeighbour> &neighbours,
						const std::vector<Address> &session_addresses = {});

} // namespace anycast
