// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A flow table of each kind: small, of more than one region, and one whose ways have entries of
// their own (include/anycast_xdp/flows.h).
#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "prog/table_hash.h"
#include "kernel/sizes.h"
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

struct Size {
	std::string name{};
	std::uint32_t buckets = 0; // of a CPU and family
};

class FlowSizes : public ProgramTest, public testing::WithParamInterface<Size> {
protected:
	FlowSizes() : ProgramTest(sized(GetParam().buckets)) {}
	void SetUp() override
	{
		ProgramTest::SetUp();
		set_table_seed(kSeed0, kSeed1);
		apply(two_families());
	}
	static Limits sized(std::uint32_t buckets)
	{
		Limits own = limits();
		own.flows_v4 = own.flows_v6 = buckets * AX_WAYS * possible_cpus();
		return own;
	}
	// By which backend.
	std::string steered(const Packet &packet) { return expect(AX_R_STEERED, packet).backend; }
};

constexpr std::uint16_t kFlows = 300;

TEST_P(FlowSizes, AFlowIsFoundAgainByTheProgramAndByReaders)
{
	ASSERT_EQ(dataplane().sizes().buckets4, GetParam().buckets);
	const std::vector<std::function<Packet(std::uint16_t)>> kinds = {
		[](std::uint16_t port) { return Eth{} / Ip4{} / Tcp{.sport = port}; },
		[](std::uint16_t port) { return Eth{} / Ip6{} / Tcp{.sport = port}; },
		[](std::uint16_t port) { return Eth{} / Ip6{} / Udp{.sport = port, .dport = 53}; },
	};
	for (const auto &packet : kinds) {
		std::map<std::uint16_t, std::string> first;
		for (std::uint16_t port = 1; port <= kFlows; ++port)
			first[port] = steered(packet(port));
		for (int again = 0; again < 2; ++again)
			for (std::uint16_t port = 1; port <= kFlows; ++port)
				ASSERT_EQ(steered(packet(port)), first[port]) << port;
	}
	const std::uint64_t all = kinds.size() * kFlows;
	EXPECT_EQ(notes(), (std::map<ax_reason, std::uint64_t>{{AX_R_FLOW_INSERTED, all}}));
	const auto found = flows();
	EXPECT_EQ(found.size(), all);
	EXPECT_EQ(std::ranges::count(found, 3U, &FlowRecord::packets), std::ptrdiff_t(all));
}

TEST_P(FlowSizes, SynsLeaveNoEntry)
{
	for (std::uint16_t port = 1; port <= kFlows; ++port) {
		steered(Eth{} / Ip4{} / Tcp{.sport = port, .flags = kSyn});
		steered(Eth{} / Ip6{} / Tcp{.sport = port, .flags = kSyn});
	}
	EXPECT_TRUE(flows().empty());
}

// Which is why it is asked about first.
TEST_P(FlowSizes, MostFlowsHaveTheirLikelyWay)
{
	std::vector<ax_bucket> buckets(GetParam().buckets);
	unsigned likely = 0;

	for (std::uint16_t port = 1; port <= kFlows; ++port)
		steered(from(kClient, port));
	ASSERT_TRUE(dataplane()
			    .map("ax_flow4_idx")
			    .read_at(cpu() * GetParam().buckets, std::span(buckets)));
	for (std::uint16_t port = 1; port <= kFlows; ++port) {
		const Place place = place_of(kClient, port, GetParam().buckets);
		const std::uint8_t tag = buckets[place.bucket].tag[likely_way(kClient, port)];
		likely += (tag & ~AX_TAG_USED) == place.tag;
	}
	EXPECT_GE(likely, kFlows * 9 / 10);
}

INSTANTIATE_TEST_SUITE_P(Tables, FlowSizes,
			 testing::Values(Size{"OneRegion", 512}, Size{"Regions", 16384},
					 Size{"OwnEntries", 32768}),
			 [](const auto &row) { return row.param.name; });

} // namespace
} // namespace anycast::test
