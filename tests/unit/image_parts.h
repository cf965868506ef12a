// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Small configurations, and looking into the images they come to.
#pragma once

#include <arpa/inet.h>

#include <optional>
#include <set>
#include <stdexcept>
#include <string>

#include "core/image.h"

namespace anycast {

inline Address address(const std::string &text)
{
	return *Address::parse(text);
}

inline Backend backend(const std::string &text, ax_backend_state state = AX_BACKEND_ACTIVE)
{
	return {.name = text, .address = address(text), .state = state};
}

inline Pool pool(const std::string &name, std::vector<Backend> backends)
{
	return {.name = name, .table_size = 251, .backends = std::move(backends)};
}

inline Vip vip(const std::string &name, const std::string &text, std::uint16_t port = 80,
	       std::uint8_t protocol = 6, const std::string &to = "web")
{
	return {.name = name,
		.address = address(text),
		.port = port,
		.protocol = protocol,
		.pool = to};
}

inline Config three_backends()
{
	Config config;

	config.hash_seed = {1, 2};
	config.pools = {
		pool("web", {backend("10.1.0.11"), backend("10.1.0.12"), backend("10.1.0.13")})};
	config.vips = {vip("www", "198.51.100.1")};
	return config;
}

inline const NodeFacts kFacts = {
	.interface_addresses = {address("fe80::1"), address("10.1.0.1"), address("2001:db8::1")},
	.node_addresses = {address("127.0.0.1"), address("::1"), address("fe80::1"),
			   address("10.1.0.1"), address("2001:db8::1"), address("198.51.100.1")}};

inline Image compiled(const Config &config, const NodeFacts &facts = kFacts,
		      const Ids &previous = {})
{
	auto image = compile(config, facts, previous);

	if (!image)
		throw std::runtime_error(image.error().message());
	return std::move(*image);
}

inline Error refused(const Config &config, const NodeFacts &facts = kFacts)
{
	auto image = compile(config, facts, {});

	return image ? Error{Exit::kOk, "was not refused", ""} : image.error();
}

// The id behind a key, or nothing.
inline std::optional<std::uint32_t> find(const Image &image, const std::string &text,
					 unsigned proto, std::uint16_t port)
{
	for (const auto &[key, id] : image.vip_keys) {
		if (Address(key.addr) == address(text) && key.proto == proto &&
		    key.port == htons(port))
			return id;
	}
	return std::nullopt;
}

inline std::set<std::uint16_t> owners(const Image &image, std::size_t pool_index = 0)
{
	const ax_pool &entry = image.pools[pool_index];
	std::set<std::uint16_t> ids;

	for (std::uint32_t i = 0; i < entry.size; ++i)
		ids.insert(image.slots[entry.first + i].backend[0]);
	return ids;
}

} // namespace anycast
