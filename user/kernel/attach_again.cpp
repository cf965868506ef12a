// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <unistd.h>

#include <ctime>

#include <bpf/bpf.h>
#include <fmt/format.h>

#include "core/generations.h"
#include "core/slow_start.h"
#include "kernel/applying.h"
#include "kernel/attach_job.h"
#include "kernel/dispatcher.h"
#include "kernel/hook.h"
#include "kernel/pins.h"
#include "kernel/staging.h"
#include "kernel/state.h"

namespace anycast {

namespace {

// The newer program on the hook in the older one's stead. Taken back when this goes, unless
// confirmed.
class Exchange {
public:
	Exchange(AttachJob &job, const Program &program, staging::Pins &staged)
		: job_(job), program_(program), staged_(staged),
		  old_(hook::our_program(job.pins, job.before.our_program_id))
	{
		if (job.before.by_link)
			link_ = Fd(bpf_obj_get(job.pin(AX_PIN_LINK).c_str()));
	}
	Exchange(const Exchange &) = delete;
	Exchange &operator=(const Exchange &) = delete;
	~Exchange()
	{
		if (done_ && !confirmed_)
			(void)swap(old_.get(), program_.fd());
	}

	Status run()
	{
		AX_TRY(staged_.add(program_.fd(), 0));
		AX_TRY(swap(program_.fd(), old_.get()));
		done_ = true;
		return {};
	}

	Status confirm()
	{
		confirmed_ = true;
		return staged_.commit();
	}

private:
	Status swap(int newer, int older)
	{
		if (link_.valid())
			return hook::swap_link(link_.get(), newer, older);
		return hook::swap_netlink(job_.before.ifindex, job_.before.mode, newer, older);
	}

	AttachJob &job_;
	const Program &program_;
	staging::Pins &staged_;
	Fd old_, link_;
	bool done_ = false, confirmed_ = false;
};

// Under a dispatcher two instances run side by side for a moment, and the control record says which
// of them acts.
class SideBySide {
public:
	SideBySide(AttachJob &job, const Program &program, std::uint32_t instance,
		   staging::Pins &staged)
		: job_(job), program_(program), instance_(instance), staged_(staged)
	{
	}
	SideBySide(const SideBySide &) = delete;
	SideBySide &operator=(const SideBySide &) = delete;
	~SideBySide()
	{
		if (added_ && !confirmed_)
			(void)dispatcher::remove(job_.pins, job_.before, [&](std::uint32_t id) {
				return id == program_.id();
			});
	}

	Status run()
	{
		AX_TRY(staged_.add(program_.fd(), instance_));
		AX_TRY(dispatcher::add(program_.fd(), job_.before));
		added_ = true;
		return {};
	}

	Status confirm(Dataplane &dataplane)
	{
		const std::uint32_t id = program_.id();

		// A packet on its way from the newer to the older one would be nobody's.
		if (dispatcher::runs_before(job_.before, id, job_.before.our_program_id)) {
			AX_TRY(dataplane.set_active(0));
			grace_period();
		}
		AX_TRY(dataplane.set_active(instance_));
		confirmed_ = true; // the older one only passes now
		AX_TRY(staged_.commit());
		const auto left = dispatcher::remove(
			job_.pins, job_.before, [&](std::uint32_t other) { return other != id; });
		if (!left)
			job_.warn(fmt::format(
				"the older program stays in the chain, and only passes: {}",
				left.error().what));
		return {};
	}

private:
	AttachJob &job_;
	const Program &program_;
	const std::uint32_t instance_;
	staging::Pins &staged_;
	bool added_ = false, confirmed_ = false;
};

Status reconfigure(AttachJob &job, Dataplane &dataplane, const Image &image, Applied &applied)
{
	auto held = dataplane.holds(image);
	if (!held)
		return tl::unexpected(std::move(held.error()));
	if (!*held)
		return switch_to(dataplane, image, job.state, applied);
	auto ctl = dataplane.control();
	if (!ctl)
		return tl::unexpected(std::move(ctl.error()));
	applied.ids = image.ids;
	applied.digest = image.digest;
	applied.generation = ctl->generation;
	return state::write(job.state, applied);
}

} // namespace

Status check_attach_again(const AttachJob &job)
{
	const auto wanted = hook::mode_from(job.options.mode);

	if (wanted && *wanted != job.before.mode)
		return fail(
			Exit::kFailed,
			fmt::format(
				"{} is attached in {} mode; another mode needs a moment without a "
				"program",
				job.interface, mode_name(job.before.mode)),
			fmt::format("anycast-xdp detach {}, then attach it with --mode {}",
				    job.interface, job.options.mode));
	// A new one would be empty, and the old one is what the program reads until it is replaced.
	if (!Map::open_pinned(job.pin("ax_ctl")))
		return fail(Exit::kFailed,
			    fmt::format("the control record of what runs on {}, {}, is gone",
					job.interface, job.pin("ax_ctl")),
			    fmt::format("anycast-xdp detach {}, then attach it again: flows are "
					"lost",
					job.interface));
	if (auto running = open_instance(job.paths, job.interface))
		return check_limits(running->applied.config.limits, job.config.limits,
				    job.options.reset_flows);
	return {}; // the maps themselves are compared while loading
}

Status attach_again(AttachJob &job)
{
	Applied applied = job.asked_for();
	const std::uint32_t instance = job.before.dispatcher ? new_instance() : 0;
	auto running = open_instance(job.paths, job.interface);

	staging::Pins staged(job.pins);
	auto program = Program::load(job.load_options(instance));
	if (!program)
		return tl::unexpected(std::move(program.error()));
	Dataplane &dataplane = program->dataplane();
	if (program->reset().contains("marks"))
		AX_TRY(dataplane.restart_marking());
	Result<Ids> ids = running ? Result<Ids>(running->applied.ids) : ids_from_maps(dataplane);
	if (!ids)
		return tl::unexpected(std::move(ids.error()));
	if (!running)
		job.warn(fmt::format("{}: replaced all the same; known flows are looked at afresh",
				     running.error().what));
	if (running) {
		AX_TRY(carry_generations(running->applied.config, applied.config,
					 std::time(nullptr)));
		carry_slow_starts(running->applied.config, applied.config, std::time(nullptr));
	}
	auto image = image_for(job.interface, applied.config, job.options.roles, *ids);
	if (!image)
		return tl::unexpected(std::move(image.error()));

	if (job.before.dispatcher) {
		SideBySide both(job, *program, instance, staged);
		AX_TRY(both.run());
		AX_TRY(reconfigure(job, dataplane, *image, applied));
		AX_TRY(both.confirm(dataplane));
	} else {
		Exchange exchange(job, *program, staged);
		AX_TRY(exchange.run());
		AX_TRY(reconfigure(job, dataplane, *image, applied));
		AX_TRY(exchange.confirm());
	}
	AX_TRY(dataplane.set_insert_limit(
		inserts_per_window(job.config.limits.inserts_per_second)));
	AX_TRY(job.verify(job.before.mode));
	job.report.replaced = true;
	job.report.forgotten = program->reset();
	job.finish(*program, *image, applied);
	return {};
}

} // namespace anycast
