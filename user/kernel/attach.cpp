// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Putting the program on an interface: may we, and what was there before. The work itself:
// attach_fresh.cpp, attach_again.cpp.
#include <algorithm>
#include <random>

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernel/applying.h"
#include "kernel/attach_job.h"
#include "kernel/egress.h"
#include "kernel/features.h"
#include "kernel/hook.h"
#include "kernel/next_hops.h"
#include "kernel/pins.h"
#include "kernel/sizes.h"
#include "kernel/staging.h"
#include "kernel/state.h"
#include "net/interfaces.h"

namespace anycast {

namespace {

// Frames that fit into a page arrive in one buffer. Where they may not, the program must be able to
// see how long they are. Not everywhere: a veth whose program can, is handed unsegmented trains of
// packets. Under a dispatcher it is the dispatcher that decides.
bool wants_frags(const std::string &interface, std::uint32_t instance)
{
	constexpr std::uint32_t kFitsPage = 3000;
	const auto device = interface_named(interface);

	return instance == 0 && device && device->mtu > kFitsPage && has_feature("xdp_frags");
}

} // namespace

LoadOptions AttachJob::load_options(std::uint32_t instance) const
{
	LoadOptions load;

	load.roles = options.roles;
	load.pin_dir = pins;
	load.reset_flows = options.reset_flows;
	load.limits = config.limits;
	load.instance = instance;
	load.samples = Samples::kBest;
	load.frags = wants_frags(interface, instance);
	load.under_dispatcher = instance != 0;
	return load;
}

std::uint32_t new_instance()
{
	return std::random_device()() | 1;
}

Applied AttachJob::asked_for() const
{
	Applied applied;

	applied.config = config;
	applied.roles = options.roles;
	applied.mode = options.mode;
	return applied;
}

Status AttachJob::verify(XdpMode wanted)
{
	auto after = hook::look(pins, interface, before.ifindex);
	if (!after)
		return tl::unexpected(std::move(after.error()));
	if (!after->ours || after->mode != wanted)
		return fail(Exit::kFailed,
			    fmt::format("the kernel reports program {} '{}' in {} mode on {}, "
					"instead of ours "
					"in {} mode",
					after->program_id, after->program_name,
					mode_name(after->mode), interface, mode_name(wanted)));
	report.attached = std::move(*after);
	return {};
}

// What leaves is worth watching, but no reason to do without XDP.
void AttachJob::place_egress(Program &program, const Image &image)
{
	if (const Status done =
		    egress::follow(pins, interface, before.ifindex, egress::is_wanted(image),
				   program.dataplane(), config.limits, true);
	    !done)
		warn(egress::not_seen(done.error()));
	report.attached.egress = egress::look(pins, before.ifindex);
}

void AttachJob::finish(Program &program, const Image &image, const Applied &applied)
{
	place_egress(program, image);
	report.generation = applied.generation;
	report.digest = applied.digest;
	report.sizes = program.dataplane().sizes();
	if (const auto leaving = Map::open_pinned(pins + "/ax_egress")) // as `status` counts
		report.sizes.bytes += leaving->memory();
	report.verified_instructions = program.verified_instructions();
	if (report.attached.mode == XdpMode::kGeneric)
		warn("generic mode: segments that were merged on the way in count as one, so loss "
		     "figures "
		     "are too low, and throughput is that of the kernel's own stack");
	const bool generic = report.attached.mode == XdpMode::kGeneric;
	if (const auto written = write_devices(program.dataplane(), generic); !written)
		warn(written.error().message());
	for (std::string &warning : resolve_next_hops(image, before.ifindex, generic))
		warn(std::move(warning));
}

namespace {

// A program of ours that another interface's pins hold: the device was renamed.
std::string former_name(const AttachJob &job)
{
	const auto names = attached_interfaces(job.paths);

	for (const std::string &name : names ? *names : std::vector<std::string>{}) {
		if (hook::our_program(pin_directory(job.paths, name), job.before.program_id)
			    .valid())
			return name;
	}
	return {};
}

Status may_take(const AttachJob &job)
{
	const Attached &before = job.before;
	const std::string who = fmt::format("XDP program {} '{}' is on {} already",
					    before.program_id, before.program_name, job.interface);

	if (before.program_id == 0)
		return {};
	if (before.ours)
		return check_attach_again(job);
	if (const std::string name = former_name(job); !name.empty())
		return fail(Exit::kFailed,
			    fmt::format("{}: it is ours, attached when the device was called {}",
					who, name),
			    fmt::format("anycast-xdp detach {}, or give the device its name back",
					name));
	if (before.by_link) {
		const auto link = hook::find_link(before.ifindex, before.program_id);
		return fail(
			Exit::kFailed,
			fmt::format("{}, held by BPF link {}, which only its owner can take off",
				    who, link.value_or(0)),
			fmt::format(
				"`bpftool link show id {}` may say whose it is; stop that first",
				link.value_or(0)));
	}
	if (job.options.replace_foreign)
		return {};
	if (before.dispatcher && has_feature("dispatcher"))
		return {};
	if (before.dispatcher)
		return fail(Exit::kUnsupported,
			    fmt::format("{}: libxdp's dispatcher, with {}; this kernel lets us not "
					"join it",
					who, fmt::join(before.chain, ", ")),
			    "take it off with `xdp-loader unload " + job.interface +
				    " --all`, or evict it with --replace");
	return fail(Exit::kFailed, who + ", attached by somebody else",
		    "take it off, or evict it with --replace");
}

// Before anything is touched, and by name: the verifier's own words help nobody here.
Status require_features()
{
	for (const std::string_view name : {"xdp", "fib_lookup", "skc_lookup_tcp"}) {
		if (!has_feature(name))
			return fail(Exit::kUnsupported,
				    fmt::format("this kernel, or this user, has no {}", name),
				    "`anycast-xdp features` tells what is missing; 5.10 is the "
				    "oldest kernel that this is tested on");
	}
	return {};
}

Status dry_run(AttachJob &job)
{
	auto image = image_for(job.interface, job.config, job.options.roles, {});
	if (!image)
		return tl::unexpected(std::move(image.error()));
	job.report.attached = job.before;
	job.report.replaced = job.before.ours;
	job.report.digest = image->digest;
	const bool both_ways = egress::is_wanted(*image);
	job.report.sizes = sizes_for(job.config.limits, possible_cpus(), both_ways);
	if (!job.before.ours)
		return require_memory(job.config.limits, job.report.sizes.bytes, both_ways);
	if (const auto running = open_instance(job.paths, job.interface)) {
		const Limits &limits = running->applied.config.limits;
		job.report.forgotten = groups_to_reset(limits, job.config.limits);
		return require_memory_to_reset(limits, job.config.limits, both_ways);
	}
	return {};
}

void warn_of_other_ports(AttachJob &job)
{
	const auto all = interfaces();
	if (!all)
		return;
	const auto port = std::ranges::find(*all, job.before.ifindex, &Interface::index);
	const auto master = port == all->end()
				    ? all->end()
				    : std::ranges::find(*all, port->master, &Interface::index);
	if (master == all->end() || master->kind == "vrf")
		return;
	job.warn(fmt::format("{} is a port of {}: what arrives by its other ports is not seen; "
			     "attach to {}",
			     job.interface, master->name,
			     master->kind == "bond" ? master->name + ", or to each port"
						    : "each port that clients come by"));
}

Status run(AttachJob &job)
{
	if (!job.options.dry_run)
		AX_TRY(staging::settle(job.pins, job.interface));
	auto before = hook::look(job.pins, job.interface, job.before.ifindex);
	if (!before)
		return tl::unexpected(std::move(before.error()));
	job.before = std::move(*before);
	AX_TRY(may_take(job));
	warn_of_other_ports(job);
	if (auto vlan = device_feature(job.interface, "rx-vlan-hw-parse"); vlan && *vlan)
		job.warn(fmt::format(
			"{} strips VLAN tags before XDP sees them: ethtool -K {} rxvlan off",
			job.interface, job.interface));
	if (job.options.dry_run)
		return dry_run(job);
	AX_TRY(require_features());
	return job.before.ours ? attach_again(job) : attach_fresh(job);
}

} // namespace

Result<AttachReport> attach(const Paths &paths, const std::string &interface, const Config &config,
			    const AttachOptions &options)
{
	AttachJob job{paths,
		      interface,
		      config,
		      options,
		      pin_directory(paths, interface),
		      state_directory(paths, interface),
		      {},
		      {}};

	if (options.mode != "auto" && !hook::mode_from(options.mode))
		return fail(Exit::kUsage, fmt::format("no mode is called '{}'", options.mode),
			    "auto, native, generic or offload");
	auto device = interface_named(interface);
	if (!device)
		return tl::unexpected(std::move(device.error()));
	job.before.ifindex = device->index;
	AX_TRY(require_bpffs(paths.pins));
	AX_TRY(refuse_other_abi(paths, interface));

	Status done;
	if (options.dry_run) {
		done = run(job);
	} else {
		auto lock = state::Lock::take(job.state);
		if (!lock)
			return tl::unexpected(std::move(lock.error()));
		done = run(job);
		if (!done && entries_of(job.pins).empty())
			state::remove_all(job.state, paths.state);
	}
	if (!done)
		return tl::unexpected(std::move(done.error()));
	return std::move(job.report);
}

} // namespace anycast
