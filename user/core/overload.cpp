// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/overload.h"

#include <string_view>

#include <fmt/format.h>

namespace anycast {

namespace {

struct Gauge {
	std::string_view name, unit;
	Threshold OverloadOptions::*threshold;
	std::optional<double> Load::*value;
};

constexpr Gauge kGauges[] = {
	{"cpu", " %", &OverloadOptions::cpu, &Load::cpu},
	{"cpu_pressure", " %", &OverloadOptions::cpu_pressure, &Load::cpu_pressure},
	{"memory_pressure", " %", &OverloadOptions::memory_pressure, &Load::memory_pressure},
	{"io_pressure", " %", &OverloadOptions::io_pressure, &Load::io_pressure},
	{"temperature", " C", &OverloadOptions::temperature, &Load::temperature},
	{"loss", " per mille", &OverloadOptions::loss, &Load::loss},
};

} // namespace

bool OverloadGuard::judge(const OverloadOptions &options, const Load &load, double now)
{
	bool any_high = false, any_between = false;
	std::string reason;
	for (const Gauge &gauge : kGauges) {
		const Threshold &threshold = options.*gauge.threshold;
		const std::optional<double> &value = load.*gauge.value;
		if (threshold.high == 0 || !value || *value < threshold.low)
			continue;
		(*value >= threshold.high ? any_high : any_between) = true;
		if (*value >= threshold.high || overloaded_)
			reason +=
				fmt::format("{}{} {:.0f}{} (limit {})", reason.empty() ? "" : ", ",
					    gauge.name, *value, gauge.unit, threshold.high);
	}
	// Between low and high nothing changes, whichever way it came.
	const bool wants = any_high || (overloaded_ && any_between);
	if (wants == overloaded_) {
		changing_since_.reset();
	} else {
		if (!changing_since_)
			changing_since_ = now;
		if (now - *changing_since_ >= static_cast<double>(options.hold.count()) / 1000) {
			overloaded_ = wants;
			changing_since_.reset();
		}
	}
	reason_ = overloaded_ || any_high ? reason : "";
	return overloaded_;
}

std::vector<std::string> unmeasurable(const OverloadOptions &options, const Load &load)
{
	std::vector<std::string> names;
	for (const Gauge &gauge : kGauges)
		if ((options.*gauge.threshold).high != 0 && !(load.*gauge.value))
			names.emplace_back(gauge.name);
	return names;
}

} // namespace anycast
