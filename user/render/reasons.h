// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What became of packets: `stats` and `drops`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/drop_sample.h"
#include "core/loss_totals.h"
#include "core/model.h"
#include "core/reasons.h"

namespace anycast::render {

struct LastDrop {
	DropSample sample;
	std::uint64_t age_us = 0;
};

struct ReasonRow {
	const ReasonInfo *info = nullptr;
	ax_action action = AX_ACTION_DROP; // in force, of a RULE
	std::uint64_t packets = 0, bytes = 0;
	std::optional<double> per_second{}; // if it was measured
	std::optional<LastDrop> last{};	    // of a dropped row, if a sample was taken
};

// Of a row of final reasons: was the packet dropped?
bool is_dropped_row(const ReasonRow &row);

// The action in force for a rule: the configuration's, else the rule's own.
ax_action action_in_force(const Config &config, const ReasonInfo &reason);

struct VipCount {
	std::string vip;
	std::uint64_t packets = 0, bytes = 0;
	LossTotals loss{};
};

struct BackendCount {
	std::string pool, backend, address, state;
	std::uint32_t weight = 0;
	std::uint64_t packets = 0, bytes = 0;
	double share = 0; // of its pool's slots
	LossTotals loss{};
};

struct InterfaceStats {
	std::string interface;
	std::vector<ReasonRow> finals; // each packet once; ascending by number
	std::vector<ReasonRow> notes;  // rules that only count, and notes: besides
	std::vector<VipCount> vips;
	std::vector<BackendCount> backends;
};

struct Total {
	std::uint64_t packets = 0, bytes = 0;
};
Total total_of(const std::vector<ReasonRow> &rows);

// `all`: rows that counted nothing, too.
nlohmann::ordered_json stats_json(const std::vector<InterfaceStats> &interfaces, bool all);
std::string stats_text(const std::vector<InterfaceStats> &interfaces, bool all);
nlohmann::ordered_json drops_json(const std::vector<InterfaceStats> &interfaces, bool all);
std::string drops_text(const std::vector<InterfaceStats> &interfaces, bool all);

} // namespace anycast::render
