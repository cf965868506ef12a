// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Loss summed since attach, by VIP, backend or client prefix: what the data path counted when it
// found it, so that it outlives the flows and never goes back. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <anycast_xdp/abi.h>

#include "core/prefix.h"
#include "core/address.h"
#include "core/flow.h"

namespace anycast {

struct LossTotals {
	std::uint64_t segments = 0; // unique ones
	std::uint64_t lost = 0, undone = 0, reordered = 0, rtx_seen = 0, duplicated = 0;
	std::uint64_t evicted = 0, resync = 0, unrepaired = 0;
	std::uint64_t rtp_lost = 0, rtp_undone = 0, dns_repeat = 0, quic_q = 0, quic_l = 0;
	std::uint64_t syn_rtx = 0;
	std::uint64_t sack_lost = 0, sack_undone = 0;
	// Of flows that this node answers, where it sees what it sends; else 0.
	bool both_ways = false;
	// What the segments are; if they are not all the same, no rate follows from them.
	ax_measure measure = AX_MEASURE_NONE; // NONE: TCP's
	bool mixed = false;
	bool twins = false; // of a backend: which of several on this node answers is not known
	std::uint64_t own_segments = 0, own_rtx = 0, server_twice = 0; // from the client
	std::uint64_t sent = 0, sent_again = 0, client_twice = 0;      // to the client
	std::uint64_t queries = 0, answers = 0;

	LossTotals() = default;
	LossTotals(const ax_loss_sum &sum, std::uint64_t segments, bool both_ways = false);
	void add(const LossTotals &other);
	bool operator==(const LossTotals &) const = default;

	[[nodiscard]] LossReport report() const; // no values while there is no segment
	// Why nothing is known of both directions: "", "several_own_backends", "not_watched".
	[[nodiscard]] std::string_view one_way_because() const;
};

struct PrefixTotals {
	std::optional<Prefix> prefix; // none: all those whose rows were given to others
	LossTotals totals;
};

// Of all CPUs together, ordered by prefix; may run while the kernel writes. `rows`: the map's
// memory, `cpus` equal shares.
std::vector<PrefixTotals> decode_prefixes(std::span<const ax_prefix_loss> rows, std::uint32_t cpus,
					  bool both_ways = false);

} // namespace anycast
