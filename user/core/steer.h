// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the data path's steering comes to for one flow, computed in user space: for `plan` and
// `explain`. The hash itself is the shared one (include/anycast_xdp/hash.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/address.h"

namespace anycast {

struct FlowTuple {
	Address source, destination;
	std::uint16_t source_port = 0, destination_port = 0; // host order
	std::uint8_t protocol = 6;
	bool operator==(const FlowTuple &) const = default;
};

// "203.0.113.5:40000 > 198.51.100.80:80 tcp", as `flows` prints it; ">" and the protocol (tcp) may
// be left out. IPv6 in brackets.
std::optional<FlowTuple> parse_flow(std::string_view text);

std::uint32_t steer_hash(const std::array<std::uint64_t, 2> &seed, const FlowTuple &flow,
			 ax_hash_input input = AX_HASH_FLOW);

// The flow's first packet, a SYN or a datagram without data, as a router would deliver it.
std::vector<std::uint8_t> first_packet(const FlowTuple &flow);

} // namespace anycast
