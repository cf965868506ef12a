// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Protocol numbers that tests speak of.
#pragma once

#include <cstdint>

namespace anycast::test {

inline constexpr std::uint8_t kTcp = 6, kUdp = 17, kIcmp = 1, kIcmp6 = 58, kIpIp = 4, kIp6InIp = 41;

} // namespace anycast::test
