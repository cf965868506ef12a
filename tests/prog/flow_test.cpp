// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The flow table: what it keeps, what it forgets, and that nobody can fill it.
#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "prog/table_hash.h"
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

class Flow : public ProgramTest {
protected:
	void SetUp() override
	{
		ProgramTest::SetUp();
		set_table_seed(kSeed0, kSeed1);
		apply(two_families());
		notes();
	}
	static Packet tcp(std::uint16_t port, std::uint8_t flags = kAck)
	{
		return Eth{} / Ip4{} / Tcp{.sport = port, .flags = flags};
	}
	std::string backend_of(std::uint16_t port, std::uint8_t flags = kAck)
	{
		return expect(AX_R_STEERED, tcp(port, flags)).backend;
	}
	// www's flows from `port` on that have the first backend.
	std::uint16_t port_on(const std::string &backend, std::uint16_t port = 1024)
	{
		while (send(tcp(port, kSyn)).backend != backend)
			++port;
		return port;
	}
};

using Notes = std::map<ax_reason, std::uint64_t>;

TEST_F(Flow, ASynLeavesNoEntryTheNextPacketDoes)
{
	for (std::uint16_t port = 1; port < 200; ++port)
		expect(AX_R_STEERED, tcp(port, kSyn));
	EXPECT_TRUE(flows().empty());
	EXPECT_EQ(notes(), Notes{});
	expect(AX_R_STEERED, tcp(7));
	EXPECT_EQ(notes(), (Notes{{AX_R_FLOW_INSERTED, 1}}));
	const Outcome known = expect(AX_R_STEERED, tcp(7));
	EXPECT_EQ(known.slot, std::nullopt) << "the flow table answered";
	EXPECT_EQ(notes(), Notes{});
	const FlowRecord flow = only_flow();
	EXPECT_EQ(flow.source.text(), "203.0.113.5");
	EXPECT_EQ(flow.destination.text(), "198.51.100.80");
	EXPECT_EQ(flow.source_port, 7);
	EXPECT_EQ(flow.destination_port, 80);
	EXPECT_EQ(flow.packets, 2U);
	EXPECT_EQ(flow.bytes, 2 * tcp(7).size());
	EXPECT_EQ(flow.cpu, cpu());
}

TEST_F(Flow, UdpInsertsWithItsFirstPacketAndOthersNever)
{
	expect(AX_R_STEERED, Eth{} / Ip4{} / Udp{});
	expect(AX_R_STEERED, Eth{} / Ip6{} / Udp{});
	EXPECT_EQ(flows().size(), 2U);
	expect(AX_R_STEERED_FRAGMENT, Eth{} / Ip4{.mf = true} / Udp{.sport = 9} / Payload(8));
	expect(AX_R_VIP_ICMP, Eth{} / Ip4{} / Icmp4{});
	EXPECT_EQ(flows().size(), 2U);
}

TEST_F(Flow, AHitKeepsItsBackendAcrossAPoolChange)
{
	std::map<std::uint16_t, std::string> held;
	for (std::uint16_t port = 1000; port < 1100; ++port)
		held[port] = backend_of(port);
	Config config = two_families();
	for (int i = 20; i < 30; ++i) // most slots change their owner
		config.pools[0].backends.push_back(backend_at("10.1.0." + std::to_string(i)));
	apply(config);
	notes();
	unsigned moved = 0;
	for (const auto &[port, backend] : held) {
		moved += expect(AX_R_STEERED, tcp(port, kSyn | kAck)).backend != backend;
		EXPECT_EQ(backend_of(port), backend);
	}
	EXPECT_EQ(moved, 0U);
	EXPECT_EQ(notes(), (Notes{{AX_R_FLOW_REVALIDATED, 100}})); // each once
	unsigned elsewhere = 0; // while new flows of the same tuples would go elsewhere
	reset_flows();
	for (const auto &[port, backend] : held)
		elsewhere += backend_of(port) != backend;
	EXPECT_GT(elsewhere, 30U);
}

