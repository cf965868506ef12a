// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Processes in a namespace of the lab.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/netns.h"

namespace anycast::test {

// By how much things take longer here than on a machine of one's own: 10 in a guest of tests/vm
// (AX_VM=1). Every limit below is for such a machine, and is multiplied by this.
int slowness();

// Between two packets of a flood: the CPUs of a guest share one thread, which a busy loop would
// keep.
void leave_room();

using Argv = std::vector<std::string>;
using std::chrono::milliseconds;

// A running process; ends with its object, and with the process that made it. Output goes to `log`.
class Process {
public:
	Process() = default;
	static Process spawn(const Netns &netns, const Argv &argv, const std::string &log);
	// `body` in a fork; its return value is the exit status.
	static Process call(const Netns &netns, const std::function<int()> &body,
			    const std::string &log);

	Process(Process &&other) noexcept;
	Process &operator=(Process &&other) noexcept;
	Process(const Process &) = delete;
	Process &operator=(const Process &) = delete;
	~Process() { stop(); }

	[[nodiscard]] pid_t pid() const { return pid_; }
	[[nodiscard]] bool running(); // false once it has ended, or was never started
	std::optional<int>
	wait(milliseconds limit); // exit status (128 + signal), nothing if it runs on
	void stop(milliseconds grace = milliseconds(2000)); // SIGTERM, then SIGKILL
	void kill_now();				    // SIGKILL

private:
	pid_t pid_ = -1;
	int status_ = 0;
};

int exec(const Argv &argv); // becomes that program; returns 127 if it cannot

struct Output {
	int status = -1; // 128 + signal if it was killed
	std::string out, err;
};

// Runs a command to its end, feeding it `input`; beyond `limit` it is killed.
Output run(const Netns &netns, const Argv &argv, std::string_view input = {},
	   milliseconds limit = milliseconds(60000));

// Calls `condition` every 20 ms until it is true; false if `limit` passes before.
bool wait_until(milliseconds limit, const std::function<bool()> &condition);

} // namespace anycast::test
