// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What tells two configurations apart, object by object: `diff`, `apply --dry-run`.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/model.h"

namespace anycast::render {

struct Change {
	char sign = '~';    // '+' new, '-' gone, '~' changed
	std::string object; // "vip", "pool", "backend", "gtsm peer", "rule", ...
	std::string name;
	std::string detail; // "weight 100 -> 50, state active -> draining"
	bool operator==(const Change &) const = default;
};

std::vector<Change> changes_between(const Config &from, const Config &to);

std::string changes_text(const std::vector<Change> &changes); // "" if there are none
nlohmann::ordered_json changes_json(const std::vector<Change> &changes);

} // namespace anycast::render
