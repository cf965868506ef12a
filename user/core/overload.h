// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Is this node overloaded? Thresholds with hysteresis, and a time that a change has to last.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/node_options.h"

namespace anycast {

// Nothing: this machine cannot measure it.
struct Load {
	std::optional<double> cpu, cpu_pressure, memory_pressure, io_pressure; // percent
	std::optional<double> temperature;				       // degrees Celsius
	std::optional<double> loss;					       // per mille
	bool operator==(const Load &) const = default;
};

class OverloadGuard {
public:
	// `now`: seconds, of any clock that does not step.
	bool judge(const OverloadOptions &options, const Load &load, double now);
	[[nodiscard]] bool overloaded() const { return overloaded_; }
	// What is above its threshold: "cpu 97 % (limit 90)"; "" if nothing is.
	[[nodiscard]] const std::string &reason() const { return reason_; }

private:
	bool overloaded_ = false;
	std::optional<double> changing_since_;
	std::string reason_;
};

// Thresholds that are set, but cannot be measured here.
std::vector<std::string> unmeasurable(const OverloadOptions &options, const Load &load);

} // namespace anycast
