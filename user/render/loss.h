// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `loss`: figures with their kind, worst first, by flow or summed by VIP, backend or client prefix.
#pragma once

#include <map>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/flow.h"
#include "core/loss_totals.h"
#include "render/flows.h"

namespace anycast::render {

enum class LossBy { kFlow, kVip, kBackend, kPrefix };

// What is summed in one line: of these, the one that is summed by.
struct LossGroup {
	std::string_view vip, pool, backend;
	Prefix prefix{}; // ::/0: those whose sums were given up
	auto operator<=>(const LossGroup &) const = default;
};
using GroupTotals = std::map<LossGroup, LossTotals>; // since attach

nlohmann::ordered_json figure_json(const LossFigure &figure);
nlohmann::ordered_json payload_json(const LossReport &report); // what VIPs declare, if anything
nlohmann::ordered_json loss_totals_json(const LossTotals &totals);
std::string figure_text(const LossFigure &figure); // "3", "-" if it could not be measured

// {"flows" | "vips" | "backends" | "prefixes": [...], "total": lines there are, "totals": {...},
// ...}
void write_loss_json(std::ostream &out, const std::vector<NamedFlow> &flows, LossBy by,
		     std::size_t limit, const std::vector<std::string> &warnings,
		     const GroupTotals &since_attach = {},
		     const nlohmann::ordered_json &rest = nlohmann::ordered_json::object());
// `own_drops`: a line before the verdict (node_drops.h).
std::string loss_text(const std::vector<NamedFlow> &flows, LossBy by, std::size_t limit,
		      const GroupTotals &since_attach = {}, const std::string &own_drops = {});

} // namespace anycast::render
