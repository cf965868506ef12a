// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// GTSM, RFC 5082: what claims to come from a BGP neighbour and has travelled too far.
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

constexpr std::uint8_t kNear = 255;
constexpr const char *kLocal4 = "192.0.2.1", *kLocal6 = "2001:db8:9::1"; // session addresses
constexpr const char *kPeer4 = "192.0.2.254", *kPeer6 = "2001:db8:9::fe";
constexpr const char *kFar4 = "192.0.2.253", *kExempt4 = "192.0.2.252"; // 5 hops; exempt
constexpr const char *kStranger4 = "192.0.2.251";

Config with_sessions()
{
	Config config = two_families();
	config.gtsm_local = {*Address::parse(kLocal4), *Address::parse(kLocal6)};
	config.gtsm_peers = {{*Address::parse(kPeer4), 1},
			     {*Address::parse(kPeer6), 1},
			     {*Address::parse(kFar4), 5},
			     {*Address::parse(kExempt4), 0}};
	return config;
}

class Gtsm : public ProgramTest {
protected:
	void SetUp() override
	{
		ProgramTest::SetUp();
		apply(with_sessions());
	}
	std::pair<std::uint64_t, std::uint64_t> peer(const std::string &name)
	{
		const auto counters = *dataplane().peer_counters();
		for (std::size_t id = 0; id < image().ids.peers.size(); ++id)
			if (image().ids.peers[id].name == name)
				return {counters[id].accepted, counters[id].refused};
		return {};
	}
};

Packet bgp4(std::uint8_t ttl, const std::string &from = kPeer4, const Tcp &tcp = {.dport = 179})
{
	return Eth{} / Ip4{.src = from, .dst = kLocal4, .ttl = ttl} / tcp;
}

Packet bgp6(std::uint8_t hops, const Tcp &tcp = {.dport = 179})
{
	return Eth{} / Ip6{.src = kPeer6, .dst = kLocal6, .hop_limit = hops} / tcp;
}

TEST_F(Gtsm, DropsTtl254OnPort179)
{
	expect(AX_R_GTSM_TTL, bgp4(254));
	expect(AX_R_GTSM_TTL, bgp6(254));
	expect(AX_R_GTSM_ACCEPTED, bgp4(kNear));
	expect(AX_R_GTSM_ACCEPTED, bgp6(kNear));
	EXPECT_EQ(peer(kPeer4), std::make_pair(1UL, 1UL));
	EXPECT_EQ(peer(kPeer6), std::make_pair(1UL, 1UL));
}

TEST_F(Gtsm, EitherPortMakesItBgp)
{
	const Tcp to{.sport = 40000, .dport = 179}, from{.sport = 179, .dport = 40000};
	for (const Tcp &tcp : {to, from}) {
		for (const std::uint8_t flags : {kSyn, kAck, kRst, kFin}) {
			Tcp segment = tcp;
			segment.flags = flags == kFin ? kFin | kAck : flags;
			expect(AX_R_GTSM_TTL, bgp4(64, kPeer4, segment));
			expect(AX_R_GTSM_TTL, bgp6(64, segment));
			expect(AX_R_GTSM_ACCEPTED, bgp4(kNear, kPeer4, segment));
		}
	}
	const Tcp neither{.sport = 40000, .dport = 180};
	expect(AX_R_NOT_VIP, bgp4(1, kPeer4, neither));
	expect(AX_R_NOT_VIP, bgp6(1, neither));
}

TEST_F(Gtsm, APeersHopsAreItsBound)
{
	expect(AX_R_GTSM_ACCEPTED, bgp4(255, kFar4));
	expect(AX_R_GTSM_ACCEPTED, bgp4(251, kFar4));
	expect(AX_R_GTSM_TTL, bgp4(250, kFar4));
	expect(AX_R_GTSM_TTL, bgp4(0, kFar4));
	for (int hops = 1; hops <= 255; hops += 127) {
		Config config = with_sessions();
		config.gtsm_peers[0].hops = static_cast<std::uint16_t>(hops);
		apply(config);
		expect(AX_R_GTSM_ACCEPTED, bgp4(static_cast<std::uint8_t>(256 - hops)));
		expect(AX_R_GTSM_TTL, bgp4(static_cast<std::uint8_t>(255 - hops)));
	}
}

