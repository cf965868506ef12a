// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One line of `check`: what was looked at, how it stands, and what to do about it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace anycast {

enum class Level { kOk, kWarn, kFail };

struct Finding {
	std::string check; // "mtu", "bgp", ...; stable
	Level level = Level::kOk;
	std::string text, advice; // advice: "" if all is well
	bool operator==(const Finding &) const = default;
};

// How far a backend's part of the packets is from what its slots promise.
struct Share {
	std::string backend;
	std::uint64_t packets = 0;
	double promised = 0; // 0..1
};
// Those that are off by more than a quarter of their promise, and by more than `kEnoughPackets`
// could be by chance; empty where too little was sent to tell.
inline constexpr std::uint64_t kEnoughPackets = 1000;
std::vector<std::string> uneven(const std::vector<Share> &shares);

// SFF-8472's received power in units of 0.1 microwatt, in dBm; nothing for no light at all.
std::optional<double> dbm_from_tenth_microwatts(std::uint16_t value);

} // namespace anycast
