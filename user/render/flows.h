// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `flows` and `loss`: flow records with their names, filtered, sorted and shown.
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/flow.h"
#include "core/loss_totals.h"
#include "core/image.h"

namespace anycast::render {

// A flow's ids as names. They view into the Ids they were looked up in; empty: the id has been
// reused or the thing is gone.
struct NamedFlow {
	const FlowRecord *flow = nullptr;
	std::string_view interface;
	std::string_view vip, pool, backend;
	std::uint8_t client_bits = 0; // of the prefix that its client's loss is summed by
	bool merged = false; // generic mode: what was merged on its way counts as one segment
};

NamedFlow name_flow(const FlowRecord &flow, std::string_view interface, const Ids &ids);

struct FlowFilter {
	std::string vip, backend; // backend: "name" or "pool/name"
	std::optional<Prefix> source;
	std::uint64_t active_ms = 0; // used within that time; 0: whenever
	[[nodiscard]] bool matches(const NamedFlow &flow) const;
};

// {"source":..,"source_port":..,"destination":..,"destination_port":..,"protocol":..}
nlohmann::ordered_json key_json(const FlowRecord &flow);
std::string key_text(const FlowRecord &flow); // "192.0.2.1:5000 > 198.51.100.80:80 tcp"

// Everything known of one flow, loss figures included.
nlohmann::ordered_json flow_json(const NamedFlow &flow);

// Busiest first; `limit` 0 shows all.
// `rest`: further members of the object.
void write_flows_json(std::ostream &out, std::vector<NamedFlow> flows, std::size_t limit,
		      const nlohmann::ordered_json &rest = nlohmann::ordered_json::object());
std::string flows_text(std::vector<NamedFlow> flows, std::size_t limit);

} // namespace anycast::render
