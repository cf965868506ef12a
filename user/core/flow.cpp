// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/flow.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_map>

#include <arpa/inet.h>

#include <anycast_xdp/hash.h>

#include "core/flow_place.h"

namespace anycast {

namespace {

constexpr std::uint8_t kTcp = 6;
constexpr std::uint32_t kRttUnitUs = 64; // abi.h, ax_flow_state.rtt

// Which entries of one CPU's share are in use. Collected first, so that the entries can be walked
// in the order they lie in memory.
std::vector<bool> used_entries(std::span<const ax_bucket> buckets, std::span<const ax_slots> slots,
			       std::size_t entries)
{
	std::vector<bool> used(entries);
	for (std::size_t way = 0; way < buckets.size() * AX_WAYS; way++) {
		if (buckets[way / AX_WAYS].tag[way % AX_WAYS] == 0)
			continue;
		const auto at = entry_of_way(buckets.size(), slots, way);
		if (at && *at < entries)
			used[*at] = true;
	}
	return used;
}

// User space's idea of the kernel's clock may lag by a few units; stamps wrap.
std::uint32_t age_of(std::uint16_t stamp, std::uint16_t now)
{
	const auto age = static_cast<std::uint16_t>(now - stamp);
	return age < 0xff00 ? age : 0;
}

// A copy that no writer has touched half-way, or nothing.
template <typename Flow> bool copy_stable(const Flow &entry, Flow &copy)
{
	for (int attempt = 0; attempt < 3; attempt++) {
		const std::uint8_t before = __atomic_load_n(&entry.flow.version, __ATOMIC_ACQUIRE);
		if (before & 1)
			continue;
		std::memcpy(&copy, &entry, sizeof(copy));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&entry.flow.version, __ATOMIC_RELAXED) == before)
			return true;
	}
	return false;
}

Address address_of(__be32 address)
{
	return Address::v4(ntohl(address));
}

Address address_of(const ax_addr &address)
{
	return Address(address);
}

LossCounters counters_of(const ax_anomaly &anomaly)
{
	LossCounters counters{
		.lost = anomaly.lost,
		.undone = anomaly.undone,
		.reordered = anomaly.reordered,
		.rtx_seen = anomaly.rtx_seen,
		.duplicated = anomaly.duplicated,
		.evicted = anomaly.evicted,
		.resync = anomaly.resync,
		.unrepaired = 0,
		.keepalives = anomaly.keepalives,
		.rtx_bytes = anomaly.rtx_bytes,
	};
	for (const ax_hole &hole : anomaly.hole)
		counters.unrepaired += hole.start != hole.end;
	return counters;
}

SackCounters counters_of(const ax_sack &sack)
{
	SackCounters counters{
		.started = sack.started != 0,
		.lost = sack.lost,
		.undone = sack.undone,
		.reordered = sack.reordered,
		.evicted = sack.evicted,
		.duplicates = sack.duplicates,
		.ce = sack.ce,
		.ece = sack.ece,
		.acked_segments = sack.mss ? (sack.acked + sack.mss - 1) / sack.mss : 0,
	};
	for (const ax_gap &hole : sack.hole)
		counters.unrepaired += hole.start != hole.end;
	return counters;
}

// What bpf/measure.h has put into members that mean something else in TCP flows.
void add_payload(FlowRecord &record, const ax_flow &flow)
{
	const auto at_least_none = [](std::uint32_t count) {
		return static_cast<std::int32_t>(count) < 0 ? 0 : count;
	};
	record.mss = 0;
	switch (record.measure) {
	case AX_MEASURE_RTP:
		record.payload_lost = at_least_none(flow.nxt - flow.segments);
		break;
	case AX_MEASURE_DNS:
		record.payload_lost = flow.max_ts;
		break;
	default:
		record.payload_lost = at_least_none(flow.max_ts);
		record.payload_lost_end_to_end = flow.nxt;
	}
}

