// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Every mistake that a configuration file can hold, and where its error must point.
#include <ostream>

#include <gtest/gtest.h>

#include "config/config.h"

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

std::string with_pool(const std::string &pool)
{
	return "[[pools]]\nname = \"web\"\n" + pool;
}

// Lines 1-2: the node, 3-6: pool "web" with 10.1.0.11, 7: [[vips]], 8: its name.
std::string with_vip(const std::string &vip, const std::string &rest = "")
{
	return "[node]\nhash_seed = \"f0112233445566778899aabbccddeeff\"\n" +
	       with_pool("[[pools.backends]]\naddress = \"10.1.0.11\"\n") +
	       "[[vips]]\nname = \"www\"\n" + vip + rest;
}

TEST(ConfigText, SyntaxErrorHasItsPlace)
{
	EXPECT_TRUE(errors_of("[node]\nname = \n").starts_with("t.toml:2:8: "));
	EXPECT_TRUE(errors_of("[node]\nname = \"a\"\nname = \"b\"\n").starts_with("t.toml:3:8: "));
}

// Whatever a file is cut to, or gets into it, is an error and no end of the process.
TEST(ConfigText, NoTextEndsTheProcess)
{
	for (const char *text : {"[[[", "[[[ x", "[=]", "[[", "[", "=", "= 1", "[a.=]", "[a..b]",
				 "a.=1", "[[a]", "\"", "a = [[[", "a = {{", "\xff\xfe", "[\n"})
		EXPECT_NE(errors_of(text), "") << text;
	const std::string whole =
		with_vip("address = \"198.51.100.80\"\nport = 80\npool = \"web\"\n");
	ASSERT_EQ(errors_of(whole), "");
	for (std::size_t at = 0; at < whole.size(); at++)
		for (const char byte : {'[', ']', '=', '"', '.', '{', '\n', '\0'}) {
			std::string text = whole;
			text[at] = byte;
			(void)parse_config(text, "t.toml");
			(void)parse_config(text.substr(0, at), "t.toml");
		}
}

TEST(ConfigText, AllMistakesAtOnceInTheFilesOrder)
{
	EXPECT_EQ(errors_of("[[vips]]\nname = \"a b\"\naddress = \"x\"\nport = 80\npool = \"p\"\n"
			    "[node]\nmode = 1\nhash_seed = \"0\"\n"),
		  "t.toml:2:8: vips.name: only A-Z a-z 0-9 . _ : - are allowed\n"
		  "t.toml:3:11: vips.address: \"x\" is no IPv4 or IPv6 address\n"
		  "t.toml:7:8: node.mode: expected a string, not an integer\n"
		  "t.toml:8:13: node.hash_seed: expected 32 hex digits");
}

TEST(ConfigText, AnErrorStaysOnItsLine)
{
	EXPECT_EQ(errors_of("\"no\\nde\\u001b\" = 1\n"),
		  "t.toml:1:1: unknown key no?de?; the nearest known one is node");
}

struct Mistake {
	std::string text;
	std::string error; // without "t.toml:"
};

void PrintTo(const Mistake &mistake, std::ostream *out)
{
	*out << mistake.text;
}

class ConfigErrors : public testing::TestWithParam<Mistake> {};

TEST_P(ConfigErrors, AreNamedWithTheirPlace)
{
	EXPECT_EQ(errors_of(GetParam().text), "t.toml:" + GetParam().error);
}

INSTANTIATE_TEST_SUITE_P(
	Keys, ConfigErrors,
	testing::Values(Mistake{"nodes = 1",
				"1:1: unknown key nodes; the nearest known one is node"},
			Mistake{"node = 3", "1:8: node: expected a table, [node], not an integer"},
			Mistake{"[[node]]", "1:1: node: expected a table, [node], not an array"},
			Mistake{"[pools]",
				"1:1: pools: expected an array of tables, [[pools]], not a table"},
			Mistake{"pools = [3]", "1:10: pools: expected a table, not an integer"},
			Mistake{"[gtsm]\nlocal = [\"192.0.2.1\",\n  7]",
				"3:3: gtsm.local: expected a string, not an integer"},
			Mistake{"[gtsm]\nlocal = \"192.0.2.1\"",
				"2:9: gtsm.local: expected an array of addresses, not a string"}));

