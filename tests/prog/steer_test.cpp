// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// VIP, pool, slot, backend: who gets a packet, and that every node says the same.
#include <arpa/inet.h>

#include <map>
#include <set>

#include <anycast_xdp/hash.h>

#include "support/program_fixture.h"

namespace anycast::test {
namespace {

class Steer : public ProgramTest {
protected:
	void SetUp() override
	{
		ProgramTest::SetUp();
		apply(two_families());
	}
	// The slot that hash.h gives, for a pool by its index.
	[[nodiscard]] std::uint32_t slot_of(const std::string &from, const std::string &to,
					    std::uint32_t ports, std::uint8_t proto,
					    std::size_t pool) const
	{
		const auto half = [](const std::string &text, std::size_t at) {
			const auto raw = Address::parse(text)->bytes();
			std::uint64_t value = 0;
			for (std::size_t i = 0; i < 8; ++i)
				value = value << 8 | raw[at + i];
			return value;
		};
		const ax_settings &s = image().settings;
		return ax_steer_hash(s.hash_seed[0], s.hash_seed[1], half(from, 0), half(from, 8),
				     half(to, 0), half(to, 8), ports, proto) %
		       image().pools[pool].size;
	}
	[[nodiscard]] std::string owner(std::size_t pool, std::uint32_t slot) const
	{
		const ax_slot &entry = image().slots[image().pools[pool].first + slot];
		return Address(image().backends[entry.backend[0]].addr).text();
	}
};

std::string client4(unsigned n)
{
	return "203.0." + std::to_string(112 + n / 250 % 100) + "." + std::to_string(n % 250 + 1);
}

TEST_F(Steer, TheSlotIsTheOneThatHashHNames)
{
	for (unsigned n = 0; n < (in_vm() ? 50U : 500U); ++n) {
		const auto port = static_cast<std::uint16_t>(1024 + n * 7);
		const Outcome v4 = expect(AX_R_STEERED, Eth{} / Ip4{.src = client4(n)} /
								Tcp{.sport = port, .flags = kSyn});
		const std::uint32_t slot = slot_of(client4(n), "198.51.100.80",
						   std::uint32_t{port} << 16 | 80, kTcp, 0);
		EXPECT_EQ(v4.slot, slot);
		EXPECT_EQ(v4.backend, owner(0, slot));
		const std::string from = "2001:db8:f::" + std::to_string(n);
		const Outcome v6 =
			expect(AX_R_STEERED, Eth{} / Ip6{.src = from} / Udp{.sport = port});
		const std::uint32_t slot6 =
			slot_of(from, "2001:db8::80", std::uint32_t{port} << 16 | 53, kUdp, 1);
		EXPECT_EQ(v6.slot, slot6);
		EXPECT_EQ(v6.backend, owner(1, slot6));
	}
}

TEST_F(Steer, TwoNodesOfOneConfigurationAgree)
{
	Config config = two_families();
	config.limits = limits();
	Program other = load(AX_ROLE_EDGE);
	ax_ctl control{};
	control.abi = AX_ABI_VERSION;
	control.table_seed[0] = 99; // the flow tables' seeds differ, and do not matter
	control.table_seed[1] = 12345;
	ASSERT_TRUE(other.dataplane().write_control(control));
	// Ids that begin elsewhere, too: this node has had another pool before.
	Config before = config;
	before.pools[0].backends.insert(before.pools[0].backends.begin(), backend_at("10.1.0.9"));
	const Image old = resolved(before, {}, {}, 1500);
	ASSERT_TRUE(other.dataplane().apply(old));
	const Image now = resolved(config, {}, old.ids, 1500);
	ASSERT_TRUE(other.dataplane().apply(now));
	EXPECT_EQ(now.digest, image().digest);
	for (unsigned n = 0; n < 200; ++n) {
		const Packet packet = Eth{} / Ip4{.src = client4(n)} / Tcp{.flags = kSyn};
		const Outcome here = expect(AX_R_STEERED, packet);
		ASSERT_TRUE(other.run(packet));
		const ax_trace there = *other.dataplane().trace();
		EXPECT_EQ(here.backend, Address(now.backends[there.backend - 1].addr).text());
		EXPECT_EQ(*here.slot, there.slot - 1);
	}
}

TEST_F(Steer, WeightsAreTheSharesOfTraffic)
{
	Config config = two_families();
	config.pools[0].table_size = 65537 > limits().table_slots / 2 ? 16381 : 65537;
	config.pools[0].backends[0].weight = 100;
	config.pools[0].backends[1].weight = 200;
	config.pools[0].backends[2].weight = 500;
	apply(config);
	std::map<std::string, unsigned> share;
	const unsigned frames = in_vm() ? 1000 : 8000;
	for (unsigned n = 0; n < frames; ++n)
		++share[send(Eth{} / Ip4{.src = client4(n)} /
			     Tcp{.sport = static_cast<std::uint16_t>(1024 + n), .flags = kSyn})
				.backend];
	const double tolerance = in_vm() ? 0.06 : 0.02;
	EXPECT_NEAR(share["10.1.0.11"] / double(frames), 0.125, tolerance);
	EXPECT_NEAR(share["10.1.0.12"] / double(frames), 0.250, tolerance);
	EXPECT_NEAR(share["10.1.0.13"] / double(frames), 0.625, tolerance);
}

TEST_F(Steer, OnlyTheServiceItselfIsSteered)
{
	expect(AX_R_VIP_NO_SERVICE, Eth{} / Ip4{} / Tcp{.dport = 81});
	expect(AX_R_VIP_NO_SERVICE, Eth{} / Ip4{} / Udp{.dport = 80});
	expect(AX_R_VIP_NO_SERVICE, Eth{} / Ip4{.protocol = 132} / Payload(20));
	expect(AX_R_VIP_NO_SERVICE, Eth{} / Ip6{} / Tcp{.dport = 81});
	expect(AX_R_NOT_VIP, Eth{} / Ip4{.dst = "198.51.100.81"} / Tcp{});
	expect(AX_R_NOT_VIP, Eth{} / Ip6{.dst = "2001:db8::81"} / Tcp{});
	// From a VIP is not to a VIP.
	expect(AX_R_NOT_VIP, Eth{} / Ip4{.src = "198.51.100.80", .dst = "203.0.113.5"} / Tcp{});
	EXPECT_TRUE(flows().empty());
}

TEST_F(Steer, AddressesThatShareAFilterBitAreNoVips)
{
	// Addresses whose bit in the VIP filter is www's.
	const std::uint32_t wanted = ax_filter_bit(htonl(0xc6336450)) % AX_VIP_FILTER_BITS;
	unsigned found = 0;
	for (std::uint32_t address = 0x01000000; found < 5; ++address) {
		if (ax_filter_bit(htonl(address)) % AX_VIP_FILTER_BITS != wanted)
			continue;
		++found;
		const std::string text = Address::v4(address).text();
		expect(AX_R_NOT_VIP, Eth{} / Ip4{.dst = text} / Tcp{});
		expect(AX_R_NOT_VIP, Eth{} / Ip4{.dst = text} / Icmp4{});
		expect(AX_R_NOT_VIP, Eth{} / Ip4{.dst = text} / Icmp4{.type = 3} / Payload(4));
	}
}

TEST_F(Steer, AnyPortAndAnyProtocol)
{
	Config config = two_families();
	config.vips = {vip_at("exact", "198.51.100.80", 80, kTcp, "web"),
		       vip_at("tcp", "198.51.100.80", 0, kTcp, "web"),
		       vip_at("all", "198.51.100.80", 0, 0, "web"),
		       vip_at("six", "2001:db8::80", 0, kUdp, "web6")};
	apply(config);
	EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{.dport = 80}).vip, "exact");
	EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{.dport = 81}).vip, "tcp");
	EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Ip4{} / Udp{.dport = 80}).vip, "all");
	EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Ip4{.protocol = 132} / Payload(20)).vip, "all");
	EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Ip4{.protocol = 47} / Payload(20)).vip, "all");
	EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Ip6{} / Udp{.dport = 9}).vip, "six");
	expect(AX_R_VIP_NO_SERVICE, Eth{} / Ip6{} / Tcp{.dport = 9});
	// Echo requests to a VIP of any protocol are its backends'.
	EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Ip4{} / Icmp4{}).vip, "all");
}

