// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Prefixes of addresses.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/address.h"

namespace anycast {

struct Prefix {
	Address address; // masked
	std::uint8_t bits = 0;

	// "203.0.113.0/24", or an address for itself alone. Bits beyond the length stay as they
	// are.
	static std::optional<Prefix> parse(std::string_view text);

	[[nodiscard]] bool is_host() const { return bits == (address.is_v4() ? 32 : 128); }
	[[nodiscard]] unsigned mapped_bits() const { return bits + (address.is_v4() ? 96U : 0U); }
	[[nodiscard]] bool contains(const Address &other) const;
	[[nodiscard]] bool overlaps(const Prefix &other) const;
	[[nodiscard]] std::string text() const;
	auto operator<=>(const Prefix &) const = default;
};

Prefix prefix_of(const Address &address, std::uint8_t bits);
// The same as parse, but nothing if bits beyond the length are set.
std::optional<Prefix> parse_prefix(std::string_view text);

} // namespace anycast
