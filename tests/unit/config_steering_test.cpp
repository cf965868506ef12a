// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a pool's slots follow from, its fragments, and [icmp]: read, refused, written.
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "config/config.h"
#include "core/model_json.h"

namespace anycast {
namespace {

using testing::HasSubstr;

std::string file(const std::string &pool, const std::string &first, const std::string &second = "",
		 const std::string &sections = "")
{
	return "[node]\nhash_seed = \"f0112233445566778899aabbccddeeff\"\n" + sections +
	       "[[pools]]\nname = \"web\"\n" + pool +
	       "[[pools.backends]]\naddress = \"10.1.0.11\"\n" + first +
	       "[[pools.backends]]\naddress = \"10.1.0.12\"\n" + second +
	       "[[vips]]\nname = \"www\"\naddress = \"198.51.100.80\"\nport = 443\n"
	       "protocol = \"udp\"\npool = \"web\"\n";
}

Config parsed(const std::string &text)
{
	const auto result = parse_config(text, "t.toml");
	EXPECT_TRUE(result) << (result ? "" : result.error().what);
	return result ? result->config : Config{};
}

std::string error(const std::string &text)
{
	const auto result = parse_config(text, "t.toml");
	return result ? "" : result.error().what;
}

TEST(ConfigSteering, Defaults)
{
	const Config config = parsed(file("", ""));
	EXPECT_EQ(config.pools[0].hash, AX_HASH_FLOW);
	EXPECT_FALSE(config.pools[0].fragment_notes);
	EXPECT_EQ(config.pools[0].clamp_mss, 0U);
	EXPECT_EQ(config.icmp.answers_per_second, 1000U);
	EXPECT_FALSE(config.icmp.echo);
}

TEST(ConfigSteering, IsWrittenAsItWasRead)
{
	for (const std::string &text :
	     {file("hash = \"source\"\nfragments = \"notes\"\n", ""),
	      file("clamp_mss_to_mtu = 1500\n", ""),
	      file("hash = \"source_port\"\n", "", "",
		   "[icmp]\nanswers_per_second = 7\necho = true\n"),
	      file("hash = \"quic\"\nquic_rotation = 5\n", "server_id = \"C4605E\"\n",
		   "server_id = \"c4605f\"\n")}) {
		const Config config = parsed(text);
		EXPECT_EQ(parsed(to_toml(config)), config) << to_toml(config);
	}
	const Config quic = parsed(file("hash = \"quic\"\nquic_rotation = 5\n",
					"server_id = \"C4605E\"\n", "server_id = \"c4605f\"\n"));
	EXPECT_EQ(quic.pools[0].hash, AX_HASH_QUIC);
	EXPECT_EQ(quic.pools[0].quic_rotation, 5);
	EXPECT_EQ(quic.pools[0].backends[0].server_id, "c4605e");
}

TEST(ConfigSteering, MistakesHaveTheirPlaces)
{
	EXPECT_THAT(error(file("hash = \"tuple\"\n", "")), HasSubstr("t.toml:5:8: pools.hash"));
	EXPECT_THAT(error(file("fragments = \"all\"\n", "")),
		    HasSubstr("t.toml:5:13: pools.fragments"));
	for (const char *mtu : {"575", "65536", "true"})
		EXPECT_THAT(error(file(std::string("clamp_mss_to_mtu = ") + mtu + "\n", "")),
			    HasSubstr("t.toml:5:20: pools.clamp_mss_to_mtu"));
	EXPECT_THAT(error(file("quic_rotation = 1\n", "")),
		    HasSubstr("t.toml:5:17: pools.quic_rotation: of use with hash"));
	EXPECT_THAT(error(file("hash = \"quic\"\nquic_rotation = 7\n", "")),
		    HasSubstr("t.toml:6:17: pools.quic_rotation"));
	EXPECT_THAT(error(file("hash = \"quic\"\n", "")), HasSubstr("has no server_id"));
	EXPECT_THAT(error(file("", "server_id = \"c4\"\n")), HasSubstr("needs hash = \"quic\""));
	for (const char *id : {"", "c", "xy", "0123456789abcdef0123456789abcdef"})
		EXPECT_THAT(
			error(file("hash = \"quic\"\n", std::string("server_id = \"") + id + "\"\n",
				   "server_id = \"c4\"\n")),
			HasSubstr("t.toml:8:13: pools.backends.server_id"))
			<< id;
	EXPECT_THAT(
		error(file("hash = \"quic\"\n", "server_id = \"c4\"\n", "server_id = \"c400\"\n")),
		HasSubstr("have one length"));
	EXPECT_THAT(
		error(file("hash = \"quic\"\n", "server_id = \"c4\"\n", "server_id = \"C4\"\n")),
		HasSubstr("have the same server_id"));
	EXPECT_THAT(error(file("", "", "", "[icmp]\nanswers_per_second = -1\n")),
		    HasSubstr("t.toml:4:22: icmp.answers_per_second"));
	EXPECT_THAT(error(file("", "", "", "[icmp]\nreply = true\n")), HasSubstr("t.toml:4:1: "));
}

TEST(ConfigSteering, NoAnswersAtAllIsWarnedAbout)
{
	const auto result =
		parse_config(file("", "", "", "[icmp]\nanswers_per_second = 0\n"), "t.toml");
	ASSERT_TRUE(result);
	ASSERT_EQ(result->warnings.size(), 1U);
	EXPECT_THAT(result->warnings[0], HasSubstr("t.toml:4:22: icmp.answers_per_second"));
}

TEST(ConfigSteering, MarkingIsReadRefusedAndWritten)
{
	EXPECT_FALSE(parsed(file("", "")).marking);
	const Config config = parsed(
		file("", "", "",
		     "[tunnel]\nmarking = true\nmarking_period = \"2s\"\n[limits]\nmarked_flows = "
		     "99\n"));
	EXPECT_TRUE(config.marking);
	EXPECT_EQ(config.marking_period, Milliseconds(2000));
	EXPECT_EQ(config.limits.marked_flows, 99U);
	EXPECT_EQ(parsed(to_toml(config)), config);
	EXPECT_EQ(*config_from_json(config_to_json(config)), config);
	EXPECT_THAT(error(file("", "", "", "[tunnel]\nmarking_period = \"400ms\"\n")),
		    HasSubstr("t.toml:4:18: tunnel.marking_period"));
	EXPECT_THAT(error(file("", "", "", "[tunnel]\nmarking = 1\n")),
		    HasSubstr("t.toml:4:11: tunnel.marking"));
}

} // namespace
} // namespace anycast
