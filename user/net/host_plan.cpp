// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "net/host.h"

namespace anycast {

namespace {

// What can carry a VIP and nothing else. A bridge may, as long as it has no ports.
constexpr std::array<std::string_view, 4> kKinds{"dummy", "bridge", "ifb", "tun"};

const Interface *find_interface(const HostFacts &facts, const std::string &name)
{
	const auto found = std::ranges::find(facts.interfaces, name, &Interface::name);
	return found == facts.interfaces.end() ? nullptr : &*found;
}

bool is_host_route(const Interface::Assigned &assigned)
{
	return assigned.prefix == (assigned.address.is_v4() ? 32 : 128);
}

Status check_elsewhere(const HostOptions &options, const std::vector<Address> &vips,
		       const HostFacts &facts)
{
	for (const Interface &other : facts.interfaces)
		for (const Interface::Assigned &assigned : other.assigned)
			if (other.name != options.interface &&
			    std::ranges::find(vips, assigned.address) != vips.end())
				return fail(Exit::kFailed,
					    fmt::format("VIP {} is on interface {} already",
							assigned.address.text(), other.name),
					    fmt::format("take it off there (ip addr del {}/{} dev "
							"{}), or name that interface in [host]",
							assigned.address.text(), assigned.prefix,
							other.name));
	return {};
}

Status check_interface(const Interface &interface, const HostFacts &facts)
{
	if (std::ranges::find(kKinds, interface.kind) == kKinds.end())
		return fail(Exit::kFailed,
			    fmt::format("interface {} is not one for VIPs alone (it is {})",
					interface.name,
					interface.kind.empty() ? "a device" : interface.kind),
			    "name another in [host] interface; one that is not there is made");
	for (const Interface &port : facts.interfaces)
		if (port.master == interface.index)
			return fail(Exit::kFailed,
				    fmt::format("interface {} is a bridge with the port {}",
						interface.name, port.name),
				    "name another in [host] interface");
	return {};
}

void plan_addresses(const std::vector<Address> &vips, const Interface *interface, HostPlan &plan)
{
	std::vector<Address> there;
	if (interface)
		for (const Interface::Assigned &assigned : interface->assigned) {
			const bool vip = std::ranges::find(vips, assigned.address) != vips.end();
			if (vip && is_host_route(assigned))
				there.push_back(assigned.address);
			else if (is_host_route(assigned))
				plan.remove.push_back(assigned.address); // of a VIP that was
			else if (!assigned.link_local)
				plan.warnings.push_back(fmt::format(
					"{}/{} on {} is no VIP of ours: left as it is{}",
					assigned.address.text(), assigned.prefix, interface->name,
					vip ? ", though a VIP; its prefix should be /32 or /128"
					    : ""));
		}
	for (const Address &vip : vips)
		if (std::ranges::find(there, vip) == there.end())
			plan.add.push_back(vip);
}

std::uint64_t number(const std::string &text)
{
	std::uint64_t value = 0;
	std::from_chars(text.data(), text.data() + text.size(), value);
	return value;
}

class SysctlPlanner {
public:
	SysctlPlanner(const HostFacts &facts, HostPlan &plan) : facts_(facts), plan_(plan) {}

	void want(const std::string &key, std::uint32_t value, bool at_least = false)
	{
		const auto found = facts_.sysctls.find(key);
		if (found == facts_.sysctls.end() || !found->second) {
			plan_.warnings.push_back(
				fmt::format("{}: this network namespace has no such setting",
					    sysctl_name(key)));
			return;
		}
		const bool enough = at_least ? number(*found->second) >= value
					     : *found->second == std::to_string(value);
		if (!enough)
			plan_.sysctls.push_back({key, *found->second, std::to_string(value)});
		text_ += fmt::format("{} = {}\n", sysctl_name(key),
				     enough ? *found->second : std::to_string(value));
	}
	[[nodiscard]] const std::string &text() const { return text_; }

private:
	const HostFacts &facts_;
	HostPlan &plan_;
	std::string text_ = "# Written by `anycast-xdp apply`: do not edit.\n";
};

// A host that forwards IPv6 stops to listen to router advertisements unless accept_ra is 2; where
// it has its own address from one, it would vanish after a while.
void keep_management(const HostFacts &facts, SysctlPlanner &sysctls)
{
	for (const Interface &interface : facts.interfaces) {
		const auto accept =
			facts.sysctls.find("net/ipv6/conf/" + interface.name + "/accept_ra");
		if (interface.autoconfigured && accept != facts.sysctls.end() && accept->second &&
		    *accept->second != "0")
			sysctls.want(accept->first, 2);
	}
}

} // namespace

std::string sysctl_name(const std::string &key)
{
	std::string name = key;
	// As sysctl(8) writes it: a dot in an interface's name becomes a slash.
	for (char &c : name)
		c = c == '/' ? '.' : c == '.' ? '/' : c;
	return name;
}

Result<HostPlan> plan_host(const HostOptions &options, const std::vector<Address> &vips,
			   const HostFacts &facts)
{
	HostPlan plan;
	plan.interface = options.interface;
	const Interface *interface = find_interface(facts, options.interface);
	AX_TRY(check_elsewhere(options, vips, facts));
	if (interface)
		AX_TRY(check_interface(*interface, facts));
	plan.make_interface = !interface;
	plan.bring_up = !interface || !interface->up;
	plan_addresses(vips, interface, plan);

	SysctlPlanner sysctls(facts, plan);
	if (options.forwarding) {
		keep_management(facts, sysctls);
		sysctls.want("net/ipv4/ip_forward", 1);
		sysctls.want("net/ipv6/conf/all/forwarding", 1);
	}
	sysctls.want("net/ipv4/fib_multipath_hash_policy", options.hash_policy);
	sysctls.want("net/ipv6/fib_multipath_hash_policy", options.hash_policy);
	if (options.rmem_max != 0)
		sysctls.want("net/core/rmem_max", options.rmem_max, true);
	if (options.wmem_max != 0)
		sysctls.want("net/core/wmem_max", options.wmem_max, true);
	if (options.persist && facts.persisted != sysctls.text())
		plan.persist = sysctls.text();
	return plan;
}

std::vector<std::string> describe(const HostReport &report)
{
	const HostPlan &plan = report.plan;
	std::vector<std::string> lines;
	if (plan.make_interface)
		lines.push_back(fmt::format("add interface {}{}", plan.interface,
					    report.kind.empty() ? "" : " (" + report.kind + ")"));
	if (plan.bring_up)
		lines.push_back(fmt::format("set {} up", plan.interface));
	for (const Address &address : plan.add)
		lines.push_back(fmt::format("add {}/{} to {}", address.text(),
					    address.is_v4() ? 32 : 128, plan.interface));
	for (const Address &address : plan.remove)
		lines.push_back(fmt::format("remove {}/{} from {}", address.text(),
					    address.is_v4() ? 32 : 128, plan.interface));
	for (const Sysctl &sysctl : plan.sysctls)
		lines.push_back(fmt::format("{} {} -> {}", sysctl_name(sysctl.key), sysctl.from,
					    sysctl.to));
	if (plan.persist)
		lines.push_back("write " + sysctl_file());
	return lines;
}

} // namespace anycast
