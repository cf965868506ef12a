// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// systemd's notify protocol: a datagram of lines to $NOTIFY_SOCKET. Silent where nobody listens.
#pragma once

#include <string_view>

namespace anycast::agent {

void notify(std::string_view lines); // "READY=1", "WATCHDOG=1", "STATUS=..."

} // namespace anycast::agent
