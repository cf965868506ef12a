// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "agent/janitor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

namespace anycast::agent {

namespace {

// All but the standard ones and `keep`: the agent's lock and sockets are not to outlive it.
void close_others(int keep)
{
	const auto close_range = [](unsigned first, unsigned last) {
		return first > last || syscall(SYS_close_range, first, last, 0u) == 0;
	};
	const auto kept = static_cast<unsigned>(keep);
	if (close_range(3, kept - 1) && close_range(kept + 1, ~0u))
		return;
	const long most = std::min(sysconf(_SC_OPEN_MAX), 65536L); // before Linux 5.9
	for (int fd = 3; fd < most; fd++)
		if (fd != keep)
			close(fd);
}

[[noreturn]] void wait_and_clear(int pipe, const std::function<void()> &clear)
{
	prctl(PR_SET_NAME, "anycast-janitor", 0, 0, 0);
	// systemd's SIGTERM to the whole unit, and a terminal's keys, are for the agent.
	for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE})
		signal(number, SIG_IGN);
	close_others(pipe);
	char byte = 0;
	while (read(pipe, &byte, 1) != 0 && errno == EINTR) {
	}
	clear();
	_exit(0);
}

} // namespace

Result<Janitor> Janitor::start(const std::function<void()> &clear)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC))
		return fail_errno("pipe", errno);
	Fd read_end(ends[0]);
	Janitor janitor;
	janitor.pipe_ = Fd(ends[1]);
	janitor.pid_ = fork();
	if (janitor.pid_ < 0)
		return fail_errno("fork", errno);
	if (janitor.pid_ == 0) {
		// Standard descriptors may be closed: the pipe must not be taken for one.
		const int pipe = fcntl(read_end.get(), F_DUPFD_CLOEXEC, 3);
		if (pipe < 0)
			_exit(1);
		wait_and_clear(pipe, clear);
	}
	janitor.pidfd_ = Fd(static_cast<int>(syscall(SYS_pidfd_open, janitor.pid_, 0)));
	if (!janitor.pidfd_.valid()) // it ends with the pipe
		return fail_errno("pidfd_open", errno);
	return janitor;
}

bool Janitor::finish(std::chrono::milliseconds limit)
{
	if (!pidfd_.valid())
		return true;
	pipe_.reset();
	pollfd ended{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
	const int ready = poll(&ended, 1, static_cast<int>(limit.count()));
	siginfo_t info{};
	return ready == 1 &&
	       waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG) == 0 &&
	       info.si_pid == pid_ && info.si_code == CLD_EXITED && info.si_status == 0;
}

} // namespace anycast::agent
