// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What decides a flow's slot, per pool: its tuple, its source, or a QUIC connection id.
#include <set>

#include "core/steer.h"
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

class HashInput : public ProgramTest {
protected:
	void hash_by(ax_hash_input input)
	{
		Config config = two_families();
		for (Pool &pool : config.pools)
			pool.hash = input;
		apply(config);
	}
};

Bytes bytes_of(std::string_view hex)
{
	return Packet::from_hex(hex).bytes();
}

Packet datagram(const Bytes &payload, std::uint16_t sport = 40000,
		const std::string &from = "203.0.113.5")
{
	return Eth{} / Ip4{.src = from} / Udp{.sport = sport} / Raw{payload};
}

// 1-RTT: the connection id stands behind the first byte.
Bytes short_header(std::string_view id)
{
	Bytes packet{0x45};
	const Bytes cid = bytes_of(id);
	packet.insert(packet.end(), cid.begin(), cid.end());
	packet.resize(packet.size() + 24, 0xaa);
	return packet;
}

Bytes long_header(std::string_view id, std::uint8_t first = 0xc3)
{
	const Bytes cid = bytes_of(id);
	Bytes packet{first, 0, 0, 0, 1, static_cast<std::uint8_t>(cid.size())};
	packet.insert(packet.end(), cid.begin(), cid.end());
	packet.resize(packet.size() + 40, 0xaa);
	return packet;
}

TEST_F(HashInput, SourceKeepsAllOfAClientTogether)
{
	hash_by(AX_HASH_SOURCE);
	std::set<std::string> backends;
	for (int host = 1; host < 40; ++host) {
		const std::string from = "203.0.113." + std::to_string(host);
		std::set<std::string> own;
		for (std::uint16_t port = 1000; port < 1010; ++port) {
			own.insert(
				expect(AX_R_STEERED, Eth{} / Ip4{.src = from} / Tcp{.sport = port})
					.backend);
			own.insert(
				expect(AX_R_STEERED, Eth{} / Ip4{.src = from} / Udp{.sport = port})
					.backend);
		}
		own.insert(
			expect(AX_R_STEERED_FRAGMENT,
			       Eth{} / Ip4{.src = from, .offset = 9, .protocol = kUdp} / Payload(8))
				.backend);
		EXPECT_EQ(own.size(), 1U) << from;
		backends.insert(own.begin(), own.end());
	}
	EXPECT_EQ(backends.size(), 3U);
}

TEST_F(HashInput, SourceAndPortKeepASocketTogether)
{
	hash_by(AX_HASH_SOURCE_PORT);
	std::set<std::string> backends;
	for (std::uint16_t port = 1000; port < 1060; ++port) {
		const Outcome tcp = expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{.sport = port});
		const Outcome udp = expect(AX_R_STEERED, Eth{} / Ip4{} / Udp{.sport = port});
		EXPECT_EQ(tcp.backend, udp.backend) << "another VIP of the pool, the same socket";
		backends.insert(tcp.backend);
	}
	EXPECT_EQ(backends.size(), 3U);
}

TEST_F(HashInput, EveryInputGivesTheSlotThatUserSpaceComputes)
{
	for (const ax_hash_input input :
	     {AX_HASH_FLOW, AX_HASH_SOURCE_PORT, AX_HASH_SOURCE, AX_HASH_QUIC}) {
		hash_by(input);
		reset_flows();
		for (const bool six : {false, true})
			for (std::uint16_t port = 1; port < 60; ++port) {
				FlowTuple flow{
					*Address::parse(six ? "2001:db8::5" : "203.0.113.5"),
					*Address::parse(six ? "2001:db8::80" : "198.51.100.80"),
					port, 80, kTcp};
				const Outcome outcome = send(first_packet(flow));
				ASSERT_EQ(outcome.reason, AX_R_STEERED);
				EXPECT_EQ(outcome.slot,
					  steer_hash(two_families().hash_seed, flow, input) % 251);
			}
	}
}

class Quic : public HashInput {
protected:
	void SetUp() override
	{
		HashInput::SetUp();
		Config config = two_families();
		config.pools[0].hash = AX_HASH_QUIC;
		config.pools[0].backends[0].server_id = "c4605e";
		config.pools[0].backends[1].server_id = "c4605f";
		config.pools[0].backends[2].server_id = "000000";
		config_ = config;
		apply(config);
	}
	Config config_;
};

TEST_F(Quic, ThePublishedVectors)
{
	// draft-ietf-quic-load-balancers-21, appendix B.1
	const Bytes first = short_header("07c4605e4504cc4f");
	EXPECT_EQ(expect(AX_R_STEERED, datagram(first)).backend, "10.1.0.11");
	// The second vector; it is printed with a digit of its first and last byte out of place.
	config_.pools[0].quic_rotation = 1;
	config_.pools[0].backends[0].server_id = "0011223344";
	config_.pools[0].backends[1].server_id = "350d28b420";
	config_.pools[0].backends[2].server_id = "350d28b421";
	apply(config_);
	const Bytes second = short_header("2a350d28b4203487d9700b");
	EXPECT_EQ(expect(AX_R_STEERED, datagram(second)).backend, "10.1.0.12");
	EXPECT_EQ(notes().count(AX_R_QUIC_UNROUTABLE), 0U);
}

