// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The TOML file: the one place that knows its schema. Text -> checked Config, and back.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/model.h"
#include "util/result.h"

namespace anycast {

struct ParsedConfig {
	Config config;
	std::vector<std::string> warnings; // "edge.toml:12:14: ..."; nothing that would not work
};

// A failure lists all errors of the file, one "source:line:column: message" a line.
Result<ParsedConfig> parse_config(std::string_view text, std::string_view source_name);
Result<ParsedConfig> load_config(const std::string &path);

// Every key, as "pools.backends.weight", that may stand in the tables which `text` has.
std::set<std::string> known_keys(std::string_view text);

// In canonical form, defaults written out: parse_config(to_toml(c)) gives c again.
std::string to_toml(const Config &config);

} // namespace anycast
