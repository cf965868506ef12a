// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A process that outlives the agent by one task: what must not stay behind when the agent dies, by
// kill -9 or the like, it clears away. It is forked at the start, waits for the agent's end of a
// pipe to close, and does nothing else.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>

#include "util/fd.h"
#include "util/result.h"

namespace anycast::agent {

class Janitor {
public:
	Janitor() = default;
	// Call it before there are threads. `clear` runs in the janitor.
	static Result<Janitor> start(const std::function<void()> &clear);

	[[nodiscard]] int pidfd() const { return pidfd_.get(); } // readable: the janitor has ended
	[[nodiscard]] pid_t pid() const { return pid_; }
	// Lets it do its task now; true if that was done in time.
	bool finish(std::chrono::milliseconds limit);

private:
	pid_t pid_ = -1;
	Fd pidfd_, pipe_;
};

} // namespace anycast::agent
