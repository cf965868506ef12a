// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/address.h"

#include <gtest/gtest.h>

namespace anycast {
namespace {

Address at(std::string_view text)
{
	const auto address = Address::parse(text);
	EXPECT_TRUE(address) << text;
	return address.value_or(Address());
}

TEST(Address, Ipv4LiesInTheMappedForm)
{
	const std::array<std::uint8_t, 16> mapped{0, 0, 0,    0,    0,	 0, 0, 0,
						  0, 0, 0xff, 0xff, 192, 0, 2, 1};
	EXPECT_EQ(at("192.0.2.1").bytes(), mapped);
	EXPECT_EQ(at("192.0.2.1").v4_host_order(), 0xc0000201u);
	EXPECT_EQ(Address::v4(0xc0000201), at("192.0.2.1"));
	EXPECT_EQ(at("::ffff:192.0.2.1"), at("192.0.2.1"));
}

TEST(Address, TextIsCanonical)
{
	EXPECT_EQ(at("192.0.2.1").text(), "192.0.2.1");
	EXPECT_EQ(at("::ffff:192.0.2.1").text(), "192.0.2.1");
	EXPECT_EQ(at("2001:DB8:0:0:0:0:0:1").text(), "2001:db8::1");
	EXPECT_EQ(at("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").text(),
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	EXPECT_EQ(Address().text(), "::");
}

TEST(Address, RawRoundTrips)
{
	for (const char *text : {"192.0.2.1", "2001:db8::1", "::", "0.0.0.0"})
		EXPECT_EQ(Address(at(text).raw()), at(text)) << text;
}

TEST(Address, RefusesWhatIsNoPlainAddress)
{
	using namespace std::string_view_literals;
	for (const std::string_view text :
	     {""sv, "192.0.2"sv, "192.0.2.256"sv, "192.0.2.1/32"sv, " 192.0.2.1"sv, "192.0.2.1 "sv,
	      "192.0.2.01"sv, "fe80::1%eth0"sv, "2001:db8::/64"sv, "1::2::3"sv, "[::1]"sv,
	      "localhost"sv, "192.0.2.1\0"sv, "192.0.2.1\0x"sv,
	      "0000000000000000000000000000000000000000000000000000000000000001"sv})
		EXPECT_FALSE(Address::parse(text)) << text;
}

TEST(Address, Kinds)
{
	EXPECT_TRUE(at("192.0.2.1").is_v4());
	EXPECT_FALSE(at("::192.0.2.1").is_v4());
	EXPECT_FALSE(at("2001:db8::1").is_v4());

	EXPECT_TRUE(at("0.0.0.0").is_unspecified());
	EXPECT_TRUE(at("::").is_unspecified());
	EXPECT_FALSE(at("0.0.0.1").is_unspecified());

	EXPECT_TRUE(at("224.0.0.1").is_multicast());
	EXPECT_TRUE(at("239.255.255.255").is_multicast());
	EXPECT_TRUE(at("ff02::1").is_multicast());
	EXPECT_FALSE(at("223.255.255.255").is_multicast());
	EXPECT_FALSE(at("240.0.0.1").is_multicast());
	EXPECT_FALSE(at("fe80::1").is_multicast());

	EXPECT_TRUE(at("127.255.0.1").is_loopback());
	EXPECT_TRUE(at("::1").is_loopback());
	EXPECT_FALSE(at("128.0.0.1").is_loopback());
	EXPECT_FALSE(at("::2").is_loopback());
}

TEST(Address, OrdersByBytes)
{
	EXPECT_LT(at("9.255.255.255"), at("10.0.0.0"));
	EXPECT_LT(at("192.0.2.1"), at("2001:db8::1"));
}

} // namespace
} // namespace anycast
