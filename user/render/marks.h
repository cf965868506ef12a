// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// lb_backend_lost: what alternate marking found between edges and backends.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/endpoint.h"
#include "core/mark_join.h"
#include "core/mark_pull.h"

namespace anycast::render {

// {"value": n or null, "kind", "basis": "altmark", "of", "rate", "why"}
nlohmann::ordered_json mark_figure_json(const MarkLoss &loss);
nlohmann::ordered_json mark_loss_json(const MarkLoss &loss);
// {"flows": [...], "services": [...], "notes": [...]}; `limit` 0: all flows.
nlohmann::ordered_json mark_join_json(const MarkJoin &join, std::size_t limit);
std::string mark_join_text(const MarkJoin &join, std::size_t limit);

// Of those that the agent asks.
struct MarkSource {
	Endpoint from;
	std::string node, why; // why: it has no answer; "" if it has
};
// {"services": [{.., "lb_backend_lost": {.., "since"}, "so_far": {"lost", "of"}}], "not_marked",
// "from", "why"}; `why`: nothing of it is measured.
nlohmann::ordered_json
pulled_json(const std::vector<MarkSum> &sums, const std::vector<MarkSource> &from,
	    const std::vector<std::pair<std::string, std::string>> &not_marked,
	    const std::string &why);
// Of that; names that are given filter.
std::string pulled_text(const nlohmann::ordered_json &pulled, const std::string &vip,
			const std::string &backend, std::size_t limit);

} // namespace anycast::render
