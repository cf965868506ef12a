// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/tally.h"

#include <algorithm>

#include "core/names.h"
#include "kernel/flow_reader.h"

namespace anycast::cli {

namespace {

// Position of a name among ids, or nothing.
std::optional<std::size_t> id_of(const std::vector<Named> &ids, const std::string &name)
{
	const auto found = std::ranges::find_if(
		ids, [&](const Named &named) { return named.used && named.name == name; });
	if (found == ids.end())
		return std::nullopt;
	return static_cast<std::size_t>(found - ids.begin());
}

// Which part of its pool's slots each backend owns, by id, as the running maps have it.
Result<std::vector<double>> pool_shares(const Instance &instance, std::size_t pool_index,
					std::size_t backends)
{
	const Dataplane &dataplane = instance.dataplane;
	const auto control = dataplane.control();
	if (!control)
		return tl::unexpected(control.error());
	const Map &pools = dataplane.map("ax_pool");
	const std::uint32_t half = (control->generation & 1) * (pools.max_entries() / 2);
	ax_pool pool{};
	AX_TRY(pools.read_at(half + static_cast<std::uint32_t>(pool_index), std::span(&pool, 1)));
	const auto slots = dataplane.read_slots(pool.first, pool.size);
	if (!slots)
		return tl::unexpected(slots.error());
	pool.first = 0;
	return slot_shares(*slots, pool, backends);
}

Status add_backends(const Instance &instance, render::InterfaceStats &stats)
{
	const auto counters = instance.dataplane.backend_counters();
	if (!counters)
		return tl::unexpected(counters.error());
	const auto loss = backend_totals(instance.dataplane);
	if (!loss)
		return tl::unexpected(loss.error());
	const Applied &applied = instance.applied;
	for (std::size_t p = 0; p < applied.config.pools.size(); p++) {
		const Pool &pool = applied.config.pools[p];
		const auto shares = pool_shares(instance, p, applied.ids.backends.size());
		if (!shares)
			return tl::unexpected(shares.error());
		for (const Backend &backend : pool.backends) {
			render::BackendCount count{.pool = pool.name,
						   .backend = backend.name,
						   .address = backend.address.text(),
						   .state = std::string(state_name(backend.state)),
						   .weight = backend.weight};
			const auto id = id_of(applied.ids.backends, pool.name + "/" + backend.name);
			if (id && *id < counters->size() && *id < shares->size()) {
				count.packets = (*counters)[*id].packets;
				count.bytes = (*counters)[*id].bytes;
				count.share = (*shares)[*id];
				count.loss = (*loss)[*id];
			}
			stats.backends.push_back(std::move(count));
		}
	}
	return {};
}

} // namespace

Status read_reasons(const Instance &instance, render::InterfaceStats &stats)
{
	const auto finals = instance.dataplane.reasons();
	if (!finals)
		return tl::unexpected(finals.error());
	const auto row = [&](const ReasonCount &count, const ReasonInfo &info) {
		return render::ReasonRow{&info,
					 render::action_in_force(instance.applied.config, info),
					 count.packets, count.bytes};
	};
	for (const ReasonCount &count : *finals)
		if (const ReasonInfo *info = find_reason(count.reason); info && is_final(*info))
			stats.finals.push_back(row(count, *info));

	const auto notes = instance.dataplane.maps().find("ax_note");
	if (notes == instance.dataplane.maps().end())
		return {};
	for (const ReasonInfo &info : reasons()) {
		if (info.cls != AX_CLASS_RULE && info.cls != AX_CLASS_NOTE)
			continue;
		const auto sum = notes->second.sum(static_cast<std::uint32_t>(info.number));
		if (!sum)
			return tl::unexpected(sum.error());
		stats.notes.push_back(row({info.number, (*sum)[0], (*sum)[1]}, info));
	}
	return {};
}

Result<render::InterfaceStats> stats_of(const Instance &instance)
{
	render::InterfaceStats stats;
	stats.interface = instance.interface;
	AX_TRY(read_reasons(instance, stats));

	const auto counters = instance.dataplane.vip_counters();
	if (!counters)
		return tl::unexpected(counters.error());
	const auto loss = vip_totals(instance.dataplane);
	if (!loss)
		return tl::unexpected(loss.error());
	for (const Vip &vip : instance.applied.config.vips) {
		render::VipCount count{.vip = vip.name};
		const auto id = id_of(instance.applied.ids.vips, vip.name);
		if (id && *id < counters->size()) {
			count.packets = (*counters)[*id].packets;
			count.bytes = (*counters)[*id].bytes;
			count.loss = (*loss)[*id];
		}
		stats.vips.push_back(std::move(count));
	}
	AX_TRY(add_backends(instance, stats));
	return stats;
}

} // namespace anycast::cli
