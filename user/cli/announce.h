// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// An order carried out where no agent runs.
#pragma once

#include <string>
#include <vector>

#include "cli/context.h"
#include "core/control.h"

namespace anycast::cli {

Result<std::vector<OrderResult>> order_directly(const Context &context, const Config &config,
						const std::string &state_dir,
						const ControlRequest &request);

} // namespace anycast::cli
