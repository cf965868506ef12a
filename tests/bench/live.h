// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames that are really sent over a veth pair to a receiver with threaded NAPI: how many a second
// it takes, and what its thread needs for each.
#pragma once

#include <string>
#include <vector>

#include "bench/statistics.h"
#include "util/result.h"

namespace anycast::bench {

struct Live {
	std::string name, about;
	Summary mega_packets, ns; // a second; of the receiver's CPU, for a packet
};

// Empty where the kernel has no live frames or no threaded NAPI; `why` says so.
Result<std::vector<Live>> live_runs(bool quick, std::string &why);

} // namespace anycast::bench