TEST_F(Steer, PrefixesAndAddressesWithinThem)
{
	Config config = two_families();
	const auto net = [](const char *name, const char *first, std::uint8_t bits,
			    std::uint16_t port, std::uint8_t protocol, const char *pool) {
		Vip vip = vip_at(name, first, port, protocol, pool);
		vip.prefix = bits;
		return vip;
	};
	config.vips = {net("net", "198.51.100.0", 24, 80, kTcp, "web"),
		       net("udp", "198.51.100.0", 24, 0, kUdp, "web"),
		       vip_at("one", "198.51.100.80", 443, kTcp, "web"),
		       net("six", "2001:db8:5::", 48, 0, 0, "web6")};
	apply(config);
	const auto to = [](const char *address) { return Eth{} / Ip4{.dst = address}; };
	for (const char *within :
	     {"198.51.100.0", "198.51.100.7", "198.51.100.80", "198.51.100.255"}) {
		const Outcome new_flow =
			expect(AX_R_STEERED, to(within) / Tcp{.sport = 7, .flags = kAck});
		EXPECT_EQ(new_flow.vip, "net") << within;
		EXPECT_EQ(new_flow.slot, slot_of("203.0.113.5", within, 7 << 16 | 80, kTcp, 0));
		EXPECT_EQ(expect(AX_R_STEERED, to(within) / Tcp{.sport = 7, .flags = kAck}).backend,
			  new_flow.backend);
		EXPECT_EQ(expect(AX_R_STEERED, to(within) / Udp{.dport = 9}).vip, "udp");
		EXPECT_EQ(expect(AX_R_STEERED_FRAGMENT,
				 Eth{} / Ip4{.dst = within, .offset = 4, .protocol = kUdp} /
					 Payload(24))
				  .vip,
			  "udp");
	}
	// What the address has itself goes before the prefix, and nothing else of it.
	EXPECT_EQ(expect(AX_R_STEERED, to("198.51.100.80") / Tcp{.dport = 443}).vip, "one");
	expect(AX_R_VIP_NO_SERVICE, to("198.51.100.81") / Tcp{.dport = 443});
	expect(AX_R_VIP_ICMP, to("198.51.100.81") / Icmp4{});
	for (const char *beside : {"198.51.99.255", "198.51.101.0", "198.51.0.0"})
		expect(AX_R_NOT_VIP, to(beside) / Tcp{});
	EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Ip6{.dst = "2001:db8:5:ffff::1"} / Tcp{}).vip,
		  "six");
	EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Ip6{.dst = "2001:db8:5::"} / Icmp6{}).vip, "six");
	expect(AX_R_NOT_VIP, Eth{} / Ip6{.dst = "2001:db8:6::1"} / Tcp{});

	// A larger change: none of it is left, neither keys nor the filter's bits.
	apply(two_families());
	expect(AX_R_NOT_VIP, to("198.51.100.7") / Tcp{.sport = 8});
	expect(AX_R_NOT_VIP, Eth{} / Ip6{.dst = "2001:db8:5::1"} / Tcp{});
}

