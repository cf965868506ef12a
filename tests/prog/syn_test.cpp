// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a SYN leaves behind (bpf/syn.h): who got it, and what it told, for the handshake's next
// packet.
#include <map>

#include "support/program_fixture.h"

namespace anycast::test {
namespace {

class Syn : public ProgramTest {
protected:
	void SetUp() override
	{
		ProgramTest::SetUp();
		apply(two_families());
	}
	// Who got it.
	std::string segment(std::uint16_t port, std::uint8_t flags, std::uint32_t seq)
	{
		return expect(AX_R_STEERED,
			      Eth{} / Ip4{} / Tcp{.sport = port, .seq = seq, .flags = flags})
			.backend;
	}
};

// Between the SYN and the next packet there is no entry, and the pool may change.
TEST_F(Syn, AHandshakeOutlivesAPoolChange)
{
	std::map<std::uint16_t, std::string> given;
	for (std::uint16_t port = 1000; port < 1200; ++port)
		given[port] = segment(port, kSyn, port);
	Config config = two_families();
	for (int i = 20; i < 30; ++i)
		config.pools[0].backends.push_back(backend_at("10.1.0." + std::to_string(i)));
	config.pools[0].backends[0].state = AX_BACKEND_DRAINING;
	config.pools[0].backends[1].state = AX_BACKEND_DOWN;
	const std::string draining = config.pools[0].backends[0].name,
			  down = config.pools[0].backends[1].name;
	apply(config);

	unsigned drained = 0, handshakes = 0, kept = 0, stayed = 0, strangers = 0;
	for (const auto &[port, backend] : given) {
		const bool knows = port % 2; // who does not know the number has no part in it
		const std::string got = segment(port, kAck, knows ? port + 1 : 77);
		if (backend == down) {
			EXPECT_NE(got, down);
		} else if (knows) {
			handshakes++;
			kept += got == backend;
		} else {
			(got == backend ? stayed : strangers)++;
		}
		drained += got == draining;
	}
	EXPECT_GE(kept, handshakes - 8) << "two SYNs may meet in one slot of 4096";
	EXPECT_GT(drained, 10U) << "a draining backend keeps its handshakes";
	EXPECT_GT(strangers, stayed) << "ten new backends have most slots";
}

// The SYN after a FIN is one SYN.
TEST_F(Syn, ASynOnAFinishedTupleIsNotARepeat)
{
	const auto segment = [this](std::uint8_t flags, std::uint32_t seq) {
		expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{.seq = seq, .flags = flags});
	};
	segment(kSyn, 100);
	segment(kAck, 101);
	segment(kFin | kAck, 101);
	segment(kSyn, 7000);
	segment(kAck, 7001);
	EXPECT_EQ(only_flow().syn_rtx, 0U);
	segment(kSyn, 7000);
	segment(kSyn, 7000);
	EXPECT_EQ(only_flow().syn_rtx, 0U) << "the entry is the older connection's";
}

// A note of a SYN says nothing of a packet that does not begin where that SYN ended.
TEST_F(Syn, AForeignSynTellsNothingOfAFlow)
{
	const auto segment = [this](std::uint8_t flags, std::uint32_t seq) {
		expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{.seq = seq, .flags = flags} / Payload(10));
	};
	segment(kSyn, 100);
	advance_us(2'000'000);
	segment(kAck, 90'000);
	segment(kAck, 90'010);
	const FlowRecord flow = only_flow();
	EXPECT_FALSE(flow.rtt_us);
	EXPECT_EQ(flow.segments, 2U);
	EXPECT_EQ(flow.loss.unrepaired, 0U) << "no hole between the SYN and what is another's";
}

// A new connection of a known flow's ports stays with the flow's backend, and so does its handshake
// when the entry is gone before it is over.
TEST_F(Syn, AHandshakeOnAKnownTupleKeepsTheFlowsBackend)
{
	std::map<std::uint16_t, std::string> given;
	for (std::uint16_t port = 1000; port < 1100; ++port)
		given[port] = segment(port, kAck, port);
	Config config = two_families();
	for (int i = 20; i < 30; ++i)
		config.pools[0].backends.push_back(backend_at("10.1.0." + std::to_string(i)));
	apply(config);
	for (const auto &[port, backend] : given)
		EXPECT_EQ(segment(port, kSyn, 5000), backend);
	forget_entries();

	unsigned kept = 0, strangers = 0;
	for (const auto &[port, backend] : given) {
		kept += segment(port, kAck, 5001) == backend;
		strangers +=
			segment(static_cast<std::uint16_t>(port + 1000), kAck, 5001) == backend;
	}
	EXPECT_GE(kept, given.size() - 4) << "two SYNs may meet in one slot of 4096";
	EXPECT_LT(strangers, given.size() / 2) << "ten new backends have most slots";
}

} // namespace
} // namespace anycast::test
