// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/address.h"

#include <algorithm>
#include <cstring>

#include <arpa/inet.h>

namespace anycast {

namespace {

constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

} // namespace

Address::Address(const ax_addr &raw)
{
	std::memcpy(bytes_.data(), raw.bytes, bytes_.size());
}

std::optional<Address> Address::parse(std::string_view text)
{
	// inet_pton would stop at a NUL and accept what stands before it.
	if (text.size() >= INET6_ADDRSTRLEN || text.find('\0') != text.npos)
		return std::nullopt;

	const std::string terminated(text);
	Address address;
	if (inet_pton(AF_INET6, terminated.c_str(), address.bytes_.data()) == 1)
		return address;
	std::copy(kMapped.begin(), kMapped.end(), address.bytes_.begin());
	if (inet_pton(AF_INET, terminated.c_str(), address.bytes_.data() + kMapped.size()) == 1)
		return address;
	return std::nullopt;
}

Address Address::v4(std::uint32_t host_order)
{
	Address address;
	std::copy(kMapped.begin(), kMapped.end(), address.bytes_.begin());
	for (int i = 0; i < 4; i++)
		address.bytes_[15 - i] = static_cast<std::uint8_t>(host_order >> (8 * i));
	return address;
}

bool Address::is_v4() const
{
	return std::equal(kMapped.begin(), kMapped.end(), bytes_.begin());
}

bool Address::is_unspecified() const
{
	return *this == Address() || *this == v4(0);
}

bool Address::is_multicast() const
{
	return is_v4() ? bytes_[12] >> 4 == 0xe : bytes_[0] == 0xff;
}

bool Address::is_loopback() const
{
	if (is_v4())
		return bytes_[12] == 127;
	Address loopback;
	loopback.bytes_[15] = 1;
	return *this == loopback;
}

ax_addr Address::raw() const
{
	ax_addr raw;
	std::memcpy(raw.bytes, bytes_.data(), bytes_.size());
	return raw;
}

std::uint32_t Address::v4_host_order() const
{
	std::uint32_t value = 0;
	for (int i = 12; i < 16; i++)
		value = value << 8 | bytes_[i];
	return value;
}

std::string Address::text() const
{
	char buffer[INET6_ADDRSTRLEN];
	if (is_v4())
		inet_ntop(AF_INET, bytes_.data() + kMapped.size(), buffer, sizeof(buffer));
	else
		inet_ntop(AF_INET6, bytes_.data(), buffer, sizeof(buffer));
	return buffer;
}

} // namespace anycast
