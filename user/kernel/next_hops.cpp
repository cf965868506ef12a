// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/next_hops.h"

#include <map>
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

} // namespace

std::vector<std::string> resolve_next_hops(const Image &image, int attached_ifindex)
{
	std::vector<std::string> warnings;
	std::map<int, Interface> devices;
	std::set<std::pair<int, Address>> asked;

	if (auto all = interfaces()) {
		for (Interface &device : *all)
			devices[device.index] = std::move(device);
	}
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
		if (device != devices.end() && route->ifindex != attached_ifindex &&
		    !can_transmit(device->second.kind))
			warnings.push_back(fmt::format(
				"backend {}: its route leaves through {}, a {} device: XDP "
				"cannot send there; route it through a plain device",
				who, device->second.name, device->second.kind));
		if (auto kept = keep_neighbour(route->ifindex, route->gateway,
					       has_feature("managed_neighbour"));
		    !kept)
			warnings.push_back(fmt::format("backend {}: {}", who, kept.error().what));
	}
	return warnings;
}

} // namespace anycast
