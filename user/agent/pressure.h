// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// How busy the machine is: /proc/stat, /proc/pressure, thermal zones.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/overload.h"

namespace anycast::agent {

// "some avg10=1.23 avg60=..." -> 1.23
std::optional<double> psi_some_avg10(std::string_view text);
struct CpuTimes {
	std::uint64_t busy = 0, all = 0;
};
std::optional<CpuTimes> cpu_times(std::string_view proc_stat);

class Pressure {
public:
	explicit Pressure(std::string proc = "/proc", std::string sys = "/sys")
		: proc_(std::move(proc)), sys_(std::move(sys))
	{
	}
	// CPU: since the last call; nothing at the first one. The loss is not looked at.
	Load sample();

private:
	[[nodiscard]] std::optional<double> hottest() const;

	std::string proc_, sys_;
	std::optional<CpuTimes> last_;
};

} // namespace anycast::agent
