// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Flows are decoded while their entries are being replaced.
#include <arpa/inet.h>

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/flow.h"

namespace anycast {
namespace {

// As bpf/flow.h replaces an entry: an odd version first, the next even one last.
void replace(ax_flow4 &entry, std::uint32_t flow)
{
	const auto version = static_cast<std::uint8_t>(entry.flow.version & ~1);

	__atomic_store_n(&entry.flow.version, version | 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&entry.saddr, htonl(0x0a000000 + flow), __ATOMIC_RELAXED);
	__atomic_store_n(&entry.flow.sport, htons(static_cast<std::uint16_t>(flow)),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&entry.flow.packets, flow, __ATOMIC_RELAXED);
	__atomic_store_n(&entry.flow.version, static_cast<std::uint8_t>(version + 2),
			 __ATOMIC_RELEASE);
}

TEST(FlowRace, AReaderMeetsNoEntryOfTwoFlows)
{
	std::vector<ax_bucket> buckets(AX_MIN_BUCKETS);
	std::vector<ax_slots> slots(AX_MIN_BUCKETS);
	std::vector<ax_flow4> entries(AX_MIN_BUCKETS * AX_WAYS);
	FlowTables tables;
	std::atomic<bool> done = false;
	std::uint64_t seen = 0, torn = 0;

	for (std::size_t way = 0; way < AX_WAYS; ++way) {
		buckets[0].tag[way] = 1;
		slots[0].slot[way] = static_cast<std::uint16_t>(way + 1);
	}
	tables.buckets4 = buckets;
	tables.slots4 = slots;
	tables.flows4 = entries;
	std::thread writer([&] {
		for (std::uint32_t flow = 1; !done; flow = flow % 60000 + 1)
			replace(entries[flow % AX_WAYS], flow);
	});
	while (seen < 300000) {
		for (const FlowRecord &flow : decode_flows(tables)) {
			const std::uint32_t number = flow.source.v4_host_order() - 0x0a000000;
			if (flow.packets == 0) // not yet written
				continue;
			++seen;
			torn += number != flow.source_port || number != flow.packets;
		}
	}
	done = true;
	writer.join();
	// A version has seven bits: of readers that are interrupted while they copy an entry, one
	// in 128 meets the same version again.
	EXPECT_LE(torn, 2U);
}

} // namespace
} // namespace anycast
