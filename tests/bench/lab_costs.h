// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the commands and the agent take, on a node of the lab.
#pragma once

#include <vector>

#include "bench/costs.h"

namespace anycast::bench {

Status lab_costs(bool quick, std::vector<Cost> &costs);

} // namespace anycast::bench
