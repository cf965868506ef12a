// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What user space takes: loading, compiling a configuration, applying it, building tables, scanning
// flows.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/statistics.h"
#include "util/result.h"

namespace anycast::bench {

struct Cost {
	std::string name, about;
	Summary value;
	std::string unit = "ms";
};

using Work = std::function<Status()>;
Result<Cost> timed(const std::string &name, const std::string &about, std::size_t times,
		   const Work &work);

Result<std::vector<Cost>> user_space_costs(bool quick);

} // namespace anycast::bench