TEST_F(Flow, DrainingKeepsDownAndMaintenanceMove)
{
	const std::uint16_t port = port_on("10.1.0.12");
	EXPECT_EQ(backend_of(port), "10.1.0.12");
	Config config = two_families();
	config.pools[0].backends[1].state = AX_BACKEND_DRAINING;
	apply(config);
	EXPECT_EQ(backend_of(port), "10.1.0.12");
	EXPECT_NE(send(tcp(port_on("10.1.0.11"), kSyn)).backend, "10.1.0.12");
	for (const ax_backend_state state : {AX_BACKEND_DOWN, AX_BACKEND_MAINTENANCE}) {
		config.pools[0].backends[1].state = AX_BACKEND_ACTIVE;
		apply(config);
		reset_flows();
		EXPECT_EQ(backend_of(port), "10.1.0.12");
		config.pools[0].backends[1].state = state;
		apply(config);
		notes();
		const std::string other = backend_of(port);
		EXPECT_NE(other, "10.1.0.12");
		EXPECT_EQ(notes(), (Notes{{AX_R_FLOW_RESTEERED, 1}, {AX_R_FLOW_INSERTED, 1}}));
		EXPECT_EQ(backend_of(port), other);
		EXPECT_EQ(flows().size(), 1U);
	}
}

TEST_F(Flow, ASynOnAKnownTupleDoesNotPinToADrainingBackend)
{
	const std::uint16_t port = port_on("10.1.0.12");
	EXPECT_EQ(backend_of(port), "10.1.0.12");
	EXPECT_EQ(backend_of(port, kSyn), "10.1.0.12") << "nor does a forged SYN unpin";
	EXPECT_EQ(flows().size(), 1U);
	Config config = two_families();
	config.pools[0].backends[1].state = AX_BACKEND_DRAINING;
	apply(config);
	EXPECT_EQ(backend_of(port), "10.1.0.12");
	EXPECT_NE(backend_of(port, kSyn), "10.1.0.12");
	EXPECT_TRUE(flows().empty());
}

TEST_F(Flow, ASynAfterAFinOpensAnotherConnection)
{
	EXPECT_FALSE(backend_of(5).empty());
	backend_of(5, kFin | kAck);
	EXPECT_EQ(only_flow().flags & AX_FLOW_FIN, AX_FLOW_FIN);
	backend_of(5, kSyn);
	EXPECT_TRUE(flows().empty());
	backend_of(5);
	EXPECT_EQ(only_flow().packets, 1U);
}

TEST_F(Flow, ARemovedVipsFlowsAreNotItsSuccessors)
{
	EXPECT_FALSE(backend_of(5).empty());
	Config config = two_families();
	config.vips.erase(config.vips.begin()); // www; dns stays on the address
	apply(config);
	expect(AX_R_VIP_NO_SERVICE, tcp(5));
	EXPECT_TRUE(flows().empty());
	apply(two_families()); // its id again, another generation of it
	EXPECT_FALSE(backend_of(5).empty());
}

TEST_F(Flow, AReusedBackendIdIsAnotherBackend)
{
	const std::uint16_t port = port_on("10.1.0.12");
	EXPECT_EQ(backend_of(port), "10.1.0.12");
	Config config = two_families();
	config.pools[0].backends[1] = backend_at("10.1.0.99"); // takes the free id
	apply(config);
	notes();
	backend_of(port);
	EXPECT_EQ(notes()[AX_R_FLOW_RESTEERED], 1U);
	EXPECT_NE(image().backends[only_flow().backend].gen, 0);
}

