// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// check: kernel, hooks, links, MTU, host set-up.
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/check.h"
#include "core/vip_places.h"
#include "kernel/features.h"
#include "net/ethtool.h"
#include "net/host.h"

namespace anycast::cli {

namespace {

// Clients' packets come through the Internet; larger ones do not get this far.
constexpr std::uint32_t kInternetMtu = 1500;
constexpr double kDimDbm = -10, kBrightDbm = -3;

const Interface *find(const std::vector<Interface> &list, int index)
{
	const auto found = std::ranges::find(list, index, &Interface::index);
	return found == list.end() ? nullptr : &*found;
}

void check_optics(const std::string &name, Findings &findings)
{
	const auto power = ethtool::received_power(name);
	if (!power) {
		findings.ok("optics", name + ": not measurable (no module with diagnostics)");
		return;
	}
	const auto dbm = dbm_from_tenth_microwatts(*power);
	if (!dbm)
		findings.fail("optics", name + ": receives no light",
			      "look at the fibre, and at the other end's transmitter");
	else if (*dbm < kDimDbm || *dbm > kBrightDbm)
		findings.warn("optics", fmt::format("{}: receives {:.1f} dBm", name, *dbm),
			      fmt::format("{} to {} dBm is usual: clean the connector, or "
					  "compare with the module's data sheet",
					  kDimDbm, kBrightDbm));
	else
		findings.ok("optics", fmt::format("{}: receives {:.1f} dBm", name, *dbm));
}

// Which way a backend's packets leave, and how large they may be.
struct Way {
	std::string interface;
	std::uint32_t mtu = 0;
};

Result<Way> way_to(const Address &backend, const std::vector<Interface> &links)
{
	const auto route = route_to(backend);
	if (!route)
		return tl::unexpected(route.error());
	const Interface *link = find(links, route->ifindex);
	Way way{link ? link->name : "?", link ? link->mtu : 0};
	if (route->mtu != 0)
		way.mtu = std::min(way.mtu, route->mtu);
	return way;
}

} // namespace

void check_features(Findings &findings)
{
	std::vector<std::string> lost, without;
	for (const Feature &feature : features()) {
		if (feature.available || !feature.used)
			continue;
		if (feature.required)
			lost.push_back(fmt::format("{} ({})", feature.name, feature.detail));
		else
			without.push_back(fmt::format("{}: {}", feature.name, feature.fallback));
	}
	if (!lost.empty())
		findings.fail("kernel", fmt::format("lacks {}", fmt::join(lost, ", ")),
			      geteuid() == 0 ? "a newer kernel; see `anycast-xdp features`"
					     : "run `check` as root, or with CAP_BPF and "
					       "CAP_NET_ADMIN");
	else if (!without.empty())
		findings.warn("kernel",
			      fmt::format("{} of {} features {} missing", without.size(),
					  features().size(), without.size() == 1 ? "is" : "are"),
			      fmt::format("it works without: {}", fmt::join(without, "; ")));
	else
		findings.ok("kernel", "has every feature that is used");
}

void check_hooks(const CheckInput &input, Findings &findings)
{
	if (input.instances.empty() && input.config.interfaces.empty())
		findings.warn("attach", "nothing is attached",
			      "anycast-xdp attach DEV, or name it in [node] interfaces");
	for (const std::string &name : input.config.interfaces)
		if (std::ranges::find(input.instances, name, &Instance::interface) ==
		    input.instances.end())
			findings.fail("attach", name + ": not attached",
				      "anycast-xdp attach " + name);
	for (const Instance &instance : input.instances) {
		const Attached &attached = instance.attached;
		const std::string mode(mode_name(attached.mode));
		const std::string &wanted = input.config.mode;
		if (attached.mode == XdpMode::kNone || !attached.ours)
			findings.fail("attach", instance.interface + ": our program is not on it",
				      "anycast-xdp attach " + instance.interface);
		else if (wanted != "auto" && wanted != mode)
			findings.fail("mode",
				      fmt::format("{}: {} mode, the configuration says {}",
						  instance.interface, mode, wanted),
				      fmt::format("anycast-xdp attach {} --mode {}",
						  instance.interface, wanted));
		else if (attached.mode == XdpMode::kGeneric)
			findings.warn("mode", instance.interface + ": generic mode",
				      "slower, and loss figures are too low: use a driver with "
				      "native XDP if there is one");
		else
			findings.ok("mode", fmt::format("{}: {}", instance.interface, mode));
	}
}

void check_links(const CheckInput &input, Findings &findings)
{
	const auto links = interfaces();
	if (!links) {
		findings.fail("links", links.error().what, "");
		return;
	}
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	for (const Instance &instance : input.instances) {
		const auto link = std::ranges::find(*links, instance.interface, &Interface::name);
		if (link == links->end())
			continue;
		if (!link->up)
			findings.fail("links", link->name + ": down",
				      fmt::format("ip link set {} up", link->name));
		if (const auto hides = device_feature(link->name, "rx-vlan-hw-parse");
		    hides && *hides && !link->driver.empty() && link->kind != "veth")
			findings.warn("links",
				      link->name + ": the device takes VLAN tags off "
						   "before XDP sees them",
				      fmt::format("ethtool -K {} rxvlan off", link->name));
		if (link->kind.empty() && link->rx_queues < static_cast<std::uint32_t>(cpus))
			findings.warn("queues",
				      fmt::format("{}: {} receive queues for {} CPUs", link->name,
						  link->rx_queues, cpus),
				      fmt::format("ethtool -L {} combined {}", link->name, cpus));
		else
			findings.ok("queues",
				    fmt::format("{}: {} receive queues, driver {}", link->name,
						link->rx_queues,
						link->driver.empty() ? "none" : link->driver));
		check_optics(link->name, findings);
	}
}

void check_mtu(const CheckInput &input, Findings &findings)
{
	const auto links = interfaces();
	if (!links || !(input.config.roles & AX_ROLE_EDGE))
		return;
	std::set<std::string> by_ipip, by_gue;
	for (const Vip &vip : input.config.vips) {
		if (vip.forward == AX_FORWARD_IPIP)
			by_ipip.insert(vip.pool);
		else if (vip.forward == AX_FORWARD_GUE)
			by_gue.insert(vip.pool);
	}
	const auto overhead = [&](const Pool &pool, bool v4) -> std::uint32_t {
		if (by_gue.contains(pool.name))
			return tunnel_overhead(AX_FORWARD_GUE, v4, input.config.gue_variant);
		return by_ipip.contains(pool.name) ? tunnel_overhead(AX_FORWARD_IPIP, v4) : 0;
	};
	std::set<std::string> said;
	bool any = false;
	for (const Pool &pool : input.config.pools)
		for (const Backend &backend : pool.backends) {
			const auto way = way_to(backend.address, *links);
			if (!way) {
				findings.fail("route",
					      fmt::format("backend {}/{}: {}", pool.name,
							  backend.name, way.error().what),
					      "its packets are dropped as no_route until there "
					      "is one");
				continue;
			}
			const std::uint32_t need =
				kInternetMtu + overhead(pool, backend.address.is_v4());
			any = true;
			if (way->mtu >= need || !said.insert(way->interface).second)
				continue;
			findings.warn(
				"mtu",
				fmt::format("{} has an MTU of {}, but packets to backend {}/{} "
					    "need {}",
					    way->interface, way->mtu, pool.name, backend.name,
					    need),
				fmt::format("raise it, and that of every link to the backends: ip "
					    "link set {} mtu {}; until then large packets are "
					    "answered with frag-needed",
					    way->interface, need));
		}
	if (any && said.empty())
		findings.ok("mtu", "the links to all backends have room for the encapsulation");
}

void check_host(const CheckInput &input, Findings &findings)
{
	const HostOptions options = input.config.host.value_or(HostOptions{});
	const bool ours = input.config.host.has_value();
	const auto facts = host_facts(options);
	if (!facts) {
		findings.fail("host", facts.error().what, facts.error().hint);
		return;
	}
	const std::string advice = ours ? "anycast-xdp apply --host"
					: "add [host] to the configuration, then anycast-xdp "
					  "apply --host";
	const std::vector<Address> vips = single_vips(input.config);
	const auto plan = plan_host(options, vips, *facts);
	if (!plan) { // without [host] a VIP may be wherever the operator likes
		if (ours)
			findings.fail("vip", plan.error().what, plan.error().hint);
		else
			findings.ok("vip", plan.error().what);
		return;
	}
	for (const Address &vip : plan->add)
		findings.fail("vip", fmt::format("{} is on no interface", vip.text()), advice);
	for (const Address &vip : plan->remove)
		findings.warn(
			"vip",
			fmt::format("{} on {} is no VIP any more", vip.text(), options.interface),
			advice);
	if (plan->add.empty() && !vips.empty())
		findings.ok("vip", fmt::format("every VIP is on {}", options.interface));
	if (!plan->make_interface && plan->bring_up)
		findings.fail("vip", options.interface + " is down", advice);
	for (const Sysctl &sysctl : plan->sysctls) {
		const std::string text =
			fmt::format("{} is {}, it should be {}", sysctl_name(sysctl.key),
				    sysctl.from, sysctl.to);
		if (ours)
			findings.fail("sysctl", text, advice);
		else
			findings.warn("sysctl", text, advice);
	}
	if (plan->sysctls.empty())
		findings.ok("sysctl", "forwarding and ECMP hash policy are as they should be");
	if (plan->persist)
		findings.warn("sysctl", sysctl_file() + " is not what it should be", advice);
}

} // namespace anycast::cli
