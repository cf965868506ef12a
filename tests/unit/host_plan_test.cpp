// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <gmock/gmock.h>

#include "net/host.h"

namespace anycast {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Address address(const char *text)
{
	return *Address::parse(text);
}

const std::vector<Address> kVips{address("198.51.100.80"), address("2001:db8:51::80")};

Interface link(int index, std::string name, std::string kind = "")
{
	Interface made;
	made.index = index;
	made.name = std::move(name);
	made.kind = std::move(kind);
	made.up = true;
	return made;
}

// A host that is as it should be.
HostFacts settled()
{
	HostFacts facts;
	facts.interfaces = {link(1, "lo"), link(2, "eth0"), link(3, "anycast0", "dummy")};
	facts.interfaces[1].assigned = {{address("10.1.0.2"), 24, false}};
	for (const Address &vip : kVips)
		facts.interfaces[2].assigned.push_back(
			{vip, static_cast<std::uint8_t>(vip.is_v4() ? 32 : 128), false});
	facts.interfaces[2].assigned.push_back({address("fe80::1"), 64, true});
	for (const char *key :
	     {"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding",
	      "net/ipv4/fib_multipath_hash_policy", "net/ipv6/fib_multipath_hash_policy"})
		facts.sysctls[key] = "1";
	facts.sysctls["net/core/rmem_max"] = "212992";
	facts.sysctls["net/core/wmem_max"] = "212992";
	for (const char *name : {"eth0", "lo", "anycast0"})
		facts.sysctls[std::string("net/ipv6/conf/") + name + "/accept_ra"] = "1";
	return facts;
}

HostPlan plan(const HostFacts &facts, const HostOptions &options = {})
{
	const auto result = plan_host(options, kVips, facts);
	EXPECT_TRUE(result) << result.error().message();
	return result ? *result : HostPlan{};
}

TEST(HostPlan, SettledHostNeedsNothing)
{
	const HostPlan nothing = plan(settled());
	EXPECT_FALSE(nothing.changes());
	EXPECT_TRUE(nothing.warnings.empty());
}

TEST(HostPlan, BareHostNeedsEverything)
{
	HostFacts facts = settled();
	facts.interfaces.pop_back();
	for (auto &[key, value] : facts.sysctls)
		value = "0";
	const HostPlan all = plan(facts, {.rmem_max = 1 << 20});
	EXPECT_TRUE(all.make_interface);
	EXPECT_TRUE(all.bring_up);
	EXPECT_EQ(all.add, kVips);
	EXPECT_THAT(describe(HostReport{all, "dummy"}),
		    ElementsAre("add interface anycast0 (dummy)", "set anycast0 up",
				"add 198.51.100.80/32 to anycast0",
				"add 2001:db8:51::80/128 to anycast0", "net.ipv4.ip_forward 0 -> 1",
				"net.ipv6.conf.all.forwarding 0 -> 1",
				"net.ipv4.fib_multipath_hash_policy 0 -> 1",
				"net.ipv6.fib_multipath_hash_policy 0 -> 1",
				"net.core.rmem_max 0 -> 1048576"));
}

TEST(HostPlan, OldVipGoesManagementStays)
{
	HostFacts facts = settled();
	facts.interfaces[2].assigned.push_back({address("198.51.100.81"), 32, false});
	facts.interfaces[2].assigned.push_back({address("10.255.0.1"), 24, false});
	const HostPlan old = plan(facts);
	EXPECT_THAT(old.remove, ElementsAre(address("198.51.100.81")));
	EXPECT_THAT(old.warnings, ElementsAre(HasSubstr("10.255.0.1/24")));
}

TEST(HostPlan, VipElsewhereIsAnError)
{
	HostFacts facts = settled();
	facts.interfaces[1].assigned.push_back({kVips[0], 32, false});
	const auto result = plan_host({}, kVips, facts);
	ASSERT_FALSE(result);
	EXPECT_THAT(result.error().message(), HasSubstr("is on interface eth0 already"));
}

TEST(HostPlan, InterfaceMustBeForVipsAlone)
{
	EXPECT_FALSE(plan_host({.interface = "eth0"}, kVips, settled()));
	HostFacts facts = settled();
	facts.interfaces[2].kind = "bridge";
	EXPECT_TRUE(plan_host({}, kVips, facts));
	facts.interfaces[1].master = 3;
	const auto result = plan_host({}, kVips, facts);
	ASSERT_FALSE(result);
	EXPECT_THAT(result.error().message(), HasSubstr("bridge with the port eth0"));
}

TEST(HostPlan, LargerBuffersStay)
{
	EXPECT_FALSE(plan(settled(), {.rmem_max = 100000}).changes());
	EXPECT_TRUE(plan(settled(), {.rmem_max = 300000}).changes());
}

TEST(HostPlan, AutoconfiguredManagementAddressSurvivesForwarding)
{
	HostFacts facts = settled();
	facts.interfaces[1].autoconfigured = true;
	EXPECT_THAT(plan(facts).sysctls,
		    ElementsAre(Sysctl{"net/ipv6/conf/eth0/accept_ra", "1", "2"}));
}

TEST(HostPlan, SettingsOfAnotherNamespaceAreSaid)
{
	HostFacts facts = settled();
	facts.sysctls["net/core/rmem_max"] = std::nullopt;
	const HostPlan none = plan(facts, {.rmem_max = 1 << 20});
	EXPECT_FALSE(none.changes());
	EXPECT_THAT(none.warnings, ElementsAre(HasSubstr("net.core.rmem_max")));
}

TEST(HostPlan, PersistedFileIsKeptUpToDate)
{
	HostFacts facts = settled();
	const HostPlan first = plan(facts, {.persist = true});
	ASSERT_TRUE(first.persist);
	EXPECT_THAT(*first.persist, HasSubstr("net.ipv4.ip_forward = 1\n"));
	facts.persisted = *first.persist;
	EXPECT_FALSE(plan(facts, {.persist = true}).changes());
}

TEST(SysctlName, DotsInInterfaceNames)
{
	EXPECT_EQ(sysctl_name("net/ipv6/conf/eth0.100/accept_ra"),
		  "net.ipv6.conf.eth0/100.accept_ra");
}

} // namespace
} // namespace anycast
