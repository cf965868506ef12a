// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Whom the checks of a configuration ask, and by which way. Pure.
#pragma once

#include <set>
#include <vector>

#include "core/model.h"
#include "health/probe.h"

namespace anycast::agent {

// "vip/NAME/0", "pool/NAME/BACKEND/0". A pool's check goes the clients' way, to a VIP in the tunnel
// to the backend, if it names a VIP as its target, or if a VIP of the pool goes by a tunnel and has
// the check's port and protocol (icmp: any such VIP); else to the backend's own address.
std::vector<health::Target> targets_of(const Config &config,
				       const std::set<Address> &own_addresses);

} // namespace anycast::agent
