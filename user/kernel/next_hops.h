// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Routes and neighbours towards the backends: resolved once at attach and apply, and reported where
// XDP could not send.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/image.h"
#include "kernel/dataplane.h"
#include "net/interfaces.h"

namespace anycast {

// How frames for a device leave by XDP where they cannot simply be sent to it: with a tag by the
// device beneath, or not at all (ifindex 0). Nothing: simply.
std::optional<ax_device> way_out(const Interface &device, const std::map<int, Interface> &all);

// All devices of which there is something to tell, by ifindex.
struct DeviceWay {
	ax_device out{};
	std::string name, kind;
	bool operator==(const DeviceWay &other) const;
};
using DeviceWays = std::map<std::uint32_t, DeviceWay>;
DeviceWays ways_out(const std::vector<Interface> &all);

// Tells the data path of these. In generic mode every device takes frames.
Status write_devices(Dataplane &dataplane, bool generic);
Status write_devices(Dataplane &dataplane, bool generic, const DeviceWays &ways);

// What keeps packets that arrive at an interface from leaving by a route, as the node is now.
class Departures {
public:
	Departures(const std::vector<Interface> &all, int attached_ifindex, bool generic);

	// What becomes of them, and what to do; "": they leave.
	[[nodiscard]] std::string trouble(const Route &route, bool v4) const;

private:
	[[nodiscard]] std::string not_forwarded(bool v4) const;
	[[nodiscard]] std::string not_taken(int ifindex) const;

	int attached_;
	bool generic_;
	std::map<int, Interface> devices_;
	DeviceWays ways_;
	bool forwards_v4_ = true, forwards_v6_ = true;
};

// Asks the kernel to resolve the next hop of every backend that is not local. Returns warnings.
std::vector<std::string> resolve_next_hops(const Image &image, int attached_ifindex, bool generic);

} // namespace anycast
