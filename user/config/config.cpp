// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/config.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include "config/sections.h"

namespace anycast {

namespace {

void read_file(TableReader &root, Config &config)
{
	const bool seed_given = read_node(root, config);
	read_paths(root, config);
	read_limits(root, config);
	read_tunnel(root, config);
	read_gtsm(root, config);
	read_guard(root, config);
	read_icmp(root, config);
	read_services(root, config);
	read_bird(root, config);
	read_host(root, config);
	read_agent(root, config);
	root.complain_of_unknown_keys();
	if (!config.vips.empty() && !seed_given)
		root.diagnostics().error(root.at("node"),
					 "node.hash_seed is missing: VIPs need the fleet's "
					 "secret (openssl rand -hex 16)");
}

} // namespace

Result<ParsedConfig> parse_config(std::string_view text, std::string_view source_name)
{
	Diagnostics diagnostics(source_name);
	const toml::parse_result parsed = toml::parse(text, source_name);
	if (!parsed) {
		diagnostics.error(where(parsed.error().source()),
				  std::string(parsed.error().description()));
		return fail(Exit::kUsage, diagnostics.errors());
	}

	ParsedConfig result;
	TableReader root(parsed.table(), "", Where{}, diagnostics);
	read_file(root, result.config);
	if (diagnostics.error_count() > 0)
		return fail(Exit::kUsage, diagnostics.errors());
	result.warnings = diagnostics.warnings();
	return result;
}

std::set<std::string> known_keys(std::string_view text)
{
	Diagnostics diagnostics("");
	Config config;
	if (const toml::parse_result parsed = toml::parse(text)) {
		TableReader root(parsed.table(), "", Where{}, diagnostics);
		read_file(root, config);
	}
	return diagnostics.asked();
}

Result<ParsedConfig> load_config(const std::string &path)
{
	const auto close = [](std::FILE *file) { std::fclose(file); };
	const std::unique_ptr<std::FILE, decltype(close)> file(std::fopen(path.c_str(), "re"),
							       close);
	if (!file)
		return fail(Exit::kUsage, fmt::format("open {}: {}", path, std::strerror(errno)));

	std::string text;
	char buffer[65536];
	std::size_t got = 0;
	while ((got = std::fread(buffer, 1, sizeof(buffer), file.get())) > 0)
		text.append(buffer, got);
	if (std::ferror(file.get()))
		return fail(Exit::kUsage, fmt::format("read {}: {}", path, std::strerror(errno)));
	return parse_config(text, path);
}

} // namespace anycast
