// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Forgets flows that ended or were idle for long. The data path needs no such thing: new flows take
// the place of those that were not used. But who looks at the table wants to see what is alive, and
// the stamps of its entries wrap after some hours. What such flows lost was summed when it was
// found. Pure; kernel/flow_reader.h supplies the memory.
#pragma once

#include <cstdint>
#include <span>

#include <anycast_xdp/abi.h>
#include <anycast_xdp/loss.h>

namespace anycast {

// Seconds after its FIN or RST in which a flow can still be looked at.
inline constexpr std::uint32_t kEndedFlowIdle = 300;

template <typename Flow> struct AgeingTable { // of one family; `cpus` equal shares
	std::uint32_t cpus = 1;
	std::span<ax_bucket> buckets;
	std::span<const ax_slots> slots;
	std::span<const Flow> flows;
	std::uint16_t now = 0; // as FlowTables
	std::uint32_t unit_ms = 0;
};

// How many were forgotten. Runs while the kernel writes: a flow that comes back in this very moment
// may be met anew by its next packet, as if its entry had been replaced.
std::uint64_t forget_old_flows(const AgeingTable<ax_flow4> &table, std::uint32_t idle_s);
std::uint64_t forget_old_flows(const AgeingTable<ax_flow6> &table, std::uint32_t idle_s);

// Is this one of what leaves to be forgotten? Its other half, what arrives, is aged by itself, and
// is null without this one.
bool is_old(const ax_egress_flow &flow, std::uint16_t now, std::uint32_t unit_ms,
	    std::uint32_t idle_s);

} // namespace anycast
