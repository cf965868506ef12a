// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/flow_ageing.h"

#include "core/flow_place.h"

namespace anycast {

namespace {

// User space's idea of the kernel's clock may lag by a few units.
bool is_idle(std::uint16_t stamp, bool ended, std::uint16_t now, std::uint32_t unit_ms,
	     std::uint32_t idle_s)
{
	const auto age = static_cast<std::uint16_t>(now - stamp);
	const std::uint64_t idle_ms = age < 0xff00 ? std::uint64_t{age} * unit_ms : 0;

	return idle_ms >= 1000ULL * (ended ? std::min(kEndedFlowIdle, idle_s) : idle_s);
}

bool is_old(const ax_flow &flow, std::uint16_t now, std::uint32_t unit_ms, std::uint32_t idle_s)
{
	const std::uint8_t version = __atomic_load_n(&flow.version, __ATOMIC_ACQUIRE);
	const std::uint16_t stamp = __atomic_load_n(&flow.stamp, __ATOMIC_RELAXED);
	const bool ended = (flow.flags & (AX_FLOW_FIN | AX_FLOW_RST)) != 0;

	return (version & 1) == 0 && is_idle(stamp, ended, now, unit_ms, idle_s) &&
	       __atomic_load_n(&flow.version, __ATOMIC_ACQUIRE) == version;
}

template <typename Flow> std::uint64_t forget(const AgeingTable<Flow> &table, std::uint32_t idle_s)
{
	std::uint64_t forgotten = 0;

	if (table.unit_ms == 0 || table.cpus == 0)
		return 0;
	const std::size_t buckets = table.buckets.size() / table.cpus;
	const std::size_t slots = table.slots.size() / table.cpus;
	const std::size_t flows = table.flows.size() / table.cpus;
	for (std::uint32_t cpu = 0; cpu < table.cpus; cpu++) {
		const auto own = table.buckets.subspan(cpu * buckets, buckets);
		const auto own_slots = table.slots.subspan(cpu * slots, slots);
		const auto own_flows = table.flows.subspan(cpu * flows, flows);
		for (std::size_t way = 0; way < buckets * AX_WAYS; way++) {
			std::uint8_t &tag = own[way / AX_WAYS].tag[way % AX_WAYS];
			if (__atomic_load_n(&tag, __ATOMIC_RELAXED) == 0)
				continue;
			const auto at = entry_of_way(buckets, own_slots, way);
			if (!at || *at >= flows ||
			    !is_old(own_flows[*at].flow, table.now, table.unit_ms, idle_s))
				continue;
			__atomic_store_n(&tag, 0, __ATOMIC_RELEASE);
			forgotten++;
		}
	}
	return forgotten;
}

} // namespace

std::uint64_t forget_old_flows(const AgeingTable<ax_flow4> &table, std::uint32_t idle_s)
{
	return forget(table, idle_s);
}

std::uint64_t forget_old_flows(const AgeingTable<ax_flow6> &table, std::uint32_t idle_s)
{
	return forget(table, idle_s);
}

bool is_old(const ax_egress_flow &flow, std::uint16_t now, std::uint32_t unit_ms,
	    std::uint32_t idle_s)
{
	return unit_ms != 0 && is_idle(flow.stamp, flow.ended != 0, now, unit_ms, idle_s);
}

} // namespace anycast
