// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// ICMP to a VIP: errors go where the flow they quote goes, everything else to the node's stack.
#include <map>
#include <set>

#include "support/program_fixture.h"

namespace anycast::test {
namespace {

class Icmp : public ProgramTest {
protected:
	void SetUp() override
	{
		ProgramTest::SetUp();
		apply(two_families());
	}
};

// What the service sends to the client at `port`, as a router beyond it quotes it.
Packet quoted4(std::uint16_t port, const Ip4 &changes = {})
{
	Ip4 ip = changes;
	ip.src = "198.51.100.80";
	ip.dst = "203.0.113.5";
	return Eth{} / ip / Tcp{.sport = 80, .dport = port} / Payload(64);
}

Packet error4(const Packet &quoted, std::uint8_t type = 3, std::size_t bytes = 28)
{
	return Eth{} / Ip4{.src = "203.0.113.200"} / Icmp4{.type = type, .code = 4, .seq = 1400} /
	       quoted.slice(14, bytes);
}

Packet quoted6(std::uint16_t port)
{
	return Eth{} / Ip6{.src = "2001:db8::80", .dst = "2001:db8::5"} /
	       Tcp{.sport = 80, .dport = port} / Payload(64);
}

Packet error6(const Raw &quoted, std::uint8_t type = 2)
{
	return Eth{} / Ip6{.src = "2001:db8:7::1"} / Icmp6{.type = type, .mtu = 1280} / quoted;
}

TEST_F(Icmp, ErrorsGoToTheBackendOfTheFlowTheyQuote)
{
	std::set<std::string> backends;
	for (std::uint16_t port = 2000; port < 2060; ++port) {
		const std::string flow =
			expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{.sport = port}).backend;
		for (const std::uint8_t type : {3, 11, 12}) {
			const Outcome error =
				expect(AX_R_STEERED_ICMP, error4(quoted4(port), type));
			EXPECT_EQ(error.backend, flow);
			EXPECT_EQ(error.vip, "www");
		}
		backends.insert(flow);
		const std::string flow6 =
			expect(AX_R_STEERED, Eth{} / Ip6{} / Tcp{.sport = port}).backend;
		for (std::uint8_t type = 1; type <= 4; ++type)
			EXPECT_EQ(expect(AX_R_STEERED_ICMP, error6(quoted6(port).slice(14), type))
					  .backend,
				  flow6);
	}
	EXPECT_EQ(backends.size(), 3U);
}

TEST_F(Icmp, TheyFollowAFlowThatKeptItsBackend)
{
	// Half of the flows change their slot's owner; the flow table keeps them, and so must
	// errors.
	std::map<std::uint16_t, std::string> held;
	for (std::uint16_t port = 2000; port < 2040; ++port)
		held[port] = expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{.sport = port}).backend;
	Config config = two_families();
	config.pools[0].backends[0].state = AX_BACKEND_DRAINING;
	apply(config);
	std::size_t astray = 0;
	for (const auto &[port, backend] : held) {
		EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{.sport = port}).backend,
			  backend);
		astray += expect(AX_R_STEERED_ICMP, error4(quoted4(port))).backend != backend;
	}
	EXPECT_EQ(astray, 0U) << "of " << held.size() << " errors went to another backend";
}

TEST_F(Icmp, OptionsAndHeadersInTheQuoteAreSkipped)
{
	const std::string flow = expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{.sport = 3000}).backend;
	const Packet options = quoted4(3000, {.options = Bytes(40, 1)});
	EXPECT_EQ(expect(AX_R_STEERED_ICMP, error4(options, 3, 60 + 8)).backend, flow);
	const std::string flow6 = expect(AX_R_STEERED, Eth{} / Ip6{} / Tcp{.sport = 3000}).backend;
	const Packet atomic = Eth{} / Ip6{.src = "2001:db8::80", .dst = "2001:db8::5"} / Ip6Frag{} /
			      Tcp{.sport = 80, .dport = 3000};
	EXPECT_EQ(expect(AX_R_STEERED_ICMP, error6(atomic.slice(14))).backend, flow6);
}

