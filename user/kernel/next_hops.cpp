// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/next_hops.h"

#include <arpa/inet.h>

#include <cstring>
#include <set>

#include <fmt/format.h>

#include "kernel/features.h"
#include "net/interfaces.h"

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

Result<std::map<int, Interface>> all_devices()
{
	std::map<int, Interface> devices;
	auto all = interfaces();

	if (!all)
		return tl::unexpected(std::move(all.error()));
	for (Interface &device : *all)
		devices[device.index] = std::move(device);
	return devices;
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

std::optional<ax_device> way_out_of(int ifindex)
{
	const auto all = all_devices();
	const auto device = all ? all->find(ifindex) : std::map<int, Interface>::const_iterator();
	return all && device != all->end() ? way_out(device->second, *all) : std::nullopt;
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

std::string no_way_out(const DeviceWay &way)
{
	return fmt::format(
		"its route leaves through {}, a {} device: XDP cannot send there, and "
		"its packets are dropped as no_transmit; route it through a plain device",
		way.name, way.kind);
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

std::vector<std::string> resolve_next_hops(const Image &image, int attached_ifindex, bool generic)
{
	std::vector<std::string> warnings;
	std::set<std::pair<int, Address>> asked;
	const auto all = interfaces();
	const DeviceWays ways = all && !generic ? ways_out(*all) : DeviceWays{};

	for (std::size_t id = 0; id < image.backends.size(); ++id) {
		const ax_backend &backend = image.backends[id];
		if (backend.state == AX_BACKEND_ABSENT || backend.flags & AX_BACKEND_LOCAL)
			continue;
		const std::string who = describe(backend, image.ids.backends, id);
		const auto route = route_to(Address(backend.addr));
		if (!route) {
			warnings.push_back(fmt::format("backend {}: {}: its packets are dropped as "
						       "no_route until there is one",
						       who, route.error().what));
			continue;
		}
		if (!asked.emplace(route->ifindex, route->gateway).second)
			continue;
		const auto way = ways.find(static_cast<std::uint32_t>(route->ifindex));
		if (way != ways.end() && way->second.out.ifindex == 0 &&
		    route->ifindex != attached_ifindex)
			warnings.push_back(
				fmt::format("backend {}: {}", who, no_way_out(way->second)));
		if (auto kept = keep_neighbour(route->ifindex, route->gateway,
					       has_feature("managed_neighbour"));
		    !kept)
			warnings.push_back(fmt::format("backend {}: {}", who, kept.error().what));
	}
	return warnings;
}

} // namespace anycast
