// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/explainer.h"

#include <net/if.h>

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/bpf.h>

#include "cli/private_instance.h"
#include "core/reasons.h"
#include "kernel/next_hops.h"
#include "kernel/applying.h"
#include "kernel/flow_reader.h"
#include "net/interfaces.h"
#include "render/flows.h"

namespace anycast::cli {

namespace {

std::string hex(std::span<const std::uint8_t> bytes)
{
	return fmt::format("{:02x}", fmt::join(bytes, ""));
}

std::string mac_text(std::span<const std::uint8_t> mac)
{
	return fmt::format("{:02x}", fmt::join(mac, ":"));
}

} // namespace

Status Explainer::load()
{
	resolve();
	auto program = load_private(config_, image_);
	if (!program)
		return tl::unexpected(std::move(program.error()));
	program_.emplace(std::move(*program));
	return write_devices(program_->dataplane(), instance_->attached.mode == XdpMode::kGeneric);
}

Result<Explainer> Explainer::of_instance(Instance instance)
{
	const Applied &applied = instance.applied;
	auto image = image_for(instance.interface, applied.config, applied.roles, applied.ids);
	if (!image)
		return tl::unexpected(std::move(image.error()));
	auto slots =
		instance.dataplane.read_slots(0, static_cast<std::uint32_t>(image->slots.size()));
	if (!slots)
		return tl::unexpected(std::move(slots.error()));
	image->slots = std::move(*slots);
	Config config = applied.config;
	config.roles = applied.roles;
	Explainer explainer(std::move(config), std::move(*image));
	explainer.instance_ = std::move(instance);
	AX_TRY(explainer.load());
	return explainer;
}

Result<Explainer> Explainer::of_file(Config config)
{
	auto image = portable_image(config);
	if (!image)
		return tl::unexpected(std::move(image.error()));
	Explainer explainer(std::move(config), std::move(*image));
	auto program = load_private(explainer.config_, explainer.image_);
	if (!program)
		return tl::unexpected(std::move(program.error()));
	explainer.program_.emplace(std::move(*program));
	return explainer;
}

// The node's way to a backend, written into its entry; a test run arrives on the loopback.
render::Explained::Hop Explainer::way_to(const Departures &departures, const Address &address,
					 ax_backend &entry) const
{
	render::Explained::Hop hop;
	entry.flags |= AX_BACKEND_RESOLVED;
	entry.ifindex = kLoopback;
	entry.mtu = 65535;
	const auto route = route_to(address);
	if (!route) {
		hop.error = route.error().what + ": dropped as no_route";
		return hop;
	}
	char name[IF_NAMESIZE] = "?";
	::if_indextoname(static_cast<unsigned>(route->ifindex), name);
	hop.interface = name;
	hop.gateway = route->gateway.text();
	const auto device = interface_named(name);
	hop.mtu = route->mtu != 0 ? route->mtu : device ? device->mtu : 0;
	if (hop.mtu != 0)
		entry.mtu = static_cast<__u16>(std::min<std::uint32_t>(hop.mtu, 65535));
	hop.error = departures.trouble(*route, address.is_v4());
	const auto mac = neighbour_mac(route->ifindex, route->gateway);
	if (!mac && hop.error.empty())
		hop.error = fmt::format("{} on {} has no link-layer address yet: dropped as "
					"no_neighbour until the kernel has found it",
					hop.gateway, name);
	if (mac) {
		hop.mac = mac_text(*mac);
		std::ranges::copy(*mac, entry.dmac);
	}
	if (route->ifindex != instance_->attached.ifindex)
		entry.ifindex = static_cast<__u32>(route->ifindex);
	return hop;
}

void Explainer::resolve()
{
	const auto all = interfaces();
	const Departures departures(all ? *all : std::vector<Interface>{},
				    instance_->attached.ifindex,
				    instance_->attached.mode == XdpMode::kGeneric);
	for (ax_backend &backend : image_.backends) {
		if (backend.state == AX_BACKEND_ABSENT || backend.flags & AX_BACKEND_LOCAL)
			continue;
		const Address address(backend.addr);
		hops_.emplace(address, way_to(departures, address, backend));
	}
}

Result<std::optional<FlowRecord>> Explainer::known(const FlowTuple &flow) const
{
	const auto records = read_flows(instance_->dataplane);
	if (!records)
		return tl::unexpected(records.error());
	for (const FlowRecord &record : *records)
		if (FlowTuple{record.source, record.destination, record.source_port,
			      record.destination_port, record.protocol} == flow)
			return record;
	return std::nullopt;
}

// The entry decides and not the slot: here, all slots of the pool become its backend's.
Status Explainer::pin(const FlowRecord &record)
{
	Image pinned = image_;
	const ax_pool &pool = pinned.pools.at(pinned.vips.at(record.vip).pool);
	for (std::uint32_t i = 0; i < pool.size; i++)
		pinned.slots.at(pool.first + i) = {{record.backend}, 1};
	const auto applied = program_->dataplane().apply(pinned);
	if (!applied)
		return tl::unexpected(applied.error());
	return {};
}

void Explainer::describe_service(const ax_trace &trace, render::Explained &e) const
{
	const std::string &name = image_.ids.vips.at(trace.vip - 1).name;
	const auto vip = std::ranges::find(config_.vips, name, &Vip::name);
	if (vip == config_.vips.end())
		return;
	e.vip = &*vip;
	e.reserve = image_.vips.at(trace.vip - 1).reserve;
	const auto pool = std::ranges::find(config_.pools, vip->pool, &Pool::name);
	if (pool == config_.pools.end())
		return;
	e.pool = &*pool;
	const ax_pool &table = image_.pools.at(
		static_cast<std::size_t>(std::distance(config_.pools.begin(), pool)));
	e.table_size = table.size;
	if (trace.slot == 0)
		return;
	e.slot = trace.slot - 1;
	const ax_slot &slot = image_.slots.at(table.first + *e.slot);
	for (std::uint32_t i = 0; i < slot.count; i++) {
		const std::string &full = image_.ids.backends.at(slot.backend[i]).name;
		e.candidates.push_back(full.substr(full.find('/') + 1));
	}
}

void Explainer::describe_backend(std::uint32_t id, render::Explained &e) const
{
	const std::string &full = image_.ids.backends.at(id).name;
	const auto pool =
		std::ranges::find(config_.pools, full.substr(0, full.find('/')), &Pool::name);
	if (pool == config_.pools.end())
		return;
	const auto backend =
		std::ranges::find(pool->backends, full.substr(full.find('/') + 1), &Backend::name);
	if (backend == pool->backends.end())
		return;
	e.backend = &*backend;
	e.local = image_.backends.at(id).flags & AX_BACKEND_LOCAL;
	if (const auto hop = hops_.find(backend->address); hop != hops_.end())
		e.hop = hop->second;
}

Result<render::Explained> Explainer::explain(const std::vector<std::uint8_t> &frame,
					     const std::optional<FlowTuple> &flow)
{
	render::Explained e;
	std::optional<FlowRecord> record;
	if (instance_) {
		e.interface = instance_->interface;
		e.generation = instance_->applied.generation;
	}
	if (flow && instance_) {
		auto found = known(*flow);
		if (!found)
			return tl::unexpected(std::move(found.error()));
		record = std::move(*found);
		e.table_asked = true;
	}
	if (record) {
		const auto named = render::name_flow(*record, "", image_.ids);
		e.known = {std::string(named.backend), record->packets, record->generation};
		if (!named.backend.empty() && !named.vip.empty())
			AX_TRY(pin(*record));
	}

	AX_TRY(program_->dataplane().set_clock(1'000'000'000));
	const auto run = program_->run(frame);
	if (!run)
		return tl::unexpected(run.error());
	const auto trace = program_->dataplane().trace();
	if (!trace)
		return tl::unexpected(trace.error());
	if (record) // the next one is not of this flow
		AX_TRY(program_->dataplane().apply(image_));

	const ReasonInfo *info = find_reason(static_cast<int>(trace->reason));
	e.verdict = verdict_name(run->verdict);
	e.reason = info ? std::string(info->label) : std::to_string(trace->reason);
	e.help = info ? std::string(info->help) : "";
	e.in = hex(frame);
	if (run->verdict != XDP_DROP && run->verdict != XDP_ABORTED)
		e.out = hex(run->frame);
	if (flow) {
		FlowRecord named;
		named.source = flow->source;
		named.destination = flow->destination;
		named.source_port = flow->source_port;
		named.destination_port = flow->destination_port;
		named.protocol = flow->protocol;
		e.flow = render::key_text(named);
	}
	if (trace->vip != 0)
		describe_service(*trace, e);
	if (flow && e.slot && e.table_size != 0) {
		const std::uint32_t hash = steer_hash(config_.hash_seed, *flow, e.pool->hash);
		if (hash % e.table_size == *e.slot) // a fragment's slot is another
			e.hash = hash;
	}
	if (trace->backend != 0)
		describe_backend(trace->backend - 1, e);
	return e;
}

} // namespace anycast::cli
