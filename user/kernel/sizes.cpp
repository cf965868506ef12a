// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/sizes.h"

#include <algorithm>
#include <bit>
#include <fstream>
#include <limits>

#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <anycast_xdp/loss.h>
#include <anycast_xdp/mark.h>
#include <anycast_xdp/owners.h>

#include "core/vip_keys.h"

namespace anycast {

namespace {

constexpr std::uint64_t kMinEgressFlows = 1024, kMaxEgressFlows = 262144;
constexpr std::uint32_t kMinAnomalies = 64;	       // per CPU
constexpr std::uint32_t kMaxAnomalies = (1 << 24) - 1; // ax_flow.anomaly has 24 bits

std::uint32_t buckets_for(std::uint32_t flows, std::uint32_t cpus)
{
	const std::uint64_t per_cpu = (std::uint64_t{flows} + cpus - 1) / cpus;
	const std::uint64_t buckets = (per_cpu + AX_WAYS - 1) / AX_WAYS;

	return static_cast<std::uint32_t>(
		std::bit_ceil(std::max<std::uint64_t>(buckets, AX_MIN_BUCKETS)));
}

// Of one CPU; abi.h says when a table has no slots.
std::uint64_t slots_of(std::uint32_t buckets)
{
	return buckets > AX_DIRECT ? 1 : buckets;
}

std::uint64_t regions_of(std::uint32_t buckets)
{
	return std::max<std::uint64_t>(slots_of(buckets) / AX_REGION, 1);
}

template <typename T>
MapShape array(std::string_view name, std::uint64_t entries, std::string_view limit = {})
{
	return {name, BPF_MAP_TYPE_ARRAY, 4, sizeof(T), entries, limit};
}

template <typename T>
MapShape per_cpu(std::string_view name, std::uint64_t entries, std::string_view limit = {})
{
	return {name, BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(T), entries, limit};
}

template <typename Key, typename T>
MapShape hash(std::string_view name, std::uint64_t entries, std::string_view limit = {})
{
	return {name, BPF_MAP_TYPE_HASH, sizeof(Key), sizeof(T), entries, limit};
}

std::uint64_t memory_available()
{
	std::ifstream file("/proc/meminfo");
	std::string field;
	std::uint64_t kilobytes = 0;

	while (file >> field) {
		if (field == "MemAvailable:" && file >> kilobytes)
			return kilobytes << 10;
	}
	return std::numeric_limits<std::uint64_t>::max();
}

} // namespace

std::uint32_t possible_cpus()
{
	const int cpus = libbpf_num_possible_cpus();

	return cpus > 0 ? static_cast<std::uint32_t>(cpus) : 1;
}

std::vector<MapShape> map_shapes(const DataplaneSizes &s)
{
	const std::uint64_t cpus = s.cpus;

	return {
		array<ax_ctl>("ax_ctl", 1),
		hash<ax_vip_key, std::uint32_t>("ax_vip", 8ULL * s.vips, "vips"),
		{"ax_prefix", BPF_MAP_TYPE_LPM_TRIE, sizeof(ax_prefix_key), sizeof(ax_prefix),
		 2ULL * s.vips, "vips"},
		array<ax_vip>("ax_vip_info", 2ULL * s.vips, "vips"),
		array<ax_pool>("ax_pool", 2ULL * s.pools, "pools"),
		array<ax_slot>("ax_slot", 2ULL * s.slots, "table_slots"),
		array<ax_owners>("ax_owner", 2ULL * ax_owner_groups(s.slots), "table_slots"),
		array<ax_backend>("ax_backend", 2ULL * s.backends, "backends"),
		hash<std::uint32_t, ax_device>("ax_device", AX_DEVICES),
		hash<ax_quic_key, std::uint32_t>("ax_quic", 2ULL * s.backends, "backends"),
		{"ax_fragment",
		 BPF_MAP_TYPE_LRU_HASH,
		 sizeof(ax_fragment_key),
		 sizeof(ax_fragment_note),
		 AX_FRAGMENT_NOTES,
		 {}},
		hash<ax_addr_key, std::uint32_t>("ax_gtsm_local", 2ULL * kMaxLocalAddresses),
		hash<ax_addr_key, ax_gtsm_peer>("ax_gtsm_peer", 2ULL * s.peers, "peers"),
		hash<ax_addr_key, std::uint32_t>(
			"ax_tunnel_dst", 2ULL * (kMaxLocalAddresses + s.backends), "backends"),
		hash<ax_addr_key, std::uint32_t>("ax_edge", 2ULL * kMaxEdges),
		array<__u32>("ax_gue_tag", 2ULL * s.backends, "backends"),
		hash<ax_tag_key, std::uint32_t>("ax_gue_backend", 2ULL * s.backends, "backends"),
		per_cpu<ax_counter>("ax_reason", AX_REASON_LIMIT),
		array<ax_usual[AX_USUAL_CPUS]>("ax_usual", 1),
		per_cpu<ax_counter>("ax_note", AX_REASON_LIMIT),
		per_cpu<ax_traffic>("ax_vip_ctr", s.vips, "vips"),
		per_cpu<ax_traffic>("ax_backend_ctr", s.backends, "backends"),
		per_cpu<ax_loss_sum>("ax_vip_loss", s.vips, "vips"),
		per_cpu<ax_loss_sum>("ax_backend_loss", s.backends, "backends"),
		per_cpu<ax_peer_counters>("ax_peer_ctr", s.peers, "peers"),
		array<ax_bucket>("ax_flow4_idx", cpus * s.buckets4, "flows_v4"),
		array<ax_slots>("ax_flow4_slot", cpus * slots_of(s.buckets4), "flows_v4"),
		array<__u32>("ax_flow4_next", cpus * regions_of(s.buckets4), "flows_v4"),
		array<ax_flow4>("ax_flow4", cpus * s.buckets4 * AX_WAYS, "flows_v4"),
		array<ax_bucket>("ax_flow6_idx", cpus * s.buckets6, "flows_v6"),
		array<ax_slots>("ax_flow6_slot", cpus * slots_of(s.buckets6), "flows_v6"),
		array<__u32>("ax_flow6_next", cpus * regions_of(s.buckets6), "flows_v6"),
		array<ax_flow6>("ax_flow6", cpus * s.buckets6 * AX_WAYS, "flows_v6"),
		array<ax_anomaly>("ax_anomaly", cpus * s.anomalies, "flows_v4"),
		array<ax_sack>("ax_sack", cpus * s.anomalies, "flows_v4"),
		array<ax_prefix_loss>("ax_prefix_loss", cpus * (AX_PREFIXES + 1)),
		array<ax_dns>("ax_dns", cpus * AX_DNS_SLOTS),
		array<ax_syn>("ax_syn", cpus * AX_SYN_SLOTS),
		array<ax_hop>("ax_hop", cpus * s.backends, "backends"),
		array<ax_shortcut>("ax_shortcut", cpus * AX_SHORTCUTS),
		array<ax_cpu>("ax_cpu", cpus),
		{"ax_egress", BPF_MAP_TYPE_LRU_HASH, sizeof(ax_egress_key), sizeof(ax_egress_flow),
		 egress_entries(s), "flows_v4", true, true},
		{"ax_mark", BPF_MAP_TYPE_HASH, sizeof(ax_mark_key), sizeof(::ax_mark),
		 s.marked_flows, "marked_flows", true, false, false, true},
		{"ax_mark_sum",
		 BPF_MAP_TYPE_HASH,
		 sizeof(ax_mark_key),
		 sizeof(::ax_mark),
		 AX_MARK_SUMS,
		 {},
		 true,
		 false,
		 false,
		 true},
		{"ax_drop_last", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(ax_sample), AX_REASON_LIMIT,
		 "", true},
		{"ax_drop_ring", BPF_MAP_TYPE_RINGBUF, 0, 0, AX_DROP_RING_BYTES, "", true},
		{"ax_drop_perf", BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, cpus, "", true},
	};
}

// Entries name the anomaly records of both families. What was marked by service is comparable from
// when it is by flow (ax_mark_kind).
std::string_view reset_group(const MapShape &shape)
{
	if (!shape.egress && (shape.limit == "flows_v4" || shape.limit == "flows_v6"))
		return "flows";
	return shape.limit == "marked_flows" || shape.name == "ax_mark_sum" ? "marks" : "";
}

std::set<std::string_view> groups_to_reset(const Limits &running, const Limits &wanted)
{
	const std::uint32_t cpus = possible_cpus();
	const auto before = map_shapes(sizes_for(running, cpus));
	const auto after = map_shapes(sizes_for(wanted, cpus));
	std::set<std::string_view> groups;

	for (std::size_t i = 0; i < after.size(); ++i)
		if (before[i].entries != after[i].entries)
			groups.insert(reset_group(after[i]));
	groups.erase("");
	return groups;
}

Limits limits_of(const DataplaneSizes &held, Limits recorded)
{
	const DataplaneSizes said = sizes_for(recorded, held.cpus);

	if (said.buckets4 != held.buckets4)
		recorded.flows_v4 = held.buckets4 * AX_WAYS * held.cpus;
	if (said.buckets6 != held.buckets6)
		recorded.flows_v6 = held.buckets6 * AX_WAYS * held.cpus;
	if (held.marked_flows != 0) // not every build has that map
		recorded.marked_flows = held.marked_flows;
	return recorded;
}

std::uint32_t egress_entries(const DataplaneSizes &s)
{
	// The tables are twice as large as the peak number of flows.
	const std::uint64_t flows = std::uint64_t{s.cpus} * (s.buckets4 + s.buckets6) * AX_WAYS;

	return static_cast<std::uint32_t>(std::clamp(flows / 2, kMinEgressFlows, kMaxEgressFlows));
}

std::uint64_t map_bytes(const MapShape &shape, std::uint32_t cpus)
{
	const std::uint64_t value = (shape.value_size + 7) & ~7U, key = (shape.key_size + 7) & ~7U;

	switch (shape.type) {
	case BPF_MAP_TYPE_PERCPU_ARRAY:
		return shape.entries * (value * cpus + sizeof(void *));
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_HASH: // struct htab_elem is 48 bytes, struct bucket 16
		return (shape.grows ? 0 : shape.entries * (48 + key + value)) +
		       std::bit_ceil(shape.entries) * 16;
	case BPF_MAP_TYPE_LPM_TRIE: // a node takes 40 bytes, and each may need one more to branch
		return shape.entries * 2 * (40 + key + value);
	case BPF_MAP_TYPE_RINGBUF: // entries are bytes
		return shape.entries;
	default:
		return shape.entries * value;
	}
}

DataplaneSizes sizes_for(const Limits &limits, std::uint32_t cpus, bool both_ways)
{
	DataplaneSizes s{};

	s.cpus = cpus;
	s.buckets4 = buckets_for(limits.flows_v4, cpus);
	s.buckets6 = buckets_for(limits.flows_v6, cpus);
	s.anomalies =
		std::clamp((s.buckets4 + s.buckets6) * AX_WAYS / 8, kMinAnomalies, kMaxAnomalies);
	s.vips = std::max(limits.vips, 1U);
	s.pools = std::max(limits.pools, 1U);
	s.slots = std::max(limits.table_slots, 1U);
	s.backends = std::max(limits.backends, 1U);
	s.peers = std::max(limits.peers, 1U);
	s.marked_flows = std::max(limits.marked_flows, 1U);
	for (const MapShape &shape : map_shapes(s))
		if (!shape.egress || both_ways)
			s.bytes += map_bytes(shape, cpus);
	return s;
}

Status require_memory(const Limits &limits, std::uint64_t bytes, bool both_ways)
{
	const std::uint64_t available = memory_available();
	Limits smaller = limits;

	if (bytes <= available)
		return {};
	while (sizes_for(smaller, possible_cpus(), both_ways).bytes > available &&
	       (smaller.flows_v4 > 1 || smaller.flows_v6 > 1)) {
		smaller.flows_v4 /= 2;
		smaller.flows_v6 /= 2;
	}
	return fail(Exit::kFailed,
		    fmt::format("the maps take {} MiB, and {} MiB of memory are available",
				bytes >> 20, available >> 20),
		    fmt::format("[limits] flows_v4 = {} and flows_v6 = {} would fit",
				smaller.flows_v4, smaller.flows_v6));
}

Status require_memory_to_reset(const Limits &running, const Limits &wanted, bool both_ways)
{
	const std::uint32_t cpus = possible_cpus();
	const DataplaneSizes before = sizes_for(running, cpus), after = sizes_for(wanted, cpus);
	const auto groups = groups_to_reset(running, wanted);
	const bool leaving = both_ways && egress_entries(before) != egress_entries(after);
	std::uint64_t bytes = 0;

	for (const MapShape &shape : map_shapes(after))
		if (groups.contains(reset_group(shape)) || (shape.egress && leaving))
			bytes += map_bytes(shape, cpus);
	return require_memory(wanted, bytes, both_ways);
}

} // namespace anycast