TEST_F(Gtsm, AnExemptPeerMayBeAnywhere)
{
	expect(AX_R_GTSM_ACCEPTED, bgp4(1, kExempt4));
	expect(AX_R_GTSM_ACCEPTED, bgp4(255, kExempt4));
}

TEST_F(Gtsm, AnUnknownPeerIsCountedOrDropped)
{
	notes();
	expect(AX_R_GTSM_TTL, bgp4(254, kStranger4));
	EXPECT_TRUE(notes().empty());
	expect(AX_R_GTSM_ACCEPTED, bgp4(kNear, kStranger4));
	EXPECT_EQ(notes(), (std::map<ax_reason, std::uint64_t>{{AX_R_GTSM_UNKNOWN_PEER, 1}}));
	Config config = with_sessions();
	config.rules["gtsm_unknown_peer"] = AX_ACTION_DROP;
	apply(config);
	expect(AX_R_GTSM_UNKNOWN_PEER, bgp4(kNear, kStranger4));
	expect(AX_R_GTSM_ACCEPTED, bgp4(kNear));
}

TEST_F(Gtsm, CountingOnlyLetsThemPass)
{
	Config config = with_sessions();
	config.rules["gtsm_ttl"] = AX_ACTION_COUNT;
	apply(config);
	notes();
	expect(AX_R_GTSM_ACCEPTED, bgp4(1));
	EXPECT_EQ(notes(), (std::map<ax_reason, std::uint64_t>{{AX_R_GTSM_TTL, 1}}));
	EXPECT_EQ(peer(kPeer4).second, 1U);
}

TEST_F(Gtsm, BehindTagsOptionsAndExtensionHeaders)
{
	const Ip4 ip{.src = kPeer4, .dst = kLocal4, .ttl = 254, .options = Bytes(8, 1)};
	expect(AX_R_GTSM_TTL, Eth{} / Vlan{1} / Vlan{2} / ip / Tcp{.dport = 179});
	const Ip6 ip6{.src = kPeer6, .dst = kLocal6, .hop_limit = 254};
	expect(AX_R_GTSM_TTL, Eth{} / Vlan{1} / ip6 / Ip6Ext{} / Tcp{.dport = 179});
	expect(AX_R_GTSM_TTL, Eth{} / ip6 / Ip6Frag{} / Tcp{.dport = 179});
}

TEST_F(Gtsm, FirstFragmentsAreBoundLaterOnesCannotBe)
{
	const Ip4 first{.src = kPeer4, .dst = kLocal4, .mf = true, .ttl = 254};
	expect(AX_R_GTSM_TTL, Eth{} / first / Tcp{.dport = 179} / Payload(4));
	expect(AX_R_NOT_VIP, Eth{} /
				     Ip4{.src = kPeer4,
					 .dst = kLocal4,
					 .offset = 3,
					 .ttl = 254,
					 .protocol = kTcp} /
				     Payload(20));
	const Ip6 ip6{.src = kPeer6, .dst = kLocal6, .hop_limit = 254};
	expect(AX_R_GTSM_TTL, Eth{} / ip6 / Ip6Frag{.mf = true} / Tcp{.dport = 179} / Payload(4));
	expect(AX_R_NOT_VIP, Eth{} / ip6 / Ip6Frag{.offset = 3, .next_header = kTcp} / Payload(20));
}