INSTANTIATE_TEST_SUITE_P(
	Node, ConfigErrors,
	testing::Values(
		Mistake{"[node]\nname = \"\"", "2:8: node.name: must not be empty"},
		Mistake{"[node]\nname = \"" + std::string(64, 'a') + "\"",
			"2:8: node.name: longer than 63 characters"},
		Mistake{"[node]\nnmae = \"a\"",
			"2:1: unknown key node.nmae; the nearest known one is node.name"},
		Mistake{"[node]\nhash_seed = \"00112233445566778899aabbccddeefg\"",
			"2:13: node.hash_seed: expected 32 hex digits"},
		Mistake{"[node]\nhash_seed = \"0x112233445566778899aabbccddeeff\"",
			"2:13: node.hash_seed: expected 32 hex digits"},
		Mistake{"[node]\nhash_seed = \"" + std::string(32, '0') + "\"",
			"2:13: node.hash_seed: all zero is no secret"},
		Mistake{"[node]\ninterfaces = [\"eth0\", \"sixteen-letters-\"]",
			"2:23: node.interfaces: \"sixteen-letters-\" cannot be an interface (1..15 "
			"characters)"},
		Mistake{"[node]\ninterfaces = [\"eth0\", \"eth0\"]",
			"2:23: node.interfaces: listed twice"},
		Mistake{"[node]\nroles = [\"bakend\"]",
			"2:10: node.roles: \"bakend\" is none of edge, backend"},
		Mistake{"[node]\nroles = []", "2:9: node.roles: at least one role is needed"},
		Mistake{"[node]\nmode = \"fast\"",
			"2:8: node.mode: \"fast\" is none of auto, native, generic, offload"},
		Mistake{"[paths]\npins = \"pins\"", "2:8: paths.pins: expected an absolute path"},
		Mistake{"[paths]\nsocket = \"/" + std::string(107, 's') + "\"",
			"2:10: paths.socket: longer than 107 bytes"},
		Mistake{"[limits]\nflows_v4 = 127",
			"2:12: limits.flows_v4: 127 is not in 128..134217728"},
		Mistake{"[limits]\nvips = 0", "2:8: limits.vips: 0 is not in 1..65535"},
		Mistake{"[limits]\nvips = 3.0",
			"2:8: limits.vips: expected an integer, not a float"}));

INSTANTIATE_TEST_SUITE_P(
	Tunnel, ConfigErrors,
	testing::Values(
		Mistake{"[tunnel]\nsource_v4 = \"fd00::1\"",
			"2:13: tunnel.source_v4: expected an IPv4 address"},
		Mistake{"[tunnel]\nsource_v6 = \"10.0.0.1\"",
			"2:13: tunnel.source_v6: expected an IPv6 address"},
		Mistake{"[tunnel]\nedges = [\"0.0.0.0\"]",
			"2:10: tunnel.edges: 0.0.0.0 is the unspecified address"},
		Mistake{"[tunnel]\naddresses = [\"10.0.0.1/24\"]",
			"2:14: tunnel.addresses: \"10.0.0.1/24\" is no IPv4 or IPv6 address"},
		Mistake{"[node]\nroles = [\"backend\"]",
			"1:1: tunnel.edges: role backend needs the addresses that may encapsulate "
			"to this node"},
		Mistake{"[node]\nroles = [\"edge\", \"backend\"]\n[tunnel]\nedges = []",
			"4:9: tunnel.edges: role backend needs the addresses that may encapsulate "
			"to this node"}));

INSTANTIATE_TEST_SUITE_P(
	Guard, ConfigErrors,
	testing::Values(
		Mistake{"[[gtsm.peers]]\nhops = 1", "1:1: gtsm.peers.address is missing"},
		Mistake{"[[gtsm.peers]]\naddress = \"192.0.2.1\"\nhops = 255",
			"3:8: gtsm.peers.hops: 255 is not in 0..254"},
		Mistake{"[[gtsm.peers]]\naddress = \"2001:db8::1\"\n"
			"[[gtsm.peers]]\naddress = \"2001:DB8:0::1\"",
			"4:11: gtsm.peers.address: duplicate peer 2001:db8::1 (first on line 2)"},
		Mistake{"[limits]\npeers = 1\n[[gtsm.peers]]\naddress = \"192.0.2.1\"\n"
			"[[gtsm.peers]]\naddress = \"192.0.2.2\"",
			"5:1: more peers than limits.peers = 1"},
		Mistake{"[guard.rules]\nip4_ilh = \"drop\"",
			"2:1: guard.rules.ip4_ilh: no such rule; the nearest rules are ip4_ihl, "
			"ip4_evil, ip4_land"},
		Mistake{"[guard.rules]\nsteered = \"drop\"",
			"2:1: guard.rules.steered: a reason, but no rule; the nearest rules are "
			"gtsm_bfd, gtsm_ttl, ip4_ihl"},
		Mistake{"[guard.rules]\nip4_ihl = \"log\"",
			"2:11: guard.rules.ip4_ihl: \"log\" is none of drop, count, off"},
		Mistake{"[guard]\nrule = 1",
			"2:1: unknown key guard.rule; the nearest known one is guard.rules"}));