TEST_F(Quic, AClientThatMovesKeepsItsBackend)
{
	for (const char *id : {"07c4605e4504cc4f", "1fc4605f4504cc4f", "0000000055555555"}) {
		std::set<std::string> backends;
		for (std::uint16_t port = 1000; port < 1030; ++port)
			for (const char *from : {"203.0.113.5", "203.0.113.77", "192.0.2.9"}) {
				backends.insert(
					expect(AX_R_STEERED, datagram(short_header(id), port, from))
						.backend);
				backends.insert(expect(AX_R_STEERED,
						       datagram(long_header(id, 0xe3), port, from))
							.backend);
			}
		EXPECT_EQ(backends.size(), 1U) << id;
	}
	EXPECT_EQ(notes().count(AX_R_QUIC_UNROUTABLE), 0U);
	EXPECT_TRUE(flows().empty()) << "entries would pin what connection ids decide";
}

TEST_F(Quic, ConnectionsOfOneSocketGoTheirOwnWays)
{
	EXPECT_EQ(expect(AX_R_STEERED, datagram(short_header("07c4605e4504cc4f"))).backend,
		  "10.1.0.11");
	EXPECT_EQ(expect(AX_R_STEERED, datagram(short_header("07c4605f4504cc4f"))).backend,
		  "10.1.0.12");
	EXPECT_EQ(expect(AX_R_STEERED, datagram(short_header("07c4605e4504cc4f"))).backend,
		  "10.1.0.11");
}

TEST_F(Quic, WhatNamesNobodyGoesByItsTuple)
{
	const auto by_tuple = [&](std::uint16_t port) {
		const FlowTuple flow{*Address::parse("203.0.113.5"),
				     *Address::parse("198.51.100.80"), port, 53, kUdp};
		const std::uint32_t slot = steer_hash(config_.hash_seed, flow) % 251;
		return Address(image().backends.at(image().slots.at(slot).backend[0]).addr).text();
	};
	notes();
	std::uint64_t sent = 0;
	for (std::uint16_t port = 1000; port < 1020; ++port)
		for (const Bytes &payload :
		     {short_header("07aabbcc4504cc4f"), // no such server
		      short_header("27c4605e4504cc4f"), // another configuration
		      short_header("e7c4605e4504cc4f"), // 7: not routable at all
		      long_header("07c460"),		// too short for a server id
		      long_header("1122334455667788"),	// a client's own choice
		      Bytes{0x45, 0x07, 0xc4}}) {	// no QUIC packet
			EXPECT_EQ(expect(AX_R_STEERED, datagram(payload, port)).backend,
				  by_tuple(port));
			sent++;
		}
	EXPECT_EQ(notes()[AX_R_QUIC_UNROUTABLE], sent);
}

TEST_F(Quic, ABackendThatIsDownIsNobody)
{
	const Bytes payload = short_header("07c4605e4504cc4f");
	config_.pools[0].backends[0].state = AX_BACKEND_DRAINING;
	apply(config_);
	EXPECT_EQ(expect(AX_R_STEERED, datagram(payload)).backend, "10.1.0.11");
	config_.pools[0].backends[0].state = AX_BACKEND_DOWN;
	apply(config_);
	EXPECT_NE(expect(AX_R_STEERED, datagram(payload)).backend, "10.1.0.11");
	// unless all are, and the policy is to go on as before
	config_.pools[0].all_down = AX_ALL_DOWN_LAST_KNOWN;
	for (Backend &backend : config_.pools[0].backends)
		backend.state = AX_BACKEND_DOWN;
	apply(config_);
	EXPECT_EQ(expect(AX_R_STEERED, datagram(payload)).backend, "10.1.0.11");
}

TEST_F(Quic, EntriesFromBeforeGiveWay)
{
	Config before = config_;
	before.pools[0].hash = AX_HASH_FLOW;
	apply(before);
	std::set<std::string> backends;
	for (std::uint16_t port = 1000; port < 1030; ++port)
		backends.insert(
			expect(AX_R_STEERED, datagram(short_header("07c4605e4504cc4f"), port))
				.backend);
	EXPECT_EQ(backends.size(), 3U);
	apply(config_);
	for (std::uint16_t port = 1000; port < 1030; ++port)
		EXPECT_EQ(expect(AX_R_STEERED, datagram(short_header("07c4605e4504cc4f"), port))
				  .backend,
			  "10.1.0.11");
}

TEST_F(Quic, TcpOfThePoolGoesByItsTuple)
{
	std::set<std::string> backends;
	for (std::uint16_t port = 1000; port < 1030; ++port)
		backends.insert(expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{.sport = port}).backend);
	EXPECT_EQ(backends.size(), 3U);
	EXPECT_EQ(flows().size(), 30U);
}

} // namespace
} // namespace anycast::test