TEST_F(Steer, ErrorsAboutAPrefixGoToTheFlowsBackend)
{
	Config config = two_families();
	config.vips = {vip_at("net", "198.51.100.0", 80, kTcp, "web")};
	config.vips[0].prefix = 24;
	apply(config);
	const Outcome flow =
		expect(AX_R_STEERED, Eth{} / Ip4{.dst = "198.51.100.9"} / Tcp{.flags = kAck});
	const Packet quoted = Eth{} / Ip4{.src = "198.51.100.9", .dst = "203.0.113.5"} /
			      Tcp{.sport = 80, .dport = 40000};
	const Outcome error = expect(AX_R_STEERED_ICMP,
				     Eth{} / Ip4{.src = "192.0.2.9", .dst = "198.51.100.9"} /
					     Icmp4{.type = 3, .code = 4} / quoted.slice(14, 28));
	EXPECT_EQ(error.backend, flow.backend);
}

TEST_F(Steer, FragmentsOfOneDatagramMeet)
{
	for (unsigned n = 0; n < 40; ++n) {
		const std::string from = client4(n * 3);
		const Outcome first = expect(
			AX_R_STEERED_FRAGMENT,
			Eth{} / Ip4{.src = from, .mf = true} /
				Udp{.sport = static_cast<std::uint16_t>(n + 1)} / Payload(24));
		const Outcome later = expect(
			AX_R_STEERED_FRAGMENT,
			Eth{} / Ip4{.src = from, .offset = 4, .protocol = kUdp} / Payload(24));
		EXPECT_EQ(first.backend, later.backend);
		EXPECT_EQ(first.slot, slot_of(from, "198.51.100.80", 0, kUdp, 0));
		const std::string from6 = "2001:db8:f::" + std::to_string(n);
		const Outcome first6 = expect(AX_R_STEERED_FRAGMENT, Eth{} / Ip6{.src = from6} /
									     Ip6Frag{.mf = true} /
									     Tcp{} / Payload(12));
		const Outcome later6 =
			expect(AX_R_STEERED_FRAGMENT,
			       Eth{} / Ip6{.src = from6} /
				       Ip6Frag{.offset = 4, .next_header = kTcp} / Payload(24));
		EXPECT_EQ(first6.backend, later6.backend);
		EXPECT_EQ(first6.vip, "www6");
	}
	EXPECT_TRUE(flows().empty());
}

