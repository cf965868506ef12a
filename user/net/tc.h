// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What traffic control has on a device, by rtnetlink.
#pragma once

#include "util/result.h"

namespace anycast {

// Has its clsact qdisc any filter, on either side?
Result<bool> has_tc_filters(int ifindex);

} // namespace anycast
