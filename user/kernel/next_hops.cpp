// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/next_hops.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <span>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernel/features.h"
#include "net/host.h"
#include "net/interfaces.h"
#include "net/netlink.h"

namespace anycast {

namespace {

std::string describe(const ax_backend &backend, const std::vector<Named> &names, std::size_t id)
{
	const std::string address = Address(backend.addr).text();

	return id < names.size() ? fmt::format("{} ({})", names[id].name, address) : address;
}

// The driver got ndo_xdp_xmit in 5.15 together with XDP itself; these neighbours came in 5.16.
bool takes_frames(const Interface &device)
{
	return can_transmit(device.kind) &&
	       (device.kind != "bond" || has_feature("managed_neighbour"));
}

} // namespace

std::optional<ax_device> way_out(const Interface &device, const std::map<int, Interface> &all)
{
	if (device.kind == "vlan") {
		const auto beneath = all.find(device.parent);
		if (beneath == all.end() || !takes_frames(beneath->second))
			return ax_device{};
		return ax_device{static_cast<__u32>(device.parent), htons(device.vlan_type),
				 htons(device.vlan)};
	}
	if (!takes_frames(device))
		return ax_device{};
	return std::nullopt;
}

bool DeviceWay::operator==(const DeviceWay &other) const
{
	return out.ifindex == other.out.ifindex && out.tpid == other.out.tpid &&
	       out.tci == other.out.tci && name == other.name && kind == other.kind;
}

DeviceWays ways_out(const std::vector<Interface> &all)
{
	std::map<int, Interface> devices;
	DeviceWays ways;

	for (const Interface &device : all)
		devices[device.index] = device;
	for (const auto &[index, device] : devices) {
		const auto out = way_out(device, devices);
		if (out && ways.size() < AX_DEVICES)
			ways[static_cast<std::uint32_t>(index)] = {*out, device.name, device.kind};
	}
	return ways;
}

Departures::Departures(const std::vector<Interface> &all, int attached_ifindex, bool generic)
	: attached_(attached_ifindex), generic_(generic), ways_(ways_out(all))
{
	for (const Interface &device : all)
		devices_[device.index] = device;
	const auto attached = devices_.find(attached_);
	if (attached == devices_.end())
		return;
	const auto forwards = [&](const char *family) {
		return read_sysctl(fmt::format("net/{}/conf/{}/forwarding", family,
					       attached->second.name)) != "0";
	};
	forwards_v4_ = forwards("ipv4");
	forwards_v6_ = forwards("ipv6");
}

// bpf_fib_lookup answers for the interface of arrival alone then.
std::string Departures::not_forwarded(bool v4) const
{
	if (v4 ? forwards_v4_ : forwards_v6_)
		return {};
	const std::string key = fmt::format("net.ipv{}.conf.{}.forwarding", v4 ? 4 : 6,
					    devices_.at(attached_).name);
	return fmt::format("its route leaves through another interface than {}, which does not "
			   "forward: its packets are dropped as no_route; sysctl -w {}=1",
			   devices_.at(attached_).name, key);
}

// A frame that goes back (XDP_TX) is no redirect, but a veth's other end has to take that, too.
std::string Departures::not_taken(int ifindex) const
{
	auto device = devices_.find(ifindex);
	if (device != devices_.end() && device->second.kind == "vlan")
		device = devices_.find(device->second.parent);
	if (device == devices_.end() || device->second.takes_frames.value_or(true))
		return {};
	const bool veth = device->second.kind == "veth";
	if (device->first == attached_ && !veth)
		return {};
	return fmt::format("{} takes no frames from XDP as it is now: what is sent there is lost, "
			   "though counted as steered; {}",
			   device->second.name,
			   veth ? "its other end needs an XDP program, or GRO (ethtool -K PEER gro "
				  "on), or attach in generic mode"
				: "attach an XDP program to it as well");
}

std::string Departures::trouble(const Route &route, bool v4) const
{
	const bool back = route.ifindex == attached_;
	const auto way = ways_.find(static_cast<std::uint32_t>(route.ifindex));

	if (!back && !generic_ && way != ways_.end() && way->second.out.ifindex == 0)
		return fmt::format("its route leaves through {}, a {} device: XDP cannot send "
				   "there, and its packets are dropped as no_transmit; route it "
				   "through a plain device",
				   way->second.name, way->second.kind);
	if (const std::string why = back ? "" : not_forwarded(v4); !why.empty())
		return why;
	return generic_ ? "" : not_taken(route.ifindex);
}

Status write_devices(Dataplane &dataplane, bool generic)
{
	const auto all = interfaces();
	if (!all)
		return tl::unexpected(all.error());
	return write_devices(dataplane, generic, ways_out(*all));
}

Status write_devices(Dataplane &dataplane, bool generic, const DeviceWays &ways)
{
	const DeviceWays wanted = generic ? DeviceWays{} : ways;
	Map &map = dataplane.map("ax_device");
	std::vector<std::uint32_t> gone;

	AX_TRY(map.for_each([&](const std::byte *key, const std::byte *) {
		std::uint32_t index = 0;
		std::memcpy(&index, key, sizeof(index));
		if (!wanted.contains(index))
			gone.push_back(index);
	}));
	for (const std::uint32_t index : gone)
		AX_TRY(map.erase(&index));
	for (const auto &[index, way] : wanted)
		AX_TRY(map.update(&index, &way.out));
	return {};
}

namespace {

// A line for each trouble, not for each backend: a missing default route is everybody's.
class Warnings {
public:
	void add(const std::string &trouble, std::string backend)
	{
		for (auto &[known, backends] : troubles_)
			if (known == trouble) {
				backends.push_back(std::move(backend));
				return;
			}
		troubles_.push_back({trouble, {std::move(backend)}});
	}
	[[nodiscard]] std::vector<std::string> lines() const
	{
		constexpr std::size_t kNamed = 3;
		std::vector<std::string> lines;
		for (const auto &[trouble, backends] : troubles_) {
			const std::span named(backends.data(), std::min(backends.size(), kNamed));
			const std::size_t more = backends.size() - named.size();
			lines.push_back(fmt::format(
				"backend{} {}{}: {}", backends.size() == 1 ? "" : "s",
				fmt::join(named, ", "),
				more == 0 ? "" : fmt::format(" and {} more", more), trouble));
		}
		return lines;
	}

private:
	std::vector<std::pair<std::string, std::vector<std::string>>> troubles_;
};

// "route to ADDRESS: why": the address stands before it.
std::string no_route(const Error &error)
{
	const std::size_t why = error.what.find(": ");
	return fmt::format("no route ({}): packets are dropped as no_route until there is one",
			   why == error.what.npos ? error.what : error.what.substr(why + 2));
}

} // namespace

std::vector<std::string> resolve_next_hops(const Image &image, int attached_ifindex, bool generic)
{
	Warnings warnings;
	netlink::Socket routes;
	std::set<std::pair<int, Address>> asked;
	const auto all = interfaces();
	const Departures departures(all ? *all : std::vector<Interface>{}, attached_ifindex,
				    generic);

	for (std::size_t id = 0; id < image.backends.size(); ++id) {
		const ax_backend &backend = image.backends[id];
		if (backend.state == AX_BACKEND_ABSENT || backend.flags & AX_BACKEND_LOCAL)
			continue;
		const std::string who = describe(backend, image.ids.backends, id);
		const auto route = route_to(Address(backend.addr), &routes);
		if (!route) {
			warnings.add(no_route(route.error()), who);
			continue;
		}
		if (const std::string trouble =
			    departures.trouble(*route, Address(backend.addr).is_v4());
		    !trouble.empty())
			warnings.add(trouble, who);
		if (!asked.emplace(route->ifindex, route->gateway).second)
			continue;
		if (auto kept = keep_neighbour(route->ifindex, route->gateway,
					       has_feature("managed_neighbour"));
		    !kept)
			warnings.add(kept.error().what, who);
	}
	return warnings.lines();
}

} // namespace anycast
