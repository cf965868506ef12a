// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fcntl.h>
#include <sys/random.h>

#include <bpf/bpf.h>
#include <fmt/format.h>

#include "kernel/applying.h"
#include "kernel/attach_job.h"
#include "kernel/dispatcher.h"
#include "kernel/egress.h"
#include "kernel/hook.h"
#include "kernel/pins.h"
#include "kernel/state.h"

namespace anycast {

namespace {

Status first_control(Dataplane &dataplane, const Limits &limits, std::uint32_t instance)
{
	ax_ctl ctl{};

	ctl.abi = AX_ABI_VERSION;
	ctl.active = instance;
	ctl.insert_limit = inserts_per_window(limits.inserts_per_second);
	if (::getrandom(ctl.table_seed, sizeof(ctl.table_seed), 0) != sizeof(ctl.table_seed))
		return fail_errno("random seed for the flow table", errno);
	return dataplane.write_control(ctl);
}

// Pins without a program on the device: a command that was killed, or a device that went away.
Status clear_leftovers(AttachJob &job)
{
	if (entries_of(job.pins).empty())
		return {};
	Fd link(bpf_obj_get(job.pin(AX_PIN_LINK).c_str()));
	const int elsewhere = link.valid() ? hook::link_ifindex(link.get()).value_or(0) : 0;
	if (elsewhere != 0)
		return fail(Exit::kFailed,
			    fmt::format("what was attached as {} is on the device with index {} "
					"now (was it "
					"renamed?)",
					job.interface, elsewhere),
			    fmt::format("anycast-xdp detach {}", job.interface));
	AX_TRY(egress::take_off(job.pins, job.before.ifindex));
	remove_directory(job.pins, job.paths.pins);
	job.warn(fmt::format(
		"left-overs of an earlier attachment of {} were removed: its program was not "
		"on the device any more",
		job.interface));
	return {};
}

// Our place on the hook. Given up again when this goes, unless it was made to last.
class Place {
public:
	explicit Place(AttachJob &job) : job_(job) {}
	Place(const Place &) = delete;
	Place &operator=(const Place &) = delete;
	~Place()
	{
		if (lasting_)
			return;
		give_up();
		remove_directory(job_.pins, job_.paths.pins);
	}

	Status take(const Program &program)
	{
		// Of its own: this outlives the Program.
		program_ = Fd(::fcntl(program.fd(), F_DUPFD_CLOEXEC, 0));
		if (!program_.valid())
			return fail_errno("duplicate the program's descriptor", errno);
		if (job_.before.program_id == 0)
			return take_empty();
		return job_.options.replace_foreign ? evict() : join();
	}

	Status pin()
	{
		if (!link_.valid())
			return {};
		if (int error = bpf_obj_pin(link_.get(), job_.pin(AX_PIN_LINK).c_str()))
			return fail_errno(fmt::format("pin {}", job_.pin(AX_PIN_LINK)), error);
		return {};
	}

	[[nodiscard]] XdpMode mode() const { return mode_; }
	void make_lasting() { lasting_ = true; }

private:
	Status take_empty()
	{
		const bool automatic = job_.options.mode == "auto";
		XdpMode mode = hook::mode_from(job_.options.mode).value_or(XdpMode::kNative);
		hook::Placed placed = hook::place(program_.get(), job_.before.ifindex, mode);

		if (placed.error && automatic) {
			const std::string refusal =
				hook::refusal(job_.interface, mode, placed.error);
			mode = XdpMode::kGeneric;
			placed = hook::place(program_.get(), job_.before.ifindex, mode);
			if (!placed.error)
				job_.warn(refusal + ": attached in generic mode");
		}
		if (placed.error)
			return fail(placed.error == EOPNOTSUPP ? Exit::kUnsupported : Exit::kFailed,
				    hook::refusal(job_.interface, mode, placed.error),
				    mode == XdpMode::kGeneric
					    ? ""
					    : "try --mode generic, or --mode auto");
		mode_ = mode;
		link_ = std::move(placed.link);
		by_netlink_ = !link_.valid();
		return {};
	}

	Status evict()
	{
		const Attached &there = job_.before;
		const auto wanted = hook::mode_from(job_.options.mode);

		if (wanted && *wanted != there.mode)
			return fail(
				Exit::kFailed,
				fmt::format(
					"program {} '{}' is on {} in {} mode, and can be replaced "
					"in that mode only",
					there.program_id, there.program_name, job_.interface,
					mode_name(there.mode)),
				fmt::format("--mode {}", mode_name(there.mode)));
		foreign_ = Fd(bpf_prog_get_fd_by_id(there.program_id));
		if (!foreign_.valid())
			return fail_errno(fmt::format("open program {}", there.program_id), errno,
					  "--replace needs CAP_SYS_ADMIN");
		AX_TRY(hook::swap_netlink(there.ifindex, there.mode, program_.get(),
					  foreign_.get()));
		mode_ = there.mode;
		by_netlink_ = true;
		job_.warn(fmt::format("program {} '{}' was evicted", there.program_id,
				      there.program_name));
		return {};
	}

	Status join()
	{
		AX_TRY(dispatcher::add(program_.get(), job_.before));
		mode_ = job_.before.mode;
		joined_ = true;
		return {};
	}

	// A link goes with its descriptor and its pin.
	void give_up()
	{
		const int ifindex = job_.before.ifindex;

		if (joined_)
			(void)dispatcher::remove(job_.pins, job_.before,
						 [](std::uint32_t) { return true; });
		else if (foreign_.valid() && by_netlink_)
			(void)hook::swap_netlink(ifindex, mode_, foreign_.get(), program_.get());
		else if (by_netlink_)
			(void)hook::remove_netlink(ifindex, mode_, program_.get());
	}

	AttachJob &job_;
	XdpMode mode_ = XdpMode::kNone;
	Fd program_, link_, foreign_;
	bool by_netlink_ = false, joined_ = false, lasting_ = false;
};

} // namespace

Status attach_fresh(AttachJob &job)
{
	const bool joining = job.before.dispatcher && !job.options.replace_foreign;
	const std::uint32_t instance = joining ? new_instance() : 0;
	Applied applied = job.asked_for();

	auto image = image_for(job.interface, job.config, job.options.roles, {});
	if (!image)
		return tl::unexpected(std::move(image.error()));
	AX_TRY(clear_leftovers(job));

	Place place(job);
	auto program = Program::load(job.load_options(instance));
	if (!program)
		return tl::unexpected(std::move(program.error()));
	AX_TRY(first_control(program->dataplane(), job.config.limits, instance));
	AX_TRY(switch_to(program->dataplane(), *image, job.state, applied));
	// Before it is on the hook, so that a program of ours there can always be told for ours.
	AX_TRY(stage_pin(program->fd(), job.pin(AX_PIN_PROG)));
	AX_TRY(commit_pin(job.pin(AX_PIN_PROG)));
	AX_TRY(place.take(*program));
	AX_TRY(place.pin());
	AX_TRY(job.verify(place.mode()));
	place.make_lasting();
	job.finish(*program, *image, applied);
	return {};
}

} // namespace anycast
