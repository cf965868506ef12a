// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The control socket: who may, and what was asked (core/control.h).
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/line_server.h"
#include "core/control.h"

namespace anycast::agent {

struct Peer {
	uid_t uid = 0;
	pid_t pid = 0;
};

using Answer = std::function<void(const ControlReply &)>; // once, at once or later
using Handle = std::function<void(const ControlRequest &, const Peer &, Answer)>;

// Of [agent] group; where that says nothing, the package's own group, if there is one. An error:
// the file names a group that is not there.
Result<std::optional<gid_t>> agent_group(const std::string &configured);

// Takes the place of a socket that a killed agent has left; the caller holds the agent's lock, so
// nobody listens there any more. `group`: may use it, beside root and our own user.
Result<std::unique_ptr<LineServer>> serve_control(Loop &loop, const std::string &path,
						  std::optional<gid_t> group, Handle handle);

} // namespace anycast::agent
