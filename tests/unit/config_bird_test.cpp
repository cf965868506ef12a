// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// [bird], [[bird.neighbours]] and [vips.bgp]: what is read, and every mistake with its place.
#include <gtest/gtest.h>

#include "config/config.h"
#include "core/model_json.h"

#include <nlohmann/json.hpp>

namespace anycast {
namespace {

std::string errors_of(const std::string &text)
{
	const auto parsed = parse_config(text, "t.toml");
	if (parsed)
		return "";
	EXPECT_EQ(parsed.error().kind, Exit::kUsage);
	return parsed.error().what;
}

// Lines 1-2: [bird]; 3: [[bird.neighbours]], 4: its name, 5: its address, 6: its asn.
std::string with_neighbour(const std::string &rest, const std::string &address = "192.0.2.1")
{
	return "[bird]\nasn = 64512\n[[bird.neighbours]]\nname = \"up\"\naddress = \"" + address +
	       "\"\nasn = 64500\n" + rest;
}

// Lines 1-2: the node; 3-5: pool; 6-10: VIP.
std::string with_vip(const std::string &rest)
{
	return "[node]\nhash_seed = \"0123456789abcdef0123456789abcdef\"\n[[pools]]\nname = "
	       "\"web\"\nbackends = [{address = \"10.1.0.11\"}]\n[[vips]]\nname = \"www\"\n"
	       "address = \"192.0.2.80\"\nport = 80\npool = \"web\"\n" +
	       rest;
}

TEST(ConfigBird, DefaultsFollowTheKindOfSession)
{
	const auto parsed = parse_config(
		with_neighbour("[[bird.neighbours]]\nname = \"rr\"\naddress = \"10.0.0.1\"\n"
			       "asn = 64512\n[[bird.neighbours]]\nname = \"six\"\n"
			       "address = \"2001:db8::1\"\nasn = 64500\n"),
		"t.toml");
	ASSERT_TRUE(parsed) << parsed.error().what;
	const auto &neighbours = parsed->config.bird.neighbours;
	ASSERT_EQ(neighbours.size(), 3U);
	EXPECT_TRUE(neighbours[0].ttl_security && neighbours[0].bfd);
	EXPECT_EQ(neighbours[0].multihop, 0U);
	EXPECT_TRUE(neighbours[0].ipv4 && !neighbours[0].ipv6);
	EXPECT_EQ(neighbours[0].hold_time, 9U);
	EXPECT_EQ(neighbours[1].multihop, 64U); // within the AS
	EXPECT_FALSE(neighbours[1].ttl_security || neighbours[1].bfd);
	EXPECT_TRUE(!neighbours[2].ipv4 && neighbours[2].ipv6);
}

TEST(ConfigBird, WritesWhatItReads)
{
	const auto parsed = parse_config(
		with_vip("bgp = {communities = [\"1:2\", \"0:1\"], large_communities = "
			 "[\"4200000000:1:2\"], prepend = 3, med = 0, local_pref = 7}\n"
			 "[[vips]]\nname = \"quic\"\naddress = \"192.0.2.80\"\nport = 443\n"
			 "protocol = \"udp\"\npool = \"web\"\n") +
			with_neighbour("local = \"192.0.2.2\"\nmultihop = 2\nttl_security = true\n"
				       "bfd = false\nhold_time = 3\npassword = \"p w\"\n"
				       "import = \"vips\"\n[[bird.neighbours]]\nname = \"l\"\n"
				       "address = \"fe80::1\"\ninterface = \"eth0\"\nasn = 64512\n"
				       "multihop = 0\nrr_client = true\n"
				       "families = [\"ipv4\", \"ipv6\"]\n"),
		"t.toml");
	ASSERT_TRUE(parsed) << parsed.error().what;
	const Config &config = parsed->config;
	const std::string text = to_toml(config);
	const auto again = parse_config(text, "again.toml");
	ASSERT_TRUE(again) << again.error().what << "\n" << text;
	EXPECT_EQ(again->config, config) << text;
	const auto stored = config_from_json(config_to_json(config));
	ASSERT_TRUE(stored) << stored.error().what;
	EXPECT_EQ(*stored, config);
	// One address is one route: the other VIP has the same attributes.
	EXPECT_EQ(config.vips[0].bgp.communities, (std::vector<Community>{{0, 1}, {1, 2}}));
	EXPECT_EQ(config.vips[1].bgp, config.vips[0].bgp);
}

TEST(ConfigBird, EveryMistakeHasItsPlace)
{
	const std::pair<std::string, std::string> mistakes[] = {
		{"[bird]\n", "1:1: bird.asn is missing"},
		{"[bird]\nasn = 0\n", "2:7: bird.asn: 0 is not in 1..4294967295"},
		{"[bird]\nasn = 23456\n", "2:7: bird.asn: 23456 is reserved"},
		{"[bird]\nasn = 4294967295\n", "2:7: bird.asn: 4294967295 is reserved"},
		{"[bird]\nasn = 1\nrouter_id = \"::1\"\n",
		 "3:13: bird.router_id: expected an IPv4 address, also where only IPv6 is routed"},
		{"[bird]\nasn = 1\nsocket = \"bird.ctl\"\n",
		 "3:10: bird.socket: expected an absolute path without quotes or wildcards"},
		{"[bird]\nasn = 1\ninclude = \"/etc/*.conf\"\n",
		 "3:11: bird.include: expected an absolute path without quotes or wildcards"},
		{"[bird]\nasn = 1\ndamping = \"heavy\"\n",
		 "3:11: bird.damping: \"heavy\" is none of rfc2439, cisco, frr, juniper, rfc7196"},
		{"[bird]\nasn = 1\nbfd_interval_ms = 9\n",
		 "3:19: bird.bfd_interval_ms: 9 is not in 10..60000"},
		{"[bird]\nasn = 1\ninterface = \"eth*\"\n",
		 "3:13: bird.interface: \"eth*\" cannot be an interface"},
		{with_neighbour("hold_time = 2\n"),
		 "7:13: bird.neighbours.hold_time: 2 is not in 3..65535"},
		{with_neighbour("hold_time = 0\n"),
		 "7:13: bird.neighbours.hold_time: 0 is not in 3..65535"},
		{with_neighbour("bfd = 1\n"),
		 "7:7: bird.neighbours.bfd: expected true or false, not an integer"},
		{with_neighbour("rr_client = true\n"),
		 "7:13: bird.neighbours.rr_client: routes are reflected within an AS only"},
		{with_neighbour("password = \"a\\\"b\"\n"),
		 "7:12: bird.neighbours.password: expected 1..80 printable ASCII characters "
		 "without quotes"},
		{with_neighbour("local = \"2001:db8::2\"\n"),
		 "7:9: bird.neighbours.local: of another family than the neighbour's address"},
		{with_neighbour("families = [\"ipv4\", \"ipv6\"]\n"),
		 "7:12: bird.neighbours.families: an IPv4 session has no next hop for IPv6 routes; "
		 "give the neighbour's IPv6 address a session of its own"},
		{with_neighbour("", "192.0.2.256"),
		 "5:11: bird.neighbours.address: \"192.0.2.256\" is no IPv4 or IPv6 address"},
		{with_neighbour("", "fe80::1"),
		 "5:11: bird.neighbours.address: a link-local address needs its `interface`"},
		{with_neighbour("", "224.0.0.1"),
		 "5:11: bird.neighbours.address: 224.0.0.1 is a multicast address"},
		{with_neighbour("[[bird.neighbours]]\nname = \"up\"\naddress = \"192.0.2.9\"\n"
				"asn = 1\n"),
		 "8:8: duplicate neighbour name up (first on line 4)"},
		{with_neighbour("[[bird.neighbours]]\nname = \"b\"\naddress = \"192.0.2.1\"\n"
				"asn = 1\n"),
		 "9:11: duplicate neighbour address 192.0.2.1 (first on line 5)"},
		{with_neighbour("import = \"some\"\n"),
		 "7:10: bird.neighbours.import: \"some\" is none of none, vips, default, all"},
		{with_vip("bgp = {communities = [\"70000:1\"]}\n"),
		 "11:23: vips.bgp.communities: \"70000:1\" is not ASN:VALUE, each within 0..65535"},
		{with_vip("bgp = {communities = [\"65535:0\"]}\n"),
		 "11:23: vips.bgp.communities: 65535:0 is what `drain` adds (RFC 8326)"},
		{with_vip("bgp = {large_communities = [\"1:2\"]}\n"),
		 "11:29: vips.bgp.large_communities: \"1:2\" is not ASN:VALUE:VALUE"},
		{with_vip("bgp = {prepend = 17}\n"), "11:18: vips.bgp.prepend: 17 is not in 0..16"},
		{with_vip("bgp = {med = 1}\n[[vips]]\nname = \"b\"\naddress = \"192.0.2.80\"\n"
			  "port = 81\npool = \"web\"\nbgp = {med = 2}\n"),
		 "17:7: vips.bgp: 192.0.2.80 has other attributes on line 11, but one address is "
		 "one route"},
	};
	for (const auto &[text, error] : mistakes)
		EXPECT_EQ(errors_of(text), "t.toml:" + error) << text;
}

TEST(ConfigBird, FastBfdIsAWarning)
{
	const auto parsed = parse_config("[bird]\nasn = 1\nbfd_interval_ms = 10\n", "t.toml");
	ASSERT_TRUE(parsed);
	ASSERT_EQ(parsed->warnings.size(), 1U);
	EXPECT_NE(parsed->warnings[0].find("false alarms"), std::string::npos);
}

} // namespace
} // namespace anycast
