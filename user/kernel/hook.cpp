// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/hook.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>

#include "kernel/dispatcher.h"
#include "kernel/egress.h"
#include "kernel/features.h"
#include "kernel/libbpf_log.h"
#include "kernel/pins.h"
#include "kernel/staging.h"
#include "net/interfaces.h"

namespace anycast {

std::string_view mode_name(XdpMode mode)
{
	switch (mode) {
	case XdpMode::kNative:
		return "native";
	case XdpMode::kGeneric:
		return "generic";
	case XdpMode::kOffload:
		return "offload";
	case XdpMode::kNone:
		break;
	}
	return "none";
}

Result<Attached> query(const Paths &paths, const std::string &interface)
{
	auto device = interface_named(interface);
	if (!device)
		return tl::unexpected(std::move(device.error()));
	return hook::look(pin_directory(paths, interface), interface, device->index);
}

namespace hook {

namespace {

bpf_prog_info program_info(int fd)
{
	bpf_prog_info info{};
	std::uint32_t length = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &length) != 0)
		return {};
	return info;
}

std::optional<bpf_link_info> link_info(int fd)
{
	bpf_link_info info{};
	std::uint32_t length = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &length) != 0 || info.type != BPF_LINK_TYPE_XDP)
		return std::nullopt;
	return info;
}

Status hook_state(int ifindex, Attached &attached)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, options);

	if (int error = bpf_xdp_query(ifindex, 0, &options))
		return fail_errno(
			fmt::format("ask the kernel for the XDP program of {}", attached.interface),
			error);
	if (options.hw_prog_id) {
		attached.mode = XdpMode::kOffload;
		attached.program_id = options.hw_prog_id;
	}
	if (options.skb_prog_id) {
		attached.mode = XdpMode::kGeneric;
		attached.program_id = options.skb_prog_id;
	}
	if (options.drv_prog_id) {
		attached.mode = XdpMode::kNative;
		attached.program_id = options.drv_prog_id;
	}
	// Kernels before 4.19 or so report one id and no list.
	if (!attached.program_id && options.prog_id) {
		attached.program_id = options.prog_id;
		attached.mode = options.attach_mode == XDP_ATTACHED_SKB	 ? XdpMode::kGeneric
				: options.attach_mode == XDP_ATTACHED_HW ? XdpMode::kOffload
									 : XdpMode::kNative;
	}
	return {};
}

} // namespace

Fd our_program(const std::string &pins, std::uint32_t id)
{
	const std::string pin = pins + "/" AX_PIN_PROG;

	for (const std::string &path : {pin, staged_pin(pin)}) {
		Fd program(bpf_obj_get(path.c_str()));
		if (program.valid() && program_id(program.get()) == id)
			return program;
	}
	// Its pin is gone, but our link holds it: root can have it still.
	const Fd link(bpf_obj_get((pins + "/" AX_PIN_LINK).c_str()));
	const auto info = link.valid() ? link_info(link.get()) : std::nullopt;
	if (id != 0 && info && info->prog_id == id)
		return Fd(bpf_prog_get_fd_by_id(id));
	return {};
}

std::uint32_t program_id(int fd)
{
	return program_info(fd).id;
}

std::optional<int> link_ifindex(int link_fd)
{
	const auto info = link_info(link_fd);

	if (!info)
		return std::nullopt;
	return static_cast<int>(info->xdp.ifindex);
}

std::optional<std::uint32_t> find_link(int ifindex, std::uint32_t program)
{
	std::uint32_t id = 0;

	while (bpf_link_get_next_id(id, &id) == 0) {
		Fd link(bpf_link_get_fd_by_id(id));
		if (!link.valid())
			continue;
		const auto info = link_info(link.get());
		if (info && static_cast<int>(info->xdp.ifindex) == ifindex &&
		    info->prog_id == program)
			return id;
	}
	return std::nullopt;
}