FlowRecord record_of(const ax_flow &flow, std::uint8_t family)
{
	FlowRecord record;
	record.source_port = ntohs(flow.sport);
	record.destination_port = ntohs(flow.dport);
	record.protocol = flow.proto;
	record.family = family;
	record.flags = flow.flags;
	record.forward = flow.forward & AX_FORWARD_HOW;
	record.measure = flow.forward & AX_MEASURE;
	record.vip = flow.vip;
	record.vip_gen = flow.vip_gen;
	record.backend = flow.backend;
	record.backend_gen = flow.backend_gen;
	record.syn_rtx = flow.syn_rtx;
	record.mss = flow.mss;
	record.generation = flow.generation;
	record.packets = flow.packets;
	record.bytes = flow.bytes;
	record.segments = flow.segments;
	record.next_seq = flow.nxt;
	record.max_ts = flow.max_ts;
	record.ip_id = flow.ip_id;
	record.ip_id_score = flow.ipid_score;
	if (record.measure != AX_MEASURE_NONE)
		add_payload(record, flow);
	else if (flow.flags & AX_FLOW_RTT)
		record.rtt_us = flow.rtt * kRttUnitUs;
	return record;
}

void add_anomaly(FlowRecord &record, const ax_flow &flow, std::uint32_t slot,
		 std::span<const ax_anomaly> share, std::span<const ax_sack> sacks)
{
	if (flow.anomaly == 0)
		return;
	if (flow.anomaly > share.size()) {
		record.anomaly_lost = true;
		return;
	}
	ax_anomaly anomaly;
	std::memcpy(&anomaly, &share[flow.anomaly - 1], sizeof(anomaly));
	if (anomaly.owner != slot || anomaly.owner_version != flow.version ||
	    anomaly.family != record.family)
		record.anomaly_lost = true;
	else {
		record.loss = counters_of(anomaly);
		if (flow.anomaly <= sacks.size())
			record.sack = counters_of(sacks[flow.anomaly - 1]);
	}
}

// The n-th of `parts` equal parts.
template <typename T>
std::span<const T> share_of(std::span<const T> all, std::uint32_t parts, std::uint32_t n)
{
	const std::size_t each = all.size() / parts;
	return all.subspan(n * each, each);
}

template <typename Flow>
void decode_family(const FlowTables &tables, std::span<const ax_bucket> buckets,
		   std::span<const ax_slots> slots, std::span<const Flow> flows,
		   std::uint8_t family, std::vector<FlowRecord> &out)
{
	for (std::uint32_t cpu = 0; cpu < tables.cpus; cpu++) {
		const auto entries = share_of(flows, tables.cpus, cpu);
		const auto anomalies = share_of(tables.anomalies, tables.cpus, cpu);
		const auto sacks = share_of(tables.sacks, tables.cpus, cpu);
		const auto used = used_entries(share_of(buckets, tables.cpus, cpu),
					       share_of(slots, tables.cpus, cpu), entries.size());
		Flow copy;
		for (std::uint32_t i = 0; i < entries.size(); i++) {
			if (!used[i] || !copy_stable(entries[i], copy))
				continue;
			FlowRecord record = record_of(copy.flow, family);
			record.source = address_of(copy.saddr);
			record.destination = address_of(copy.daddr);
			if (record.source.is_unspecified() && record.destination.is_unspecified())
				continue;
			record.cpu = static_cast<std::uint16_t>(cpu);
			if (tables.unit_ms != 0)
				record.idle_ms =
					tables.unit_ms * age_of(copy.flow.stamp, tables.now);
			add_anomaly(record, copy.flow, i + 1, anomalies, sacks);
			out.push_back(record);
		}
	}
}

std::uint64_t key_hash(const FlowRecord &flow)
{
	std::uint64_t word[4];
	std::memcpy(word, flow.source.bytes().data(), 16);
	std::memcpy(word + 2, flow.destination.bytes().data(), 16);
	std::uint64_t hash = std::uint64_t{flow.source_port} << 32 |
			     std::uint64_t{flow.destination_port} << 8 | flow.protocol;
	for (const std::uint64_t part : word)
		hash = ax_mix(hash ^ part);
	return hash;
}

bool same_key(const FlowRecord &a, const FlowRecord &b)
{
	return a.source_port == b.source_port && a.destination_port == b.destination_port &&
	       a.protocol == b.protocol && a.family == b.family && a.source == b.source &&
	       a.destination == b.destination;
}

