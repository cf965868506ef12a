// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "agent/targets.h"

#include <gmock/gmock.h>

#include "config/config.h"

namespace anycast::agent {
namespace {

using testing::HasSubstr;

const Address kB1 = *Address::parse("10.1.0.11"), kVip = *Address::parse("198.51.100.80"),
	      kVip6 = *Address::parse("2001:db8:51::80"), kOwn = *Address::parse("10.1.0.2"),
	      kOwn6 = *Address::parse("2001:db8:1::2");

health::Target only(const std::string &check, const std::string &vips,
		    const std::set<Address> &own = {kOwn})
{
	const auto parsed =
		parse_config("[node]\nhash_seed = \"0123456789abcdef0123456789abcdef\"\n"
			     "[[pools]]\nname = \"web\"\n"
			     "backends = [ { address = \"10.1.0.11\" } ]\n"
			     "[[pools.checks]]\ntimeout = \"1s\"\n" +
				     check + vips,
			     "t.toml");
	if (!parsed) {
		ADD_FAILURE() << parsed.error().what;
		return {};
	}
	return targets_of(parsed->config, own).at(0);
}

std::string vip(const std::string &address, int port, const std::string &more = "")
{
	return "[[vips]]\nname = \"" + address + "\"\naddress = \"" + address +
	       "\"\nport = " + std::to_string(port) + "\npool = \"web\"\n" + more;
}

TEST(Targets, TheServiceIsAskedTheClientsWay)
{
	for (const char *check :
	     {"type = \"http\"\nport = 80\n", "type = \"tcp\"\nport = 80\n", "type = \"icmp\"\n"}) {
		const health::Target target = only(check, vip("198.51.100.80", 80));
		EXPECT_EQ(target.address, kVip) << check;
		ASSERT_TRUE(target.tunnel) << check;
		EXPECT_EQ(target.tunnel->backend, kB1);
		EXPECT_EQ(target.tunnel->gue_port, 0);
	}
	const auto gue = only("type = \"tcp\"\nport = 80\n",
			      vip("198.51.100.80", 80, "forward = \"gue\"\n"));
	ASSERT_TRUE(gue.tunnel);
	EXPECT_EQ(gue.tunnel->gue_port, AX_GUE_PORT);
}

TEST(Targets, OtherPortsAndProtocolsAreAskedDirectly)
{
	const std::string www = vip("198.51.100.80", 80);
	for (const char *check :
	     {"type = \"http\"\nport = 8080\n", "type = \"udp\"\nport = 80\npayload = \"x\"\n",
	      "type = \"tcp\"\nport = 80\ndirect = true\n", "type = \"icmp\"\ndirect = true\n",
	      "type = \"exec\"\ncommand = [\"/bin/true\"]\n"}) {
		const health::Target target = only(check, www);
		EXPECT_FALSE(target.tunnel) << check;
		EXPECT_EQ(target.address, kB1) << check;
	}
	EXPECT_FALSE(only("type = \"tcp\"\nport = 80\n",
			  vip("198.51.100.80", 80, "forward = \"l2dsr\"\n"))
			     .tunnel);
}

TEST(Targets, TheBackendsFamilyIsPreferred)
{
	const std::string both = vip("2001:db8:51::80", 80) + vip("198.51.100.80", 80);
	EXPECT_EQ(only("type = \"http\"\nport = 80\n", both).address, kVip);
	const std::string six = vip("2001:db8:51::80", 80);
	const auto other = only("type = \"http\"\nport = 80\n", six, {kOwn, kOwn6, kVip6});
	EXPECT_EQ(other.address, kVip6);
	ASSERT_TRUE(other.tunnel);
	EXPECT_EQ(other.tunnel->other_source, kOwn6) << "and no VIP";
	EXPECT_EQ(only("type = \"http\"\nport = 80\n", six).address, kB1)
		<< "this node has no IPv6 address to ask from";
}

TEST(Targets, ABackendThatIsThisNodeIsAskedByItsOwnKernel)
{
	const auto target = only("type = \"http\"\nport = 80\n", vip("198.51.100.80", 80), {kB1});
	EXPECT_FALSE(target.tunnel);
	EXPECT_EQ(target.address, kVip);
}

} // namespace
} // namespace anycast::agent