TEST_F(Gtsm, TransitAndOtherPortsAreNotOurs)
{
	expect(AX_R_NOT_VIP, Eth{} / Ip4{.dst = "203.0.113.77", .ttl = 3} / Tcp{.dport = 179});
	expect(AX_R_VIP_NO_SERVICE, Eth{} / Ip4{.ttl = 3} / Tcp{.dport = 179}); // to a VIP
	expect(AX_R_NOT_VIP, Eth{} / Ip4{.dst = kLocal4, .ttl = 3} / Udp{.dport = 179});
	expect(AX_R_NOT_VIP, Eth{} / Ip4{.dst = kLocal4, .ttl = 3} / Tcp{.dport = 22});
}

TEST_F(Gtsm, BfdNeeds255)
{
	const Udp bfd{.sport = 49152, .dport = 3784};
	const auto v4 = [&](std::uint8_t ttl) {
		return Eth{} / Ip4{.src = kPeer4, .dst = kLocal4, .ttl = ttl} / bfd / Payload(24);
	};
	expect(AX_R_GTSM_BFD, v4(254));
	expect(AX_R_GTSM_ACCEPTED, v4(255));
	const Ip6 ip6{.src = kPeer6, .dst = kLocal6, .hop_limit = 254};
	expect(AX_R_GTSM_BFD, Eth{} / ip6 / bfd / Payload(24));
	// Multihop BFD (RFC 5883) has a port of its own, and replies come from any port.
	expect(AX_R_NOT_VIP, Eth{} / Ip4{.src = kPeer4, .dst = kLocal4, .ttl = 3} /
				     Udp{.sport = 3784, .dport = 49152});
	expect(AX_R_NOT_VIP, Eth{} / Ip4{.src = kPeer4, .dst = kLocal4, .ttl = 3} /
				     Udp{.sport = 49152, .dport = 4784});
}

// Our segment to the peer, as a router on the way would quote it.
Packet error4(std::uint8_t ttl, const Packet &quoted, std::size_t bytes = 28)
{
	return Eth{} / Ip4{.src = "203.0.113.9", .dst = kLocal4, .ttl = ttl} /
	       Icmp4{.type = 3, .code = 4, .seq = 600} / quoted.slice(14, bytes);
}

TEST_F(Gtsm, IcmpErrorsThatQuoteASessionNeed255)
{
	const Packet ours = Eth{} / Ip4{.src = kLocal4, .dst = kPeer4} / Tcp{.dport = 179};
	expect(AX_R_GTSM_ICMP, error4(254, ours));
	expect(AX_R_NOT_VIP, error4(255, ours));
	const Packet reply =
		Eth{} / Ip4{.src = kLocal4, .dst = kPeer4} / Tcp{.sport = 179, .dport = 4000};
	expect(AX_R_GTSM_ICMP, error4(64, reply));
	const Packet options = Eth{} / Ip4{.src = kLocal4, .dst = kPeer4, .options = Bytes(40, 1)} /
			       Tcp{.dport = 179};
	expect(AX_R_GTSM_ICMP, error4(64, options, 60 + 8));
	const Packet far = Eth{} / Ip4{.src = kLocal4, .dst = kFar4} / Tcp{.dport = 179};
	expect(AX_R_NOT_VIP, error4(251, far));
	expect(AX_R_GTSM_ICMP, error4(250, far));
	const Packet exempt = Eth{} / Ip4{.src = kLocal4, .dst = kExempt4} / Tcp{.dport = 179};
	expect(AX_R_NOT_VIP, error4(1, exempt));
	const Packet web = Eth{} / Ip4{.src = kLocal4, .dst = "203.0.113.9"} / Tcp{.dport = 443};
	expect(AX_R_NOT_VIP, error4(64, web));
	const Packet others = Eth{} / Ip4{.src = "203.0.113.8", .dst = kPeer4} / Tcp{.dport = 179};
	expect(AX_R_NOT_VIP, error4(64, others));
}

