// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The flow table's hash (bpf/flow.h), IPv4, a second time: for flows to the builder's VIP, TCP 80.
#pragma once

#include <arpa/inet.h>

#include <compare>
#include <cstdint>

#include <anycast_xdp/abi.h>

#include "core/address.h"
#include "support/packet.h"
#include "support/protocols.h"

namespace anycast::test {

inline constexpr std::uint64_t kSeed0 = 0x1234567890abcdef, kSeed1 = 0xfedcba0987654321;

inline std::uint64_t hash_of(std::uint32_t source, std::uint16_t port)
{
	const std::uint64_t k0 = kSeed0 | 1, k1 = kSeed1 | 1;
	const std::uint64_t pair = htonl(source) | std::uint64_t{htonl(0xc6336450)}
							   << 32; // 198.51.100.80
	const std::uint32_t ports = htons(port) | std::uint32_t{htons(80)} << 16;
	std::uint64_t h = (pair ^ k1) * k0 + (std::uint64_t{ports} << 8 | kTcp) * k1;
	h ^= h >> 32;
	return h * k0;
}

struct Place {
	std::uint32_t bucket;
	std::uint8_t tag; // seven bits
	auto operator<=>(const Place &) const = default;
};

inline Place place_of(std::uint32_t source, std::uint16_t port, std::uint32_t buckets)
{
	const std::uint64_t h = hash_of(source, port);
	return {static_cast<std::uint32_t>(h >> 20) & (buckets - 1),
		static_cast<std::uint8_t>(1 + (h >> 57) * 127 / 128)};
}

// The way that is the flow's if it is free.
inline std::uint32_t likely_way(std::uint32_t source, std::uint16_t port)
{
	return hash_of(source, port) >> 53 & (AX_WAYS - 1);
}

inline Packet from(std::uint32_t source, std::uint16_t port)
{
	return Eth{} / Ip4{.src = Address::v4(source).text()} / Tcp{.sport = port};
}

inline constexpr std::uint32_t kClient = 0xcb007105; // 203.0.113.5

} // namespace anycast::test
