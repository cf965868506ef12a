// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/finding.h"

#include <cmath>
#include <numeric>

#include <fmt/format.h>

namespace anycast {

namespace {

constexpr double kTolerance = 0.25;

} // namespace

std::vector<std::string> uneven(const std::vector<Share> &shares)
{
	std::vector<std::string> lines;
	const std::uint64_t all = std::accumulate(
		shares.begin(), shares.end(), std::uint64_t{0},
		[](std::uint64_t sum, const Share &share) { return sum + share.packets; });
	if (all < kEnoughPackets)
		return lines;
	for (const Share &share : shares) {
		if (share.promised <= 0)
			continue; // down or draining: it may have old flows, or none
		const double got = static_cast<double>(share.packets) / static_cast<double>(all);
		if (std::abs(got - share.promised) > kTolerance * share.promised)
			lines.push_back(fmt::format("{} gets {:.0f} % of the packets, its weight "
						    "says {:.0f} %",
						    share.backend, 100 * got,
						    100 * share.promised));
	}
	return lines;
}

std::optional<double> dbm_from_tenth_microwatts(std::uint16_t value)
{
	if (value == 0)
		return std::nullopt;
	return 10 * std::log10(static_cast<double>(value) / 10000);
}

} // namespace anycast