TEST_F(Icmp, AQuotedFirstFragmentNamesItsFlow)
{
	// The answer is fragmented, the client's packets are not: they go by their ports.
	const Ip4 first{.mf = true};
	std::size_t astray = 0;
	for (std::uint16_t port = 2000; port < 2020; ++port) {
		const Outcome flow = expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{.sport = port});
		astray += expect(AX_R_STEERED_ICMP, error4(quoted4(port, first))).backend !=
			  flow.backend;
	}
	EXPECT_EQ(astray, 0U) << "of 20 errors went to another backend";
}

TEST_F(Icmp, AQuotedLaterFragmentGoesWhereFragmentsGo)
{
	const Outcome fragment = expect(AX_R_STEERED_FRAGMENT,
					Eth{} / Ip4{.offset = 5, .protocol = kTcp} / Payload(8));
	const Ip4 later{.offset = 5, .protocol = kTcp};
	EXPECT_EQ(expect(AX_R_STEERED_ICMP, error4(quoted4(3000, later))).backend,
		  fragment.backend);
}

TEST_F(Icmp, EightBytesOfTheTransportAreEnoughAndLessIsNot)
{
	expect(AX_R_STEERED_ICMP, error4(quoted4(3000), 3, 28));
	expect(AX_R_STEERED_ICMP, error4(quoted4(3000), 3, 24)); // the ports are there
	expect(AX_R_VIP_ICMP, error4(quoted4(3000), 3, 23));
	expect(AX_R_VIP_ICMP, error4(quoted4(3000), 3, 19));
	expect(AX_R_VIP_ICMP, error4(quoted4(3000), 3, 0));
	expect(AX_R_VIP_ICMP, error6(quoted6(3000).slice(14, 43)));
}

TEST_F(Icmp, TheQuoteEndsWithTheDatagramNotThePadding)
{
	// The ports lie behind the datagram's end.
	const Ip4 ip{.src = "203.0.113.200", .total_length = 20 + 8 + 20};
	expect(AX_R_VIP_ICMP, Eth{} / ip / Icmp4{.type = 3} / quoted4(3000).slice(14, 28));
}

TEST_F(Icmp, EchoAndOthersAreTheStacks)
{
	for (const std::uint8_t type : {0, 8, 13, 14})
		expect(AX_R_VIP_ICMP, Eth{} / Ip4{} / Icmp4{.type = type} / Payload(40));
	for (const std::uint8_t type : {128, 129, 130, 143})
		expect(AX_R_VIP_ICMP, Eth{} / Ip6{} / Icmp6{.type = type} / Payload(40));
	expect(AX_R_NOT_VIP, Eth{} / Ip4{.dst = "198.51.100.81"} / Icmp4{});
	expect(AX_R_NOT_VIP,
	       Eth{} / Ip4{.dst = "198.51.100.81"} / Icmp4{.type = 3} / quoted4(3000).slice(14));
	EXPECT_TRUE(flows().empty());
}

TEST_F(Icmp, AnErrorAboutSomethingElseIsTheStacks)
{
	const Packet other = Eth{} / Ip4{.src = "198.51.100.80", .dst = "203.0.113.5"} /
			     Tcp{.sport = 8080, .dport = 3000};
	expect(AX_R_VIP_ICMP, error4(other));
	const Packet foreign = Eth{} / Ip4{.src = "192.0.2.77", .dst = "203.0.113.5"} /
			       Tcp{.sport = 80, .dport = 3000};
	expect(AX_R_VIP_ICMP, error4(foreign));
	Ip4 ip{.src = "198.51.100.80", .dst = "203.0.113.5"};
	expect(AX_R_VIP_ICMP, error4(Eth{} / ip / Icmp4{})); // our echo reply, quoted
}

TEST_F(Icmp, AHeaderThatTheKernelWillCheckItselfIsOnlyCounted)
{
	const Packet foreign = Eth{} / Ip4{.src = "192.0.2.77", .dst = "203.0.113.5"} /
			       Tcp{.sport = 80, .dport = 3000};
	notes();
	expect(AX_R_VIP_ICMP, Eth{} / Ip4{.src = "203.0.113.200", .checksum = 1} /
				      Icmp4{.type = 3} / foreign.slice(14));
	EXPECT_EQ(notes()[AX_R_IP4_CHECKSUM_PASSED], 1U);
	expect(AX_R_IP4_CHECKSUM, Eth{} / Ip4{.src = "203.0.113.200", .checksum = 1} /
					  Icmp4{.type = 3} / quoted4(3000).slice(14, 28));
}

} // namespace
} // namespace anycast::test
