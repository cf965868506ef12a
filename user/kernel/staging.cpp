// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/staging.h"

#include <unistd.h>

#include <vector>

#include <bpf/bpf.h>
#include <fmt/format.h>

#include "kernel/dispatcher.h"
#include "kernel/hook.h"
#include "kernel/map.h"
#include "kernel/pins.h"
#include "kernel/sizes.h"
#include "net/interfaces.h"

namespace anycast::staging {

namespace {

std::string program_pin(const std::string &pins)
{
	return pins + "/" AX_PIN_PROG;
}

// Under a dispatcher both programs are on the hook, and the control record names the one that acts
// by its instance: a note more than a pin (a pin directory holds nothing else) says whose that is.
std::string note_prefix()
{
	return staged_pin(AX_PIN_PROG) + "_";
}

std::vector<std::string> notes_of(const std::string &pins)
{
	std::vector<std::string> notes;

	for (const std::string &name : entries_of(pins))
		if (name.starts_with(note_prefix()))
			notes.push_back(pins + "/" + name);
	return notes;
}

// Final paths of what is staged: the program last, since it is what the hook is compared with.
std::vector<std::string> staged_in(const std::string &pins)
{
	const std::set<std::string> names = entries_of(pins);
	std::vector<std::string> staged;

	for (const MapShape &shape : map_shapes({})) {
		const std::string name(shape.name);
		if (!shape.egress && names.contains(staged_pin(name)))
			staged.push_back(pins + "/" + name);
	}
	if (names.contains(staged_pin(AX_PIN_PROG)))
		staged.push_back(program_pin(pins));
	return staged;
}

void discard(const std::string &pins)
{
	for (const std::string &path : staged_in(pins))
		::unlink(staged_pin(path).c_str());
	for (const std::string &note : notes_of(pins))
		::unlink(note.c_str());
}

Status commit_all(const std::string &pins)
{
	for (const std::string &path : staged_in(pins))
		AX_TRY(commit_pin(path));
	for (const std::string &note : notes_of(pins))
		::unlink(note.c_str());
	return {};
}

std::uint32_t active_instance(const std::string &pins)
{
	const auto record = Map::open_pinned(pins + "/ax_ctl");
	ax_ctl ctl{};

	if (!record || !record->read_at<ax_ctl>(0, std::span(&ctl, 1)))
		return 0;
	return ctl.active;
}

} // namespace

bool acts(const std::string &pins, const Attached &attached)
{
	const Fd program(bpf_obj_get(staged_pin(program_pin(pins)).c_str()));

	if (!program.valid() || !attached.ours)
		return false;
	if (!attached.dispatcher)
		return hook::program_id(program.get()) == attached.program_id;
	const std::string note = fmt::format("{}/{}{}", pins, note_prefix(), active_instance(pins));
	return ::access(note.c_str(), F_OK) == 0;
}

Status settle(const std::string &pins, const std::string &interface)
{
	if (staged_in(pins).empty() && notes_of(pins).empty())
		return {};
	const auto device = interface_named(interface);
	if (!device)
		return tl::unexpected(device.error());
	const auto attached = hook::look(pins, interface, device->index);
	if (!attached)
		return tl::unexpected(attached.error());
	if (!attached->ours) // attach and detach remove all there is
		return {};

	const std::string path = staged_pin(program_pin(pins));
	const Fd program(bpf_obj_get(path.c_str()));
	if (!program.valid() && errno != ENOENT)
		return fail_errno(fmt::format("open {}", path), errno);
	const std::uint32_t id = program.valid() ? hook::program_id(program.get()) : 0;
	const bool chained = attached->dispatcher && id != 0;
	if (chained && notes_of(pins).empty()) // by a build that leaves none: attaching settles it
		return {};
	const bool forward = acts(pins, *attached);
	if (forward)
		AX_TRY(commit_all(pins)); // first: the program that is pinned must be in the chain
	if (chained)
		AX_TRY(dispatcher::remove(pins, *attached, [&](std::uint32_t other) {
			return (other == id) != forward;
		}));
	if (!forward)
		discard(pins);
	return {};
}

Pins::Pins(std::string directory) : directory_(std::move(directory)) {}

Pins::~Pins()
{
	if (!committed_)
		discard(directory_);
}

Status Pins::add(int program_fd, std::uint32_t instance)
{
	if (instance != 0) {
		const std::string note =
			fmt::format("{}/{}{}", directory_, note_prefix(), instance);
		if (int error = bpf_obj_pin(program_fd, note.c_str()))
			return fail_errno(fmt::format("pin {}", note), error);
	}
	return stage_pin(program_fd, program_pin(directory_));
}

Status Pins::commit()
{
	committed_ = true;
	return commit_all(directory_);
}

} // namespace anycast::staging
