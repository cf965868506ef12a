// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "health/exec.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace anycast::health {

namespace {

constexpr std::size_t kKeptOutput = 4096;

struct Pipe {
	Fd read, write;
};

Result<Pipe> make_pipe()
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC))
		return fail_errno("pipe", errno);
	Pipe made{Fd(ends[0]), Fd(ends[1])};
	fcntl(made.read.get(), F_SETFL, O_NONBLOCK);
	return made;
}

bool drop_privileges(const ExecUser &user)
{
	// setuid from root clears the capabilities; an agent that has some without being root must
	// clear them itself, the ambient ones too, or the program would inherit them.
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (getuid() != user.uid || geteuid() != user.uid) {
		if (setgroups(0, nullptr) || setresgid(user.gid, user.gid, user.gid) ||
		    setresuid(user.uid, user.uid, user.uid))
			return false;
	}
	__user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
	const __user_cap_data_struct none[2]{};
	return syscall(SYS_capset, &header, none) == 0 && getuid() != 0;
}

// In the child. Only system calls: the parent's heap is a copy that nobody looks after.
[[noreturn]] void become(const ExecUser &user, int output, char *const *argv, char *const *env)
{
	setsid(); // process group, too; and no terminal
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, nullptr);
	signal(SIGPIPE, SIG_DFL);
	const int null = open("/dev/null", O_RDONLY);
	const rlimit files{1024, 1024}, no_core{0, 0};
	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_CORE, &no_core);
	if (null < 0 || dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0 ||
	    chdir("/"))
		_exit(126);
	syscall(SYS_close_range, 3u, ~0u, 0u); // before 5.9 O_CLOEXEC, which all of ours have, does
	if (!drop_privileges(user)) {
		constexpr std::string_view text = "cannot change to the user of exec checks";
		if (write(2, text.data(), text.size()) < 0)
			_exit(125);
		_exit(126);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); // after setuid, which forgets it
	execve(argv[0], argv, env);
	constexpr std::string_view text = "cannot be executed";
	if (write(2, text.data(), text.size()) < 0)
		_exit(125);
	_exit(127);
}

std::string ended(const siginfo_t &info, std::string_view output)
{
	std::string text = info.si_code == CLD_EXITED
				   ? fmt::format("exit code {}", info.si_status)
				   : fmt::format("killed by signal {}", info.si_status);
	if (!output.empty())
		text += ": " + printable(output, 200);
	return text;
}

} // namespace

Result<ExecUser> exec_user(const std::string &name)
{
	const passwd *entry = getpwnam(name.c_str());
	if (!entry)
		return fail(Exit::kUsage,
			    fmt::format("exec checks run as user {}, who does not exist", name),
			    "add a system user, and name it in [agent] exec_user");
	if (entry->pw_uid == 0)
		return fail(Exit::kUsage, "exec checks must not run as root",
			    "name another user in [agent] exec_user");
	return ExecUser{name, entry->pw_uid, entry->pw_gid};
}

class ExecRunner::Run : public Probe {
public:
	Run(ExecRunner &runner, const Target &target, Done done)
		: runner_(runner), target_(target), done_(std::move(done))
	{
	}
	~Run() override
	{
		if (output_.valid())
			runner_.loop_.forget(output_.get());
		if (!pidfd_.valid())
			return;
		runner_.loop_.forget(pidfd_.get());
		kill(-pid_, SIGKILL);
		kill(pid_, SIGKILL); // it may not have got as far as setsid()
		runner_.reap_later(target_.id, pid_, std::move(pidfd_));
	}

	Status start()
	{
		auto pipe = make_pipe();
		if (!pipe)
			return tl::unexpected(std::move(pipe.error()));
		AX_TRY(spawn(pipe->write.get()));
		output_ = std::move(pipe->read);
		AX_TRY(runner_.loop_.watch(output_.get(), EPOLLIN,
					   [this](std::uint32_t) { read_output(); }));
		return runner_.loop_.watch(pidfd_.get(), EPOLLIN,
					   [this](std::uint32_t) { exited(); });
	}
	[[nodiscard]] std::string waiting_for() const override
	{
		return "the program's end" +
		       (kept_.empty() ? "" : ", which said: " + printable(kept_, 200));
	}

private:
	Status spawn(int output)
	{
		std::vector<std::string> command = target_.spec.command;
		std::vector<char *> argv;
		for (std::string &word : command)
			argv.push_back(word.data());
		argv.push_back(nullptr);
		std::string environment[] = {
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"LANG=C", "ANYCAST_CHECK=" + target_.id,
			"ANYCAST_ADDRESS=" + target_.address.text(),
			fmt::format("ANYCAST_PORT={}", target_.port)};
		std::vector<char *> env;
		for (std::string &variable : environment)
			env.push_back(variable.data());
		env.push_back(nullptr);
		pid_ = fork();
		if (pid_ < 0)
			return fail_errno("fork", errno);
		if (pid_ == 0)
			become(runner_.user_, output, argv.data(), env.data());
		pidfd_ = Fd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
		if (pidfd_.valid())
			return {};
		const int error = errno;
		kill(pid_, SIGKILL);
		waitpid(pid_, nullptr, 0);
		return fail_errno("pidfd_open", error);
	}
	// Reads on beyond what is kept: a program that fills the pipe would hang for ever.
	void read_output()
	{
		std::array<char, 8192> buffer;
		const ssize_t got = read(output_.get(), buffer.data(), buffer.size());
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0) {
			runner_.loop_.forget(output_.get());
			return;
		}
		kept_.append(buffer.data(),
			     std::min(static_cast<std::size_t>(got), kKeptOutput - kept_.size()));
	}
	void exited()
	{
		siginfo_t info{};
		const auto look = [&](int flags) {
			return waitid(static_cast<idtype_t>(P_PIDFD),
				      static_cast<id_t>(pidfd_.get()), &info,
				      WEXITED | WNOHANG | flags) == 0 &&
			       info.si_pid != 0;
		};
		if (!look(WNOWAIT))
			return;
		kill(-pid_, SIGKILL); // what it left behind, while the number is still its own
		look(0);
		read_output();
		runner_.loop_.forget(output_.get());
		runner_.loop_.forget(pidfd_.get());
		pidfd_.reset();
		done_({info.si_code == CLD_EXITED && info.si_status == 0, ended(info, kept_)});
	}

	ExecRunner &runner_;
	Target target_;
	Done done_;
	pid_t pid_ = -1;
	Fd pidfd_, output_;
	std::string kept_;
};

ExecRunner::~ExecRunner()
{
	for (const auto &[pid, dying] : dying_) {
		loop_.forget(dying.second.get());
		waitpid(pid, nullptr, WNOHANG);
	}
}

Started ExecRunner::start(const Target &target, Done done)
{
	for (const auto &[pid, dying] : dying_)
		if (dying.first == target.id)
			return fail(Exit::kFailed,
				    fmt::format("process {} of the run before was killed, and does "
						"not end",
						pid));
	auto run = std::make_unique<Run>(*this, target, std::move(done));
	AX_TRY(run->start());
	return run;
}

void ExecRunner::reap_later(const std::string &id, pid_t pid, Fd pidfd)
{
	const int fd = pidfd.get();
	dying_[pid] = {id, std::move(pidfd)};
	(void)loop_.watch(fd, EPOLLIN, [this, pid, fd](std::uint32_t) {
		waitpid(pid, nullptr, WNOHANG);
		loop_.forget(fd);
		dying_.erase(pid);
	});
}

} // namespace anycast::health
