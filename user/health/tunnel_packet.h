// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Packets of a check that goes the clients' way: IP in IP towards a backend, as the data path
// sends it, and what comes back from the VIP. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/address.h"

namespace anycast::health {

using Bytes = std::vector<std::uint8_t>;

// From our end to the VIP's; both of one family.
struct InnerFlow {
	Address source, vip;
	std::uint16_t source_port = 0, vip_port = 0;
	bool operator==(const InnerFlow &) const = default;
};

inline constexpr std::uint8_t kTcpSyn = 2, kTcpReset = 4, kTcpAck = 16;
// A segment without options or data, in an IP packet.
Bytes tcp_packet(const InnerFlow &flow, std::uint32_t sequence, std::uint8_t flags);
Bytes udp_packet(const InnerFlow &flow, std::span<const std::uint8_t> payload);
// All four family combinations. An unspecified IPv4 source is the kernel's choice.
// `gue_port`: to that UDP port, as GUE variant 1 (the packet right behind the UDP header), which
// every backend of ours takes; 0: IP in IP.
Bytes in_tunnel(const Address &source, const Address &backend, const Bytes &inner,
		std::uint16_t gue_port = 0);

struct TunnelAnswer {
	InnerFlow flow; // as it was sent: `vip` is where the answer comes from
	bool tcp = false;
	std::uint8_t flags = 0;
	std::uint32_t acknowledged = 0;
	std::span<const std::uint8_t> payload; // UDP
};
// Nothing: no TCP or UDP, a fragment, or cut.
std::optional<TunnelAnswer> parse_answer(std::span<const std::uint8_t> packet);

} // namespace anycast::health
