// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/machine.h"

#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>

#include "kernel/sizes.h"

namespace anycast::bench {

namespace {

constexpr const char *kJit = "/proc/sys/net/core/bpf_jit_enable";

std::string line_of(const std::string &path)
{
	std::ifstream file(path);
	std::string line;

	std::getline(file, line);
	return line;
}

std::string cpu_model()
{
	std::ifstream file("/proc/cpuinfo");
	std::string line;

	while (std::getline(file, line))
		if (line.starts_with("model name"))
			return line.substr(line.find(':') + 2);
	return "unknown";
}

} // namespace

Machine this_machine()
{
	utsname names{};
	double load = 0;

	::uname(&names);
	::getloadavg(&load, 1);
	return {cpu_model(), names.release, possible_cpus(),
		line_of("/sys/devices/system/cpu/vulnerabilities/spec_rstack_overflow"), load};
}

Status may_measure(bool root, const std::string &jit)
{
	if (!root)
		return fail(Exit::kFailed, "benchmarks run programs in the kernel",
			    "run them as root");
	if (jit != "1" && jit != "2")
		return fail(Exit::kUnsupported,
			    std::string(kJit) + " is " + (jit.empty() ? "not there" : jit) +
				    ": figures of interpreted programs say nothing",
			    std::string("write 1 to ") + kJit);
	return {};
}

Status may_measure()
{
	return may_measure(::geteuid() == 0, line_of(kJit));
}

Status stay_on_one_cpu()
{
	cpu_set_t allowed;
	int last = -1;

	if (::sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return fail_errno("read which CPUs may be used", errno);
	for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
		if (CPU_ISSET(cpu, &allowed))
			last = cpu;
	CPU_ZERO(&allowed);
	CPU_SET(last, &allowed);
	if (::sched_setaffinity(0, sizeof(allowed), &allowed) != 0)
		return fail_errno("stay on one CPU", errno);
	return {};
}

} // namespace anycast::bench
