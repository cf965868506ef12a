// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// IPv4: bounds of header, options and lengths; what must pass.
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

class Ip4Stage : public ProgramTest {
protected:
	void SetUp() override
	{
		ProgramTest::SetUp();
		apply(two_families());
	}
};

Bytes record_route(std::size_t length) // the whole option's
{
	Bytes data(length - 2);
	data[0] = 4;
	return option(7, data);
}

TEST_F(Ip4Stage, OptionsUpToFortyBytes)
{
	for (const std::size_t length : {0U, 4U, 20U, 36U, 40U})
		expect(AX_R_STEERED, Eth{} / Ip4{.options = Bytes(length, 1)} / Tcp{});
	// One option that takes all of it, and one that would take a byte more.
	notes();
	expect(AX_R_STEERED, Eth{} / Ip4{.options = join({record_route(39), {1}})} / Tcp{});
	expect(AX_R_STEERED, Eth{} / Ip4{.options = record_route(40)} / Tcp{});
	EXPECT_EQ(notes()[AX_R_IP4_RECORD_ROUTE], 2U);
	Bytes beyond = record_route(40);
	beyond[1] = 41;
	expect(AX_R_IP4_OPTION_LENGTH, Eth{} / Ip4{.options = beyond} / Tcp{});
}

TEST_F(Ip4Stage, AnOptionIsFoundAtEveryPlace)
{
	for (std::size_t before = 0; before <= 36; ++before) {
		const Bytes options = join({Bytes(before, 1), option(131, {4})});
		expect(AX_R_IP4_SOURCE_ROUTE, Eth{} / Ip4{.options = options} / Tcp{});
	}
	expect(AX_R_IP4_OPTION_LENGTH, Eth{} / Ip4{.options = join({Bytes(39, 1), {131}})} / Tcp{});
	// Behind the end of the list nothing is an option.
	expect(AX_R_STEERED, Eth{} / Ip4{.options = join({{0}, option(131, {4})})} / Tcp{});
}

TEST_F(Ip4Stage, HeaderLengthAtTheFramesEnd)
{
	const auto cut = [](std::uint8_t ihl, std::size_t bytes) {
		return (Eth{} / Ip4{.ihl = ihl, .total_length = 20, .protocol = 99} / Payload(60))
			.truncate(14 + bytes);
	};
	for (std::uint8_t ihl = 0; ihl < 5; ++ihl)
		expect(AX_R_IP4_IHL, cut(ihl, 60));
	expect(AX_R_IP4_IHL, cut(15, 59));
	expect(AX_R_IP4_TOTAL_LENGTH, cut(15, 60)); // fits, but the total length does not cover it
}

TEST_F(Ip4Stage, TotalLengthAtBothBounds)
{
	const auto with = [](std::uint16_t length) {
		return Eth{} / Ip4{.dst = "198.51.100.99", .total_length = length, .protocol = 99} /
		       Payload(10);
	};
	expect(AX_R_IP4_TOTAL_LENGTH, with(19));
	expect(AX_R_NOT_VIP, with(20));
	expect(AX_R_NOT_VIP, with(30));
	expect(AX_R_IP4_TOTAL_LENGTH, with(31));
	expect(AX_R_IP4_TOTAL_LENGTH, with(65535));
}

TEST_F(Ip4Stage, LengthZeroIsTheFrames)
{
	notes();
	EXPECT_EQ(expect(AX_R_STEERED, Eth{} / Ip4{.total_length = 0} / Tcp{}).vip, "www");
	EXPECT_EQ(notes()[AX_R_IP4_ZERO_LENGTH], 1U);
}

TEST_F(Ip4Stage, PaddingIsNoPartOfTheDatagram)
{
	expect(AX_R_STEERED, (Eth{} / Ip4{} / Tcp{}).pad(60));
	expect(AX_R_STEERED, (Eth{} / Ip4{} / Tcp{}).pad(1514));
	// A UDP length that only the padding would satisfy.
	expect(AX_R_UDP_LENGTH, (Eth{} / Ip4{} / Udp{.length = 20}).pad(60));
	expect(AX_R_TCP_DATA_OFFSET, (Eth{} / Ip4{} / Tcp{.data_offset = 8}).pad(100));
}

TEST_F(Ip4Stage, WhatRealTrafficDoesPasses)
{
	notes();
	expect(AX_R_STEERED, Eth{} / Ip4{.options = {148, 4, 0, 0}} / Tcp{}); // router alert
	expect(AX_R_STEERED, Eth{} / Ip4{.tos = 0xff} / Tcp{.flags = kSyn | kEce | kCwr});
	expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{.flags = kSyn} / Payload(100));
	expect(AX_R_STEERED, Eth{} / Ip4{} / Tcp{.flags = kRst} / Payload(10));
	expect(AX_R_STEERED, Eth{} / Ip4{} / Udp{.sport = 0, .checksum = 0});
	expect(AX_R_NOT_VIP,
	       Eth{} / Ip4{.src = "0.0.0.0", .dst = "255.255.255.255"} / Udp{.dport = 67});
	expect(AX_R_NOT_VIP,
	       Eth{} / Ip4{.src = "0.0.0.0", .dst = "224.0.0.1", .protocol = 2} / Payload(8));
	const auto noted = notes();
	for (const auto &[reason, count] : noted)
		EXPECT_TRUE(reason == AX_R_FLOW_INSERTED) << reason_label(reason);
}

TEST_F(Ip4Stage, FragmentsAtTheirBounds)
{
	const auto fragment = [](std::uint16_t offset, bool mf, std::size_t bytes) {
		return Eth{} / Ip4{.mf = mf, .offset = offset, .protocol = kUdp} / Payload(bytes);
	};
	expect(AX_R_STEERED_FRAGMENT, fragment(1, true, 8));
	expect(AX_R_IP4_FRAG_LENGTH, fragment(1, true, 9));
	expect(AX_R_IP4_FRAG_LENGTH, fragment(1, true, 7));
	expect(AX_R_IP4_FRAG_LENGTH, fragment(1, true, 0));
	expect(AX_R_STEERED_FRAGMENT, fragment(1, false, 9));	 // the last one may have any length
	expect(AX_R_STEERED_FRAGMENT, fragment(8189, false, 3)); // ends at 65535
	expect(AX_R_IP4_FRAG_BEYOND, fragment(8189, false, 4));	 // and at 65536
	expect(AX_R_IP4_FRAG_BEYOND, fragment(8191, false, 1000));
}

} // namespace
} // namespace anycast::test
