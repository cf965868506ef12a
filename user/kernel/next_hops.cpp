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

Status write_devices(Dataplane &dataplane, bool generic)
{
	const auto devices = all_devices();
	if (!devices)
		return tl::unexpected(devices.error());
	Map &map = dataplane.map("ax_device");
	std::map<std::uint32_t, ax_device> wanted;
	std::vector<std::uint32_t> gone;

	for (const auto &[index, device] : *devices) {
		const auto out = way_out(device, *devices);
		if (out && !generic && wanted.size() < AX_DEVICES)
			wanted.emplace(static_cast<std::uint32_t>(index), *out);
	}
	AX_TRY(map.for_each([&](const std::byte *key, const std::byte *) {
		std::uint32_t index = 0;
		std::memcpy(&index, key, sizeof(index));
		if (!wanted.contains(index))
			gone.push_back(index);
	}));
	for (const std::uint32_t index : gone)
		AX_TRY(map.erase(&index));
	for (const auto &[index, device] : wanted)
		AX_TRY(map.update(&index, &device));
	return {};
}

std::vector<std::string> resolve_next_hops(const Image &image, int attached_ifindex, bool generic)
{
	std::vector<std::string> warnings;
	std::set<std::pair<int, Address>> asked;
	const auto all = all_devices();
	const std::map<int, Interface> devices = all ? *all : std::map<int, Interface>{};

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
		const auto device = devices.find(route->ifindex);
		const auto out =
			device == devices.end() ? std::nullopt : way_out(device->second, devices);
		if (out && out->ifindex == 0 && route->ifindex != attached_ifindex && !generic)
			warnings.push_back(fmt::format(
				"backend {}: its route leaves through {}, a {} device: XDP "
				"cannot send there, and its packets are dropped as no_transmit; "
				"route it through a plain device",
				who, device->second.name, device->second.kind));
		if (auto kept = keep_neighbour(route->ifindex, route->gateway,
					       has_feature("managed_neighbour"));
		    !kept)
			warnings.push_back(fmt::format("backend {}: {}", who, kept.error().what));
	}
	return warnings;
}

} // namespace anycast
