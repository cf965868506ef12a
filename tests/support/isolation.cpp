// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/isolation.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>

#include "util/fd.h"

namespace anycast::test {

void throw_errno(const std::string &what)
{
	throw LabError(what + ": " + std::strerror(errno));
}

namespace {

void mount_or_throw(const char *type, const char *where)
{
	if (mount(type, where, type, 0, nullptr))
		throw_errno(std::string("mount ") + type + " on " + where);
}

void make_world()
{
	if (unshare(CLONE_NEWNS | CLONE_NEWNET))
		throw_errno("unshare mount and network namespaces (root is needed)");
	if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr))
		throw_errno("make mounts private");
	mount_or_throw("proc", "/proc");
	mount_or_throw("bpf", "/sys/fs/bpf");
	mount_or_throw("tmpfs", "/run");
	mkdir(kLabDir, 0755);
	mkdir("/run/netns", 0755);
}

// Process 1. `alive` reads end-of-file once the parent is gone.
[[noreturn]] void child(const std::function<int()> &body, int alive)
{
	int code = 1;

	// Not the parent's process group: the terminal's SIGINT must not reach the daemons, or they
	// would die one by one and the body would report failures that are none.
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pollfd parent{alive, POLLIN, 0};
	if (poll(&parent, 1, 0) != 0)
		_exit(1); // it died before prctl
	try {
		make_world();
		code = body();
	} catch (const std::exception &error) {
		std::fflush(stdout);
		std::fprintf(stderr, "lab: %s\n", error.what());
	}
	std::fflush(nullptr);
	_exit(code);
}

pid_t fork_into_pid_namespace(const std::function<int()> &body, const sigset_t &old_mask,
			      const int (&alive)[2])
{
	Fd own(open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
	if (!own.valid() || unshare(CLONE_NEWPID))
		throw_errno("unshare pid namespace (root is needed)");
	std::fflush(nullptr);
	const pid_t pid = fork();
	if (pid == 0) {
		close(alive[1]);
		sigprocmask(SIG_SETMASK, &old_mask, nullptr);
		child(body, alive[0]);
	}
	const int error = errno;
	setns(own.get(), CLONE_NEWPID); // later children of the caller belong to its own again
	errno = error;
	if (pid < 0)
		throw_errno("fork");
	return pid;
}

} // namespace

int run_isolated(const std::function<int()> &body)
{
	sigset_t signals, old_mask;
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
		struct sigaction action {};
		sigaction(number, nullptr, &action);
		if (action.sa_handler != SIG_IGN) // a background job's SIGINT is ignored
			sigaddset(&signals, number);
	}
	sigprocmask(SIG_BLOCK, &signals, &old_mask);

	int alive[2];
	if (pipe2(alive, O_CLOEXEC))
		throw_errno("pipe");
	const Fd read_end(alive[0]), write_end(alive[1]);
	const pid_t pid = fork_into_pid_namespace(body, old_mask, alive);
	int status = 0;
	int received = 0;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		const int number = sigwaitinfo(&signals, nullptr);
		if (number > 0 && number != SIGCHLD) {
			received = number;
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			break;
		}
	}
	sigprocmask(SIG_SETMASK, &old_mask, nullptr);
	if (received)
		raise(received);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

} // namespace anycast::test
