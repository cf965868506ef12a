// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// An object with one long list, written element by element: a million flows as one JSON value would
// take gigabytes.
#pragma once

#include <ostream>
#include <string_view>

#include <nlohmann/json.hpp>

namespace anycast::render {

class JsonList {
public:
	JsonList(std::ostream &out, std::string_view key) : out_(out)
	{
		out_ << "{\n  \"" << key << "\": [";
	}

	void add(const nlohmann::ordered_json &element)
	{
		out_ << (empty_ ? "\n    " : ",\n    ") << dumped(element);
		empty_ = false;
	}

	// `rest`: the object's other members.
	void close(const nlohmann::ordered_json &rest)
	{
		out_ << (empty_ ? "]" : "\n  ]");
		for (const auto &[key, value] : rest.items())
			out_ << ",\n  \"" << key << "\": " << dumped(value);
		out_ << "\n}\n";
	}

private:
	static std::string dumped(const nlohmann::ordered_json &json)
	{
		return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
	}

	std::ostream &out_;
	bool empty_ = true;
};

} // namespace anycast::render
