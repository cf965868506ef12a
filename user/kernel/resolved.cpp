// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/resolved.h"

#include <cstring>
#include <vector>

#include "kernel/pins.h"
#include "kernel/state.h"

namespace anycast {

namespace {

struct Change {
	std::uint32_t index; // in the map
	ax_backend now, wanted;
};

// The maps alone: opening the whole instance each second would cost more than the rest.
struct BackendMaps {
	Map control, backends;

	[[nodiscard]] Result<std::uint32_t> running() const
	{
		const std::uint32_t key = 0;
		ax_ctl ctl{};
		auto found = control.lookup(&key, &ctl);
		if (!found)
			return tl::unexpected(std::move(found.error()));
		return ctl.generation & 1;
	}
};

Result<BackendMaps> open_maps(const Paths &paths, const std::string &interface)
{
	const std::string pins = pin_directory(paths, interface);
	auto control = Map::open_pinned(pins + "/ax_ctl");
	if (!control)
		return tl::unexpected(std::move(control.error()));
	auto backends = Map::open_pinned(pins + "/ax_backend");
	if (!backends)
		return tl::unexpected(std::move(backends.error()));
	return BackendMaps{std::move(*control), std::move(*backends)};
}

ax_backend with_next_hop(ax_backend backend, const NextHop &hop)
{
	std::memcpy(backend.dmac, hop.dmac.data(), sizeof(backend.dmac));
	std::memcpy(backend.smac, hop.smac.data(), sizeof(backend.smac));
	backend.ifindex = static_cast<__u32>(hop.ifindex);
	backend.mtu = hop.mtu;
	backend.flags |= AX_BACKEND_RESOLVED;
	return backend;
}

Result<std::vector<Change>> changes_of(const BackendMaps &maps, const HopOf &hop_of,
				       ResolvedReport &report)
{
	const auto half = maps.running();
	if (!half)
		return tl::unexpected(half.error());
	std::vector<ax_backend> backends(maps.backends.max_entries() / 2);
	const auto first = static_cast<std::uint32_t>(*half * backends.size());
	AX_TRY(maps.backends.read_at<ax_backend>(first, backends));

	std::vector<Change> changes;
	report = {};
	for (std::uint32_t i = 0; i < backends.size(); i++) {
		const ax_backend &now = backends[i];
		if (now.state == AX_BACKEND_ABSENT || now.flags & AX_BACKEND_LOCAL)
			continue;
		const auto hop = hop_of(Address(now.addr));
		(hop ? report.resolved : report.unresolved)++;
		// What is unresolved already may have an old address beside it: no matter.
		const ax_backend wanted = hop ? with_next_hop(now, *hop) : now;
		const bool drop = !hop && now.flags & AX_BACKEND_RESOLVED;
		if (drop)
			changes.push_back({first + i, now, without_next_hop(now)});
		else if (hop && std::memcmp(&now, &wanted, sizeof(now)) != 0)
			changes.push_back({first + i, now, wanted});
	}
	return changes;
}

Status write_all(Map &map, const std::vector<Change> &changes,
		 const std::function<std::optional<ax_backend>(const Change &)> &what)
{
	for (const Change &change : changes)
		if (const auto value = what(change))
			AX_TRY(map.update(&change.index, &*value));
	return {};
}

// The kernel copies a value while packets read it, so only the flags may change while they say that
// the rest counts: off; wait for the packets that saw it; the rest; wait until all see that; on.
Status write_changes(Map &map, const std::vector<Change> &changes)
{
	bool any_on = false;
	AX_TRY(write_all(map, changes, [&](const Change &change) -> std::optional<ax_backend> {
		any_on = any_on || change.wanted.flags & AX_BACKEND_RESOLVED;
		if (!(change.now.flags & AX_BACKEND_RESOLVED))
			return std::nullopt;
		ax_backend off = change.now;
		off.flags &= static_cast<__u8>(~AX_BACKEND_RESOLVED);
		return off;
	}));
	grace_period();
	AX_TRY(write_all(map, changes, [](const Change &change) -> std::optional<ax_backend> {
		ax_backend off = change.wanted;
		off.flags &= static_cast<__u8>(~AX_BACKEND_RESOLVED);
		return off;
	}));
	if (!any_on)
		return {};
	grace_period();
	return write_all(map, changes,
			 [](const Change &change) { return std::optional(change.wanted); });
}

} // namespace

ax_backend without_next_hop(ax_backend backend)
{
	std::memset(backend.dmac, 0, sizeof(backend.dmac));
	std::memset(backend.smac, 0, sizeof(backend.smac));
	backend.ifindex = 0;
	backend.mtu = 0;
	backend.flags &= static_cast<__u8>(~AX_BACKEND_RESOLVED);
	return backend;
}

Result<ResolvedReport> set_next_hops(const Paths &paths, const std::string &interface,
				     const HopOf &hop_of, double patience)
{
	ResolvedReport report;
	auto maps = open_maps(paths, interface);
	if (!maps)
		return tl::unexpected(std::move(maps.error()));
	const auto seen = changes_of(*maps, hop_of, report);
	if (!seen)
		return tl::unexpected(seen.error());
	if (seen->empty())
		return report;

	// An apply fills the half that this one may be about to write.
	const auto lock = state::Lock::take(state_directory(paths, interface), patience);
	if (!lock) {
		report.busy = true;
		return report;
	}
	const auto changes = changes_of(*maps, hop_of, report);
	if (!changes)
		return tl::unexpected(changes.error());
	AX_TRY(write_changes(maps->backends, *changes));
	report.changed = static_cast<std::uint32_t>(changes->size());
	return report;
}

Status clear_next_hops(const Paths &paths, double patience)
{
	const auto interfaces = attached_interfaces(paths);
	if (!interfaces)
		return tl::unexpected(interfaces.error());
	Status worst;
	for (const std::string &interface : *interfaces) {
		const auto report = set_next_hops(
			paths, interface, [](const Address &) { return std::nullopt; }, patience);
		if (!report)
			worst = tl::unexpected(report.error());
		else if (report->busy)
			worst = fail(Exit::kFailed,
				     interface + ": another command works on it: its next hops "
						 "are not cleared");
	}
	return worst;
}

} // namespace anycast
