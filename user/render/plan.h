// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `plan`: what a change would do, per pool, backend and flow.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/plan.h"
#include "render/diff.h"

namespace anycast::render {

struct Room { // of one of [limits]
	std::string limit;
	std::uint64_t before = 0, after = 0, most = 0;
};

struct PlannedInterface {
	std::string interface;
	std::vector<Change> changes;
	Plan plan;
	std::uint64_t memory = 0;     // of the maps: fixed at attach,
	std::int64_t more_memory = 0; // but for flow tables that are made anew
	std::vector<Room> rooms;
};

nlohmann::ordered_json plan_json(const PlannedInterface &planned);
std::string plan_text(const PlannedInterface &planned);

} // namespace anycast::render
