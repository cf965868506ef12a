// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "net/interfaces.h"

#include <atomic>
#include <cstdlib>
#include <thread>

#include <gmock/gmock.h>

#include "support/in_lab.h"

namespace anycast::test {

namespace {

using testing::Contains;
using testing::HasSubstr;

void sh(const std::string &command)
{
	if (std::system(command.c_str()) != 0)
		throw LabError("failed: " + command);
}

std::string output_of(const std::string &command)
{
	std::string text;
	char buffer[256];
	FILE *pipe = ::popen(command.c_str(), "r");

	while (pipe && std::fgets(buffer, sizeof(buffer), pipe))
		text += buffer;
	if (pipe)
		::pclose(pipe);
	return text;
}

Address address(const char *text)
{
	return *Address::parse(text);
}

void make_links()
{
	sh("ip link set lo up");
	sh("ip link add dev0 type veth peer name dev1 && ip link set dev0 up && ip link set dev1 "
	   "up");
	sh("ip addr add 10.1.0.1/24 dev dev0 && ip addr add 2001:db8::1/64 dev dev0 nodad");
	sh("ip addr add 10.2.0.1 peer 10.2.0.2 dev dev1");
	sh("ip link add br0 type bridge && ip link set br0 mtu 1400 && ip link set dev1 master "
	   "br0");
}

} // namespace

TEST(Interfaces, TellWhatTheyAre)
{
	in_lab([] {
		make_links();
		const auto dev0 = interface_named("dev0"), dev1 = interface_named("dev1"),
			   bridge = interface_named("br0");
		ASSERT_TRUE(dev0 && dev1 && bridge);

		EXPECT_EQ(dev0->kind, "veth");
		EXPECT_EQ(dev0->driver, "veth");
		EXPECT_TRUE(dev0->up);
		EXPECT_EQ(dev0->mtu, 1500U);
		EXPECT_GE(dev0->rx_queues, 1U);
		EXPECT_EQ(dev0->parent, dev1->index);
		EXPECT_THAT(dev0->addresses, Contains(address("10.1.0.1")));
		EXPECT_THAT(dev0->addresses, Contains(address("2001:db8::1")));
		EXPECT_THAT(dev1->addresses, Contains(address("10.2.0.1")));
		EXPECT_EQ(dev1->master, bridge->index);
		EXPECT_EQ(bridge->kind, "bridge");
		EXPECT_FALSE(bridge->up);
		EXPECT_EQ(bridge->mtu, 1400U);

		const auto facts = node_facts("dev0");
		ASSERT_TRUE(facts);
		EXPECT_EQ(facts->interface_addresses, dev0->addresses);
		EXPECT_THAT(facts->node_addresses, Contains(address("127.0.0.1")));
		EXPECT_THAT(facts->node_addresses, Contains(address("10.2.0.1")));

		const auto none = interface_named("eth7");
		ASSERT_FALSE(none);
		EXPECT_THAT(none.error().hint, HasSubstr("br0"));
	});
}

TEST(Interfaces, ManyFitIntoMoreThanOneMessage)
{
	in_lab([] {
		sh("for i in $(seq 200); do echo link add name t$i type bridge; done | ip -batch "
		   "-");
		const auto all = interfaces();
		ASSERT_TRUE(all);
		EXPECT_GE(all->size(), 201U);
	});
}

// The kernel says of a list that it changed while it was read; who asks again gets a whole one.
TEST(Interfaces, AreListedWhileAddressesComeAndGo)
{
	in_lab([] {
		sh("ip link add dev0 type veth peer name dev1");
		sh("for i in $(seq 1 200); do echo addr add 10.1.$i.1/24 dev dev0; done | ip "
		   "-batch -");
		sh("for i in $(seq 1 100); do echo addr add 10.9.0.1/24 dev dev1; "
		   "echo addr del 10.9.0.1/24 dev dev1; done > /run/lab/changes");
		std::atomic<bool> done = false;
		std::thread changes([&] { // threads have the namespaces of their creator
			while (!done)
				sh("ip -batch /run/lab/changes");
		});
		for (int i = 0; i < 2000; ++i) {
			const auto dev0 = interface_named("dev0");
			EXPECT_TRUE(dev0) << dev0.error().message();
			if (dev0) {
				EXPECT_EQ(dev0->addresses.size(), 200U);
			}
		}
		done = true;
		changes.join();
	});
}

TEST(Routes, NameTheNeighbourToResolve)
{
	in_lab([] {
		make_links();
		sh("ip route add 203.0.113.0/24 via 10.1.0.254 mtu 1400");
		sh("ip route add 2001:db8:9::/48 via fe80::9 dev dev0");
		sh("ip route add 203.0.114.0/24 via inet6 fe80::9 dev dev0");
		sh("ip route add blackhole 203.0.115.0/24");
		const int dev0 = interface_named("dev0")->index;

		const auto direct = route_to(address("10.1.0.7"));
		ASSERT_TRUE(direct) << direct.error().message();
		EXPECT_EQ(direct->ifindex, dev0);
		EXPECT_EQ(direct->gateway, address("10.1.0.7"));
		EXPECT_EQ(direct->source, address("10.1.0.1"));

		const auto behind = route_to(address("203.0.113.9"));
		ASSERT_TRUE(behind);
		EXPECT_EQ(behind->gateway, address("10.1.0.254"));
		EXPECT_EQ(behind->mtu, 1400U);

		const auto six = route_to(address("2001:db8:9::1"));
		ASSERT_TRUE(six) << six.error().message();
		EXPECT_EQ(six->gateway, address("fe80::9"));
		const auto mixed = route_to(address("203.0.114.1"));
		ASSERT_TRUE(mixed) << mixed.error().message();
		EXPECT_EQ(mixed->gateway, address("fe80::9"));

		EXPECT_FALSE(route_to(address("203.0.115.1")));
		EXPECT_FALSE(route_to(address("203.0.116.1")));
		EXPECT_FALSE(route_to(address("2001:db8:ffff::1")));
	});
}

TEST(Neighbours, AreKeptResolvedButFixedOnesAreLeftAlone)
{
	in_lab([] {
		make_links();
		const int dev0 = interface_named("dev0")->index;
		sh("ip neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev dev0 nud permanent");

		ASSERT_TRUE(keep_neighbour(dev0, address("10.1.0.7")));
		ASSERT_TRUE(keep_neighbour(dev0, address("10.1.0.7"))) << "again is no error";
		ASSERT_TRUE(keep_neighbour(dev0, address("2001:db8::7")));
		ASSERT_TRUE(keep_neighbour(dev0, address("10.1.0.9")));
		EXPECT_THAT(output_of("ip neigh show 10.1.0.9 dev dev0"), HasSubstr("PERMANENT"));
		EXPECT_THAT(output_of("ip neigh show 10.1.0.7 dev dev0 nud all"),
			    HasSubstr("10.1.0.7"));
		EXPECT_THAT(output_of("ip neigh show 2001:db8::7 dev dev0 nud all"),
			    HasSubstr("2001:db8::7"));
		EXPECT_FALSE(keep_neighbour(99, address("10.1.0.7")));

		// Where the kernel has no managed entries.
		ASSERT_TRUE(keep_neighbour(dev0, address("10.1.0.8"), false));
		EXPECT_THAT(
			output_of("ip neigh show 10.1.0.8 dev dev0 nud all"),
			testing::AllOf(HasSubstr("10.1.0.8"), testing::Not(HasSubstr("managed"))));
		EXPECT_EQ(managed_neighbours(),
			  output_of("ip neigh show 10.1.0.7 dev dev0 nud all").find("managed") !=
				  std::string::npos);
	});
}

TEST(DeviceFeatures, AreReadByName)
{
	in_lab([] {
		make_links();
		sh("ethtool -K dev0 rxvlan off >/dev/null");
		EXPECT_EQ(*device_feature("dev0", "rx-vlan-hw-parse"), false);
		sh("ethtool -K dev0 rxvlan on >/dev/null");
		EXPECT_EQ(*device_feature("dev0", "rx-vlan-hw-parse"), true);
		EXPECT_FALSE(device_feature("dev0", "no-such-feature"));
		EXPECT_FALSE(device_feature("eth7", "rx-gro"));
	});
}

} // namespace anycast::test
