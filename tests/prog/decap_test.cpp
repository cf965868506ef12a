// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The backend role: tunnels of configured edges end here, nobody else's do.
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

constexpr const char *kEdge4 = "10.0.0.1", *kHere4 = "10.1.0.11";
constexpr const char *kEdge6 = "2001:db8:e::1", *kHere6 = "2001:db8:1::11";

Config as_backend()
{
	Config config = two_families();
	config.roles = AX_ROLE_BACKEND;
	config.edges = {*Address::parse(kEdge4), *Address::parse(kEdge6)};
	config.tunnel_addresses = {*Address::parse(kHere4), *Address::parse(kHere6)};
	return config;
}

class Decap : public BackendTest {
protected:
	void SetUp() override
	{
		ProgramTest::SetUp();
		apply(as_backend());
	}
	Packet inner_of(const Packet &packet)
	{
		const Outcome outcome = expect(AX_R_DECAPSULATED, packet);
		EXPECT_EQ(bytes_from(outcome.frame, 0, 12), bytes_from(packet, 0, 12));
		return outcome.frame;
	}
};

Ip4 outer4(std::uint8_t tos = 0)
{
	return {.src = kEdge4, .dst = kHere4, .tos = tos};
}

Ip6 outer6(std::uint8_t traffic_class = 0)
{
	return {.src = kEdge6, .dst = kHere6, .traffic_class = traffic_class};
}

Packet tunnelled(const Ip4 &outer, const Packet &inner, std::uint8_t proto = kIpIp)
{
	Ip4 header = outer;
	if (!header.protocol)
		header.protocol = proto;
	return Eth{} / header / inner.slice(14);
}

Packet tunnelled(const Ip6 &outer, const Packet &inner, std::uint8_t proto = kIp6InIp)
{
	Ip6 header = outer;
	if (!header.next_header)
		header.next_header = proto;
	return Eth{} / header / inner.slice(14);
}

const Packet &web4()
{
	static const Packet packet = Eth{} / Ip4{.ttl = 7} / Tcp{} / Payload(100);
	return packet;
}

const Packet &web6()
{
	static const Packet packet = Eth{} / Ip6{.hop_limit = 7} / Tcp{} / Payload(100);
	return packet;
}

TEST_F(Decap, AllFourCombinations)
{
	EXPECT_EQ(inner_of(tunnelled(outer4(), web4(), kIpIp)), web4());
	EXPECT_EQ(inner_of(tunnelled(outer4(), web6(), kIp6InIp)), web6());
	EXPECT_EQ(inner_of(tunnelled(outer6(), web4(), kIpIp)), web4());
	EXPECT_EQ(inner_of(tunnelled(outer6(), web6(), kIp6InIp)), web6());
}

TEST_F(Decap, VlanTagsStay)
{
	const Vlan first{.id = 5, .priority = 3, .tpid = 0x88a8};
	for (const Packet &inner : {web4(), web6()}) {
		const bool v4 = inner == web4();
		const std::uint16_t type = v4 ? 0x0800 : 0x86dd;
		const Vlan last{.id = 6, .dei = true, .ethertype = type};
		const Ip4 outer{.src = kEdge4, .dst = kHere4, .protocol = v4 ? kIpIp : kIp6InIp};
		const Packet one = Eth{} / Vlan{.id = 6, .dei = true} / outer / inner.slice(14);
		const Packet without_one = Eth{} / last / inner.slice(14);
		EXPECT_EQ(inner_of(one), without_one);
		const Packet two =
			Eth{} / first / Vlan{.id = 6, .dei = true} / outer / inner.slice(14);
		const Packet without_two = Eth{} / first / last / inner.slice(14);
		EXPECT_EQ(inner_of(two), without_two);
	}
}

TEST_F(Decap, NeighbourDiscoveryDoesNotComeThroughTunnels)
{
	// A hop limit of 255 inside a tunnel may have been written anywhere (RFC 4861 section 3.1).
	for (std::uint8_t type = 133; type <= 137; ++type)
		expect(AX_R_ND_HOP_LIMIT,
		       tunnelled(outer4(), Eth{} / Ip6{.hop_limit = 255} / Icmp6{.type = type},
				 kIp6InIp));
	inner_of(tunnelled(outer4(), Eth{} / Ip6{.hop_limit = 255} / Icmp6{}, kIp6InIp));
}

TEST_F(Decap, OuterOptionsAndExtensionHeadersGoToo)
{
	Ip4 outer = outer4();
	outer.options = Bytes(40, 1);
	EXPECT_EQ(inner_of(tunnelled(outer, web4())), web4());
	EXPECT_EQ(inner_of(Eth{} / outer6() / Ip6Ext{} / Ip6Ext{.next_header = kIp6InIp} /
			   web6().slice(14)),
		  web6());
}

