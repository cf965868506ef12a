// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What leaves the node: outer headers field by field, MAC addresses, MTU.
#include <arpa/inet.h>

#include <set>
#include <thread>

#include "support/program_fixture.h"

namespace anycast::test {
namespace {

constexpr std::size_t kEth = 14, kOuter4 = 20, kOuter6 = 40;

class Encap : public ProgramTest {
protected:
	// The VIPs of both families on a pool of that family.
	void tunnel_to(const std::string &pool, std::uint16_t mtu = 1500,
		       ax_forward forward = AX_FORWARD_IPIP)
	{
		Config config = two_families();
		for (Vip &vip : config.vips) {
			vip.pool = pool;
			vip.forward = forward;
		}
		apply(config, {}, mtu);
		reset_flows(); // which would keep their backends
	}
};

void expect_ethernet(const Packet &out, std::uint16_t type)
{
	EXPECT_EQ(bytes_from(out, 0, 6), Bytes(std::begin(kNextHopMac), std::end(kNextHopMac)));
	EXPECT_EQ(bytes_from(out, 6, 6), Bytes(std::begin(kSourceMac), std::end(kSourceMac)));
	EXPECT_EQ(word_at(out, 12), type);
}

Bytes address_bytes(const std::string &text)
{
	const Address address = *Address::parse(text);
	const auto &all = address.bytes();
	return {all.begin() + (address.is_v4() ? 12 : 0), all.end()};
}

// RFC 2003 around `inner`, the datagram with whatever trails it in the frame.
void expect_outer4(const Outcome &outcome, std::uint8_t tos, std::uint8_t proto,
		   std::size_t datagram, const Bytes &inner)
{
	const Packet &out = outcome.frame;
	ASSERT_EQ(out.size(), kEth + kOuter4 + inner.size());
	expect_ethernet(out, 0x0800);
	EXPECT_EQ(out[kEth], 0x45);
	EXPECT_EQ(out[kEth + 1], tos);
	EXPECT_EQ(word_at(out, kEth + 2), datagram + kOuter4);
	EXPECT_EQ(word_at(out, kEth + 4), 0);	   // id
	EXPECT_EQ(word_at(out, kEth + 6), 0x4000); // DF, no fragment
	EXPECT_EQ(out[kEth + 8], AX_OUTER_TTL);
	EXPECT_EQ(out[kEth + 9], proto);
	EXPECT_EQ(internet_checksum(bytes_from(out, kEth, kOuter4)), 0);
	EXPECT_EQ(bytes_from(out, kEth + 12, 4), address_bytes("192.0.2.1"));
	EXPECT_EQ(bytes_from(out, kEth + 16, 4), address_bytes(outcome.backend));
	EXPECT_EQ(bytes_from(out, kEth + kOuter4), inner);
}

void expect_outer6(const Outcome &outcome, std::uint8_t traffic_class, std::uint8_t next,
		   std::size_t datagram, const Bytes &inner)
{
	const Packet &out = outcome.frame;
	ASSERT_EQ(out.size(), kEth + kOuter6 + inner.size());
	expect_ethernet(out, 0x86dd);
	EXPECT_EQ(out[kEth] >> 4, 6);
	EXPECT_EQ(word_at(out, kEth) >> 4 & 0xff, traffic_class);
	EXPECT_EQ(word_at(out, kEth + 4), datagram);
	EXPECT_EQ(out[kEth + 6], next);
	EXPECT_EQ(out[kEth + 7], AX_OUTER_TTL);
	EXPECT_EQ(bytes_from(out, kEth + 8, 16), address_bytes("2001:db8:9::1"));
	EXPECT_EQ(bytes_from(out, kEth + 24, 16), address_bytes(outcome.backend));
	EXPECT_EQ(bytes_from(out, kEth + kOuter6), inner);
}

TEST_F(Encap, Ip4InIp4)
{
	tunnel_to("web");
	for (const int tos : {0, 1, 2, 3, 0x2e << 2, 0xff}) {
		const Packet in =
			Eth{} / Ip4{.tos = static_cast<std::uint8_t>(tos), .ttl = 3} / Tcp{};
		expect_outer4(expect(AX_R_STEERED, in), static_cast<std::uint8_t>(tos), kIpIp,
			      in.size() - kEth, bytes_from(in, kEth));
	}
}

TEST_F(Encap, Ip6InIp6)
{
	tunnel_to("web6");
	for (const int tos : {0, 1, 2, 3, 0x2e << 2, 0xff}) {
		const Packet in = Eth{} / Ip6{.traffic_class = static_cast<std::uint8_t>(tos)} /
				  Tcp{} / Payload(100);
		expect_outer6(expect(AX_R_STEERED, in), static_cast<std::uint8_t>(tos), kIp6InIp,
			      in.size() - kEth, bytes_from(in, kEth));
	}
}

TEST_F(Encap, Ip4InIp6)
{
	tunnel_to("web6");
	const Packet in = Eth{} / Ip4{.tos = 0xb9} / Udp{} / Payload(30);
	expect_outer6(expect(AX_R_STEERED, in), 0xb9, kIpIp, in.size() - kEth,
		      bytes_from(in, kEth));
}

TEST_F(Encap, Ip6InIp4)
{
	tunnel_to("web");
	const Packet in =
		Eth{} / Ip6{.traffic_class = 0xb9, .flow_label = 0xfffff} / Udp{} / Payload(30);
	expect_outer4(expect(AX_R_STEERED, in), 0xb9, kIp6InIp, in.size() - kEth,
		      bytes_from(in, kEth));
}

TEST_F(Encap, EveryLengthHasARightChecksum)
{
	tunnel_to("web");
	for (std::size_t bytes = 0; bytes < 1400; bytes += in_vm() ? 97 : 1) {
		const Packet in = Eth{} / Ip4{.src = "203.0.113.250"} / Udp{} / Payload(bytes);
		const Outcome outcome = send(in);
		ASSERT_EQ(outcome.verdict, XDP_TX);
		EXPECT_EQ(internet_checksum(bytes_from(outcome.frame, kEth, kOuter4)), 0) << bytes;
	}
}

TEST_F(Encap, FlowLabelsTellFlowsApartAndStay)
{
	tunnel_to("web6");
	const auto label = [&](std::uint16_t port, std::uint8_t flags) {
		const Packet &out = send(Eth{} / Ip6{} / Tcp{.sport = port, .flags = flags}).frame;
		return (out[15] & 15U) << 16 | word_at(out, 16);
	};
	std::set<unsigned> labels;
	for (std::uint16_t port = 1000; port < 1100; ++port) {
		const unsigned first = label(port, kSyn);
		EXPECT_EQ(label(port, kAck), first); // inserts
		EXPECT_EQ(label(port, kAck), first); // known
		labels.insert(first);
	}
	EXPECT_GT(labels.size(), 95U);
}

TEST_F(Encap, VlanTagsStayBehind)
{
	for (const char *pool : {"web", "web6"}) {
		tunnel_to(pool);
		const Packet plain = Eth{} / Ip4{} / Tcp{};
		const Outcome without = expect(AX_R_STEERED, plain);
		EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Vlan{5} / Ip4{} / Tcp{}).frame,
			  without.frame);
		EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Vlan{5} / Vlan{6} / Ip4{} / Tcp{}).frame,
			  without.frame);
	}
	tunnel_to("web", 1500, AX_FORWARD_L2DSR);
	const Outcome without = expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{});
	EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Vlan{5} / Vlan{6} / Ip4{} / Tcp{}).frame,
		  without.frame);
}

