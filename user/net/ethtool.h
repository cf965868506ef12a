// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The ethtool ioctl: it is there on every kernel, its netlink successor is not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace anycast::ethtool {

std::string driver(const std::string &interface); // "" if there is none

// SFF-8472's received power of a module with diagnostics, in units of 0.1 microwatt; nothing where
// there is no module, or it does not measure.
std::optional<std::uint16_t> received_power(const std::string &interface);

} // namespace anycast::ethtool
