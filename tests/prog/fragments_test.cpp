// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Fragments: by addresses and protocol, in any order; or, for pools that want it, by notes that
// first fragments leave.
#include <map>

#include "support/program_fixture.h"

namespace anycast::test {
namespace {

class Fragments : public ProgramTest {
protected:
	void SetUp() override
	{
		ProgramTest::SetUp();
		config_ = two_families();
	}
	void with_notes()
	{
		for (Pool &pool : config_.pools)
			pool.fragment_notes = true;
		apply(config_);
	}
	Config config_;
};

Packet first4(std::uint16_t id, std::uint16_t port)
{
	return Eth{} / Ip4{.id = id, .mf = true} / Udp{.sport = port} / Payload(56);
}

Packet rest4(std::uint16_t id)
{
	return Eth{} / Ip4{.id = id, .offset = 8, .protocol = kUdp} / Payload(100);
}

Packet first6(std::uint32_t id, std::uint16_t port)
{
	return Eth{} / Ip6{} / Ip6Frag{.mf = true, .id = id} / Udp{.sport = port} / Payload(56);
}

Packet rest6(std::uint32_t id)
{
	return Eth{} / Ip6{} / Ip6Frag{.offset = 8, .id = id, .next_header = kUdp} / Payload(100);
}

TEST_F(Fragments, GoByAddressesAndProtocolWhateverTheirOrder)
{
	apply(config_);
	const std::string all = expect(AX_R_STEERED_FRAGMENT, rest4(1)).backend;
	const std::string all6 = expect(AX_R_STEERED_FRAGMENT, rest6(1)).backend;
	for (std::uint16_t port = 1000; port < 1020; ++port) {
		EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, first4(port, port)).backend, all);
		EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, rest4(port)).backend, all);
		EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, first6(port, port)).backend, all6);
		EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, rest6(port)).backend, all6);
	}
	// Options and extension headers, which not every fragment repeats, say nothing of whose it
	// is.
	const Ip4 first{.id = 9, .mf = true, .options = Bytes(8, 1)},
		rest{.id = 9, .offset = 8, .protocol = kUdp, .options = Bytes(40, 1)};
	EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, Eth{} / first / Udp{} / Payload(56)).backend, all);
	EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, Eth{} / rest / Payload(100)).backend, all);
	EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT,
			 Eth{} / Ip6{} / Ip6Ext{} /
				 Ip6Frag{.offset = 8, .id = 9, .next_header = kUdp} / Payload(100))
			  .backend,
		  all6);
	EXPECT_TRUE(flows().empty());
	EXPECT_EQ(notes().count(AX_R_FRAGMENT_UNNOTED), 0U);
}

TEST_F(Fragments, WithNotesTheyGoLikeTheirFlow)
{
	with_notes();
	notes();
	std::map<std::string, int> backends;
	for (std::uint16_t port = 1000; port < 1040; ++port) {
		const std::string flow =
			expect(AX_R_STEERED, Eth{} / Ip4{} / Udp{.sport = port}).backend;
		EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, first4(port, port)).backend, flow);
		EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, rest4(port)).backend, flow);
		EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, rest4(port)).backend, flow);
		const std::string flow6 =
			expect(AX_R_STEERED, Eth{} / Ip6{} / Udp{.sport = port}).backend;
		EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, first6(0x10000U + port, port)).backend,
			  flow6);
		EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, rest6(0x10000U + port)).backend, flow6);
		backends[flow]++;
	}
	EXPECT_EQ(backends.size(), 3U);
	EXPECT_EQ(notes().count(AX_R_FRAGMENT_UNNOTED), 0U);
}

TEST_F(Fragments, AFlowThatKeptItsBackendKeepsItsFragments)
{
	with_notes();
	std::map<std::uint16_t, std::string> held;
	for (std::uint16_t port = 1000; port < 1040; ++port)
		held[port] = expect(AX_R_STEERED, Eth{} / Ip4{} / Udp{.sport = port}).backend;
	config_.pools[0].backends[0].state = AX_BACKEND_DRAINING;
	with_notes();
	for (const auto &[port, backend] : held) {
		EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, first4(port, port)).backend, backend);
		EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, rest4(port)).backend, backend);
	}
}

TEST_F(Fragments, WithoutANoteTheyGoByAddressesAndProtocolAndAreCounted)
{
	apply(config_);
	const std::string all = expect(AX_R_STEERED_FRAGMENT, rest4(60000)).backend;
	with_notes();
	notes();
	EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, rest4(60000)).backend, all);
	EXPECT_EQ(notes()[AX_R_FRAGMENT_UNNOTED], 1U);
	// A note is of no use any more once its backend is gone.
	std::uint16_t port = 2000;
	while (expect(AX_R_STEERED_FRAGMENT, first4(60001, port)).backend == all)
		port++;
	EXPECT_NE(expect(AX_R_STEERED_FRAGMENT, rest4(60001)).backend, all);
	for (Backend &backend : config_.pools[0].backends)
		if (backend.address.text() != all)
			backend.state = AX_BACKEND_DOWN;
	with_notes();
	EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, rest4(60001)).backend, all);
	EXPECT_EQ(notes()[AX_R_FRAGMENT_UNNOTED], 1U);
}

TEST_F(Fragments, NotesAreForPoolsThatWantThem)
{
	config_.pools[1].fragment_notes = true; // IPv6 only
	apply(config_);
	const std::string all = expect(AX_R_STEERED_FRAGMENT, rest4(50000)).backend;
	for (std::uint16_t port = 1000; port < 1020; ++port)
		EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT, first4(port, port)).backend, all);
	EXPECT_EQ(notes().count(AX_R_FRAGMENT_UNNOTED), 0U);
	// what is checked of everything that is steered is checked here too
	expect(AX_R_IP6_HOP_ZERO,
	       Eth{} / Ip6{.hop_limit = 0} / Ip6Frag{.mf = true} / Udp{} / Payload(56));
}

} // namespace
} // namespace anycast::test
