// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/maps.h"

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "render/table.h"

namespace anycast::render {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLongArray = 16;

std::string text_of(const Json &json);

std::string member_text(const Json &json)
{
	return json.is_object() ? "{" + text_of(json) + "}" : text_of(json);
}

bool is_zero(const Json &json)
{
	return json.is_structured() ? std::ranges::all_of(json, is_zero) : json == Json(0);
}

// What is not zero in it, if that is little.
std::string long_array_text(const Json &array)
{
	std::vector<std::string> set;

	for (std::size_t i = 0; i < array.size(); i++)
		if (!is_zero(array[i]))
			set.push_back(fmt::format("{}={}", i, member_text(array[i])));
	if (set.empty() || set.size() > kLongArray)
		return fmt::format("[{} elements, {} not zero]", array.size(), set.size());
	return fmt::format("[{} elements, not zero: {}]", array.size(), fmt::join(set, " "));
}

std::string text_of(const Json &json)
{
	if (json.is_string())
		return json.get<std::string>();
	std::string text;
	if (json.is_object()) {
		for (const auto &[name, value] : json.items())
			text += fmt::format("{}{}={}", text.empty() ? "" : " ", name,
					    member_text(value));
		return text;
	}
	if (!json.is_array())
		return json.dump();
	if (json.size() > kLongArray)
		return long_array_text(json);
	for (const Json &element : json)
		text += (text.empty() ? "" : " ") + member_text(element);
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
