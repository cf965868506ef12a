// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a packet that leaves costs in the tc program, beside one that does nothing; and what reading
// its table takes.
#pragma once

#include <string>
#include <vector>

#include "bench/cases.h"
#include "bench/costs.h"

namespace anycast::bench {

struct LeavingCase {
	std::string name, about;
	const char *source;	    // a VIP, or somebody else
	std::uint32_t flows = 1;    // a power of two
	bool known = true;	    // made before the first round; else each packet makes one
	std::uint32_t payload = 64; // each segment the next; 0: acknowledgements
};

std::vector<LeavingCase> leaving_cases();
Result<Outcome> run_leaving(const LeavingCase &what, bool quick);

Status leaving_costs(std::size_t times, std::vector<Cost> &costs);

} // namespace anycast::bench