TEST_F(Steer, FragmentsToAVipOfAnyProtocol)
{
	Config config = two_families();
	config.vips = {vip_at("all", "198.51.100.80", 0, 0, "web")};
	apply(config);
	for (const std::uint8_t proto : {kTcp, kUdp, std::uint8_t{132}, std::uint8_t{47}, kIcmp}) {
		const Outcome whole =
			send(Eth{} / Ip4{.protocol = proto} / Payload(40)); // as far as it is right
		const Outcome later =
			expect(AX_R_STEERED_FRAGMENT,
			       Eth{} / Ip4{.offset = 4, .protocol = proto} / Payload(24));
		EXPECT_EQ(later.vip, "all") << int{proto} << whole;
	}
}

TEST_F(Steer, NobodyUp)
{
	const Packet packet = Eth{} / Ip4{} / Tcp{};
	Config config = two_families();
	for (Backend &backend : config.pools[0].backends)
		backend.state = AX_BACKEND_DOWN;
	apply(config);
	expect(AX_R_NO_BACKEND, packet);
	config.pools[0].all_down = AX_ALL_DOWN_PASS;
	apply(config);
	expect(AX_R_ALL_DOWN_PASS, packet);
	config.pools[0].all_down = AX_ALL_DOWN_LAST_KNOWN;
	apply(config);
	const Outcome last = expect(AX_R_STEERED, packet);
	EXPECT_FALSE(last.backend.empty());
	EXPECT_EQ(expect(AX_R_STEERED, packet).backend, last.backend);
	config.pools[0].backends[1].state = AX_BACKEND_ACTIVE;
	apply(config);
	EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{.sport = 5}).backend, "10.1.0.12");
	EXPECT_EQ(expect(AX_R_STEERED, packet).backend, "10.1.0.12"); // it takes known flows now
}