TEST_F(Decap, OnlyConfiguredEdgesMayTunnelToUs)
{
	Ip4 stranger = outer4();
	stranger.src = "10.0.0.2";
	expect(AX_R_TUNNEL_UNTRUSTED, tunnelled(stranger, web4()));
	Ip6 stranger6 = outer6();
	stranger6.src = "2001:db8:e::2";
	expect(AX_R_TUNNEL_UNTRUSTED, tunnelled(stranger6, web6()));
	Config nobody = as_backend();
	nobody.edges.clear();
	apply(nobody);
	expect(AX_R_TUNNEL_UNTRUSTED, tunnelled(outer4(), web4()));
}

// Who writes an edge's address into the outer header reaches what anybody reaches: VIPs.
TEST_F(Decap, NothingButVipsIsReachedThroughATunnel)
{
	for (const char *to : {kHere4, "10.1.0.12", "192.0.2.1"}) {
		const Ip4 ip{.dst = to};
		const Packet ours = Eth{} / Ip4{.src = to} / Tcp{};
		for (const Packet &inner :
		     {Packet(Eth{} / ip / Tcp{.dport = 22}), Packet(Eth{} / ip / Udp{.dport = 53}),
		      Packet(Eth{} / ip / Icmp4{}),
		      Packet(Eth{} / Ip4{.dst = to, .mf = true} / Tcp{} / Payload(12)),
		      Packet(Eth{} / ip / Icmp4{.type = 3, .code = 4, .seq = 600} /
			     ours.slice(14, 28))})
			for (const Packet &packet :
			     {tunnelled(outer4(), inner), tunnelled(outer6(), inner, kIpIp)})
				expect(AX_R_TUNNEL_NOT_VIP, packet);
	}
	const Ip6 ip6{.dst = kHere6};
	for (const Packet &inner :
	     {Packet(Eth{} / ip6 / Tcp{.dport = 22}), Packet(Eth{} / ip6 / Icmp6{.type = 128}),
	      Packet(Eth{} / ip6 / Icmp6{.type = 2, .mtu = 1300} / web6().slice(14))})
		expect(AX_R_TUNNEL_NOT_VIP, tunnelled(outer4(), inner, kIp6InIp));
	// A VIP is reached with whatever it is: its stack says what it does not serve.
	for (const Packet &inner :
	     {Packet(Eth{} / Ip4{} / Tcp{.dport = 22}), Packet(Eth{} / Ip4{} / Icmp4{}),
	      Packet(Eth{} / Ip4{} / Icmp4{.type = 3, .code = 4, .seq = 600} /
		     (Eth{} / Ip4{.src = "198.51.100.80"} / Tcp{}).slice(14, 28))})
		inner_of(tunnelled(outer4(), inner));
	Config prefix = as_backend();
	prefix.vips.front().address = *Address::parse("198.51.100.0");
	prefix.vips.front().prefix = 24;
	prefix.vips.erase(prefix.vips.begin() + 1);
	apply(prefix);
	for (const char *to : {"198.51.100.1", "198.51.100.254"})
		inner_of(tunnelled(outer4(), Eth{} / Ip4{.dst = to} / Tcp{.dport = 22}));
	expect(AX_R_TUNNEL_NOT_VIP,
	       tunnelled(outer4(), Eth{} / Ip4{.dst = "198.51.101.1"} / Tcp{}));
	Config nothing = as_backend();
	nothing.vips.clear();
	apply(nothing);
	expect(AX_R_TUNNEL_NOT_VIP, tunnelled(outer4(), web4()));
}

// An edge steers nothing that it cannot read, whatever its rules are.
TEST_F(Decap, WhatCannotBeReadInsideIsRefusedThoughItsRuleOnlyCounts)
{
	Config config = as_backend();
	config.rules = every_rule(AX_ACTION_COUNT);
	apply(config);
	for (const Packet &inner :
	     {Packet(Eth{} / Ip4{} / Tcp{.data_offset = 4}), Packet(Eth{} / Ip4{.ihl = 4} / Tcp{}),
	      Packet(Eth{} / Ip4{.total_length = 2000} / Tcp{})})
		EXPECT_EQ(send(tunnelled(outer4(), inner)).reason, AX_R_TUNNEL_MALFORMED);
}