Result<Attached> look(const std::string &pins, const std::string &interface, int ifindex)
{
	Attached attached;

	attached.interface = interface;
	attached.ifindex = ifindex;
	attached.egress = egress::look(pins, ifindex);
	AX_TRY(hook_state(ifindex, attached));

	const std::string pin = pins + "/" AX_PIN_PROG;
	Fd pinned(bpf_obj_get(pin.c_str()));
	if (pinned.valid())
		attached.our_program_id = program_id(pinned.get());
	else if (errno != ENOENT)
		return fail_errno(fmt::format("open {}", pin), errno,
				  errno == EACCES || errno == EPERM ? "root is needed" : "");
	if (attached.program_id == 0)
		return attached;

	Fd own = our_program(pins, attached.program_id);
	if (own.valid()) {
		attached.ours = true;
		attached.our_program_id = attached.program_id;
		attached.program_name = program_info(own.get()).name;
		Fd link(bpf_obj_get((pins + "/" AX_PIN_LINK).c_str()));
		const auto info = link.valid() ? link_info(link.get()) : std::nullopt;
		attached.by_link = info && info->prog_id == attached.program_id &&
				   static_cast<int>(info->xdp.ifindex) == ifindex;
		return attached;
	}
	// Somebody else's: its name needs CAP_SYS_ADMIN.
	Fd foreign(bpf_prog_get_fd_by_id(attached.program_id));
	if (foreign.valid())
		attached.program_name = program_info(foreign.get()).name;
	attached.by_link = find_link(ifindex, attached.program_id).has_value();
	dispatcher::describe(attached);
	if (attached.dispatcher && staging::acts(pins, attached))
		attached.our_program_id =
			program_id(Fd(bpf_obj_get(staged_pin(pin).c_str())).get());
	return attached;
}

std::uint32_t mode_flag(XdpMode mode)
{
	switch (mode) {
	case XdpMode::kNative:
		return XDP_FLAGS_DRV_MODE;
	case XdpMode::kGeneric:
		return XDP_FLAGS_SKB_MODE;
	case XdpMode::kOffload:
		return XDP_FLAGS_HW_MODE;
	case XdpMode::kNone:
		break;
	}
	return 0;
}

std::optional<XdpMode> mode_from(const std::string &name)
{
	for (const XdpMode mode : {XdpMode::kNative, XdpMode::kGeneric, XdpMode::kOffload}) {
		if (name == mode_name(mode))
			return mode;
	}
	return std::nullopt;
}

Placed place(int program_fd, int ifindex, XdpMode mode)
{
	Placed placed;
	LibbpfLog quiet;

	if (has_feature("xdp_link")) {
		LIBBPF_OPTS(bpf_link_create_opts, options, .flags = mode_flag(mode));
		const int fd = bpf_link_create(program_fd, ifindex, BPF_XDP, &options);
		if (fd < 0)
			placed.error = -fd;
		else
			placed.link = Fd(fd);
		return placed;
	}
	placed.error = -bpf_xdp_attach(ifindex, program_fd,
				       mode_flag(mode) | XDP_FLAGS_UPDATE_IF_NOEXIST, nullptr);
	return placed;
}

Status swap_link(int link_fd, int new_fd, int old_fd)
{
	LIBBPF_OPTS(bpf_link_update_opts, options, .flags = BPF_F_REPLACE,
		    .old_prog_fd = static_cast<std::uint32_t>(old_fd));

	if (int error = bpf_link_update(link_fd, new_fd, &options))
		return fail_errno("replace the program of the link", error);
	return {};
}

Status swap_netlink(int ifindex, XdpMode mode, int new_fd, int old_fd)
{
	LibbpfLog log;
	LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = old_fd);

	if (int error =
		    bpf_xdp_attach(ifindex, new_fd, mode_flag(mode) | XDP_FLAGS_REPLACE, &options))
		return fail_errno("replace the program by netlink", error);
	return {};
}

Status remove_link(int link_fd)
{
	// EOPNOTSUPP: a kernel that detaches only when the last descriptor is closed.
	const int error = bpf_link_detach(link_fd);

	if (error && error != -EOPNOTSUPP && error != -EINVAL)
		return fail_errno("detach the link", error);
	return {};
}

Status remove_netlink(int ifindex, XdpMode mode, int program_fd)
{
	LibbpfLog log;
	LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = program_fd);

	if (int error = bpf_xdp_detach(ifindex, mode_flag(mode) | XDP_FLAGS_REPLACE, &options))
		return fail_errno("detach by netlink", error);
	return {};
}

std::string refusal(const std::string &interface, XdpMode mode, int error)
{
	auto device = interface_named(interface);
	const std::string driver = device && !device->driver.empty()
					   ? fmt::format(" (driver {})", device->driver)
					   : "";

	return fmt::format("{} XDP refused by {}{}: {}", mode_name(mode), interface, driver,
			   std::strerror(error));
}

} // namespace hook

} // namespace anycast
