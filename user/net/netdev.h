// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What XDP can do with devices, as the kernel's "netdev" family tells it (6.3 and newer).
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace anycast {

// By ifindex: does the device take frames from XDP as it is now? A veth does while the other end
// has a program or GRO, some NICs do while they have a program. Nothing where nobody can say.
std::optional<std::map<int, bool>> takers_of_frames();

} // namespace anycast
