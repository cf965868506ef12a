// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Which of a node's addresses serve for what, where the configuration does not say.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "core/image.h"

namespace anycast {

using AddressSet = std::set<Address>;

// First address of that family that can be seen from outside and is no VIP: of the interface, else
// of the node. Unspecified if there is none.
Address pick_source(const std::optional<Address> &configured, bool v4, const NodeFacts &facts,
		    const AddressSet &vips);

// Each once, in order, and none that is taken.
std::vector<Address> without(std::vector<Address> list, const AddressSet &taken = {});

// Constant words of an outer IPv4 header, summed as they lie in memory (ax_backend.csum4).
std::uint32_t outer_checksum(const Address &source, const Address &destination);

} // namespace anycast