void merge_into(FlowRecord &kept, const FlowRecord &other)
{
	if (other.idle_ms < kept.idle_ms || other.generation > kept.generation) {
		kept.vip = other.vip;
		kept.vip_gen = other.vip_gen;
		kept.backend = other.backend;
		kept.backend_gen = other.backend_gen;
		kept.forward = other.forward;
		kept.generation = other.generation;
	}
	kept.multi_cpu = true;
	kept.packets += other.packets;
	kept.bytes += other.bytes;
	kept.segments += other.segments;
	kept.payload_lost = kept.payload_lost_end_to_end = 0;
	kept.flags |= other.flags;
	kept.mss = std::max(kept.mss, other.mss);
	kept.syn_rtx = std::max(kept.syn_rtx, other.syn_rtx);
	if (!kept.rtt_us)
		kept.rtt_us = other.rtt_us;
	kept.idle_ms = std::min(kept.idle_ms, other.idle_ms);
	kept.loss = {};
	kept.sack = {};
}

void merge_cpus(std::vector<FlowRecord> &flows)
{
	const auto other_cpu = [&](const FlowRecord &flow) { return flow.cpu != flows[0].cpu; };
	if (std::none_of(flows.begin(), flows.end(), other_cpu))
		return;

	// Open addressing over positions in the compacted front of `flows`; 0 = empty.
	std::vector<std::uint32_t> table(std::bit_ceil(2 * flows.size()), 0);
	std::size_t kept = 0;
	for (std::size_t i = 0; i < flows.size(); i++) {
		std::size_t at = key_hash(flows[i]) & (table.size() - 1);
		while (table[at] != 0 && !same_key(flows[table[at] - 1], flows[i]))
			at = (at + 1) & (table.size() - 1);
		if (table[at] != 0) {
			merge_into(flows[table[at] - 1], flows[i]);
			continue;
		}
		if (kept != i)
			flows[kept] = flows[i];
		table[at] = static_cast<std::uint32_t>(++kept);
	}
	flows.resize(kept);
}

FlowRecord key_of(const ax_egress_key &key)
{
	FlowRecord record;
	record.source = address_of(key.client);
	record.destination = address_of(key.vip);
	record.family = record.source.is_v4() ? 4 : 6;
	record.protocol = key.proto;
	record.source_port = ntohs(key.client_port);
	record.destination_port = ntohs(key.vip_port);
	return record;
}

EgressCounters counters_of(const ax_egress_flow &flow)
{
	return {.whole = flow.whole != 0,
		.segments = flow.segments,
		.rtx = flow.rtx,
		.duplicates = flow.duplicates,
		.resync = flow.resync};
}

} // namespace

std::vector<FlowRecord> decode_flows(const FlowTables &tables)
{
	std::vector<FlowRecord> flows;
	if (tables.cpus == 0)
		return flows;
	const auto live = [](std::span<const ax_bucket> buckets) {
		std::size_t count = 0;
		for (const ax_bucket &bucket : buckets)
			count += AX_WAYS - std::count(bucket.tag, bucket.tag + AX_WAYS, 0);
		return count;
	};
	flows.reserve(live(tables.buckets4) + live(tables.buckets6));
	decode_family(tables, tables.buckets4, tables.slots4, tables.flows4, 4, flows);
	decode_family(tables, tables.buckets6, tables.slots6, tables.flows6, 6, flows);
	if (!flows.empty())
		merge_cpus(flows);
	return flows;
}

void join_egress(std::span<FlowRecord> flows, const EgressTables &egress,
		 const std::function<bool(const FlowRecord &)> &answers_here)
{
	if (!egress.watched)
		return;
	std::unordered_multimap<std::uint64_t, const EgressEntry *> seen;
	seen.reserve(egress.entries.size());
	for (const EgressEntry &entry : egress.entries)
		seen.emplace(key_hash(key_of(entry.first)), &entry);
	for (FlowRecord &flow : flows) {
		const auto [begin, end] = seen.equal_range(key_hash(flow));
		int found = 0;
		for (auto at = begin; at != end; ++at) {
			if (!same_key(key_of(at->second->first), flow))
				continue;
			flow.egress = counters_of(at->second->second);
			found++;
		}
		if (found > 1)
			flow.egress.reset();
		// A flow whose queries were never answered has no entry.
		if (found == 0 && !egress.evicted && flow.measure == AX_MEASURE_DNS &&
		    answers_here(flow))
			flow.egress = EgressCounters{};
	}
}

} // namespace anycast