INSTANTIATE_TEST_SUITE_P(
	Pools, ConfigErrors,
	testing::Values(
		Mistake{with_pool(""), "1:1: pool web has no backends"},
		Mistake{with_pool("backends = []"), "3:12: pool web has no backends"},
		Mistake{"[[pools]]\nbackends = [{address = \"10.0.0.1\"}]",
			"1:1: pools.name is missing"},
		Mistake{with_pool(
				"backends = [{address = \"10.0.0.1\"}]\n[[pools]]\nname = \"web\"\n"
				"backends = [{address = \"10.0.0.1\"}]"),
			"5:8: duplicate pool name web (first on line 2)"},
		Mistake{with_pool("table_size = 65536\nbackends = [{address = \"10.0.0.1\"}]"),
			"3:14: pools.table_size: 65536 is not prime; the next prime is 65537"},
		Mistake{with_pool("table_size = 655379\nbackends = [{address = \"10.0.0.1\"}]"),
			"3:14: pools.table_size: 655379 is not in 2..655373"},
		Mistake{with_pool("all_down = \"panic\"\nbackends = [{address = \"10.0.0.1\"}]"),
			"3:12: pools.all_down: \"panic\" is none of drop, pass, last_known"},
		Mistake{with_pool("[[pools.backends]]\nname = \"b1\""),
			"3:1: pools.backends.address is missing"},
		Mistake{with_pool("[[pools.backends]]\naddress = \"10.0.0.1\"\nweight = 0"),
			"5:10: pools.backends.weight: 0 is not in 1..65535"},
		Mistake{with_pool("[[pools.backends]]\naddress = \"10.0.0.1\"\nwieght = 1"),
			"5:1: unknown key pools.backends.wieght; the nearest known one is "
			"pools.backends.weight"},
		Mistake{with_pool("[[pools.backends]]\naddress = \"10.0.0.1\"\nstate = \"up\""),
			"5:9: pools.backends.state: \"up\" is none of active, draining, down, "
			"maintenance"},
		Mistake{with_pool("[[pools.backends]]\naddress = \"ff02::1\""),
			"4:11: pools.backends.address: ff02::1 is a multicast address"},
		Mistake{with_pool("[[pools.backends]]\naddress = \"10.0.0.1\"\n"
				  "[[pools.backends]]\naddress = \"10.0.0.1\""),
			"6:11: duplicate backend address 10.0.0.1 (first on line 4)"},
		Mistake{with_pool("[[pools.backends]]\nname = \"b\"\naddress = \"10.0.0.1\"\n"
				  "[[pools.backends]]\nname = \"b\"\naddress = \"10.0.0.2\""),
			"7:8: duplicate backend name b (first on line 4)"},
		Mistake{"[limits]\nbackends = 1\n" +
				with_pool("[[pools.backends]]\naddress = \"10.0.0.1\"\n"
					  "[[pools.backends]]\naddress = \"10.0.0.2\"\n"
					  "[[pools.backends]]\naddress = \"10.0.0.3\""),
			"7:1: more backends than limits.backends = 1"},
		Mistake{"[limits]\npools = 1\n" +
				with_pool("backends = [{address = \"10.0.0.1\"}]\n[[pools]]\n"
					  "name = \"p\"\nbackends = [{address = \"10.0.0.1\"}]"),
			"6:1: more pools than limits.pools = 1"},
		Mistake{"[limits]\ntable_slots = 100000\n" +
				with_pool("backends = [{address = \"10.0.0.1\"}]\n[[pools]]\n"
					  "name = \"p\"\nbackends = [{address = \"10.0.0.1\"}]"),
			"6:1: pools.table_size: 131074 slots with the pools before it, but "
			"limits.table_slots = 100000"}));

