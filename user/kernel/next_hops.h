// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Routes and neighbours towards the backends: resolved once at attach and apply, and reported where
// XDP could not send.
#pragma once

#include <string>
#include <vector>

#include "core/image.h"

namespace anycast {

// Asks the kernel to resolve the next hop of every backend that is not local. Returns warnings.
std::vector<std::string> resolve_next_hops(const Image &image, int attached_ifindex);

} // namespace anycast
