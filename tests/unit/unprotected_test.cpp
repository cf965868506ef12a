// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/unprotected.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anycast::test {
namespace {

Config with_peers(const std::vector<std::pair<const char *, std::uint16_t>> &peers)
{
	Config config;
	for (const auto &[address, hops] : peers)
		config.gtsm_peers.push_back({*Address::parse(address), hops});
	return config;
}

std::vector<std::string> names(const std::vector<Unprotected> &list)
{
	std::vector<std::string> names;
	for (const Unprotected &one : list)
		names.push_back(one.neighbour.protocol);
	return names;
}

const std::vector<BirdNeighbour> kThree{{"upstream", "192.0.2.254"},
					{"upstream6", "2001:db8::fe"},
					{"route_server", "192.0.2.250"}};

TEST(Unprotected, NamesTheNeighboursThatNoPeerCovers)
{
	const auto missing = unprotected_neighbours(
		with_peers({{"192.0.2.254", 1}, {"2001:db8::fe", 1}}), kThree);
	ASSERT_EQ(names(missing), std::vector<std::string>{"route_server"});
	EXPECT_EQ(missing[0].neighbour.address, "192.0.2.250");
	EXPECT_THAT(missing[0].hint, testing::HasSubstr("address = \"192.0.2.250\""));
}

TEST(Unprotected, NoneIsMissingWhereAllArePeersOrExempt)
{
	EXPECT_TRUE(
		unprotected_neighbours(
			with_peers({{"192.0.2.254", 1}, {"2001:db8::fe", 5}, {"192.0.2.250", 0}}),
			kThree)
			.empty());
}

TEST(Unprotected, WithoutPeersAllAre)
{
	const auto missing = unprotected_neighbours({}, kThree);
	EXPECT_EQ(names(missing),
		  (std::vector<std::string>{"upstream", "upstream6", "route_server"}));
	EXPECT_THAT(missing[0].why, testing::HasSubstr("no session is protected"));
}

TEST(Unprotected, ASessionThatEndsAtAnotherAddressOfOursIsNotSeen)
{
	const Config config = with_peers({{"192.0.2.254", 1}, {"192.0.2.250", 0}});
	const std::vector<Address> ends{*Address::parse("192.0.2.1")};
	EXPECT_TRUE(
		unprotected_neighbours(config, {{"up", "192.0.2.254", "192.0.2.1"}}, ends).empty());
	EXPECT_TRUE(unprotected_neighbours(config, {{"down", "192.0.2.254", ""}}, ends).empty());
	const auto missing = unprotected_neighbours(config,
						    {{"loopback", "192.0.2.254", "10.255.0.1"},
						     {"exempt", "192.0.2.250", "10.255.0.1"}},
						    ends);
	ASSERT_EQ(names(missing), std::vector<std::string>{"loopback"});
	EXPECT_THAT(missing[0].why, testing::HasSubstr("ends at 10.255.0.1"));
	EXPECT_EQ(missing[0].hint,
		  "\"10.255.0.1\" to [gtsm] local, beside all others where sessions end");
	EXPECT_TRUE(
		unprotected_neighbours(config, {{"up", "192.0.2.254", "10.255.0.1"}}, {}).empty())
		<< "nobody knows the session addresses";
}

TEST(Unprotected, AddressesAreComparedNotTheirText)
{
	const Config config = with_peers({{"2001:db8::fe", 1}, {"fe80::1", 1}});
	EXPECT_TRUE(unprotected_neighbours(config, {{"a", "2001:DB8:0:0::FE"},
						    {"b", "fe80::1%eth0"},
						    {"c", ""},
						    {"d", "0.0.0.0"}})
			    .empty());
}

} // namespace
} // namespace anycast::test
