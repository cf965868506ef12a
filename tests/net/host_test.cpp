// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `apply --host` on a namespace's real interfaces and settings.
#include <fstream>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "support/cli.h"
#include "support/in_lab.h"

namespace anycast::test {

namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

constexpr const char *kFile = "/run/lab/host.toml";

void write(const std::string &vips, const std::string &host = "persist = true\n")
{
	std::string text =
		"[node]\nhash_seed = \"6a09e667f3bcc908bb67ae8584caa73b\"\n[host]\n" + host +
		"[[pools]]\nname = \"web\"\n[[pools.backends]]\naddress = \"10.1.0.11\"\n";
	std::istringstream words(vips);
	int number = 0;
	for (std::string vip; words >> vip;)
		text += "[[vips]]\nname = \"v" + std::to_string(++number) + "\"\naddress = \"" +
			vip + "\"\nport = 80\npool = \"web\"\n";
	std::ofstream(kFile) << text;
}

struct World {
	World()
	{
		setenv("ANYCAST_XDP_SYSCTL_DIR", kLabDir, 1);
		connect_veth({node, "eth0"}, {other, "eth0"}, 1500);
		node.ip("addr add 10.1.0.2/24 dev eth0");
		for (const char *key :
		     {"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding",
		      "net.ipv4.fib_multipath_hash_policy", "net.ipv6.fib_multipath_hash_policy"})
			node.sysctl(key, "0");
	}
	[[nodiscard]] json apply(Argv more = {}) const
	{
		more.insert(more.begin(), {"apply", "--host", kFile});
		return cli.ask(node, more);
	}
	[[nodiscard]] std::string addresses(const std::string &interface) const
	{
		return run(node, {"ip", "-o", "addr", "show", "dev", interface}).out;
	}
	Cli cli;
	Netns node{"node"}, other{"other"};
};

} // namespace

TEST(Host, SetsUpOnceAndThenNothingMore)
{
	in_lab([] {
		const World world;
		write("198.51.100.80 198.51.100.81 2001:db8:51::80");
		const std::string management = world.addresses("eth0");

		const json plan = world.apply({"--dry-run"});
		EXPECT_TRUE(plan.at("changed"));
		EXPECT_EQ(world.addresses("anycast0"), "") << "a dry run";
		const json first = world.apply();
		EXPECT_TRUE(first.at("changed"));
		EXPECT_EQ(plan.at("host").at("changes").size(),
			  first.at("host").at("changes").size());
		const std::string now = world.addresses("anycast0");
		for (const char *vip :
		     {"198.51.100.80/32", "198.51.100.81/32", "2001:db8:51::80/128"})
			EXPECT_THAT(now, HasSubstr(vip));
		EXPECT_THAT(now, HasSubstr("80/128 scope global nodad \\")) << "not tentative";
		EXPECT_EQ(world.addresses("eth0"), management);
		const std::string kind = first.at("host").at("kind");
		if (kind != "dummy") {
			EXPECT_EQ(kind, "bridge");
			EXPECT_THAT(first.at("host").at("warnings").dump(), HasSubstr("no dummy"));
		}
		std::ostringstream persisted;
		persisted << std::ifstream("/run/lab/90-anycast-xdp.conf").rdbuf();
		EXPECT_THAT(persisted.str(), HasSubstr("net.ipv4.fib_multipath_hash_policy = 1\n"));

		const json second = world.apply();
		EXPECT_FALSE(second.at("changed"));
		EXPECT_TRUE(second.at("host").at("changes").empty()) << second;
		EXPECT_THAT(world.cli.expect(world.node, {"apply", "--host", kFile}).out,
			    HasSubstr("unchanged"));
	});
}

TEST(Host, FollowsTheFileAndMendsDrift)
{
	in_lab([] {
		const World world;
		write("198.51.100.80 198.51.100.81");
		(void)world.apply();
		write("198.51.100.81 198.51.100.82");
		world.node.ip("link set anycast0 down\naddr add 10.255.0.1/24 dev anycast0");
		world.node.sysctl("net.ipv4.ip_forward", "0");
		const json report = world.apply();
		EXPECT_THAT(report.at("host").at("changes").dump(),
			    testing::AllOf(HasSubstr("set anycast0 up"),
					   HasSubstr("add 198.51.100.82/32"),
					   HasSubstr("remove 198.51.100.80/32"),
					   HasSubstr("net.ipv4.ip_forward 0 -> 1")));
		const std::string now = world.addresses("anycast0");
		EXPECT_THAT(now, Not(HasSubstr("198.51.100.80")));
		EXPECT_THAT(now, HasSubstr("10.255.0.1/24")) << "not ours: left alone";
		EXPECT_FALSE(world.apply().at("changed"));
	});
}

TEST(Host, VipElsewhereChangesNothing)
{
	in_lab([] {
		const World world;
		write("198.51.100.80 198.51.100.81");
		world.node.ip("addr add 198.51.100.81/32 dev lo");
		const Output output = world.cli.run(world.node, {"apply", "--host", kFile});
		EXPECT_EQ(output.status, 1);
		EXPECT_THAT(output.err, HasSubstr("198.51.100.81 is on interface lo already"));
		EXPECT_EQ(world.addresses("anycast0"), "");
		EXPECT_FALSE(world.node.run([] {
			std::ifstream file("/proc/sys/net/ipv4/ip_forward");
			int value = 0;
			file >> value;
			return value == 1;
		}));
		write("198.51.100.80", "interface = \"eth0\"\n");
		EXPECT_EQ(world.cli.run(world.node, {"apply", "--host", kFile}).status, 1);
	});
}

TEST(Host, IsPartOfApplyAndDiff)
{
	in_lab([] {
		const World world;
		write("198.51.100.80");
		world.cli.expect(world.node, {"attach", "eth0", "--config", kFile});
		const json diff = world.cli.ask(world.node, {"diff", kFile});
		EXPECT_TRUE(diff.at("host").at("changed"));
		const json first = world.cli.ask(world.node, {"apply", kFile});
		EXPECT_TRUE(first.at("changed"));
		EXPECT_TRUE(first.at("host").at("changed"));
		const json second = world.cli.ask(world.node, {"apply", kFile});
		EXPECT_FALSE(second.at("changed"));
	});
}

} // namespace anycast::test
