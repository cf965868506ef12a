// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Next hops in the running half's backends (AX_BACKEND_RESOLVED), written while packets flow. What
// an apply writes has none, and works: then the program looks routes up packet by packet.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "kernel/attachment.h"
#include "net/next_hop.h"

namespace anycast {

struct ResolvedReport {
	std::uint32_t resolved = 0, unresolved = 0; // backends that are not this node
	std::uint32_t changed = 0;		    // written now
	bool busy = false; // another command works on the interface: nothing was written
};

using HopOf = std::function<std::optional<NextHop>(const Address &backend)>;

// A packet sees a backend's old next hop, none, or its new one, and never a mixture.
Result<ResolvedReport> set_next_hops(const Paths &paths, const std::string &interface,
				     const HopOf &hop_of, double patience = 0);
// None any more, on all attached interfaces: for when nobody keeps them fresh. Waits up to
// `patience` seconds for commands that work on them.
Status clear_next_hops(const Paths &paths, double patience);

// As an image has it.
ax_backend without_next_hop(ax_backend backend);

} // namespace anycast
