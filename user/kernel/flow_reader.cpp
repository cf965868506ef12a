// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/flow_reader.h"

#include "core/flow_ageing.h"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <span>
#include <string_view>

namespace anycast {

namespace {

// An array map's elements: in place, or in `copy` where the map has no mapping.
template <typename T>
Status view_of(const Dataplane &dataplane, std::string_view name, std::vector<T> &copy,
	       std::span<const T> &view)
{
	const Map &map = dataplane.map(name);
	if (map.value_size() != sizeof(T))
		return fail(Exit::kFailed,
			    "map " + map.name() + " has values of " +
				    std::to_string(map.value_size()) + " bytes, not " +
				    std::to_string(sizeof(T)),
			    "another version made it: run `anycast-xdp attach` again");
	if (map.mapped()) {
		view = {reinterpret_cast<const T *>(map.mapped()), map.max_entries()};
		return {};
	}
	copy.resize(map.max_entries());
	view = copy;
	return map.read_at(0, std::span<T>(copy));
}

// jiffies start at -300 seconds (linux/jiffies.h, INITIAL_JIFFIES) and tick with the coarse clock,
// whose resolution is one tick.
void set_clock_of(FlowTables &tables)
{
	timespec tick{}, now{};
	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) != 0 || tick.tv_nsec == 0 ||
	    clock_gettime(CLOCK_MONOTONIC, &now) != 0)
		return;
	const std::int64_t hz = 1000000000 / tick.tv_nsec;
	const std::int64_t jiffies = (now.tv_sec - 300) * hz + now.tv_nsec / tick.tv_nsec;
	tables.now = static_cast<std::uint16_t>(jiffies >> 8);
	tables.unit_ms = static_cast<std::uint32_t>(256 * 1000 / hz);
}

std::uint64_t count_used(std::span<const ax_bucket> buckets)
{
	std::uint64_t used = 0;
	for (const ax_bucket &bucket : buckets)
		used += AX_WAYS - std::count(bucket.tag, bucket.tag + AX_WAYS, 0);
	return used;
}

} // namespace

Result<std::vector<FlowRecord>> read_flows(const Dataplane &dataplane, StampClock clock)
{
	std::vector<ax_bucket> copy4, copy6;
	std::vector<ax_slots> copy_slots4, copy_slots6;
	std::vector<ax_flow4> copy_flows4;
	std::vector<ax_flow6> copy_flows6;
	std::vector<ax_anomaly> copy_anomalies;
	std::vector<ax_sack> copy_sacks;
	FlowTables tables;
	tables.cpus = dataplane.sizes().cpus;
	AX_TRY(view_of(dataplane, "ax_flow4_idx", copy4, tables.buckets4));
	AX_TRY(view_of(dataplane, "ax_flow6_idx", copy6, tables.buckets6));
	AX_TRY(view_of(dataplane, "ax_flow4_slot", copy_slots4, tables.slots4));
	AX_TRY(view_of(dataplane, "ax_flow6_slot", copy_slots6, tables.slots6));
	AX_TRY(view_of(dataplane, "ax_flow4", copy_flows4, tables.flows4));
	AX_TRY(view_of(dataplane, "ax_flow6", copy_flows6, tables.flows6));
	AX_TRY(view_of(dataplane, "ax_anomaly", copy_anomalies, tables.anomalies));
	AX_TRY(view_of(dataplane, "ax_sack", copy_sacks, tables.sacks));
	if (clock == StampClock::kJiffies)
		set_clock_of(tables);
	return decode_flows(tables);
}

namespace {

template <typename Flow>
Result<std::uint64_t> age_family(Dataplane &dataplane, const std::string &name,
				 const FlowTables &clock, std::uint32_t idle_s)
{
	const Map &index = dataplane.map(name + "_idx");
	std::vector<ax_slots> copy_slots;
	std::vector<Flow> copy_flows;
	AgeingTable<Flow> table;

	if (!index.mapped() || !index.writable())
		return 0;
	table.cpus = dataplane.sizes().cpus;
	table.buckets = {reinterpret_cast<ax_bucket *>(index.mapped()), index.max_entries()};
	AX_TRY(view_of(dataplane, name + "_slot", copy_slots, table.slots));
	AX_TRY(view_of(dataplane, name, copy_flows, table.flows));
	table.now = clock.now;
	table.unit_ms = clock.unit_ms;
	return forget_old_flows(table, idle_s);
}

} // namespace

Result<std::uint64_t> age_flows(Dataplane &dataplane, std::uint32_t idle_s)
{
	FlowTables clock;

	set_clock_of(clock);
	const auto four = age_family<ax_flow4>(dataplane, "ax_flow4", clock, idle_s);
	const auto six = age_family<ax_flow6>(dataplane, "ax_flow6", clock, idle_s);
	if (!four || !six)
		return four ? six : four;
	return *four + *six;
}

