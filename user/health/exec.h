// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// exec: a program's exit code. It runs as another user, without capabilities, in a session of its
// own; what is left of that when it ends, or when its time is over, is killed.
#pragma once

#include <sys/types.h>

#include <map>

#include "health/probe.h"

namespace anycast::health {

// Whom programs run as. Nobody may be root.
struct ExecUser {
	std::string name;
	uid_t uid = 0;
	gid_t gid = 0;
};
Result<ExecUser> exec_user(const std::string &name); // by its name; root is refused

class ExecRunner {
public:
	ExecRunner(Loop &loop, ExecUser user) : loop_(loop), user_(std::move(user)) {}
	~ExecRunner();
	ExecRunner(const ExecRunner &) = delete;
	ExecRunner &operator=(const ExecRunner &) = delete;

	Started start(const Target &target, Done done);

private:
	class Run;
	// Killed, but not gone yet: it is in the kernel, or init is busy.
	void reap_later(const std::string &id, pid_t pid, Fd pidfd);

	Loop &loop_;
	ExecUser user_;
	std::map<pid_t, std::pair<std::string, Fd>> dying_; // whose check, and its pidfd
};

} // namespace anycast::health
