// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "core/vip_places.h"
#include "kernel/applying.h"
#include "kernel/attach_job.h"
#include "kernel/egress.h"
#include "kernel/next_hops.h"
#include "kernel/pins.h"
#include "kernel/sizes.h"
#include "kernel/staging.h"
#include "kernel/state.h"
#include "net/interfaces.h"

namespace anycast {

Result<Image> image_for(const std::string &interface, const Config &config, std::uint32_t roles,
			const Ids &previous)
{
	auto facts = node_facts(interface);
	if (!facts)
		return tl::unexpected(std::move(facts.error()));

	for (const Vip &vip : config.vips) {
		const Prefix place = prefix_of(vip);
		const auto on_link = std::ranges::find_if(
			facts->interface_addresses,
			[&](const Address &address) { return place.contains(address); });
		if (on_link != facts->interface_addresses.end())
			return fail(
				Exit::kUsage,
				fmt::format("VIP {}: {} is an address of {}, which is no anycast "
					    "interface: its neighbours ask there for the address, "
					    "and one node answers for all",
					    vip.name, on_link->text(), interface),
				fmt::format("move it: ip addr del {} dev {}, and let [host] put it "
					    "on an interface of its own",
					    on_link->text(), interface));
	}
	Config effective = config;
	effective.roles = roles;
	if (roles & AX_ROLE_BACKEND && config.edges.empty())
		return fail(Exit::kUsage,
			    "the backend role needs to know who may encapsulate to this node, and "
			    "[tunnel] edges is empty",
			    "name the edges' outer source addresses there");
	return compile(effective, *facts, previous);
}

Status switch_to(Dataplane &dataplane, const Image &image, const std::string &state_directory,
		 Applied &applied)
{
	auto ctl = dataplane.control();
	if (!ctl)
		return tl::unexpected(std::move(ctl.error()));

	applied.ids = image.ids;
	applied.digest = image.digest;
	applied.generation = next_generation(ctl->generation);
	AX_TRY(state::write(state_directory, applied));
	auto done = dataplane.apply(image);
	if (!done) {
		state::remove(state_directory, applied.generation);
		return tl::unexpected(std::move(done.error()));
	}
	state::keep_only(state_directory, applied.generation);
	return {};
}

Result<Ids> ids_from_maps(const Dataplane &dataplane)
{
	auto ctl = dataplane.control();
	if (!ctl)
		return tl::unexpected(std::move(ctl.error()));
	const std::uint32_t half = ctl->generation & 1;
	const DataplaneSizes sizes = dataplane.sizes();
	std::vector<ax_vip> vips(sizes.vips);
	std::vector<ax_backend> backends(sizes.backends);
	Ids ids;

	AX_TRY(dataplane.map("ax_vip_info").read_at<ax_vip>(half * sizes.vips, vips));
	AX_TRY(dataplane.map("ax_backend").read_at<ax_backend>(half * sizes.backends, backends));
	for (const ax_vip &vip : vips)
		ids.vips.push_back({"", "", vip.gen, false});
	for (const ax_backend &backend : backends)
		ids.backends.push_back({"", "", backend.gen, false});
	return ids;
}

namespace {

struct Row {
	const char *name;
	std::uint32_t Limits::*member;
};

Status refuse_other(const Limits &running, const Limits &wanted, std::span<const Row> rows,
		    const char *hint)
{
	for (const Row &row : rows) {
		if (running.*row.member != wanted.*row.member)
			return fail(
				Exit::kUsage,
				fmt::format(
					"[limits] {} is {} since the interface was attached, the "
					"configuration says {}",
					row.name, running.*row.member, wanted.*row.member),
				hint);
	}
	return {};
}

} // namespace

Status check_limits(const Limits &running, const Limits &wanted, bool reset_flows)
{
	static constexpr Row kFixed[] = {
		{"vips", &Limits::vips},	 {"pools", &Limits::pools},
		{"backends", &Limits::backends}, {"table_slots", &Limits::table_slots},
		{"peers", &Limits::peers},
	};
	static constexpr Row kOfFlows[] = {
		{"flows_v4", &Limits::flows_v4},
		{"flows_v6", &Limits::flows_v6},
		{"marked_flows", &Limits::marked_flows},
	};

	AX_TRY(refuse_other(running, wanted, kFixed, kDetachForLimits));
	if (reset_flows || groups_to_reset(running, wanted).empty())
		return {};
	return refuse_other(running, wanted, kOfFlows, kResetForLimits);
}

namespace {

// What `apply` does where the flow tables get another size: `attach` once more, in the roles that
// run.
Result<ApplyReport> apply_with_new_tables(const Paths &paths, Instance &instance,
					  const Config &config)
{
	const AttachOptions options{.mode = instance.applied.mode,
				    .roles = instance.applied.roles,
				    .reset_flows = true};
	AttachJob job{paths,
		      instance.interface,
		      config,
		      options,
		      pin_directory(paths, instance.interface),
		      state_directory(paths, instance.interface),
		      instance.attached,
		      {}};

	AX_TRY(attach_again(job));
	return ApplyReport{.changed = true,
			   .forgotten = std::move(job.report.forgotten),
			   .generation = job.report.generation,
			   .digest = job.report.digest,
			   .warnings = std::move(job.report.warnings)};
}

} // namespace

Result<ApplyReport> apply(const Paths &paths, const std::string &interface, const MakeConfig &make,
			  bool reset_flows)
{
	const std::string state_dir = state_directory(paths, interface);
	ApplyReport report;

	// Where nothing is attached, no directory shall be made for a lock.
	if (entries_of(pin_directory(paths, interface)).empty())
		return tl::unexpected(std::move(open_instance(paths, interface).error()));
	auto lock = state::Lock::take(state_dir);
	if (!lock)
		return tl::unexpected(std::move(lock.error()));
	if (const Status settled = staging::settle(pin_directory(paths, interface), interface);
	    !settled) // what acts is found all the same
		report.warnings.push_back(settled.error().what);
	auto instance = open_instance(paths, interface);
	if (!instance)
		return tl::unexpected(std::move(instance.error()));
	Applied &applied = instance->applied;
	Dataplane &dataplane = instance->dataplane;

	auto made = make(applied);
	if (!made)
		return tl::unexpected(std::move(made.error()));
	const Config &config = *made;
	AX_TRY(check_limits(applied.config.limits, config.limits, reset_flows));
	if (config.roles != applied.config.roles || config.mode != applied.config.mode)
		report.warnings.push_back(
			"role and mode stay as attached; `anycast-xdp attach` changes them");
	if (!groups_to_reset(applied.config.limits, config.limits).empty()) {
		auto again = apply_with_new_tables(paths, *instance, config);
		if (again)
			std::ranges::move(report.warnings, std::back_inserter(again->warnings));
		return again;
	}
	auto image = image_for(interface, config, applied.roles, applied.ids);
	if (!image)
		return tl::unexpected(std::move(image.error()));

	const bool generic = instance->attached.mode == XdpMode::kGeneric;
	AX_TRY(write_devices(dataplane, generic));
	auto held = dataplane.holds(*image);
	if (!held)
		return tl::unexpected(std::move(held.error()));
	report.changed = !*held || !(config == applied.config);
	applied.config = config;
	if (!*held) {
		AX_TRY(switch_to(dataplane, *image, state_dir, applied));
	} else if (report.changed) { // the data path does not see the difference
		applied.ids = image->ids;
		applied.digest = image->digest;
		AX_TRY(state::write(state_dir, applied));
	}
	AX_TRY(dataplane.set_insert_limit(inserts_per_window(config.limits.inserts_per_second)));
	const int ifindex = instance->attached.ifindex;
	if (const Status done =
		    egress::follow(pin_directory(paths, interface), interface, ifindex,
				   egress::is_wanted(*image), dataplane, config.limits, false);
	    !done)
		report.warnings.push_back(egress::not_seen(done.error()));
	report.generation = applied.generation;
	report.digest = applied.digest;
	for (std::string &warning : resolve_next_hops(*image, ifindex, generic))
		report.warnings.push_back(std::move(warning));
	return report;
}

Result<ApplyReport> apply(const Paths &paths, const std::string &interface, const Config &config,
			  const Config *based_on)
{
	bool outdated = false;
	auto report = apply(paths, interface, [&](const Applied &applied) -> Result<Config> {
		outdated = based_on && !(*based_on == applied.config);
		if (outdated)
			return fail(Exit::kFailed, "something else runs by now");
		return config;
	});
	if (outdated)
		return ApplyReport{.outdated = true, .forgotten = {}, .warnings = {}};
	return report;
}

} // namespace anycast