INSTANTIATE_TEST_SUITE_P(
	Vips, ConfigErrors,
	testing::Values(
		Mistake{with_vip("address = \"192.0.2.80\"\npool = \"web\""),
			"7:1: vips.port is missing"},
		Mistake{with_vip("address = \"192.0.2.80\"\nport = 80"),
			"7:1: vips.pool is missing"},
		Mistake{with_vip("pool = \"web\"\nport = 80"), "7:1: vips.address is missing"},
		Mistake{with_vip("address = \"192.0.2.80\"\nport = -1\npool = \"web\""),
			"10:8: vips.port: -1 is not in 0..65535"},
		Mistake{with_vip("address = \"192.0.2.80\"\nport = 65536\npool = \"web\""),
			"10:8: vips.port: 65536 is not in 0..65535"},
		Mistake{with_vip("address = \"255.255.255.255\"\nport = 80\npool = \"web\""),
			"9:11: vips.address: 255.255.255.255 is the broadcast address"},
		Mistake{with_vip("address = \"fe80::80\"\nport = 80\npool = \"web\""),
			"9:11: vips.address: fe80::80 is a link-local address: no router forwards "
			"to it"},
		Mistake{with_vip("address = \"192.0.2.80\"\nport = \"http\"\npool = \"web\""),
			"10:8: vips.port: expected 1..65535 or \"any\", not \"http\""},
		Mistake{with_vip("address = \"192.0.2.80\"\nport = 80\npool = \"web\"\n"
				 "protocol = \"any\""),
			"10:8: vips.port: protocol \"any\" needs port \"any\""},
		Mistake{with_vip("address = \"192.0.2.80\"\nport = 80\npool = \"web\"\n"
				 "protocol = \"sctp\""),
			"12:12: vips.protocol: \"sctp\" is none of tcp, udp, any"},
		Mistake{with_vip("address = \"192.0.2.80\"\nport = 80\npool = \"wbe\""),
			"11:8: vips.pool: there is no pool wbe"},
		Mistake{with_vip("address = \"192.0.2.80\"\nport = 80\npool = \"web\"\n"
				 "forward = \"gre\""),
			"12:11: vips.forward: \"gre\" is none of ipip, gue, l2dsr"},
		Mistake{with_vip("address = \"::\"\nport = 80\npool = \"web\""),
			"9:11: vips.address: :: is the unspecified address"},
		Mistake{with_vip("address = \"239.1.1.1\"\nport = 80\npool = \"web\""),
			"9:11: vips.address: 239.1.1.1 is a multicast address"},
		Mistake{with_vip("address = \"127.0.0.1\"\nport = 80\npool = \"web\""),
			"9:11: vips.address: 127.0.0.1 is a loopback address"},
		Mistake{with_vip("address = \"10.1.0.11\"\nport = 80\npool = \"web\""),
			"6:11: pools.backends.address: 10.1.0.11 is the address of VIP www: "
			"packets "
			"would go round in circles"},
		Mistake{with_vip("address = \"2001:db8::80\"\nport = 80\npool = \"web\"\n"
				 "forward = \"l2dsr\""),
			"12:11: vips.forward: l2dsr keeps the packet as it is, but backend "
			"10.1.0.11 "
			"of pool web is of another family than 2001:db8::80"},
		Mistake{with_vip("address = \"192.0.2.80\"\nport = 80\npool = \"web\"\n",
				 "[[vips]]\nname = \"www\"\naddress = \"192.0.2.80\"\nport = 81\n"
				 "pool = \"web\""),
			"13:8: duplicate VIP name www (first on line 8)"},
		Mistake{with_vip("address = \"192.0.2.80\"\nport = 80\npool = \"web\"\n",
				 "[[vips]]\nname = \"other\"\naddress = \"192.0.2.80\"\nport = 80\n"
				 "pool = \"web\""),
			"14:11: duplicate VIP 192.0.2.80 port 80 protocol tcp (first on line 9)"},
		Mistake{"limits = {vips = 1}\n" +
				with_vip("address = \"192.0.2.80\"\nport = 80\npool = \"web\"\n",
					 "[[vips]]\nname = \"other\"\naddress = \"192.0.2.80\"\n"
					 "port = 81\npool = \"web\""),
			"13:1: more vips than limits.vips = 1"},
		Mistake{with_pool(
				"backends = [{address = \"10.0.0.1\"}]\n[[vips]]\nname = \"www\"\n"
				"address = \"192.0.2.80\"\nport = 80\npool = \"web\""),
			"1:1: node.hash_seed is missing: VIPs need the fleet's secret (openssl "
			"rand "
			"-hex 16)"}));

} // namespace
} // namespace anycast