TEST_F(Flow, InsertsBeyondTheLimitAreSteeredUntracked)
{
	ASSERT_TRUE(dataplane().set_insert_limit(10));
	set_clock_us(64'000'000); // the beginning of a window: 16 jiffies of 4 ms
	for (std::uint16_t port = 1; port <= 25; ++port)
		EXPECT_FALSE(backend_of(port).empty());
	EXPECT_EQ(notes(), (Notes{{AX_R_FLOW_INSERTED, 10}, {AX_R_UNTRACKED, 15}}));
	EXPECT_EQ(flows().size(), 10U);
	backend_of(1); // known ones do not count
	advance_us(63'999);
	backend_of(30);
	EXPECT_EQ(notes(), (Notes{{AX_R_UNTRACKED, 1}}));
	advance_us(1);
	for (std::uint16_t port = 31; port <= 45; ++port)
		backend_of(port);
	EXPECT_EQ(notes(), (Notes{{AX_R_FLOW_INSERTED, 10}, {AX_R_UNTRACKED, 5}}));
}

// Ports of one client whose flows share a bucket, no two of them with the same tag.
std::vector<std::uint16_t> neighbours(std::size_t count, std::uint32_t buckets)
{
	std::vector<std::uint16_t> ports;
	std::set<std::uint8_t> tags;
	for (std::uint32_t port = 1; ports.size() < count && port < 65536; ++port) {
		const Place place = place_of(kClient, static_cast<std::uint16_t>(port), buckets);
		if (place.bucket == 3 && tags.insert(place.tag).second)
			ports.push_back(static_cast<std::uint16_t>(port));
	}
	return ports;
}

TEST_F(Flow, AFullBucketReplacesWhatWasNotUsedAgain)
{
	const auto same = neighbours(2 * AX_WAYS + 2, dataplane().sizes().buckets4);
	ASSERT_EQ(same.size(), 2U * AX_WAYS + 2);
	for (std::size_t i = 0; i < AX_WAYS; ++i) {
		backend_of(same[i]);
		if (i != 1)
			backend_of(same[i]);
	}
	EXPECT_EQ(notes(), (Notes{{AX_R_FLOW_INSERTED, AX_WAYS}}));
	for (std::size_t i = AX_WAYS; i < 2 * AX_WAYS; ++i) // each takes its predecessor's place
		backend_of(same[i]);
	EXPECT_EQ(notes(), (Notes{{AX_R_FLOW_INSERTED, AX_WAYS}, {AX_R_FLOW_EVICTED, AX_WAYS}}));
	EXPECT_EQ(flows().size(), std::size_t{AX_WAYS});
	for (std::size_t i = 0; i < AX_WAYS; ++i) {
		if (i != 1) {
			EXPECT_EQ(expect(AX_R_STEERED, tcp(same[i])).slot, std::nullopt) << i;
		}
	}
	EXPECT_EQ(expect(AX_R_STEERED, tcp(same[2 * AX_WAYS - 1])).slot, std::nullopt);
	EXPECT_EQ(notes(), Notes{});
	// Now all were used again: whoever is not from here on makes room.
	backend_of(same[2 * AX_WAYS]);
	EXPECT_EQ(notes(), (Notes{{AX_R_FLOW_INSERTED, 1}, {AX_R_FLOW_EVICTED, 1}}));
	std::set<std::uint16_t> kept;
	for (const FlowRecord &flow : flows())
		kept.insert(flow.source_port);
	const std::uint16_t lively = *kept.begin();
	backend_of(lively);
	for (std::size_t i = 0; i < AX_WAYS; ++i)
		if (!kept.contains(same[i]))
			backend_of(same[i]);
	EXPECT_EQ(expect(AX_R_STEERED, tcp(lively)).slot, std::nullopt);
}

// At most AX_NAMESAKES (bpf/flow.h) of one tag to a bucket, so that looking at these finds any.
TEST_F(Flow, AThirdFlowOfOneTagReplacesOneOfThem)
{
	const std::uint32_t buckets = dataplane().sizes().buckets4;
	std::map<Place, std::vector<std::uint16_t>> seen;
	std::vector<std::uint16_t> same;
	std::uint32_t source = kClient;
	for (; same.empty(); ++source) {
		ASSERT_LT(source, kClient + 200) << "no collision found";
		seen.clear();
		for (std::uint32_t port = 1; port < 65536 && same.empty(); ++port) {
			auto &there =
				seen[place_of(source, static_cast<std::uint16_t>(port), buckets)];
			there.push_back(static_cast<std::uint16_t>(port));
			if (there.size() == 3)
				same = there;
		}
	}
	--source;
	for (const std::uint16_t port : same)
		expect(AX_R_STEERED, from(source, port));
	EXPECT_EQ(notes(), (Notes{{AX_R_FLOW_INSERTED, 3}, {AX_R_FLOW_EVICTED, 1}}));
	EXPECT_EQ(flows().size(), 2U);
	EXPECT_EQ(expect(AX_R_STEERED, from(source, same[0])).slot, std::nullopt);
	EXPECT_EQ(expect(AX_R_STEERED, from(source, same[2])).slot, std::nullopt);
}

// Tag 0 is that of an empty way.
TEST_F(Flow, AFlowWhoseTagWouldBeZeroIsFoundAgain)
{
	std::uint32_t source = kClient, port = 1;
	while (hash_of(source, static_cast<std::uint16_t>(port)) >> 57 != 0)
		if (++port == 65536) {
			port = 1;
			++source;
		}
	const Packet packet = from(source, static_cast<std::uint16_t>(port));
	for (int i = 0; i < 5; ++i)
		expect(AX_R_STEERED, packet);
	EXPECT_EQ(notes(), (Notes{{AX_R_FLOW_INSERTED, 1}}));
	EXPECT_EQ(only_flow().packets, 5U);
}

TEST_F(Flow, FlowsOfOneTagAndBucketAreToldApart)
{
	const std::uint32_t buckets = dataplane().sizes().buckets4;
	std::map<Place, std::pair<std::uint32_t, std::uint16_t>> seen;
	unsigned pairs = 0;
	for (std::uint32_t source = kClient; pairs < 3; ++source) {
		for (std::uint32_t port = 1; port < 65536 && pairs < 3; port += 7) {
			const auto p = static_cast<std::uint16_t>(port);
			const auto [at, added] =
				seen.try_emplace(place_of(source, p, buckets), source, p);
			if (added)
				continue;
			++pairs;
			const auto [source1, port1] = at->second;
			const Outcome one = expect(AX_R_STEERED, from(source1, port1));
			notes();
			const Outcome two = expect(AX_R_STEERED, from(source, p));
			EXPECT_NE(two.slot, std::nullopt) << "took the other flow's entry";
			EXPECT_EQ(notes()[AX_R_FLOW_INSERTED], 1U);
			EXPECT_EQ(expect(AX_R_STEERED, from(source1, port1)).backend, one.backend);
			EXPECT_EQ(expect(AX_R_STEERED, from(source, p)).backend, two.backend);
			EXPECT_EQ(notes(), Notes{});
		}
		ASSERT_LT(source, kClient + 200) << "no collision found";
	}
	EXPECT_EQ(flows().size(), 6U);
}

TEST_F(Flow, AgreesWithAPlainModel)
{
	// Random packets of random flows. The model never forgets; the table may, and says so.
	std::mt19937 random(static_cast<unsigned>(setting("AX_FUZZ_SEED", 1)));
	std::map<std::pair<std::uint32_t, std::uint16_t>, std::uint64_t> packets;
	const unsigned frames = in_vm() ? 3000 : 30000, sources = in_vm() ? 100 : 400;
	for (unsigned i = 0; i < frames; ++i) {
		const std::uint32_t source = kClient + random() % sources;
		const auto port = static_cast<std::uint16_t>(1 + random() % 3);
		const Outcome outcome = send(from(source, port));
		ASSERT_EQ(outcome.verdict, XDP_TX);
		++packets[{source, port}];
		advance_us(random() % 5000);
	}
	const Notes noted = notes();
	const std::uint64_t inserted = noted.at(AX_R_FLOW_INSERTED);
	const std::uint64_t evicted =
		noted.contains(AX_R_FLOW_EVICTED) ? noted.at(AX_R_FLOW_EVICTED) : 0;
	const auto found = flows();
	EXPECT_EQ(found.size(), inserted - evicted);
	EXPECT_LE(found.size(), packets.size());
	std::set<std::pair<std::uint32_t, std::uint16_t>> once;
	std::uint64_t whole = 0;
	for (const FlowRecord &flow : found) {
		const std::pair key{flow.source.v4_host_order(), flow.source_port};
		ASSERT_TRUE(packets.contains(key));
		EXPECT_TRUE(once.insert(key).second) << "an entry twice";
		EXPECT_LE(flow.packets, packets[key]);
		whole += flow.packets == packets[key];
	}
	if (evicted == 0) {
		EXPECT_EQ(whole, packets.size());
	}
	EXPECT_GT(whole, packets.size() / 2);
}

TEST_F(Flow, BothFamiliesHaveTheirOwnTable)
{
	for (std::uint16_t port = 1; port <= 300; ++port) {
		expect(AX_R_STEERED, tcp(port));
		expect(AX_R_STEERED, Eth{} / Ip6{} / Tcp{.sport = port});
	}
	const auto found = flows();
	EXPECT_EQ(std::ranges::count(found, 4, &FlowRecord::family), 300);
	EXPECT_EQ(std::ranges::count(found, 6, &FlowRecord::family), 300);
	for (std::uint16_t port = 1; port <= 300; ++port)
		EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Ip6{} / Tcp{.sport = port}).slot,
			  std::nullopt);
}

} // namespace
} // namespace anycast::test
