// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a change of the configuration would do to flows, before it is made. Pure: from the two
// configurations, their images and the flow table.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/flow.h"
#include "core/image.h"

namespace anycast {

struct PlanSide {
	const Config &config;
	const Image &image;
};

struct PlannedBackend {
	std::string name;
	std::optional<ax_backend_state> before, after; // none: it is not in the pool
	double share_before = 0, share_after = 0;      // of the pool's slots
	std::uint64_t flows_before = 0, flows_after = 0;
};

// A slot's share of the pool's hash values counts for all flows, known or not.
struct PlannedPool {
	std::string name;
	std::uint32_t size_before = 0, size_after = 0; // slots; 0: not there, or nobody is up
	double moved = 0;			       // share of hash values with another owner
	std::map<std::string, double> why;	       // cause -> its part of `moved`
	std::vector<PlannedBackend> backends;
};

// Flows of this node's table, each in one of these.
struct PlannedFlows {
	std::uint64_t stay = 0; // their slot names their backend, before and after
	// Their slot has another owner, and them among its candidates: wherever they arrive, the
	// backends hand them on.
	std::uint64_t second_chance = 0;
	std::uint64_t pinned = 0;    // only their entries in this node's table keep them
	std::uint64_t forgotten = 0; // pinned, were this node's table not made anew
	std::uint64_t broken = 0;    // their backend or VIP is gone, down or in maintenance
	[[nodiscard]] std::uint64_t at_risk() const { return pinned + forgotten + broken; }
};

struct Plan {
	std::vector<PlannedPool> pools; // those of either side, the new one's order first
	PlannedFlows flows;
};

// `reset_flows`: this node's flow table is made anew.
Plan plan_change(const PlanSide &from, const PlanSide &to, std::span<const FlowRecord> flows,
		 bool reset_flows = false);

} // namespace anycast
