// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Opening what is attached, and taking it off. Putting it there: attach.cpp.
#include "kernel/attachment.h"

#include <sys/stat.h>

#include <bpf/bpf.h>
#include <fmt/format.h>

#include "kernel/applying.h"
#include "kernel/dispatcher.h"
#include "kernel/egress.h"
#include "kernel/hook.h"
#include "kernel/pins.h"
#include "kernel/sizes.h"
#include "kernel/staging.h"
#include "kernel/state.h"
#include "net/interfaces.h"

namespace anycast {

namespace {

tl::unexpected<Error> not_attached(const std::string &interface)
{
	return fail(Exit::kNotAttached,
		    fmt::format("nothing of anycast-xdp is attached to {}", interface),
		    fmt::format("anycast-xdp attach {}", interface));
}

std::string attach_again(const std::string &interface)
{
	return fmt::format("anycast-xdp attach {} puts it right", interface);
}

// What a name stands for; `staged`: what is about to stand for it, where there is such a pin.
Result<Map> open_map(const std::string &path, bool staged)
{
	if (staged)
		if (auto map = Map::open_pinned(staged_pin(path)))
			return map;
	return Map::open_pinned(path);
}

Result<Dataplane> open_maps(const std::string &pins, bool staged)
{
	const std::string ending = staged_pin("");
	std::map<std::string, Map, std::less<>> maps;

	for (std::string name : entries_of(pins)) {
		if (!name.starts_with("ax_") || (name.ends_with(ending) && !staged))
			continue;
		if (name.ends_with(ending))
			name.resize(name.size() - ending.size());
		if (maps.contains(name))
			continue;
		auto map = open_map(pins + "/" + name, staged);
		if (!map)
			return tl::unexpected(std::move(map.error()));
		maps.emplace(name, std::move(*map));
	}
	return Dataplane::from_maps(std::move(maps));
}

// Changes with every pin that is made, renamed or removed.
struct PinsSeen {
	std::set<std::string> names;
	ino_t program = 0;
	explicit PinsSeen(const std::string &pins) : names(entries_of(pins))
	{
		struct stat info {};
		if (::stat((pins + "/" AX_PIN_PROG).c_str(), &info) == 0)
			program = info.st_ino;
	}
	bool operator==(const PinsSeen &) const = default;
};

} // namespace

Result<std::vector<std::string>> attached_interfaces(const Paths &paths)
{
	std::vector<std::string> names;
	const std::string directory =
		fmt::format("{}/v{}/{}", paths.pins, AX_ABI_VERSION, netns_name());

	AX_TRY(require_readable(directory));
	for (const std::string &name : entries_of(directory)) {
		if (!entries_of(directory + "/" + name).empty())
			names.push_back(name);
	}
	return names;
}

namespace {

Result<Instance> open_once(const Paths &paths, const std::string &interface)
{
	const std::string pins = pin_directory(paths, interface);

	if (entries_of(pins).empty()) {
		AX_TRY(require_readable(pins));
		AX_TRY(refuse_other_abi(paths, interface));
		return not_attached(interface);
	}
	auto device = interface_named(interface);
	if (!device)
		return fail(Exit::kNotAttached,
			    fmt::format("{} was attached, and the device is gone", interface),
			    fmt::format("anycast-xdp detach {} clears what is left in {}",
					interface, pins));
	auto attached = hook::look(pins, interface, device->index);
	if (!attached)
		return tl::unexpected(std::move(attached.error()));
	if (!attached->ours)
		return fail(
			Exit::kNotAttached,
			attached->program_id
				? fmt::format(
					  "the maps of {} are there, but XDP program {} '{}' has "
					  "taken our program's place on it",
					  interface, attached->program_id, attached->program_name)
				: fmt::format(
					  "the maps of {} are there, but no XDP program is on it",
					  interface),
			attach_again(interface));

	auto dataplane = open_maps(pins, staging::acts(pins, *attached));
	if (!dataplane)
		return tl::unexpected(std::move(dataplane.error()));
	auto ctl = dataplane->control();
	if (!ctl)
		return tl::unexpected(std::move(ctl.error()));
	if (ctl->abi != AX_ABI_VERSION)
		return fail(Exit::kFailed,
			    fmt::format("the maps of {} are of ABI {}, this build speaks {}",
					interface, ctl->abi, AX_ABI_VERSION),
			    attach_again(interface));
	auto applied = state::read(state_directory(paths, interface), ctl->generation);
	if (!applied)
		return tl::unexpected(std::move(applied.error()));
	Limits &limits = applied->config.limits;
	limits = limits_of(dataplane->sizes(), limits);
	return Instance{interface, std::move(*attached), std::move(*applied),
			std::move(*dataplane)};
}

} // namespace

// Flow tables whose pins are replaced just now, some old and some new, would fit nothing.
Result<Instance> open_instance(const Paths &paths, const std::string &interface)
{
	const std::string pins = pin_directory(paths, interface);

	for (;;) {
		const PinsSeen before(pins);
		auto instance = open_once(paths, interface);
		if (PinsSeen(pins) == before)
			return instance;
	}
}

Status refuse_other_abi(const Paths &paths, const std::string &interface)
{
	const std::string ours = fmt::format("v{}", AX_ABI_VERSION);

	for (const std::string &version : entries_of(paths.pins)) {
		const std::string directory =
			fmt::format("{}/{}/{}/{}", paths.pins, version, netns_name(), interface);
		if (version == ours || !version.starts_with("v") || entries_of(directory).empty())
			continue;
		return fail(
			Exit::kFailed,
			fmt::format("{} was attached by a build with ABI {}; this one speaks {}",
				    interface, version, ours),
			fmt::format("detach it with that build first, or remove {}", directory));
	}
	return {};
}

namespace {

Status take_off(const Paths &paths, const std::string &interface, DetachReport &report)
{
	const std::string pins = pin_directory(paths, interface);
	Fd link(bpf_obj_get((pins + "/" AX_PIN_LINK).c_str()));

	if (const auto device = interface_named(interface))
		if (const Status off = egress::take_off(pins, device->index); !off)
			report.warnings.push_back(off.error().what);
	if (link.valid()) {
		// ifindex 0: the device is gone, and the link holds nothing any more.
		if (hook::link_ifindex(link.get()).value_or(0) != 0) {
			AX_TRY(hook::remove_link(link.get()));
			report.detached = true;
		}
		report.gone = !report.detached;
		return {};
	}
	auto device = interface_named(interface);
	if (!device) {
		report.gone = true;
		return {};
	}
	auto attached = hook::look(pins, interface, device->index);
	if (!attached)
		return tl::unexpected(std::move(attached.error()));
	if (!attached->ours) {
		report.warnings.push_back(fmt::format(
			"our program was not on {} any more; only its maps were left", interface));
		return {};
	}
	const Fd program = hook::our_program(pins, attached->program_id);
	if (attached->dispatcher)
		AX_TRY(dispatcher::remove(pins, *attached, [](std::uint32_t) { return true; }));
	else
		AX_TRY(hook::remove_netlink(attached->ifindex, attached->mode, program.get()));
	report.detached = true;
	return {};
}

} // namespace

Result<DetachReport> detach(const Paths &paths, const std::string &interface)
{
	const std::string pins = pin_directory(paths, interface);
	const std::string state_dir = state_directory(paths, interface);
	DetachReport report;

	if (entries_of(pins).empty()) {
		AX_TRY(require_readable(pins));
		AX_TRY(refuse_other_abi(paths, interface));
		return not_attached(interface);
	}
	auto lock = state::Lock::take(state_dir);
	if (!lock)
		return tl::unexpected(std::move(lock.error()));
	AX_TRY(take_off(paths, interface, report));
	for (const std::string &path : remove_directory(pins, paths.pins))
		report.warnings.push_back(fmt::format("could not remove {}", path));
	state::remove_all(state_dir, paths.state);

	auto after = query(paths, interface);
	if (after && after->program_id)
		report.warnings.push_back(
			fmt::format("XDP program {} '{}', which is not ours, is on {}",
				    after->program_id, after->program_name, interface));
	return report;
}

} // namespace anycast