TEST_F(Decap, TunnelsToOtherAddressesAreNotOurs)
{
	Ip4 elsewhere = outer4();
	elsewhere.dst = "10.1.0.12";
	expect(AX_R_NOT_VIP, tunnelled(elsewhere, web4()));
	expect(AX_R_NOT_VIP, web4());
}

TEST_F(Decap, FragmentsOfATunnelAreRefused)
{
	Ip4 first = outer4();
	first.mf = true;
	expect(AX_R_TUNNEL_MALFORMED,
	       Eth{} / Ip4{.src = kEdge4, .dst = kHere4, .mf = true, .protocol = kIpIp} /
		       Payload(80));
	expect(AX_R_TUNNEL_MALFORMED,
	       Eth{} / Ip4{.src = kEdge4, .dst = kHere4, .offset = 3, .protocol = kIpIp} /
		       Payload(80));
	expect(AX_R_TUNNEL_MALFORMED,
	       Eth{} / outer6() / Ip6Frag{.mf = true, .next_header = kIp6InIp} / Payload(80));
}

TEST_F(Decap, ATunnelInATunnelIsRefused)
{
	const Packet once = tunnelled(outer4(), web4());
	expect(AX_R_TUNNEL_MALFORMED, tunnelled(outer4(), once));
	expect(AX_R_TUNNEL_MALFORMED, tunnelled(outer6(), once, kIpIp));
	expect(AX_R_TUNNEL_MALFORMED, tunnelled(outer4(), tunnelled(outer6(), web6()), kIp6InIp));
}

TEST_F(Decap, ABadOuterChecksumIsNotTrusted)
{
	Ip4 outer = outer4();
	outer.checksum = 0x1234;
	expect(AX_R_IP4_CHECKSUM, tunnelled(outer, web4()));
}

TEST_F(Decap, WhatIsTooShortToBeAPacket)
{
	for (std::size_t bytes = 0; bytes < 20; ++bytes) {
		expect(AX_R_TUNNEL_MALFORMED, tunnelled(outer4(), web4().truncate(14 + bytes)));
		send(tunnelled(outer4(), web6().truncate(14 + bytes), kIp6InIp).pad(60));
	}
	for (std::size_t bytes = 20; bytes < 140; ++bytes) {
		const Outcome v4 = send(tunnelled(outer4(), web4().truncate(14 + bytes)));
		EXPECT_EQ(v4.verdict, XDP_DROP) << v4 << " at " << bytes;
	}
	for (std::size_t bytes = 20; bytes < 160; ++bytes) {
		const Outcome v6 = send(tunnelled(outer4(), web6().truncate(14 + bytes), kIp6InIp));
		EXPECT_EQ(v6.verdict, XDP_DROP) << v6 << " at " << bytes;
	}
}

TEST_F(Decap, TheInnerPacketIsGuarded)
{
	expect(AX_R_TCP_SYN_FIN, tunnelled(outer4(), Eth{} / Ip4{} / Tcp{.flags = kSyn | kFin}));
	expect(AX_R_IP4_LAND,
	       tunnelled(outer4(), Eth{} / Ip4{.src = "9.9.9.9", .dst = "9.9.9.9"} / Tcp{}));
	expect(AX_R_IP4_SOURCE_ROUTE,
	       tunnelled(outer4(), Eth{} / Ip4{.options = option(131, {4, 0, 0, 0, 0})} / Tcp{}));
	expect(AX_R_UDP6_NO_CHECKSUM, tunnelled(outer6(), Eth{} / Ip6{} / Udp{.checksum = 0}));
	// The protocol says one family, the packet is of the other.
	expect(AX_R_IP6_VERSION, tunnelled(outer4(), web4(), kIp6InIp));
	expect(AX_R_IP4_VERSION, tunnelled(outer4(), web6(), kIpIp));
	// A first fragment inside is the host's to reassemble.
	inner_of(tunnelled(outer4(), Eth{} / Ip4{.mf = true} / Udp{} / Payload(16)));
}

TEST_F(Decap, TheInnerPacketEndsWhereTheTunnelSays)
{
	// Bytes behind the outer datagram are the frame's padding, no part of the inner packet.
	const Packet claims = Eth{} / Ip4{.total_length = 60, .protocol = 99} / Payload(20);
	expect(AX_R_IP4_TOTAL_LENGTH, tunnelled(outer4(), claims));
	expect(AX_R_IP4_TOTAL_LENGTH, tunnelled(outer4(), claims).pad(200));
}

std::uint8_t inner_tos(const Packet &frame)
{
	return frame[14] >> 4 == 4 ? frame[15] : static_cast<std::uint8_t>(word_at(frame, 14) >> 4);
}

