// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The ethtool ioctl: it is there on every kernel, its netlink successor is not.
#pragma once

#include <string>

namespace anycast::ethtool {

std::string driver(const std::string &interface); // "" if there is none

} // namespace anycast::ethtool
