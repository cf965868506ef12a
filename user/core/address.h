// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// IP addresses in the form the maps use: 16 bytes, IPv4 as ::ffff:a.b.c.d.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <anycast_xdp/abi.h>

namespace anycast {

class Address {
public:
	Address() = default;
	explicit Address(const ax_addr &raw);
	// "192.0.2.1", "2001:db8::1"; nothing else (no prefix length, no zone).
	static std::optional<Address> parse(std::string_view text);
	static Address v4(std::uint32_t host_order);

	[[nodiscard]] bool is_v4() const;
	[[nodiscard]] bool is_unspecified() const;
	[[nodiscard]] bool is_multicast() const;
	[[nodiscard]] bool is_loopback() const;
	[[nodiscard]] ax_addr raw() const;
	[[nodiscard]] const std::array<std::uint8_t, 16> &bytes() const { return bytes_; }
	[[nodiscard]] std::uint32_t v4_host_order() const; // of an IPv4 address
	[[nodiscard]] std::string text() const;

	auto operator<=>(const Address &) const = default;

private:
	std::array<std::uint8_t, 16> bytes_{};
};

} // namespace anycast
