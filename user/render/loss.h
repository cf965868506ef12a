// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `loss`: figures with their kind, worst first, by flow or summed by VIP or backend.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/flow.h"
#include "render/flows.h"

namespace anycast::render {

enum class LossBy { kFlow, kVip, kBackend };

nlohmann::ordered_json figure_json(const LossFigure &figure);
std::string figure_text(const LossFigure &figure); // "3", "-" if it could not be measured

// {"flows" | "vips" | "backends": [...], "total": lines there are, "totals": {...}, ...}
void write_loss_json(std::ostream &out, const std::vector<NamedFlow> &flows, LossBy by,
		     std::size_t limit, const std::vector<std::string> &warnings);
std::string loss_text(const std::vector<NamedFlow> &flows, LossBy by, std::size_t limit);

} // namespace anycast::render
