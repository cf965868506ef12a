// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One configuration (or one edit) over all attached interfaces: every one is checked before the
// first is changed.
#pragma once

#include <functional>

#include "cli/context.h"

namespace anycast::cli {

// With --reset-flows.
inline constexpr const char *kNothingToReset =
	"the flow tables have the size that [limits] ask for: no flow is forgotten";

// What an interface is to run, made from what it runs now.
using Edit = std::function<Result<Config>(const Applied &)>;

// Members of the same JSON object that are not about an interface.
struct Besides {
	bool changed = false;
	nlohmann::ordered_json members = nlohmann::ordered_json::object();
};

struct ChangeOptions {
	bool dry_run = false, reset_flows = false;
};

// Would it be refused?
Status can_change(const Paths &paths, const std::vector<std::string> &devices, const Edit &edit,
		  bool reset_flows);

// Prints what changed: text, or {"changed":..,"generation":..,"digest":..,"changes":[..],
// "interfaces":[..]}. Whether anything did.
Result<bool> change(const Context &context, const Paths &paths,
		    const std::vector<std::string> &devices, const Edit &edit,
		    const ChangeOptions &options, const Besides &besides = {});

// The attached interfaces that a file is for: all, if it names none.
Result<std::vector<std::string>> devices_for(const Context &context, const Paths &paths,
					     const Config &config);

} // namespace anycast::cli
