// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `map list|dump|lookup`: maps decoded by field name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace anycast::render {

struct MapLine {
	std::string interface, name, type;
	std::uint32_t key_size = 0, value_size = 0, entries = 0;
	bool mapped = false;
};

nlohmann::ordered_json map_list_json(const std::vector<MapLine> &maps);
std::string map_list_text(const std::vector<MapLine> &maps);

// One element: "key: value", objects as "field=value ...", long arrays abridged.
std::string element_text(const nlohmann::ordered_json &key, const nlohmann::ordered_json &value);

} // namespace anycast::render
