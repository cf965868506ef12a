// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The XDP hook of one device: what is on it, putting a program there, and taking it off.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "kernel/attachment.h"
#include "util/fd.h"
#include "util/result.h"

namespace anycast::hook {

// What `pins` (a pin directory) and the kernel say about the device.
Result<Attached> look(const std::string &pins, const std::string &interface, int ifindex);

// Our program with that id, if it is pinned there: as `prog`, or still staged because a command was
// killed between replacing it on the hook and renaming its pin.
Fd our_program(const std::string &pins, std::uint32_t id);

std::uint32_t program_id(int fd);	      // 0 if that is no program
std::optional<int> link_ifindex(int link_fd); // of an XDP link; 0 if its device is gone
// Id of the XDP link that holds `program` on the device, if it can be found (needs CAP_SYS_ADMIN).
std::optional<std::uint32_t> find_link(int ifindex, std::uint32_t program);

std::uint32_t mode_flag(XdpMode mode);
std::optional<XdpMode> mode_from(const std::string &name);

// Attaches in that mode by a link or, where the kernel has none, by netlink (then the Fd is empty).
// A positive errno where the kernel refuses.
struct Placed {
	int error = 0;
	Fd link;
};
Placed place(int program_fd, int ifindex, XdpMode mode);

// One program instead of another, in one step, whatever is on the wire.
Status swap_link(int link_fd, int new_fd, int old_fd);
Status swap_netlink(int ifindex, XdpMode mode, int new_fd, int old_fd);

Status remove_link(int link_fd);
Status remove_netlink(int ifindex, XdpMode mode, int program_fd);

// "native XDP refused by eth0 (driver e1000e): Operation not supported"
std::string refusal(const std::string &interface, XdpMode mode, int error);

} // namespace anycast::hook
