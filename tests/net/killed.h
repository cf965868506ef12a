// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A command that is killed at one of its writes. A tracer ends it at the kernel's boundary: nothing
// in the program knows of the test.
#pragma once

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <functional>

#include <gtest/gtest.h>
#include <linux/bpf.h>

namespace anycast::test {

// Of what outlives the process.
inline bool writes(const __ptrace_syscall_info &info)
{
	if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return false;
	switch (info.entry.nr) {
	case __NR_bpf:
		return info.entry.args[0] == BPF_MAP_UPDATE_ELEM ||
		       info.entry.args[0] == BPF_MAP_DELETE_ELEM ||
		       info.entry.args[0] == BPF_MAP_UPDATE_BATCH ||
		       info.entry.args[0] == BPF_MAP_DELETE_BATCH ||
		       info.entry.args[0] == BPF_OBJ_PIN || info.entry.args[0] == BPF_LINK_CREATE ||
		       info.entry.args[0] == BPF_LINK_UPDATE;
	case __NR_membarrier: // what is written through a mapping lies around these
	case __NR_write:
	case __NR_rename:
	case __NR_renameat:
	case __NR_unlink:
	case __NR_unlinkat:
	case __NR_fsync:
	case __NR_munmap:
		return true;
	default:
		return false;
	}
}

struct Fate {
	bool ended = false; // by itself
	int writes = 0;
	bool waited = false;	   // a grace period
	int early = 0, tables = 0; // tables that were written: before it, in all
};

// Runs `body` in a child, and kills it before its write number `last`.
inline Fate run_until_write(int last, const std::function<int()> &body)
{
	std::fflush(nullptr);
	const pid_t pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
		raise(SIGSTOP);
		_exit(body());
	}
	int status = 0;
	waitpid(pid, &status, 0);
	ptrace(PTRACE_SETOPTIONS, pid, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	Fate fate;
	for (;;) {
		ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr);
		waitpid(pid, &status, 0);
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			fate.ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
			EXPECT_TRUE(fate.ended) << "the command itself failed";
			return fate;
		}
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue;
		__ptrace_syscall_info info{};
		ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info);
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == __NR_membarrier)
			fate.waited = true;
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == __NR_bpf &&
		    info.entry.args[0] == BPF_MAP_UPDATE_BATCH) {
			fate.tables++;
			fate.early += fate.waited ? 0 : 1;
		}
		if (writes(info) && fate.writes++ == last) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return fate;
		}
	}
}

} // namespace anycast::test
