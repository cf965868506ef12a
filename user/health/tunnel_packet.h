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

inline constexpr std::uint8_t kTcpFin = 1, kTcpSyn = 2, kTcpReset = 4, kTcpPush = 8, kTcpAck = 16;
struct Segment {
	std::uint32_t sequence = 0, acknowledged = 0;
	std::uint8_t flags = 0;
	std::uint16_t mss = 0; // the option; 0: without
	std::span<const std::uint8_t> payload{};
};
Bytes tcp_packet(const InnerFlow &flow, const Segment &segment);
Bytes udp_packet(const InnerFlow &flow, std::span<const std::uint8_t> payload);
// An echo request; its identifier is the flow's source port.
Bytes echo_packet(const InnerFlow &flow, std::uint16_t number);
// All four family combinations. An unspecified IPv4 source is the kernel's choice.
// `gue_port`: to that UDP port, as GUE variant 1 (the packet right behind the UDP header), which
// every backend of ours takes; 0: IP in IP.
Bytes in_tunnel(const Address &source, const Address &backend, const Bytes &inner,
		std::uint16_t gue_port = 0);

struct TunnelAnswer {
	InnerFlow flow; // as it was sent: `vip` is where the answer comes from
	std::uint8_t protocol = 0;
	std::uint8_t flags = 0;			      // TCP
	std::uint16_t mss = 0;			      // TCP; 0: it did not say
	std::uint32_t sequence = 0, acknowledged = 0; // TCP; `sequence` of an echo: its number
	std::span<const std::uint8_t> payload;	      // TCP, UDP
};
// Nothing: no TCP, UDP or echo reply, a fragment, or cut.
std::optional<TunnelAnswer> parse_answer(std::span<const std::uint8_t> packet);

} // namespace anycast::health
