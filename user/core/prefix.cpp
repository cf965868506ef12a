// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/prefix.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace anycast {

std::optional<Prefix> Prefix::parse(std::string_view text)
{
	const std::size_t slash = text.find('/');
	const auto address = Address::parse(text.substr(0, slash));
	if (!address)
		return std::nullopt;
	const std::uint8_t longest = address->is_v4() ? 32 : 128;
	Prefix prefix{*address, longest};
	if (slash == text.npos)
		return prefix;
	const std::string_view length = text.substr(slash + 1);
	const char *end = length.data() + length.size();
	const auto [rest, error] = std::from_chars(length.data(), end, prefix.bits);
	if (error != std::errc{} || rest != end || prefix.bits > longest)
		return std::nullopt;
	return prefix;
}

bool Prefix::contains(const Address &other) const
{
	return other.is_v4() == address.is_v4() && prefix_of(other, bits).address == address;
}

bool Prefix::overlaps(const Prefix &other) const
{
	return bits < other.bits ? contains(other.address) : other.contains(address);
}

std::string Prefix::text() const
{
	return fmt::format("{}/{}", address.text(), bits);
}

Prefix prefix_of(const Address &address, std::uint8_t bits)
{
	ax_addr raw = address.raw();
	const int kept = bits + (address.is_v4() ? 96 : 0);
	for (int i = 0; i < 16; i++) {
		const int here = std::clamp(kept - 8 * i, 0, 8);
		raw.bytes[i] = static_cast<__u8>(raw.bytes[i] & (0xff00 >> here));
	}
	return {Address(raw), bits};
}

std::optional<Prefix> parse_prefix(std::string_view text)
{
	const auto prefix = Prefix::parse(text);
	if (!prefix || prefix_of(prefix->address, prefix->bits) != *prefix)
		return std::nullopt;
	return prefix;
}

} // namespace anycast
