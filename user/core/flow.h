// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The flow tables as values: what lies in the maps, decoded, and the loss figures that follow from
// it (definitions: docs/loss.md). Pure; kernel/flow_reader.h supplies the memory.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <anycast_xdp/abi.h>
#include <anycast_xdp/loss.h>

#include "core/address.h"

namespace anycast {

// What a flow's anomaly state adds up to; all zero for a flow that has none.
struct LossCounters {
	std::uint32_t lost = 0, undone = 0, reordered = 0, rtx_seen = 0, duplicated = 0;
	std::uint32_t evicted = 0, resync = 0, unrepaired = 0, keepalives = 0, rtx_bytes = 0;
	bool operator==(const LossCounters &) const = default;
};

// What the client's ACKs add up to.
struct SackCounters {
	bool started = false; // some ACK told of a hole or a duplicate
	std::uint32_t lost = 0, undone = 0, reordered = 0, evicted = 0, duplicates = 0;
	std::uint32_t unrepaired = 0;
	std::uint32_t ce = 0, ece = 0;	  // congestion met, and reported (RFC 3168)
	std::uint64_t acked_segments = 0; // since the first such ACK, until the latest
	bool operator==(const SackCounters &) const = default;
};

// What the server's side of this node has seen of the flow (bpf/egress.bpf.c).
struct EgressCounters {
	bool whole = false;	    // from its first segment on
	std::uint32_t segments = 0; // unique ones that the server sent; of DNS: queries answered
	std::uint32_t rtx = 0, duplicates = 0, resync = 0;
	bool operator==(const EgressCounters &) const = default;
};

struct FlowRecord {
	Address source, destination;
	std::uint16_t source_port = 0, destination_port = 0; // host order
	std::uint8_t protocol = 0;
	std::uint8_t family = 4;
	std::uint8_t flags = 0; // ax_flow_flags
	std::uint8_t forward = AX_FORWARD_NONE;
	std::uint8_t measure = AX_MEASURE_NONE;
	std::uint16_t vip = 0, vip_gen = 0; // ids; their names are in the applied Ids
	std::uint16_t backend = 0, backend_gen = 0;
	std::uint16_t cpu = 0;
	bool multi_cpu = false;	   // seen on several CPUs, merged: sequence state is split
	bool anomaly_lost = false; // its anomaly state belongs to another flow by now
	std::uint8_t syn_rtx = 0;
	std::uint16_t mss = 0; // 0 = unknown
	std::uint32_t generation = 0;
	std::uint64_t packets = 0, bytes = 0;
	std::uint32_t segments = 0;
	// What its UDP payload told: RTP numbers skipped, DNS queries repeated, or QUIC's Q and L
	// bits.
	std::uint32_t payload_lost = 0, payload_lost_end_to_end = 0;
	std::uint32_t next_seq = 0, max_ts = 0; // as far as `flags` says that they are valid
	std::uint16_t ip_id = 0;
	std::uint8_t ip_id_score = 0; // of 15: how sequential the ids have been
	std::optional<std::uint32_t> rtt_us;
	std::optional<std::uint32_t> idle_ms;
	LossCounters loss;
	SackCounters sack;
	std::optional<EgressCounters> egress; // nothing: not seen
};

using EgressEntry = std::pair<ax_egress_key, ax_egress_flow>;

// The maps' memory: `cpus` equal shares one after the other.
struct FlowTables {
	std::uint32_t cpus = 1;
	std::span<const ax_bucket> buckets4, buckets6;
	std::span<const ax_slots> slots4, slots6; // as many, but in a large table (abi.h)
	std::span<const ax_flow4> flows4;
	std::span<const ax_flow6> flows6;
	std::span<const ax_anomaly> anomalies;
	std::span<const ax_sack> sacks; // as many
	// Clock of the entries' stamps (jiffies >> 8) and how long one unit takes; 0: idle unknown.
	std::uint16_t now = 0;
	std::uint32_t unit_ms = 0;
};

// What leaves, of all interfaces: a server's packets need not leave by the one where its client's
// arrive.
struct EgressTables {
	std::vector<EgressEntry> entries;
	bool watched = false; // by some interface
	bool evicted = false; // some flow may have been forgotten
};

// Two observers of one flow meet by its key. A flow that leaves by two interfaces at once has its
// sequence state split, and stays unseen. `answers_here`: who answers for such a flow?
void join_egress(std::span<FlowRecord> flows, const EgressTables &egress,
		 const std::function<bool(const FlowRecord &)> &answers_here);

// May run while the kernel writes: an entry that is being replaced is left out. Flows that several
// CPUs have seen become one record.
std::vector<FlowRecord> decode_flows(const FlowTables &tables);

// A figure without its kind is a lie (LOSS.md): no value means "cannot be measured", never 0.
struct LossFigure {
	std::optional<std::uint64_t> value;
	std::string_view kind = "unsupported"; // exact | estimate | upper_bound | unsupported
	std::string_view basis; // ts | ipid | time | sack | dsack | dns | mixed (sums); "" if none
	std::uint64_t of = 0;	// unique segments: the rate's denominator
	std::uint64_t evicted = 0, unrepaired = 0, resync = 0; // what it could not see
	[[nodiscard]] std::optional<double> rate() const;
};

struct LossReport {
	LossFigure c2s_up_lost, c2s_up_reordered, c2s_rtx_seen;
	LossFigure s2c_lost_sack;
	LossFigure s2c_lost, c2s_down_lost; // both directions seen
	// Of VIPs that declare what their payload is.
	LossFigure rtp_lost, dns_repeat, dns_unanswered, quic_lost, quic_lost_end_to_end;
};

// What was lost before this node, by whichever metric the flows have.
const LossFigure &lost_before_node(const LossReport &report);

LossReport loss_report(const FlowRecord &flow);

// Why there is no figure: "", "protocol", "multi_cpu", "state_stolen", "not_synced".
std::string_view loss_unknown_because(const FlowRecord &flow);

// Sum over flows: of those that could be measured, and how many could not.
struct LossSum {
	LossReport report;
	std::uint64_t flows = 0, measured = 0;
	void add(const LossReport &flow);
};

} // namespace anycast
