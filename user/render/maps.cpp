// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/maps.h"

#include <algorithm>

#include <fmt/format.h>

#include "render/table.h"

namespace anycast::render {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLongArray = 16;

std::string text_of(const Json &json)
{
	if (json.is_string())
		return json.get<std::string>();
	std::string text;
	if (json.is_object()) {
		for (const auto &[name, value] : json.items()) {
			const std::string inner = text_of(value);
			text += fmt::format("{}{}={}", text.empty() ? "" : " ", name,
					    value.is_object() ? "{" + inner + "}" : inner);
		}
		return text;
	}
	if (!json.is_array())
		return json.dump();
	if (json.size() > kLongArray) {
		const auto set = std::count_if(json.begin(), json.end(), [](const Json &element) {
			return element != Json(0);
		});
		return fmt::format("[{} elements, {} not zero]", json.size(), set);
	}
	for (const Json &element : json) {
		const std::string inner = text_of(element);
		text += (text.empty() ? "" : " ") +
			(element.is_object() ? "{" + inner + "}" : inner);
	}
	return "[" + text + "]";
}

} // namespace

Json map_list_json(const std::vector<MapLine> &maps)
{
	Json list = Json::array();
	for (const MapLine &map : maps)
		list.push_back({{"interface", map.interface},
				{"map", map.name},
				{"type", map.type},
				{"key_size", map.key_size},
				{"value_size", map.value_size},
				{"max_entries", map.entries},
				{"mapped", map.mapped}});
	return {{"maps", std::move(list)}};
}

std::string map_list_text(const std::vector<MapLine> &maps)
{
	Table table({{"INTERFACE"},
		     {"MAP"},
		     {"TYPE"},
		     {"KEY", Align::kRight},
		     {"VALUE", Align::kRight},
		     {"ENTRIES", Align::kRight},
		     {"MAPPED"}});
	for (const MapLine &map : maps)
		table.row({map.interface, map.name, map.type, std::to_string(map.key_size),
			   std::to_string(map.value_size), std::to_string(map.entries),
			   map.mapped ? "yes" : "no"});
	return table.text();
}

std::string element_text(const Json &key, const Json &value)
{
	return fmt::format("{}: {}\n", text_of(key), text_of(value));
}

} // namespace anycast::render