// Checks that fail everywhere move nobody: not the flows of stand-ins either.
TEST_F(Steer, LastKnownKeepsKnownFlows)
{
	Config config = two_families();
	config.pools[0].all_down = AX_ALL_DOWN_LAST_KNOWN;
	const auto send_all = [&] {
		std::map<std::uint16_t, std::string> backends;
		for (std::uint16_t port = 2000; port < 2060; ++port)
			backends[port] =
				expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{.sport = port}).backend;
		return backends;
	};
	apply(config);
	const auto owners = send_all();
	config.pools[0].backends[0].state = AX_BACKEND_DOWN;
	apply(config);
	const auto before = send_all();
	EXPECT_NE(before, owners);
	for (Backend &backend : config.pools[0].backends)
		backend.state = AX_BACKEND_DOWN;
	apply(config);
	EXPECT_EQ(send_all(), before);
	config.pools[0].backends[1].state = AX_BACKEND_MAINTENANCE;
	apply(config);
	for (const auto &[port, backend] : send_all())
		EXPECT_NE(backend, "10.1.0.12") << port;
}

TEST_F(Steer, ALocalBackendIsTheStack)
{
	Config config = two_families();
	config.pools[0].backends = {backend_at("10.1.0.11")};
	NodeFacts facts;
	facts.node_addresses = {*Address::parse("10.1.0.11")};
	apply(config, facts);
	const Outcome outcome = expect(AX_R_LOCAL, Eth{} / Vlan{3} / Ip4{} / Tcp{});
	EXPECT_EQ(outcome.backend, "10.1.0.11");
	expect(AX_R_LOCAL, Eth{} / Ip4{.offset = 4, .protocol = kTcp} / Payload(24));
	EXPECT_EQ(only_flow().packets, 1U);
}

TEST_F(Steer, WhatBypassesTheKernelIsCheckedHere)
{
	for (const std::uint8_t flags : {kSyn, kAck, kAck}) { // new, inserting, known
		const Tcp tcp{.flags = flags};
		expect(AX_R_IP4_CHECKSUM, Eth{} / Ip4{.checksum = 1} / tcp);
		expect(AX_R_IP4_CHECKSUM, Eth{} / Ip4{.checksum = 1, .options = Bytes(4, 1)} / tcp);
		expect(AX_R_IP4_TTL_ZERO, Eth{} / Ip4{.ttl = 0} / tcp);
		expect(AX_R_IP6_HOP_ZERO, Eth{} / Ip6{.hop_limit = 0} / tcp);
		expect(AX_R_STEERED, Eth{} / Ip4{.ttl = 1} / tcp);
		expect(AX_R_STEERED, Eth{} / Ip6{.hop_limit = 1} / tcp);
	}
	expect(AX_R_IP4_CHECKSUM, Eth{} / Ip4{.mf = true, .checksum = 1} / Udp{} / Payload(8));
	expect(AX_R_NOT_VIP, Eth{} / Ip4{.dst = "9.9.9.9", .ttl = 0} / Tcp{});
	expect(AX_R_NOT_VIP, Eth{} / Ip6{.dst = "2001:db8::99", .hop_limit = 0} / Tcp{});
}

TEST_F(Steer, ABadChecksumOnWhatPassesIsCountedOnly)
{
	const auto noted = [&](ax_reason reason, const Packet &packet) {
		notes();
		expect(reason, packet);
		EXPECT_EQ(notes()[AX_R_IP4_CHECKSUM_PASSED], 1U) << reason_label(reason) << packet;
	};
	noted(AX_R_NOT_VIP, Eth{} / Ip4{.dst = "9.9.9.9", .checksum = 1} / Tcp{});
	noted(AX_R_NOT_VIP, Eth{} / Ip4{.dst = "9.9.9.9", .checksum = 1} / Icmp4{.type = 3} /
				    (Eth{} / Ip4{} / Tcp{}).slice(14));
	noted(AX_R_VIP_NO_SERVICE, Eth{} / Ip4{.checksum = 1} / Tcp{.dport = 81});
	noted(AX_R_VIP_ICMP, Eth{} / Ip4{.checksum = 1} / Icmp4{});
}