TEST_F(Gtsm, Icmp6ErrorsToo)
{
	const Packet ours = Eth{} / Ip6{.src = kLocal6, .dst = kPeer6} / Tcp{.dport = 179};
	const auto error = [&](std::uint8_t hops, std::uint8_t type) {
		return Eth{} / Ip6{.src = "2001:db8::7", .dst = kLocal6, .hop_limit = hops} /
		       Icmp6{.type = type, .mtu = 1280} / ours.slice(14);
	};
	for (std::uint8_t type = 1; type <= 4; ++type) {
		expect(AX_R_GTSM_ICMP, error(254, type));
		expect(AX_R_NOT_VIP, error(255, type));
	}
	expect(AX_R_NOT_VIP, error(64, 128)); // an echo request quotes nothing
}

TEST_F(Gtsm, ExtensionHeadersInTheQuoteAreNoWayRound)
{
	// Linux skips them (icmpv6_notify) and gives the error to the session.
	const Packet ours =
		Eth{} / Ip6{.src = kLocal6, .dst = kPeer6} / Ip6Ext{} / Tcp{.dport = 179};
	expect(AX_R_GTSM_ICMP, Eth{} / Ip6{.src = "2001:db8::7", .dst = kLocal6, .hop_limit = 64} /
				       Icmp6{.type = 2, .mtu = 1280} / ours.slice(14));
}

TEST_F(Gtsm, AFragmentedIcmpErrorIsNoWayRound)
{
	// The kernel reassembles it and lowers the session's path MTU. No honest error needs
	// fragments (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4).
	const Packet ours = Eth{} / Ip4{.src = kLocal4, .dst = kPeer4} / Tcp{.dport = 179};
	const Ip4 ip{.src = "203.0.113.9", .dst = kLocal4, .mf = true, .ttl = 64};
	const Packet first =
		Eth{} / ip / Icmp4{.type = 3, .code = 4, .seq = 600} / ours.slice(14, 32);
	expect(AX_R_GTSM_ICMP, first);
}

TEST_F(Gtsm, AFragmentedErrorCountsAtWhicheverAddressItArrives)
{
	// Linux gives it to the session that it quotes, be it sent to a VIP or to the loopback's
	// address. What is too short to say whom it quotes is not honest either.
	const Packet ours = Eth{} / Ip4{.src = kLocal4, .dst = kPeer4} / Tcp{.dport = 179};
	const Packet web = Eth{} / Ip4{.src = kLocal4, .dst = "203.0.113.9"} / Tcp{.sport = 443};
	const Ip6 ip6{.src = "2001:db8::7", .dst = "2001:db8:77::1", .hop_limit = 64};
	const Packet ours6 = Eth{} / Ip6{.src = kLocal6, .dst = kPeer6} / Tcp{.dport = 179};
	for (const char *to : {"198.51.100.80", "203.0.113.77"}) {
		const auto first = [&](std::uint8_t ttl, const Raw &quoted) {
			return Eth{} / Ip4{.dst = to, .mf = true, .ttl = ttl} /
			       Icmp4{.type = 3, .code = 4, .seq = 600} / quoted;
		};
		const ax_reason passed =
			std::string(to) == "203.0.113.77" ? AX_R_NOT_VIP : AX_R_VIP_ICMP;
		expect(AX_R_GTSM_ICMP, first(64, ours.slice(14, 32)));
		expect(passed, first(255, ours.slice(14, 32)));
		expect(passed, first(64, web.slice(14, 32)));
		for (const std::size_t left : {0, 8, 16})
			expect(AX_R_GTSM_ICMP, first(64, ours.slice(14, left)));
	}
	expect(AX_R_GTSM_ICMP, Eth{} / ip6 / Ip6Frag{.mf = true} / Icmp6{.type = 2, .mtu = 1280} /
				       ours6.slice(14, 56));
	expect(AX_R_GTSM_ICMP, Eth{} / ip6 / Ip6Frag{.mf = true} / Icmp6{.type = 2, .mtu = 1280} /
				       ours6.slice(14, 16));
}

