// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// [node], [paths], [limits], [tunnel].
#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "config/sections.h"

namespace anycast {

namespace {

constexpr std::size_t kMaxName = 63;
// Counters of a period are compared half a period after its end; eight periods are kept.
constexpr Milliseconds kShortestPeriod{500}, kLongestPeriod{10000};
constexpr std::size_t kMaxInterface = 15;   // IFNAMSIZ - 1
constexpr std::size_t kMaxSocketPath = 107; // sockaddr_un
constexpr std::uint32_t kSmallFlowTable = 16384;
constexpr std::string_view kExampleSeed = "00112233445566778899aabbccddeeff";

void read_seed(TableReader &node, Config &config)
{
	const auto text = node.string("hash_seed");
	if (!text)
		return;
	const char *first = text->value.data();
	const bool hex =
		text->value.size() == 32 &&
		text->value.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
	if (!hex) {
		node.diagnostics().error(text->at, "node.hash_seed: expected 32 hex digits");
		return;
	}
	std::from_chars(first, first + 16, config.hash_seed[0], 16);
	std::from_chars(first + 16, first + 32, config.hash_seed[1], 16);
	if (config.hash_seed == std::array<std::uint64_t, 2>{})
		node.diagnostics().error(text->at, "node.hash_seed: all zero is no secret");
	if (text->value == kExampleSeed)
		node.diagnostics().warn(text->at, "node.hash_seed is the documentation's example, "
						  "not a secret: anybody can aim at one backend");
}

std::optional<std::string> read_path(TableReader &paths, std::string_view key)
{
	const auto path = paths.string(key);
	if (!path)
		return std::nullopt;
	if (!path->value.starts_with('/'))
		paths.diagnostics().error(path->at,
					  fmt::format("paths.{}: expected an absolute path", key));
	return path->value;
}

std::vector<Address> read_unicast_list(TableReader &table, std::string_view key)
{
	std::vector<Address> list;
	for (const Placed<Address> &address : table.addresses(key)) {
		check_unicast(table.diagnostics(), "tunnel." + std::string(key), address);
		list.push_back(address.value);
	}
	return list;
}

std::optional<Address> read_source(TableReader &tunnel, std::string_view key, bool v4)
{
	const auto source = tunnel.address(key);
	if (!source)
		return std::nullopt;
	check_unicast(tunnel.diagnostics(), "tunnel." + std::string(key), *source);
	if (source->value.is_v4() != v4)
		tunnel.diagnostics().error(source->at,
					   fmt::format("tunnel.{}: expected an {} address", key,
						       v4 ? "IPv4" : "IPv6"));
	return source->value;
}

} // namespace

bool usable_interface_name(std::string_view name) // as the kernel's dev_valid_name()
{
	return !name.empty() && name.size() <= kMaxInterface && name != "." && name != ".." &&
	       name.find_first_of("/: \t\n\v\f\r") == name.npos;
}

void check_name(Diagnostics &diagnostics, std::string_view what, const Placed<std::string> &name)
{
	if (name.value.empty())
		diagnostics.error(name.at, fmt::format("{}: must not be empty", what));
	if (name.value.size() > kMaxName)
		diagnostics.error(name.at,
				  fmt::format("{}: longer than {} characters", what, kMaxName));
	const auto allowed = [](char c) {
		return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		       c == '.' || c == '_' || c == ':' || c == '-';
	};
	if (!std::ranges::all_of(name.value, allowed))
		diagnostics.error(name.at,
				  fmt::format("{}: only A-Z a-z 0-9 . _ : - are allowed", what));
}

void check_unicast(Diagnostics &diagnostics, std::string_view what, const Placed<Address> &address)
{
	const char *kind = address.value.is_unspecified() ? "the unspecified"
			   : address.value.is_multicast() ? "a multicast"
			   : address.value.is_v4() && address.value.v4_host_order() == UINT32_MAX
				   ? "the broadcast"
			   : address.value.is_loopback() ? "a loopback"
							 : nullptr;
	if (kind != nullptr)
		diagnostics.error(address.at, fmt::format("{}: {} is {} address", what,
							  address.value.text(), kind));
}

bool read_node(TableReader &root, Config &config)
{
	bool seed_given = false;
	root.section("node", [&](TableReader &node) {
		Diagnostics &diagnostics = node.diagnostics();
		if (const auto name = node.string("name")) {
			check_name(diagnostics, "node.name", *name);
			config.name = name->value;
		}
		seed_given = node.has("hash_seed");
		read_seed(node, config);
		for (const Placed<std::string> &name : node.strings("interfaces")) {
			if (!usable_interface_name(name.value))
				diagnostics.error(
					name.at, fmt::format("node.interfaces: \"{}\" cannot be an "
							     "interface (1..{} characters)",
							     name.value, kMaxInterface));
			config.interfaces.push_back(name.value);
		}
		const std::size_t errors = diagnostics.error_count();
		if (node.has("roles"))
			config.roles = 0;
		for (const Placed<int> &role : node.choices("roles", kRoles))
			config.roles |= static_cast<std::uint32_t>(role.value);
		if (config.roles == 0 && diagnostics.error_count() == errors)
			diagnostics.error(node.at("roles"),
					  "node.roles: at least one role is needed");
		if (const auto mode = node.choice("mode", kModes))
			config.mode = word_of(kModes, mode->value);
	});
	return seed_given;
}

void read_paths(TableReader &root, Config &config)
{
	root.section("paths", [&](TableReader &paths) {
		config.pin_dir = read_path(paths, "pins");
		config.state_dir = read_path(paths, "state");
		config.socket = read_path(paths, "socket");
		if (config.socket && config.socket->size() > kMaxSocketPath)
			paths.diagnostics().error(
				paths.at("socket"),
				fmt::format("paths.socket: longer than {} bytes", kMaxSocketPath));
	});
}

void read_limits(TableReader &root, Config &config)
{
	root.section("limits", [&](TableReader &limits) {
		for (const LimitKey &limit : kLimits)
			if (const auto value = limits.integer(limit.key, limit.min, limit.max))
				config.limits.*limit.member =
					static_cast<std::uint32_t>(value->value);
		for (const auto &[key, member] : {std::pair{"flows_v4", &Limits::flows_v4},
						  std::pair{"flows_v6", &Limits::flows_v6}})
			if (config.limits.*member < kSmallFlowTable)
				limits.diagnostics().warn(
					limits.at(key),
					fmt::format("limits.{} is small: beyond {} flows over all "
						    "CPUs they evict each other, and a change of "
						    "their pool may move them",
						    key, config.limits.*member));
	});
}

void read_tunnel(TableReader &root, Config &config)
{
	const bool backend = config.roles & AX_ROLE_BACKEND;
	Where edges_belong = root.at("node");
	const std::size_t errors = root.diagnostics().error_count();
	root.section("tunnel", [&](TableReader &tunnel) {
		config.source_v4 = read_source(tunnel, "source_v4", true);
		config.source_v6 = read_source(tunnel, "source_v6", false);
		config.edges = read_unicast_list(tunnel, "edges");
		config.tunnel_addresses = read_unicast_list(tunnel, "addresses");
		if (const auto port = tunnel.integer("gue_port", 1, 65535))
			config.gue_port = static_cast<std::uint16_t>(port->value);
		if (const auto variant = tunnel.integer("gue_variant", 0, 1))
			config.gue_variant = static_cast<std::uint8_t>(variant->value);
		if (const auto chance = tunnel.boolean("second_chance"))
			config.second_chance = chance->value;
		if (const auto marking = tunnel.boolean("marking"))
			config.marking = marking->value;
		if (const auto period =
			    tunnel.duration("marking_period", kShortestPeriod, kLongestPeriod))
			config.marking_period = period->value;
		if (const auto netns = tunnel.integer("socket_netns", 0, INT32_MAX))
			config.socket_netns = static_cast<std::int32_t>(netns->value);
		// Variant 1 has no room for candidates.
		if (config.gue_variant == 1 && tunnel.has("second_chance") && config.second_chance)
			tunnel.diagnostics().error(
				tunnel.at("second_chance"),
				"tunnel.second_chance: GUE variant 1 cannot name further "
				"candidates; take gue_variant = 0");
		edges_belong = tunnel.at("edges");
	});
	// Without a list anybody could tunnel past the guard, or through us to anywhere.
	if (backend && config.edges.empty() && root.diagnostics().error_count() == errors)
		root.diagnostics().error(edges_belong,
					 "tunnel.edges: role backend needs the "
					 "addresses that may encapsulate to this node");
}

} // namespace anycast
