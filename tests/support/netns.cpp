// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/netns.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>

#include "support/isolation.h"
#include "support/process.h"

namespace anycast::test {

namespace {

Fd current_netns()
{
	Fd fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
	if (!fd.valid())
		throw_errno("open the current network namespace");
	return fd;
}

void write_file(const std::string &path, const std::string &value)
{
	std::ofstream file(path);
	file << value << std::flush;
	if (!file)
		throw_errno("write '" + value + "' to " + path);
}

std::string sysctl_path(std::string key)
{
	std::replace(key.begin(), key.end(), '.', '/');
	return "/proc/sys/" + key;
}

} // namespace

Netns::Inside::Inside(int target) : back_(current_netns())
{
	if (setns(target, CLONE_NEWNET))
		throw_errno("enter network namespace");
}

Netns::Inside::~Inside()
{
	if (setns(back_.get(), CLONE_NEWNET))
		std::terminate(); // everything that follows would run in the wrong namespace
}

Netns::Netns(std::string name) : name_(std::move(name))
{
	const Fd back = current_netns();
	if (unshare(CLONE_NEWNET))
		throw_errno("make network namespace " + name_);
	fd_ = current_netns();
	const std::string path = "/run/netns/" + name_;
	Fd(open(path.c_str(), O_CREAT | O_RDONLY | O_CLOEXEC, 0444));
	const int failed =
		mount("/proc/thread-self/ns/net", path.c_str(), nullptr, MS_BIND, nullptr);
	if (setns(back.get(), CLONE_NEWNET) || failed)
		throw_errno("name network namespace " + name_);
	ip("link set lo up");
}

void Netns::ip(std::string_view commands) const
{
	const Output output = ::anycast::test::run(*this, {"ip", "-batch", "-"}, commands);
	if (output.status != 0)
		throw LabError("ip in " + name_ + ": " + output.err + "commands were:\n" +
			       std::string(commands));
}

void Netns::sysctl(const std::string &key, const std::string &value) const
{
	run([&] { write_file(sysctl_path(key), value); });
}

bool Netns::has_sysctl(const std::string &key) const
{
	return run([&] { return access(sysctl_path(key).c_str(), F_OK) == 0; });
}

std::string Netns::sysfs() const
{
	const std::string path = std::string(kLabDir) + "/sys-" + name_;
	if (mkdir(path.c_str(), 0755) == 0 &&
	    run([&] { return mount("sysfs", path.c_str(), "sysfs", 0, nullptr); }))
		throw_errno("mount sysfs of " + name_);
	return path;
}

void disable_offloads(const LinkEnd &end)
{
	end.netns.run([&] {
		const Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
		for (const __u32 command : {ETHTOOL_STXCSUM, ETHTOOL_SRXCSUM, ETHTOOL_STSO,
					    ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_SFLAGS}) {
			ethtool_value value{command, 0};
			ifreq request{};
			std::strncpy(request.ifr_name, end.name.c_str(), IFNAMSIZ - 1);
			request.ifr_data = reinterpret_cast<char *>(&value);
			// What a kernel cannot switch off it does not have, or does always.
			ioctl(fd.get(), SIOCETHTOOL, &request);
		}
	});
}

void connect_veth(const LinkEnd &a, const LinkEnd &b, unsigned mtu)
{
	std::ostringstream add;
	add << "link add " << a.name << " mtu " << mtu << " type veth peer name " << b.name
	    << " mtu " << mtu << " netns " << b.netns.name();
	a.netns.ip(add.str());
	disable_offloads(a);
	disable_offloads(b);
	a.netns.ip("link set " + a.name + " up");
	b.netns.ip("link set " + b.name + " up");
}

void receive_on_cpu(const LinkEnd &end, unsigned cpu)
{
	std::ostringstream mask; // groups of 32 bits, the highest first
	mask << std::hex << (1u << (cpu % 32));
	for (unsigned group = 0; group < cpu / 32; group++)
		mask << ",0";
	write_file(end.netns.sysfs() + "/class/net/" + end.name + "/queues/rx-0/rps_cpus",
		   mask.str());
}

void shape(const LinkEnd &end, unsigned mbit)
{
	const std::string rate = std::to_string(mbit) + "mbit";
	const Argv add{"tc", "qdisc", "replace", "dev", end.name, "root"};
	Output output;
	for (Argv how : {Argv{"tbf", "rate", rate, "burst", "8k", "limit", "1m"},
			 Argv{"netem", "rate", rate, "limit", "700"}}) {
		how.insert(how.begin(), add.begin(), add.end());
		output = run(end.netns, how);
		if (output.status == 0)
			return;
	}
	throw LabError("tc on " + end.netns.name() + " " + end.name + ": " + output.err);
}

void add_dummy(const Netns &netns, const std::string &name)
{
	const Output dummy = run(netns, {"ip", "link", "add", name, "type", "dummy"});
	if (dummy.status != 0)
		netns.ip("link add " + name + " type bridge");
	netns.ip("link set " + name + " up");
}

} // namespace anycast::test
