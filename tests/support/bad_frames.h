// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Malformed frames, each with the one rule that it breaks, and spoofed BGP.
#pragma once

#include <string>
#include <vector>

#include "support/packet.h"

namespace anycast::test {

struct BadFrame {
	std::string rule; // label of the reason it must be dropped for
	std::string what;
	Packet frame;
};

// To the VIP, for the Ethernet addresses of a link.
std::vector<BadFrame> malformed_frames(const std::string &from_mac, const std::string &to_mac);

// What an attacker several hops away can send in the name of the neighbour: right addresses and
// port, TTL 64. Opening, data, reset and close.
std::vector<Packet> spoofed_bgp(const std::string &from_mac, const std::string &to_mac,
				const std::string &from, const std::string &to);

} // namespace anycast::test