TEST_F(Encap, L2dsrChangesTheMacAddressesOnly)
{
	tunnel_to("web", 1500, AX_FORWARD_L2DSR);
	const Packet in4 = Eth{} / Ip4{.tos = 1, .ttl = 1} / Tcp{} / Payload(9);
	const Packet out4 = expect(AX_R_STEERED, in4).frame;
	expect_ethernet(out4, 0x0800);
	EXPECT_EQ(bytes_from(out4, kEth), bytes_from(in4, kEth));
	const Packet in6 = Eth{} / Ip6{.hop_limit = 1} / Ip6Ext{} / Udp{} / Payload(9);
	const Packet out6 = expect(AX_R_STEERED, in6).frame;
	expect_ethernet(out6, 0x86dd);
	EXPECT_EQ(bytes_from(out6, kEth), bytes_from(in6, kEth));
}

TEST_F(Encap, PaddingTrailsAndIsNotCounted)
{
	tunnel_to("web");
	const Packet in = (Eth{} / Ip4{} / Tcp{}).pad(60);
	expect_outer4(expect(AX_R_STEERED, in), 0, kIpIp, 40, bytes_from(in, kEth));
	tunnel_to("web6");
	expect_outer6(expect(AX_R_STEERED, in), 0, kIpIp, 40, bytes_from(in, kEth));
}

TEST_F(Encap, TheNextHopsMtuBoundsTheOuterDatagram)
{
	const auto of = [](std::size_t datagram) {
		return Eth{} / Ip4{} / Udp{} / Payload(datagram - 28);
	};
	tunnel_to("web", 1400);
	expect(AX_R_STEERED, of(1380));
	expect(AX_R_TOO_BIG_NO_DF, of(1381));
	expect(AX_R_STEERED, of(1380).pad(1600)); // padding does not count
	tunnel_to("web6", 1400);
	expect(AX_R_STEERED, of(1360));
	expect(AX_R_TOO_BIG_NO_DF, of(1361));
	tunnel_to("web", 1400, AX_FORWARD_L2DSR);
	expect(AX_R_STEERED, of(1400));
	expect(AX_R_TOO_BIG_NO_DF, of(1401));
}

