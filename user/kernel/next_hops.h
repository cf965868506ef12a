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

std::optional<ax_device> way_out_of(int ifindex);

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

// What becomes of packets whose route leaves through a device that takes none.
std::string no_way_out(const DeviceWay &way);

// Asks the kernel to resolve the next hop of every backend that is not local. Returns warnings.
std::vector<std::string> resolve_next_hops(const Image &image, int attached_ifindex, bool generic);

} // namespace anycast