Result<std::uint64_t> age_egress(Dataplane &dataplane, std::uint32_t idle_s,
				 const std::function<bool(const ax_egress_key &)> &arrives)
{
	constexpr std::size_t kAtOnce = 16384; // two system calls each: about 20 ms
	std::vector<ax_egress_key> old;
	ax_egress_flow flow{};
	FlowTables clock;
	std::uint64_t forgotten = 0;

	if (!dataplane.optional_map("ax_egress"))
		return 0;
	Map &map = dataplane.map("ax_egress");
	set_clock_of(clock);
	const auto is_old_now = [&] { return is_old(flow, clock.now, clock.unit_ms, idle_s); };
	AX_TRY(map.for_each([&](const std::byte *key, const std::byte *value) {
		std::memcpy(&flow, value, sizeof(flow));
		if (old.size() < kAtOnce && is_old_now())
			std::memcpy(&old.emplace_back(), key, sizeof(ax_egress_key));
	}));
	for (const ax_egress_key &key : old) {
		const auto there = map.lookup(&key, &flow);
		if (!there)
			return tl::unexpected(there.error());
		if (!*there || !is_old_now()) // was used meanwhile
			continue;
		if (!flow.ended && arrives(key))
			continue;
		AX_TRY(map.erase(&key));
		forgotten++;
	}
	return forgotten;
}

// Its map may be there for clamp_mss_to_mtu only.
bool sees_both_ways(const Dataplane &dataplane)
{
	const auto ctl = dataplane.control();
	return dataplane.optional_map("ax_egress") != nullptr && ctl &&
	       ctl->half[ctl->generation & 1].flags & AX_SETTINGS_WATCH;
}

Status read_egress(const Dataplane &dataplane, EgressTables &into)
{
	constexpr std::size_t kFreePerCpu = 128; // entries that an LRU map sets aside (kernel/bpf)
	const Map *map = dataplane.optional_map("ax_egress");
	if (!map || !sees_both_ways(dataplane))
		return {};
	const std::size_t before = into.entries.size();
	AX_TRY(map->for_each([&](const std::byte *key, const std::byte *value) {
		EgressEntry &entry = into.entries.emplace_back();
		std::memcpy(&entry.first, key, sizeof(entry.first));
		std::memcpy(&entry.second, value, sizeof(entry.second));
	}));
	into.watched = true;
	into.evicted |= into.entries.size() - before + kFreePerCpu * dataplane.sizes().cpus >=
			map->max_entries();
	return {};
}

namespace {

Result<std::vector<LossTotals>> totals_of(const Dataplane &dataplane,
					  const Result<std::vector<ax_loss_sum>> &loss,
					  const Result<std::vector<ax_traffic>> &traffic)
{
	if (!loss || !traffic)
		return tl::unexpected(!loss ? loss.error() : traffic.error());
	const bool both_ways = sees_both_ways(dataplane);
	std::vector<LossTotals> totals;
	for (std::size_t i = 0; i < loss->size() && i < traffic->size(); i++)
		totals.emplace_back((*loss)[i], (*traffic)[i].segments, both_ways);
	return totals;
}

} // namespace

Result<std::vector<LossTotals>> vip_totals(const Dataplane &dataplane)
{
	return totals_of(dataplane, dataplane.vip_loss(), dataplane.vip_counters());
}

Result<std::vector<LossTotals>> backend_totals(const Dataplane &dataplane)
{
	auto totals = totals_of(dataplane, dataplane.backend_loss(), dataplane.backend_counters());
	const auto ctl = dataplane.control();
	if (!totals || !ctl)
		return !totals ? totals : tl::unexpected(ctl.error());
	const Map &map = dataplane.map("ax_backend");
	std::vector<ax_backend> backends(map.max_entries() / 2);
	AX_TRY(map.read_at((ctl->generation & 1) * (map.max_entries() / 2),
			   std::span<ax_backend>(backends)));
	for (std::size_t i = 0; i < totals->size() && i < backends.size(); i++)
		(*totals)[i].twins = backends[i].flags & AX_BACKEND_TWIN;
	return totals;
}

Result<std::vector<PrefixTotals>> read_prefixes(const Dataplane &dataplane)
{
	std::vector<ax_prefix_loss> copy;
	std::span<const ax_prefix_loss> rows;
	AX_TRY(view_of(dataplane, "ax_prefix_loss", copy, rows));
	return decode_prefixes(rows, dataplane.sizes().cpus, sees_both_ways(dataplane));
}

Result<TableLoad> table_load(const Dataplane &dataplane)
{
	std::vector<ax_bucket> copy4, copy6;
	std::span<const ax_bucket> buckets4, buckets6;
	AX_TRY(view_of(dataplane, "ax_flow4_idx", copy4, buckets4));
	AX_TRY(view_of(dataplane, "ax_flow6_idx", copy6, buckets6));
	TableLoad load;
	load.used4 = count_used(buckets4);
	load.used6 = count_used(buckets6);
	load.size4 = dataplane.map("ax_flow4").max_entries();
	load.size6 = dataplane.map("ax_flow6").max_entries();
	return load;
}

} // namespace anycast
