// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// An address and a port: "192.0.2.1:80" or "[2001:db8::1]:80".
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/address.h"

namespace anycast {

struct Endpoint {
	Address address;
	std::uint16_t port = 0;

	static std::optional<Endpoint> parse(std::string_view text);
	[[nodiscard]] std::string text() const;
	auto operator<=>(const Endpoint &) const = default;
};

} // namespace anycast
