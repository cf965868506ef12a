// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/config.h"

#include <cstdio>
#include <fstream>

#include <gtest/gtest.h>

namespace anycast {
namespace {

Config config_of(const std::string &text)
{
	const auto parsed = parse_config(text, "t.toml");
	EXPECT_TRUE(parsed) << parsed.error().what;
	return parsed ? parsed->config : Config{};
}

std::vector<std::string> warnings_of(const std::string &text)
{
	const auto parsed = parse_config(text, "t.toml");
	EXPECT_TRUE(parsed) << parsed.error().what;
	return parsed ? parsed->warnings : std::vector<std::string>{};
}

Address address(std::string_view text)
{
	return Address::parse(text).value();
}

constexpr const char *kRich = R"(
[node]
name = "edge1"
hash_seed = "00112233445566778899aabbccddeefF"
interfaces = ["eth0", "eth1.100"]
roles = ["edge", "backend"]
mode = "native"
[paths]
pins = "/sys/fs/bpf/with \"quotes\" and \\"
state = "/run/ax/\u00e9\t"
socket = "/run/ax/agent.sock"
[limits]
flows_v4 = 1048576
inserts_per_second = 0
[tunnel]
source_v4 = "10.0.0.1"
source_v6 = "fd00::1"
edges = ["10.0.0.1", "fd00::1"]
addresses = ["10.1.0.11"]
[gtsm]
local = ["192.0.2.1"]
[[gtsm.peers]]
address = "192.0.2.254"
[[gtsm.peers]]
address = "2001:db8::fe"
hops = 0
[guard.rules]
ip4_src_special = "drop"
tcp_syn_fin = "off"
[[pools]]
name = "web"
table_size = 1009
all_down = "last_known"
[[pools.backends]]
name = "b2"
address = "10.1.0.12"
weight = 65535
state = "draining"
[[pools.backends]]
address = "fd01::11"
[[pools]]
name = "dns"
[[pools.backends]]
name = "b1"
address = "10.1.0.12"
state = "maintenance"
[[vips]]
name = "www"
address = "198.51.100.80"
port = 80
pool = "web"
[[vips]]
name = "dns"
address = "198.51.100.80"
port = 53
protocol = "udp"
pool = "dns"
forward = "l2dsr"
[[vips]]
name = "all"
address = "2001:db8::80"
port = "any"
protocol = "any"
pool = "web"
)";

TEST(Config, EmptyFileGivesTheDefaults)
{
	EXPECT_EQ(config_of(""), Config{});
	EXPECT_TRUE(warnings_of("").empty());
}

TEST(Config, ReadsEveryKey)
{
	const Config config = config_of(kRich);
	EXPECT_EQ(config.name, "edge1");
	EXPECT_EQ(config.hash_seed[0], 0x0011223344556677u);
	EXPECT_EQ(config.hash_seed[1], 0x8899aabbccddeeffu);
	EXPECT_EQ(config.interfaces, (std::vector<std::string>{"eth0", "eth1.100"}));
	EXPECT_EQ(config.roles, AX_ROLE_EDGE | AX_ROLE_BACKEND);
	EXPECT_EQ(config.mode, "native");
	EXPECT_EQ(config.pin_dir, "/sys/fs/bpf/with \"quotes\" and \\");
	EXPECT_EQ(config.state_dir, "/run/ax/\u00e9\t");
	EXPECT_EQ(config.socket, "/run/ax/agent.sock");
	EXPECT_EQ(config.limits.flows_v4, 1048576u);
	EXPECT_EQ(config.limits.flows_v6, Limits{}.flows_v6);
	EXPECT_EQ(config.limits.inserts_per_second, 0u);
	EXPECT_EQ(config.source_v4, address("10.0.0.1"));
	EXPECT_EQ(config.source_v6, address("fd00::1"));
	EXPECT_EQ(config.edges, (std::vector{address("10.0.0.1"), address("fd00::1")}));
	EXPECT_EQ(config.tunnel_addresses, std::vector{address("10.1.0.11")});
	EXPECT_EQ(config.gtsm_local, std::vector{address("192.0.2.1")});
	EXPECT_EQ(config.gtsm_peers, (std::vector<GtsmPeer>{{address("192.0.2.254"), 1},
							    {address("2001:db8::fe"), 0}}));
	EXPECT_EQ(config.rules,
		  (std::map<std::string, ax_action>{{"ip4_src_special", AX_ACTION_DROP},
						    {"tcp_syn_fin", AX_ACTION_OFF}}));
	const Backend b2{"b2", address("10.1.0.12"), 65535, AX_BACKEND_DRAINING};
	const Backend unnamed{"fd01::11", address("fd01::11"), 100, AX_BACKEND_ACTIVE};
	const Backend b1{"b1", address("10.1.0.12"), 100, AX_BACKEND_MAINTENANCE};
	EXPECT_EQ(config.pools,
		  (std::vector<Pool>{{"web", 1009, AX_ALL_DOWN_LAST_KNOWN, {b2, unnamed}},
				     {"dns", 65537, AX_ALL_DOWN_DROP, {b1}}}));
	const Address v4 = address("198.51.100.80"), v6 = address("2001:db8::80");
	EXPECT_EQ(config.vips, (std::vector<Vip>{{"www", v4, 80, 6, "web", AX_FORWARD_IPIP},
						 {"dns", v4, 53, 17, "dns", AX_FORWARD_L2DSR},
						 {"all", v6, 0, 0, "web", AX_FORWARD_IPIP}}));
}

TEST(Config, EveryLimitHasItsKey)
{
	const Limits limits = config_of("[limits]\nflows_v4 = 100001\nflows_v6 = 100002\nvips = 3\n"
					"pools = 4\nbackends = 5\ntable_slots = 6\npeers = 7\n"
					"inserts_per_second = 8\nloss_prefix_v4 = 9\n"
					"loss_prefix_v6 = 10\nmarked_flows = 11\nflow_idle = 60\n")
				      .limits;
	EXPECT_EQ(limits, (Limits{100001, 100002, 3, 4, 5, 6, 7, 8, 9, 10, 11, 60}));
}

TEST(Config, MeasureIsForUdp)
{
	const std::string head = "[node]\nhash_seed = \"00112233445566778899aabbccddeeff\"\n"
				 "[[pools]]\nname = \"p\"\n[[pools.backends]]\n"
				 "address = \"10.1.0.1\"\n[[vips]]\nname = \"v\"\n"
				 "address = \"198.51.100.80\"\nport = 53\npool = \"p\"\n";
	for (const auto &[name, measure] :
	     {std::pair{"rtp", AX_MEASURE_RTP}, std::pair{"dns", AX_MEASURE_DNS},
	      std::pair{"quic", AX_MEASURE_QUIC}}) {
		const std::string text = head + "protocol = \"udp\"\nmeasure = \"" + name + "\"\n";
		const Config config = config_of(text);
		EXPECT_EQ(config.vips[0].measure, measure);
		EXPECT_EQ(config_of(to_toml(config)), config);
	}
	const auto wrong = parse_config(head + "protocol = \"tcp\"\nmeasure = \"rtp\"\n", "f");
	ASSERT_FALSE(wrong);
	EXPECT_NE(wrong.error().what.find("vips.measure: \"rtp\" is UDP payload"),
		  std::string::npos)
		<< wrong.error().what;
}

TEST(Config, WritesWhatItReads)
{
	for (const Config &config : {config_of(kRich), Config{}}) {
		const std::string text = to_toml(config);
		EXPECT_EQ(config_of(text), config) << text;
		EXPECT_EQ(to_toml(config_of(text)), text);
	}
}

TEST(Config, CanonicalFormIsReadable)
{
	const std::string text = to_toml(config_of(kRich));
	EXPECT_NE(text.find("\n[[pools]]\nname = \"web\"\ntable_size = 1009\n"
			    "all_down = \"last_known\"\n\n[[pools.backends]]\nname = \"b2\"\n"),
		  text.npos)
		<< text;
	EXPECT_NE(text.find("interfaces = [\"eth0\", \"eth1.100\"]\n"), text.npos) << text;
}

// Ends in a VIP table to which 'rest' may add; its lines are 1 to 11.
std::string with_vip(const std::string &rest)
{
	return "[node]\nhash_seed = \"f0112233445566778899aabbccddeeff\"\n"
	       "[[pools]]\nname = \"web\"\n[[pools.backends]]\naddress = \"10.1.0.11\"\n"
	       "[[vips]]\nname = \"www\"\naddress = \"192.0.2.80\"\nport = 443\npool = \"web\"\n" +
	       rest;
}

TEST(Config, OneAddressMayServeSeveralPortsAndProtocols)
{
	const std::string text =
		with_vip("[[vips]]\nname = \"quic\"\naddress = \"192.0.2.80\"\nport = 443\n"
			 "protocol = \"udp\"\npool = \"web\"\n"
			 "[[vips]]\nname = \"rest\"\naddress = \"192.0.2.80\"\nport = \"any\"\n"
			 "pool = \"web\"\n");
	EXPECT_EQ(config_of(text).vips.size(), 3u);
	EXPECT_TRUE(warnings_of(text).empty());
	std::string zero = text; // another word for any
	zero.replace(zero.find("\"any\""), 5, "0");
	EXPECT_EQ(config_of(zero), config_of(text));
	EXPECT_NE(to_toml(config_of(zero)).find("port = \"any\""), std::string::npos);
}

TEST(Config, WarnsOfWhatWorksBadly)
{
	EXPECT_EQ(warnings_of(with_vip("[limits]\nflows_v4 = 1000\n")),
		  std::vector<std::string>{
			  "t.toml:13:12: limits.flows_v4 is small: beyond 1000 flows "
			  "over all CPUs they evict each other, and a change of their "
			  "pool may move them"});
	EXPECT_EQ(warnings_of(with_vip("[[pools]]\nname = \"p\"\ntable_size = 101\n"
				       "backends = [{address = \"10.0.0.1\", state = \"down\"}, "
				       "{address = \"10.0.0.2\", weight = 65535, state = "
				       "\"draining\"}]")),
		  (std::vector<std::string>{"t.toml:12:1: pool p: no backend is active",
					    "t.toml:12:1: pool p: no VIP uses it",
					    "t.toml:14:14: pool p: 101 slots for 2 backends: equal "
					    "shares may differ by "
					    "2.0 %; 211 slots keep it within 1 %",
					    "t.toml:14:14: pool p: weight 100 of 65635 earns "
					    "backend 10.0.0.1 less than "
					    "one of 101 slots, maybe none"}));
	EXPECT_EQ(warnings_of("[node]\nhash_seed = \"00112233445566778899aabbccddeeff\"").size(),
		  1u);
}

TEST(Config, LoadsAFileAndNamesIt)
{
	EXPECT_EQ(load_config("/nonexistent/a.toml").error().what,
		  "open /nonexistent/a.toml: No such file or directory");
	EXPECT_EQ(load_config("/").error().what, "read /: Is a directory");

	const std::string path = testing::TempDir() + "config_test.toml";
	std::ofstream(path) << "[node]\nname = 1\n";
	EXPECT_EQ(load_config(path).error().what,
		  path + ":2:8: node.name: expected a string, not an integer");
	std::ofstream(path) << kRich;
	const auto loaded = load_config(path);
	ASSERT_TRUE(loaded) << loaded.error().what;
	EXPECT_EQ(loaded->config, config_of(kRich));
	std::remove(path.c_str());
}

} // namespace
} // namespace anycast
