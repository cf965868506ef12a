// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/packet.h"

#include <sstream>

#include <gtest/gtest.h>

namespace anycast::test {
namespace {

unsigned be16(const Packet &packet, std::size_t at)
{
	return packet[at] * 256u + packet[at + 1];
}

TEST(PacketTest, ReadsLikeASentenceAndFillsInTheRest)
{
	const Packet packet = Eth{} / Vlan{100} /
			      Ip4{.src = "203.0.113.5", .dst = "198.51.100.80", .ttl = 254} /
			      Tcp{.sport = 40000, .dport = 179, .flags = kSyn} / Payload(4);
	// Checksums by another implementation (Python).
	EXPECT_EQ(packet.hex(), "020000000002"
				"020000000001"
				"8100"
				"0064"
				"0800"
				"4500002c00010000fe065641cb007105c6336450"
				"9c4000b300000001000000005002ffffaa5c0000"
				"00010203");
}

TEST(PacketTest, TransportChecksumsOverIpv6)
{
	const Packet tcp = Eth{} / Ip6{} / Tcp{.options = mss(1440)} / Payload("odd");
	const Packet udp = Eth{} / Ip6{} / Udp{} / Payload("odd");
	const Packet icmp = Eth{} / Ip6{} / Icmp6{.type = 2, .mtu = 1280} / Payload("odd");
	EXPECT_EQ(be16(tcp, 14 + 40 + 16), 0xcc3cu);
	EXPECT_EQ(be16(udp, 14 + 40 + 6), 0x3407u);
	EXPECT_EQ(be16(icmp, 14 + 40 + 2), 0xc95eu);
}

TEST(PacketTest, ChecksumOfRfc1071)
{
	const Bytes example{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	EXPECT_EQ(internet_checksum(example), 0xffff - 0xddf2);
	EXPECT_EQ(internet_checksum(Bytes{}), 0xffff);
}

TEST(PacketTest, UdpChecksumZeroIsSentAsOnes)
{
	// The payload is chosen so that the sum comes to 0.
	const Packet zero = Eth{} / Ip4{} / Udp{.checksum = 0} / Payload(2);
	const Packet probe = Eth{} / Ip4{} / Udp{} / Raw{{0, 0}};
	const unsigned sum = be16(probe, 14 + 20 + 6);
	const Packet ones =
		Eth{} / Ip4{} / Udp{} /
		Raw{{static_cast<std::uint8_t>(sum >> 8), static_cast<std::uint8_t>(sum)}};
	EXPECT_EQ(be16(zero, 14 + 20 + 6), 0u);
	EXPECT_EQ(be16(ones, 14 + 20 + 6), 0xffffu);
}

TEST(PacketTest, WhatIsGivenIsWrittenAsGiven)
{
	const Packet packet = Eth{.ethertype = 0x1234} /
			      Ip4{.version = 5,
				  .ihl = 3,
				  .total_length = 7,
				  .evil = true,
				  .df = true,
				  .mf = true,
				  .offset = 0x1abc,
				  .protocol = 99,
				  .checksum = 0xbeef} /
			      Tcp{.data_offset = 2, .checksum = 0xdead};
	EXPECT_EQ(be16(packet, 12), 0x1234u);
	EXPECT_EQ(packet[14], 0x53);
	EXPECT_EQ(be16(packet, 16), 7u);
	EXPECT_EQ(be16(packet, 20), 0xe000u | 0x1abcu);
	EXPECT_EQ(packet[23], 99);
	EXPECT_EQ(be16(packet, 24), 0xbeefu);
	EXPECT_EQ(packet[34 + 12], 0x20);
	EXPECT_EQ(be16(packet, 34 + 16), 0xdeadu);
}

TEST(PacketTest, NextProtocolFollowsTheNextLayer)
{
	EXPECT_EQ((Eth{} / Arp{})[13], 0x06);
	EXPECT_EQ(be16(Eth{} / Vlan{.id = 1, .tpid = 0x88a8} / Vlan{2} / Ip6{}, 12), 0x88a8u);
	EXPECT_EQ((Eth{} / Ip4{} / Ip4{} / Udp{})[14 + 9], 4);
	EXPECT_EQ((Eth{} / Ip4{} / Ip6{} / Udp{})[14 + 9], 41);
	EXPECT_EQ((Eth{} / Ip6{} / Ip6Frag{} / Udp{})[14 + 6], 44);
	EXPECT_EQ((Eth{} / Ip6{} / Ip6Frag{} / Udp{})[14 + 40], 17);
	EXPECT_EQ((Eth{} / Ip6{})[14 + 6], kNoNext);
}

TEST(PacketTest, TunnelsHaveTheirOwnLengthsAndChecksums)
{
	const Packet inner = Ip4{.dst = "192.0.2.9"} / Udp{} / Payload(3);
	const Packet packet = Eth{} / Ip6{} / inner;
	EXPECT_EQ(be16(packet, 14 + 4), 20u + 8 + 3);
	EXPECT_EQ(packet.slice(14 + 40).bytes, inner.bytes());
}

TEST(PacketTest, ExtensionHeadersAreWholeUnits)
{
	const Packet options = Ip6Ext{.kind = kHopByHop} / Payload(0);
	EXPECT_EQ(options.hex(), "fd00"
				 "010400000000");
	const Packet routing =
		Ip6Ext{.kind = kRouting, .routing_type = 2, .body = Bytes(20)} / Tcp{};
	EXPECT_EQ(routing[0], 6);
	EXPECT_EQ(routing[1], 2); // 24 bytes
	EXPECT_EQ(routing[2], 2);
	const Packet ah = Ip6Ext{.kind = kAuthentication, .body = Bytes(14)} / Tcp{};
	EXPECT_EQ(ah.size(), 16u + 20);
	EXPECT_EQ(ah[1], 2); // RFC 4302: 4 words less 2
}

TEST(PacketTest, TcpOptionsSetTheDataOffset)
{
	const Packet packet = Tcp{.options = join({mss(1460), sack_permitted(), timestamps(7, 0),
						   nop(), window_scale(7)})} /
			      Payload(0);
	EXPECT_EQ(packet.size(), 40u);
	EXPECT_EQ(packet[12], 0xa0);
	EXPECT_EQ(packet.slice(20).bytes,
		  Packet::from_hex("020405b4 0402 080a0000000700000000 01 030307").bytes());
	EXPECT_EQ(sack({{1, 2}, {3, 4}}).size(), 18u);
}

TEST(PacketTest, IcmpErrorsQuote)
{
	const Packet original = Eth{} / Ip4{} / Tcp{.dport = 179} / Payload(100);
	const Packet error =
		Eth{} / Ip4{} / Icmp4{.type = 3, .code = 4, .seq = 1400} / original.slice(14, 28);
	EXPECT_EQ(be16(error, 14 + 2), 20u + 8 + 28);
	EXPECT_EQ(be16(error, 14 + 20 + 6), 1400u);
	EXPECT_EQ(internet_checksum(error.slice(14 + 20).bytes), 0);
}

TEST(PacketTest, ChangedCopies)
{
	const Packet packet = Eth{} / Ip4{} / Udp{};
	EXPECT_EQ(packet.truncate(20).size(), 20u);
	EXPECT_EQ(packet.truncate(1000), packet);
	EXPECT_EQ(packet.pad(60).size(), 60u);
	EXPECT_EQ(packet.pad(60)[59], 0);
	EXPECT_EQ(packet.pad(10), packet);
	EXPECT_EQ(packet.with_byte(0, 0xff)[0], 0xff);
	EXPECT_EQ(packet.slice(100).bytes, Bytes{});
	EXPECT_EQ(packet.size(), 42u);
}

TEST(PacketTest, HexBothWays)
{
	const Packet packet = Packet::from_hex("00:01 aB\nfF");
	EXPECT_EQ(packet.hex(), "0001abff");
	EXPECT_THROW((void)Packet::from_hex("0"), std::invalid_argument);
	EXPECT_THROW((void)Packet::from_hex("0g"), std::invalid_argument);
	std::ostringstream out;
	out << packet.pad(17);
	EXPECT_EQ(out.str(), "17 bytes\n"
			     "0000  00 01 ab ff 00 00 00 00 00 00 00 00 00 00 00 00\n"
			     "0010  00");
}

TEST(PacketTest, AddressesOfTheWrongFamilyAreRefused)
{
	EXPECT_THROW(Packet(Ip4{.src = "::1"}), std::invalid_argument);
	EXPECT_THROW(Packet(Eth{.src = "02:00"}), std::invalid_argument);
}

} // namespace
} // namespace anycast::test
