// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "net/host.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "net/netlink.h"
#include "util/fd.h"

namespace anycast {

namespace {

std::string trimmed(std::string text)
{
	while (!text.empty() && (text.back() == '\n' || text.back() == ' '))
		text.pop_back();
	return text;
}

std::string file_text(const std::string &path)
{
	std::ostringstream text;
	text << std::ifstream(path).rdbuf();
	return text.str();
}

Status write_sysctl(const Sysctl &sysctl)
{
	const std::string path = "/proc/sys/" + sysctl.key;
	const Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
	if (!fd.valid() || write(fd.get(), sysctl.to.data(), sysctl.to.size()) < 0)
		return fail_errno(fmt::format("set {} to {}", sysctl_name(sysctl.key), sysctl.to),
				  errno, "host set-up needs root (CAP_NET_ADMIN)");
	return {};
}

// Beside it, synced, renamed: a boot in between reads the old or the new settings.
Status write_file(const std::string &path, const std::string &text)
{
	const std::string beside = path + ".new";
	const Fd fd(open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
	if (!fd.valid() ||
	    write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
	    fsync(fd.get()) || rename(beside.c_str(), path.c_str())) {
		const int error = errno;
		unlink(beside.c_str());
		return fail_errno("write " + path, error);
	}
	return {};
}

Status new_link(const std::string &name, const std::string &kind, int *refused)
{
	netlink::Request request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
	request.header<ifinfomsg>().ifi_family = AF_UNSPEC;
	mnl_attr_put_strz(request.message(), IFLA_IFNAME, name.c_str());
	nlattr *info = mnl_attr_nest_start(request.message(), IFLA_LINKINFO);
	mnl_attr_put_strz(request.message(), IFLA_INFO_KIND, kind.c_str());
	mnl_attr_nest_end(request.message(), info);
	return request.send(
		fmt::format("add interface {} ({})", name, kind), [](const nlmsghdr *) {}, refused);
}

Status make_interface(const std::string &name)
{
	std::string said;
	for (const char *kind : {"dummy", "bridge", "ifb"}) {
		int refused = 0;
		auto made = new_link(name, kind, &refused);
		if (made)
			return {};
		if (refused != EOPNOTSUPP)
			return made;
		said = made.error().what;
	}
	return fail(Exit::kUnsupported,
		    said + ": the kernel has neither dummy nor bridge nor ifb interfaces",
		    fmt::format("make an interface {} of another kind (tun), or load the module "
				"dummy",
				name));
}

Status set_up(int ifindex, const std::string &name)
{
	netlink::Request request(RTM_NEWLINK, NLM_F_ACK);
	auto &info = request.header<ifinfomsg>();
	info.ifi_family = AF_UNSPEC;
	info.ifi_index = ifindex;
	info.ifi_flags = info.ifi_change = IFF_UP;
	return request.send("set " + name + " up", [](const nlmsghdr *) {});
}

Status change_address(int ifindex, const Address &address, bool add)
{
	netlink::Request request(
		add ? RTM_NEWADDR : RTM_DELADDR,
		static_cast<std::uint16_t>(NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_REPLACE : 0)));
	auto &info = request.header<ifaddrmsg>();
	info.ifa_family = address.is_v4() ? AF_INET : AF_INET6;
	info.ifa_prefixlen = address.is_v4() ? 32 : 128;
	info.ifa_flags = address.is_v4() ? 0 : IFA_F_NODAD; // every node of the fleet has it
	info.ifa_index = static_cast<unsigned>(ifindex);
	request.put(IFA_LOCAL, address);
	request.put(IFA_ADDRESS, address);
	return request.send(fmt::format("{} {}", add ? "add" : "remove", address.text()),
			    [](const nlmsghdr *) {});
}

Status carry_out(const HostPlan &plan)
{
	if (plan.make_interface)
		AX_TRY(make_interface(plan.interface));
	const auto interface = interface_named(plan.interface);
	if (!interface)
		return tl::unexpected(interface.error());
	if (plan.bring_up)
		AX_TRY(set_up(interface->index, plan.interface));
	for (const Address &address : plan.add)
		AX_TRY(change_address(interface->index, address, true));
	for (const Address &address : plan.remove)
		AX_TRY(change_address(interface->index, address, false));
	for (const Sysctl &sysctl : plan.sysctls)
		AX_TRY(write_sysctl(sysctl));
	if (plan.persist)
		AX_TRY(write_file(sysctl_file(), *plan.persist));
	return {};
}

} // namespace

std::optional<std::string> read_sysctl(const std::string &key)
{
	std::ifstream file("/proc/sys/" + key);
	std::ostringstream text;
	if (!file || !(text << file.rdbuf()))
		return std::nullopt;
	return trimmed(text.str());
}

std::string sysctl_file()
{
	const char *directory = std::getenv("ANYCAST_XDP_SYSCTL_DIR");
	return std::string(directory ? directory : "/etc/sysctl.d") + "/90-anycast-xdp.conf";
}

Result<HostFacts> host_facts(const HostOptions &options)
{
	auto list = interfaces();
	if (!list)
		return tl::unexpected(std::move(list.error()));
	HostFacts facts{.interfaces = std::move(*list), .sysctls = {}, .persisted = {}};
	for (const char *key :
	     {"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding",
	      "net/ipv4/fib_multipath_hash_policy", "net/ipv6/fib_multipath_hash_policy",
	      "net/core/rmem_max", "net/core/wmem_max"})
		facts.sysctls[key] = read_sysctl(key);
	for (const Interface &interface : facts.interfaces) {
		const std::string key = "net/ipv6/conf/" + interface.name + "/accept_ra";
		facts.sysctls[key] = read_sysctl(key);
	}
	if (options.persist)
		facts.persisted = file_text(sysctl_file());
	return facts;
}

Result<HostReport> set_up_host(const HostOptions &options, const std::vector<Address> &vips,
			       bool dry_run)
{
	const auto facts = host_facts(options);
	if (!facts)
		return tl::unexpected(facts.error());
	auto plan = plan_host(options, vips, *facts);
	if (!plan)
		return tl::unexpected(std::move(plan.error()));
	HostReport report{.plan = std::move(*plan), .kind = {}};
	if (report.plan.changes() && !dry_run) {
		AX_TRY(carry_out(report.plan));
		const auto now = host_facts(options);
		if (!now)
			return tl::unexpected(now.error());
		auto left = plan_host(options, vips, *now);
		if (!left)
			return tl::unexpected(std::move(left.error()));
		if (left->changes())
			return fail(Exit::kFailed,
				    fmt::format("host set-up did not take: still to do: {}",
						fmt::join(describe(HostReport{*left, {}}), "; ")),
				    "somebody else may be changing it; look for other tools");
	}
	if (const auto interface = interface_named(options.interface); interface)
		report.kind = interface->kind;
	if (!report.kind.empty() && report.kind != "dummy" && report.plan.make_interface)
		report.plan.warnings.push_back(
			fmt::format("this kernel has no dummy interfaces: {} is a {}",
				    options.interface, report.kind));
	return report;
}

} // namespace anycast
