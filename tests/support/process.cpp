// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>

#include "support/isolation.h"

namespace anycast::test {

using Clock = std::chrono::steady_clock;

namespace {

int exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Forks; the child is in `netns`, has the given standard streams, and runs `body`.
pid_t fork_in(const Netns &netns, std::array<int, 3> streams, const std::function<int()> &body)
{
	std::fflush(nullptr);
	const pid_t pid = fork();
	if (pid < 0)
		throw_errno("fork");
	if (pid > 0)
		return pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int code = 127;
	if (setns(netns.fd(), CLONE_NEWNET) == 0) {
		for (int i = 0; i < 3; i++)
			dup2(streams[i], i);
		try {
			code = body();
		} catch (const std::exception &error) {
			std::fprintf(stderr, "%s\n", error.what());
			code = 1;
		}
	}
	std::fflush(nullptr);
	_exit(code);
}

struct Pipe {
	Fd read, write;
	Pipe()
	{
		int ends[2];
		if (pipe2(ends, O_CLOEXEC))
			throw_errno("pipe");
		read = Fd(ends[0]);
		write = Fd(ends[1]);
	}
};

} // namespace

int exec(const Argv &argv)
{
	std::vector<char *> raw;
	for (const std::string &argument : argv)
		raw.push_back(const_cast<char *>(argument.c_str()));
	raw.push_back(nullptr);
	execvp(raw[0], raw.data());
	std::fprintf(stderr, "%s: %m\n", raw[0]);
	return 127;
}

int slowness()
{
	static const int factor = std::getenv("AX_VM") ? 10 : 1;
	return factor;
}

void leave_room()
{
	if (slowness() > 1)
		std::this_thread::sleep_for(milliseconds(1));
}

Process Process::call(const Netns &netns, const std::function<int()> &body, const std::string &log)
{
	const Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
	const Fd out(open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
	if (!out.valid())
		throw_errno("open " + log);
	Process process;
	process.pid_ = fork_in(netns, {null.get(), out.get(), out.get()}, body);
	return process;
}

Process Process::spawn(const Netns &netns, const Argv &argv, const std::string &log)
{
	return call(
		netns, [&] { return exec(argv); }, log);
}

Process::Process(Process &&other) noexcept
	: pid_(std::exchange(other.pid_, -1)), status_(other.status_)
{
}

Process &Process::operator=(Process &&other) noexcept
{
	if (this != &other) {
		stop();
		pid_ = std::exchange(other.pid_, -1);
		status_ = other.status_;
	}
	return *this;
}

bool Process::running()
{
	int status = 0;
	if (pid_ > 0 && waitpid(pid_, &status, WNOHANG) == pid_) {
		pid_ = -1;
		status_ = exit_status(status);
	}
	return pid_ > 0;
}

std::optional<int> Process::wait(milliseconds limit)
{
	if (!wait_until(limit, [this] { return !running(); }))
		return std::nullopt;
	return status_;
}

void Process::stop(milliseconds grace)
{
	if (!running())
		return;
	kill(pid_, SIGTERM);
	if (!wait(grace))
		kill_now();
}

void Process::kill_now()
{
	if (!running())
		return;
	kill(pid_, SIGKILL);
	waitpid(pid_, nullptr, 0);
	pid_ = -1;
	status_ = 128 + SIGKILL;
}

Output run(const Netns &netns, const Argv &argv, std::string_view input, milliseconds limit)
{
	Pipe in, out, err;
	const pid_t pid = fork_in(netns, {in.read.get(), out.write.get(), err.write.get()},
				  [&] { return exec(argv); });
	in.read.reset();
	out.write.reset();
	err.write.reset();
	fcntl(in.write.get(), F_SETFL, O_NONBLOCK); // it may want its output read first

	Output output;
	const auto deadline = Clock::now() + limit * slowness();
	std::array<pollfd, 3> fds{{{in.write.get(), POLLOUT, 0},
				   {out.read.get(), POLLIN, 0},
				   {err.read.get(), POLLIN, 0}}};
	while (fds[1].fd >= 0 || fds[2].fd >= 0) {
		const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
		if (left.count() <= 0 ||
		    poll(fds.data(), fds.size(), static_cast<int>(left.count())) == 0) {
			kill(pid, SIGKILL);
			output.err += argv[0] + ": killed, it took too long\n";
			break;
		}
		if (fds[0].revents) {
			const ssize_t sent = write(fds[0].fd, input.data(), input.size());
			if (sent > 0)
				input.remove_prefix(static_cast<std::size_t>(sent));
			if (sent < 0 || input.empty()) {
				in.write.reset();
				fds[0].fd = -1;
			}
		}
		for (const int i : {1, 2}) {
			if (!fds[i].revents)
				continue;
			char buffer[16384];
			const ssize_t got = read(fds[i].fd, buffer, sizeof(buffer));
			if (got > 0)
				(i == 1 ? output.out : output.err)
					.append(buffer, static_cast<std::size_t>(got));
			else
				fds[i].fd = -1;
		}
	}
	int status = 0;
	waitpid(pid, &status, 0);
	output.status = exit_status(status);
	return output;
}

bool wait_until(milliseconds limit, const std::function<bool()> &condition)
{
	const auto deadline = Clock::now() + limit * slowness();
	while (!condition()) {
		if (Clock::now() >= deadline)
			return false;
		std::this_thread::sleep_for(milliseconds(20));
	}
	return true;
}

} // namespace anycast::test