TEST_F(Steer, APassedPacketWithoutAHopLeftIsCountedOrAsTheRuleSays)
{
	Config config = two_families();
	apply(config);
	const Packet four = Eth{} / Ip4{.dst = "9.9.9.9", .ttl = 0} / Tcp{};
	const Packet six = Eth{} / Vlan{3} / Ip6{.dst = "2001:db8:7::7", .hop_limit = 0} / Udp{};
	using Notes = std::map<ax_reason, std::uint64_t>;
	notes();
	expect(AX_R_NOT_VIP, four);
	expect(AX_R_VIP_NO_SERVICE, Eth{} / Ip4{.ttl = 0} / Tcp{.dport = 81});
	EXPECT_EQ(notes(), (Notes{{AX_R_IP4_TTL_ZERO_PASSED, 2}}));
	expect(AX_R_NOT_VIP, six);
	EXPECT_EQ(notes(), (Notes{{AX_R_IP6_HOP_ZERO_PASSED, 1}}));
	expect(AX_R_NOT_VIP, Eth{} / Ip4{.dst = "9.9.9.9", .ttl = 1} / Tcp{});
	expect(AX_R_IP4_TTL_ZERO, Eth{} / Ip4{.ttl = 0} / Tcp{}); // it would be steered
	EXPECT_EQ(notes(), Notes{});
	config.rules["ip4_ttl_zero_passed"] = AX_ACTION_DROP;
	config.rules["ip6_hop_zero_passed"] = AX_ACTION_DROP;
	apply(config);
	expect(AX_R_IP4_TTL_ZERO_PASSED, four);
	expect(AX_R_IP6_HOP_ZERO_PASSED, six);
	config.rules["ip4_ttl_zero_passed"] = AX_ACTION_OFF;
	config.rules["ip6_hop_zero_passed"] = AX_ACTION_OFF;
	apply(config);
	expect(AX_R_NOT_VIP, four);
	expect(AX_R_NOT_VIP, six);
	EXPECT_EQ(notes(), Notes{});
}

TEST_F(Steer, RulesOfSteeredPacketsCanBeCounted)
{
	Config config = two_families();
	for (const char *rule : {"ip4_checksum", "ip4_ttl_zero", "ip6_hop_zero"})
		config.rules[rule] = AX_ACTION_COUNT;
	apply(config);
	notes();
	expect(AX_R_STEERED, Eth{} / Ip4{.ttl = 0, .checksum = 1} / Tcp{.flags = kSyn});
	expect(AX_R_STEERED, Eth{} / Ip6{.hop_limit = 0} / Tcp{.flags = kSyn});
	EXPECT_EQ(notes(),
		  (std::map<ax_reason, std::uint64_t>{
			  {AX_R_IP4_CHECKSUM, 1}, {AX_R_IP4_TTL_ZERO, 1}, {AX_R_IP6_HOP_ZERO, 1}}));
}

TEST_F(Steer, HealthMovesNobodyElse)
{
	std::map<unsigned, std::string> before;
	for (unsigned n = 0; n < 150; ++n)
		before[n] = send(Eth{} / Ip4{.src = client4(n)} / Tcp{.flags = kSyn}).backend;
	Config config = two_families();
	config.pools[0].backends[1].state = AX_BACKEND_DOWN;
	apply(config);
	for (const auto &[n, backend] : before) {
		const std::string now =
			send(Eth{} / Ip4{.src = client4(n)} / Tcp{.flags = kSyn}).backend;
		if (backend == "10.1.0.12")
			EXPECT_NE(now, backend);
		else
			EXPECT_EQ(now, backend);
	}
}

} // namespace
} // namespace anycast::test