TEST_F(Gtsm, ThePathMtuIsThePeersWhateverThePacketWas)
{
	// Linux: icmp_err() lowers it for a quoted echo reply without asking for a socket.
	const Ip4 ip{.src = kLocal4, .dst = kPeer4};
	const Packet quotes[] = {Eth{} / ip / Icmp4{}, Eth{} / ip / Udp{.dport = 33434},
				 Eth{} / ip / Tcp{.dport = 22},
				 Eth{} / Ip4{.src = kLocal4, .dst = kPeer4, .protocol = 47} /
					 Payload(16)};
	for (const Packet &quoted : quotes) {
		expect(AX_R_GTSM_ICMP, error4(254, quoted));
		expect(AX_R_NOT_VIP, error4(255, quoted));
		// The peer's own "port unreachable" changes nothing but that one socket.
		expect(AX_R_NOT_VIP, Eth{} / Ip4{.src = kPeer4, .dst = kLocal4, .ttl = 64} /
					     Icmp4{.type = 3, .code = 3} / quoted.slice(14, 28));
	}
	const Packet far = Eth{} / Ip4{.src = kLocal4, .dst = kFar4} / Icmp4{};
	expect(AX_R_GTSM_ICMP, error4(250, far));
	expect(AX_R_NOT_VIP, error4(251, far));
	const Packet elsewhere = Eth{} / Ip4{.src = kLocal4, .dst = "203.0.113.9"} / Icmp4{};
	expect(AX_R_NOT_VIP, error4(64, elsewhere));
	const Packet six = Eth{} / Ip6{.src = kLocal6, .dst = kPeer6} / Icmp6{};
	expect(AX_R_GTSM_ICMP, Eth{} / Ip6{.dst = kLocal6, .hop_limit = 64} /
				       Icmp6{.type = 2, .mtu = 1280} / six.slice(14));
	expect(AX_R_NOT_VIP, Eth{} / Ip6{.dst = kLocal6, .hop_limit = 64} /
				     Icmp6{.type = 1, .code = 4} / six.slice(14));
}

TEST_F(Gtsm, AQuoteThatOnlyTheKernelWouldReadIsNoWayRound)
{
	// Linux looks neither at the version nor at the fragment offset of what is quoted.
	for (const std::uint8_t version : {0, 5, 6, 15})
		expect(AX_R_GTSM_ICMP,
		       error4(64, Eth{} / Ip4{.src = kLocal4, .dst = kPeer4, .version = version} /
					  Tcp{.dport = 179}));
	for (const char *to : {kPeer4, kStranger4})
		expect(AX_R_GTSM_ICMP,
		       error4(64, Eth{} / Ip4{.src = kLocal4, .dst = to, .offset = 7} /
					  Tcp{.dport = 179}));
}

TEST_F(Gtsm, LaterFragmentsFromNextDoorMayBeRefused)
{
	const auto later = [](const char *from, std::uint8_t ttl, std::uint8_t protocol = kTcp) {
		return Eth{} /
		       Ip4{.src = from,
			   .dst = kLocal4,
			   .offset = 3,
			   .ttl = ttl,
			   .protocol = protocol} /
		       Payload(24);
	};
	const auto later6 = [](std::uint8_t hops, std::uint8_t next) {
		return Eth{} / Ip6{.src = kPeer6, .dst = kLocal6, .hop_limit = hops} /
		       Ip6Frag{.offset = 3, .next_header = next} / Payload(24);
	};
	expect(AX_R_NOT_VIP, later(kPeer4, 254)); // off by default
	Config config = with_sessions();
	config.rules["gtsm_fragment"] = AX_ACTION_DROP;
	apply(config);
	expect(AX_R_GTSM_FRAGMENT, later(kPeer4, 254));
	expect(AX_R_NOT_VIP, later(kPeer4, 255));
	expect(AX_R_NOT_VIP, later(kPeer4, 64, kIcmp)); // a large ping
	for (const char *other : {kFar4, kExempt4, kStranger4})
		expect(AX_R_NOT_VIP, later(other, 254));
	expect(AX_R_NOT_VIP, Eth{} /
				     Ip4{.src = kPeer4,
					 .dst = "203.0.113.77",
					 .offset = 3,
					 .ttl = 64,
					 .protocol = kTcp} /
				     Payload(24)); // transit
	expect(AX_R_GTSM_FRAGMENT, later6(254, kTcp));
	expect(AX_R_GTSM_FRAGMENT, later6(254, kDestination)); // behind it may be TCP
	expect(AX_R_NOT_VIP, later6(254, kUdp));
	expect(AX_R_NOT_VIP, later6(255, kTcp));
	EXPECT_EQ(peer(kPeer4), std::make_pair(0UL, 1UL));
	config.rules["gtsm_fragment"] = AX_ACTION_COUNT;
	apply(config);
	notes();
	expect(AX_R_NOT_VIP, later(kPeer4, 254));
	EXPECT_EQ(notes(), (std::map<ax_reason, std::uint64_t>{{AX_R_GTSM_FRAGMENT, 1}}));
}