// RFC 6040 section 4.2, figure 4: what becomes of the inner field; -1 = dropped.
struct Ecn {
	std::uint8_t inner, outer;
	int result;
};
constexpr std::uint8_t kNotEct = 0, kEct1 = 1, kEct0 = 2, kCe = 3;
constexpr Ecn kFigure4[] = {
	{kNotEct, kNotEct, kNotEct}, {kNotEct, kEct0, kNotEct},
	{kNotEct, kEct1, kNotEct},   {kNotEct, kCe, -1},
	{kEct0, kNotEct, kEct0},     {kEct0, kEct0, kEct0},
	{kEct0, kEct1, kEct1},	     {kEct0, kCe, kCe},
	{kEct1, kNotEct, kEct1},     {kEct1, kEct0, kEct1},
	{kEct1, kEct1, kEct1},	     {kEct1, kCe, kCe},
	{kCe, kNotEct, kCe},	     {kCe, kEct0, kCe},
	{kCe, kEct1, kCe},	     {kCe, kCe, kCe},
};

class Rfc6040 : public Decap, public testing::WithParamInterface<Ecn> {};

TEST_P(Rfc6040, MergesTheEcnFields)
{
	const auto [inner, outer, result] = GetParam();
	const std::uint8_t dscp = 0xb8;
	const auto in = static_cast<std::uint8_t>(dscp | inner);
	for (const bool v6_outer : {false, true}) {
		for (const bool v6_inner : {false, true}) {
			const Packet packet = v6_inner ? Eth{} / Ip6{.traffic_class = in} / Tcp{}
						       : Eth{} / Ip4{.tos = in} / Tcp{};
			const std::uint8_t proto = v6_inner ? kIp6InIp : kIpIp;
			const Packet tunnel = v6_outer ? tunnelled(outer6(outer), packet, proto)
						       : tunnelled(outer4(outer), packet, proto);
			if (result < 0) {
				expect(AX_R_ECN_ILLEGAL, tunnel);
				continue;
			}
			const Packet out = inner_of(tunnel);
			EXPECT_EQ(inner_tos(out), dscp | result);
			if (!v6_inner) {
				EXPECT_EQ(internet_checksum(bytes_from(out, 14, 20)), 0);
			}
		}
	}
}

constexpr const char *kEcnNames[] = {"NotEct", "Ect1", "Ect0", "Ce"};

INSTANTIATE_TEST_SUITE_P(Figure4, Rfc6040, testing::ValuesIn(kFigure4), [](const auto &row) {
	return std::string(kEcnNames[row.param.inner]) + "In" + kEcnNames[row.param.outer];
});

TEST_F(Decap, ChecksumsStayRightForEveryTos)
{
	for (int tos = 0; tos < 256; ++tos) {
		const Packet in = Eth{} / Ip4{.tos = static_cast<std::uint8_t>(tos)} / Tcp{};
		const Outcome outcome = send(tunnelled(outer4(kCe), in));
		if (outcome.verdict == XDP_PASS) {
			EXPECT_EQ(internet_checksum(bytes_from(outcome.frame, 14, 20)), 0) << tos;
		}
	}
}

class DecapBothRoles : public BothRolesTest {};

TEST_F(DecapBothRoles, WhatWasTunnelledIsNeverSteered)
{
	Config config = as_backend();
	config.roles = AX_ROLE_EDGE | AX_ROLE_BACKEND;
	apply(config);
	expect(AX_R_STEERED, web4());
	expect(AX_R_DECAPSULATED, tunnelled(outer4(), web4()));
	const Packet error = Eth{} / Ip4{.src = "203.0.113.9"} / Icmp4{.type = 3, .code = 4} /
			     (Eth{} / Ip4{.src = "198.51.100.80", .dst = "203.0.113.5"} /
			      Tcp{.sport = 80, .dport = 40000})
				     .slice(14);
	expect(AX_R_STEERED_ICMP, error);
	expect(AX_R_DECAPSULATED, tunnelled(outer4(), error));
}

class EdgeOnly : public ProgramTest {};

TEST_F(EdgeOnly, LeavesTunnelsToTheStack)
{
	Config config = two_families();
	config.edges = as_backend().edges;
	apply(config);
	expect(AX_R_NOT_VIP, tunnelled(outer4(), web4()));
	Ip4 elsewhere = outer4();
	elsewhere.src = "203.0.113.66";
	elsewhere.dst = "10.9.9.9";
	expect(AX_R_NOT_VIP, tunnelled(elsewhere, web4()));
}

} // namespace
} // namespace anycast::test