TEST_F(Encap, WhatIsDroppedLeavesTheCountersOfVipAndBackendAlone)
{
	tunnel_to("web", 1400);
	expect(AX_R_TOO_BIG_NO_DF, Eth{} / Ip4{} / Udp{} / Payload(1400));
	const auto none = *dataplane().backend_counters();
	for (const ax_traffic &counter : none)
		EXPECT_EQ(counter.packets, 0U);
	const Packet in = Eth{} / Ip4{} / Udp{};
	expect(AX_R_STEERED, in);
	std::uint64_t packets = 0, bytes = 0;
	const auto some = *dataplane().backend_counters();
	for (const ax_traffic &counter : some) {
		packets += counter.packets;
		bytes += counter.bytes;
	}
	EXPECT_EQ(packets, 1U);
	EXPECT_EQ(bytes, in.size()); // as it arrived
}

TEST_F(Encap, FragmentsKeepTheirFieldsInside)
{
	tunnel_to("web");
	const Packet in =
		Eth{} / Ip4{.id = 777, .mf = true, .offset = 9, .protocol = kUdp} / Payload(64);
	expect_outer4(expect(AX_R_STEERED_FRAGMENT, in), 0, kIpIp, in.size() - kEth,
		      bytes_from(in, kEth));
}

TEST_F(Encap, WithoutAResolvedNextHopTheKernelsRoutesDecide)
{
	apply(two_families());
	Image changed = image();
	for (ax_backend &backend : changed.backends)
		backend.flags &= static_cast<__u8>(~AX_BACKEND_RESOLVED);
	ASSERT_TRUE(dataplane().apply(changed));
	std::thread([&] { // in a namespace that has none
		ASSERT_EQ(unshare(CLONE_NEWNET), 0);
		expect(AX_R_NO_ROUTE, Eth{} / Ip4{} / Tcp{});
	})
		.join();
}

// Next hops behind a device that frames cannot simply be sent to, as the agent tells of it.
class EncapDevice : public Encap {
protected:
	static constexpr std::uint32_t kDevice = 77, kBeneath = 78, kHere = 1; // test runs: lo

	void SetUp() override
	{
		Encap::SetUp();
		erase();
	}
	void TearDown() override
	{
		erase();
		Encap::TearDown();
	}
	void behind(const ax_device &device, ax_forward forward)
	{
		tunnel_to("web", 1500, forward);
		Image image = this->image();
		for (ax_backend &backend : image.backends)
			backend.ifindex = kDevice;
		ASSERT_TRUE(dataplane().apply(image));
		ASSERT_TRUE(dataplane().map("ax_device").update(&kDevice, &device));
	}

private:
	void erase()
	{
		const std::uint32_t device = kDevice;
		ASSERT_TRUE(dataplane().map("ax_device").erase(&device));
	}
};

TEST_F(EncapDevice, TheTagStandsBehindTheAddresses)
{
	for (const ax_forward forward : {AX_FORWARD_IPIP, AX_FORWARD_GUE, AX_FORWARD_L2DSR}) {
		const Packet in = Eth{} / Ip4{} / Tcp{.sport = 9};
		tunnel_to("web", 1500, forward);
		const Packet plain = expect(AX_R_STEERED, in).frame;
		behind({kHere, htons(0x88a8), htons(100)}, forward);
		reset_flows();
		for (int known = 0; known < 2; ++known) {
			const Packet tagged = expect(AX_R_STEERED, in).frame;
			ASSERT_EQ(tagged.size(), plain.size() + 4);
			EXPECT_EQ(bytes_from(tagged, 0, 12), bytes_from(plain, 0, 12));
			EXPECT_EQ(word_at(tagged, 12), 0x88a8);
			EXPECT_EQ(word_at(tagged, 14), 100);
			EXPECT_EQ(bytes_from(tagged, 16), bytes_from(plain, 12));
		}
	}
}

TEST_F(EncapDevice, AnotherDeviceIsRedirectedTo)
{
	for (const ax_forward forward : {AX_FORWARD_IPIP, AX_FORWARD_GUE, AX_FORWARD_L2DSR}) {
		behind({kBeneath, htons(0x8100), htons(7)}, forward);
		reset_flows();
		const Outcome outcome = send(Eth{} / Ip4{} / Tcp{});
		EXPECT_EQ(outcome.reason, AX_R_STEERED);
		EXPECT_EQ(outcome.verdict, static_cast<std::uint32_t>(XDP_REDIRECT));
		EXPECT_EQ(word_at(outcome.frame, 12), 0x8100);
	}
}

TEST_F(EncapDevice, ThatTakesNoFramesIsANamedDrop)
{
	for (const ax_forward forward : {AX_FORWARD_IPIP, AX_FORWARD_GUE, AX_FORWARD_L2DSR}) {
		behind({}, forward);
		expect(AX_R_NO_TRANSMIT, Eth{} / Ip4{} / Tcp{.flags = kSyn});
		expect(AX_R_NO_TRANSMIT, Eth{} / Ip4{} / Tcp{.flags = kAck});
		expect(AX_R_NO_TRANSMIT, Eth{} / Ip4{} / Tcp{.flags = kAck});
	}
}

} // namespace
} // namespace anycast::test