TEST_F(Gtsm, WithoutSessionAddressesNothingIsProtected)
{
	apply(two_families());
	expect(AX_R_NOT_VIP, bgp4(1));
	expect(AX_R_NOT_VIP, bgp6(1));
}

class GtsmInTunnel : public BackendTest {};

// The tunnel's TTL was counted down on the way, not that of what is inside: 255 says nothing.
TEST_F(GtsmInTunnel, TheInnerTtlOfATunnelProvesNothing)
{
	Config config = with_sessions();
	config.roles = AX_ROLE_BACKEND;
	config.edges = {*Address::parse("10.0.0.1")};
	config.tunnel_addresses = {*Address::parse("10.1.0.11")};
	config.rules["gtsm_fragment"] = AX_ACTION_DROP;
	apply(config);
	const Ip4 outer{.src = "10.0.0.1", .dst = "10.1.0.11", .ttl = 255, .protocol = kIpIp};
	for (const std::uint8_t ttl : {64, 254, 255}) {
		const auto inner = [&](const char *from, const Packet &upper) {
			const Ip4 ip{.src = from, .dst = kLocal4, .ttl = ttl};
			return Eth{} / outer / (Eth{} / ip / upper).slice(14);
		};
		for (const char *from : {kPeer4, kFar4, kStranger4})
			expect(AX_R_GTSM_TTL, inner(from, Tcp{.dport = 179}));
		expect(AX_R_GTSM_BFD, inner(kPeer4, Udp{.dport = 3784}));
		const Packet ours = Eth{} / Ip4{.src = kLocal4, .dst = kPeer4} / Tcp{.dport = 179};
		expect(AX_R_GTSM_ICMP, Eth{} / outer / error4(ttl, ours).slice(14));
		const Ip4 later{
			.src = kPeer4, .dst = kLocal4, .offset = 3, .ttl = ttl, .protocol = kTcp};
		expect(AX_R_GTSM_FRAGMENT, Eth{} / outer / (Eth{} / later / Payload(24)).slice(14));
		// An exempt peer's need not be near, but comes by no tunnel: no VIP is here.
		for (const std::uint16_t port : {179, 80})
			expect(AX_R_TUNNEL_NOT_VIP, inner(kExempt4, Tcp{.dport = port}));
	}
	const Config services = two_families();
	config.pools = services.pools;
	config.vips = {services.vips.front()};
	config.vips.front().address = *Address::parse(kLocal4);
	apply(config);
	const Packet session = Eth{} / Ip4{.src = kExempt4, .dst = kLocal4} / Tcp{.dport = 179};
	EXPECT_EQ(send(Eth{} / outer / session.slice(14)).reason, AX_R_GTSM_ACCEPTED);
}

} // namespace
} // namespace anycast::test
