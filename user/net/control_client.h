// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Asks the agent over its unix socket (core/control.h).
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "core/control.h"

namespace anycast {

// Nothing if no agent runs. An error: it could not be asked, or did not answer in time.
Result<std::optional<ControlReply>> ask_agent(const std::string &socket_path,
					      const ControlRequest &request,
					      std::chrono::milliseconds limit);

} // namespace anycast
