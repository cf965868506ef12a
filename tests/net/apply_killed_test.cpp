// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// An apply that is killed at any of its writes leaves the old configuration or the new one, over
// all pools. A tracer ends it at the kernel's boundary: nothing in the program knows of the test.
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include <linux/bpf.h>

#include "kernel/applying.h"
#include "kernel/features.h"
#include "net/attaching.h"

namespace anycast::test {

namespace {

bool writes(const __ptrace_syscall_info &info)
{
	if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return false;
	switch (info.entry.nr) {
	case __NR_bpf:
		return info.entry.args[0] == BPF_MAP_UPDATE_ELEM ||
		       info.entry.args[0] == BPF_MAP_DELETE_ELEM ||
		       info.entry.args[0] == BPF_MAP_UPDATE_BATCH ||
		       info.entry.args[0] == BPF_MAP_DELETE_BATCH;
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
Fate run_until_write(int last, const std::function<int()> &body)
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
			EXPECT_TRUE(fate.ended) << "the apply itself failed";
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

// What takes time is no write.
Config small_tables(Config config)
{
	for (Pool &pool : config.pools)
		pool.table_size = 251;
	config.limits.table_slots = 4096;
	return config;
}

// Everything the packets see is what one of the two says, and that one is recorded as running: is
// it the first?
bool expect_whole(const Config &one, const Config &other, int write)
{
	const Instance instance = opened();
	const Config &said = instance.applied.config;
	EXPECT_TRUE(said == one || said == other) << "before write " << write;
	const auto image = image_for("dev0", said, instance.applied.roles, instance.applied.ids);
	if (!image)
		throw LabError(image.error().message());
	const auto holds = instance.dataplane.holds(*image);
	EXPECT_TRUE(holds && *holds)
		<< "killed before write " << write << ": the maps are not what is said to run";
	return said == one;
}

// Every pool changes: weights, states, members, tables, VIPs.
Config changed(Config config)
{
	config.vips[0].port = 8080;
	config.vips.pop_back();
	for (std::size_t i = 0; i < config.pools.size(); i++) {
		Pool &pool = config.pools[i];
		pool.backends[i % pool.backends.size()].weight = 7;
		pool.backends[(i + 1) % pool.backends.size()].state = AX_BACKEND_DRAINING;
	}
	config.pools[1].backends.pop_back();
	config.rules["ip4_ttl_zero"] = AX_ACTION_COUNT;
	return config;
}

// `by_calls`: tables are written by system calls.
void killed_at_every_write(std::size_t pools, bool by_calls = false)
{
	make_veth();
	const Config one = small_tables(config_of(pools, 3)), other = changed(one);
	attached("dev0", one);
	int write = 0, old = 0, fresh = 0;
	bool first_runs = true;
	for (;; ++write) {
		const Fate fate = run_until_write(write, [&] {
			return apply(kPaths, "dev0", first_runs ? other : one) ? 0 : 1;
		});
		const bool now = expect_whole(one, other, write);
		(now != first_runs ? fresh : old)++;
		first_runs = now;
		EXPECT_EQ(fate.early, 0) << "a half was written that packets may still read";
		if (by_calls && fate.ended) {
			EXPECT_GT(fate.tables, 0);
			EXPECT_TRUE(fate.waited);
		}
		if (fate.ended || testing::Test::HasFailure() || write > 2000)
			break;
	}
	std::printf("%zu pools, %d writes; killed before each: %d times the old, %d times the "
		    "new\n",
		    pools, write, old, fresh);
	EXPECT_GT(write, 20);
	EXPECT_GT(old, 20);
	EXPECT_GT(fresh, 0);
}

} // namespace

TEST(Apply, KilledAtAnyWriteLeavesTheOldOrTheNew)
{
	in_lab([] { killed_at_every_write(4); });
}

// Where maps are not mapped, tables and the switch itself are written by system calls too.
TEST(Apply, KilledAtAnySystemCallThatWritesATable)
{
	in_lab([] {
		force_absent("mmap_array");
		killed_at_every_write(3, true);
	});
}

} // namespace anycast::test
