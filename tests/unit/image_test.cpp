// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/image.h"

#include <cstring>

#include <anycast_xdp/hash.h>
#include <gmock/gmock.h>

#include "core/maglev.h"
#include "core/reasons.h"
#include "unit/image_parts.h"

namespace anycast {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

TEST(Image, TablesFollowOneAnotherAndNameBackendIds)
{
	Config config = three_backends();
	config.pools.push_back(pool("dns", {backend("10.1.0.21"), backend("10.1.0.22")}));
	const Image image = compiled(config);

	ASSERT_EQ(image.pools.size(), 2U);
	EXPECT_EQ(image.pools[0].first, 0U);
	EXPECT_EQ(image.pools[1].first, 251U);
	EXPECT_EQ(image.slots.size(), 502U);
	EXPECT_THAT(owners(image, 0), ElementsAre(0, 1, 2));
	EXPECT_THAT(owners(image, 1), ElementsAre(3, 4));
	EXPECT_EQ(image.ids.backends[4].name, "dns/10.1.0.22");
	EXPECT_EQ(Address(image.backends[4].addr), address("10.1.0.22"));
	const auto shares = slot_shares(image.slots, image.pools[1], image.backends.size());
	EXPECT_NEAR(shares[3] + shares[4], 1.0, 1e-9);
	EXPECT_NEAR(shares[3], 0.5, 0.01);
	EXPECT_EQ(shares[0], 0.0);
}

TEST(Image, TableIsWhatMaglevSays)
{
	const Config config = three_backends();
	const Image image = compiled(config);
	const std::vector<MaglevBackend> candidates = {
		{"10.1.0.11", 100, true}, {"10.1.0.12", 100, true}, {"10.1.0.13", 100, true}};
	const auto table = build_table(candidates, 251, config.hash_seed);

	ASSERT_TRUE(table);
	for (std::size_t i = 0; i < 251; ++i)
		ASSERT_EQ(image.slots[i].backend[0], (*table)[i].backend[0]) << "slot " << i;
}

// ---- who is up ------------------------------------------------------------------------------

TEST(Image, OnlyActiveBackendsOwnSlots)
{
	for (const ax_backend_state state :
	     {AX_BACKEND_DRAINING, AX_BACKEND_DOWN, AX_BACKEND_MAINTENANCE}) {
		Config config = three_backends();
		config.pools[0].backends[1].state = state;
		const Image image = compiled(config);
		EXPECT_THAT(owners(image), ElementsAre(0, 2));
		EXPECT_EQ(image.backends[1].state, state);
	}
}

TEST(Image, NobodyUpFollowsThePolicy)
{
	Config config = three_backends();
	config.pools[0].backends = {backend("10.1.0.11", AX_BACKEND_DOWN),
				    backend("10.1.0.12", AX_BACKEND_MAINTENANCE)};
	config.pools.push_back(pool("next", {backend("10.1.0.21")}));
	for (const ax_all_down policy : {AX_ALL_DOWN_DROP, AX_ALL_DOWN_PASS}) {
		config.pools[0].all_down = policy;
		const Image image = compiled(config);
		EXPECT_EQ(image.pools[0].size, 0U);
		EXPECT_EQ(image.pools[0].all_down, policy);
		EXPECT_THAT(owners(image, 1), ElementsAre(2));
	}
	config.pools[0].all_down = AX_ALL_DOWN_LAST_KNOWN;
	const Image image = compiled(config);
	EXPECT_EQ(image.pools[0].size, 251U);
	EXPECT_THAT(owners(image), ElementsAre(0));

	config.pools[0].backends[0].state = AX_BACKEND_MAINTENANCE;
	EXPECT_EQ(compiled(config).pools[0].size, 0U);
	config.pools[0].backends.clear();
	EXPECT_EQ(compiled(config).pools[0].size, 0U);
}

// ---- how VIPs are found ---------------------------------------------------------------------

TEST(Image, EveryVipSetsItsFilterBit)
{
	Config config = three_backends();
	config.vips.push_back(vip("six", "2001:db8::53"));
	const Image image = compiled(config);
	const auto bit = [&](__u32 folded) {
		const std::uint32_t at = ax_filter_bit(folded);
		return image.settings.vip_filter[at / 64] >> (at % 64) & 1;
	};
	const ax_addr six = address("2001:db8::53").raw();

	EXPECT_TRUE(bit(htonl(0xc6336401)));
	EXPECT_TRUE(bit(six.word[0] ^ six.word[1] ^ six.word[2] ^ six.word[3]));
	EXPECT_FALSE(bit(htonl(0xc6336402)));
	EXPECT_EQ(image.settings.vips, 2U);
}

TEST(Image, FragmentsGoToTheAnyPortVipOrTheLowestPort)
{
	Config config = three_backends();
	config.vips = {vip("https", "198.51.100.1", 443), vip("http", "198.51.100.1", 80),
		       vip("udp", "198.51.100.1", 0, 17), vip("dns", "198.51.100.1", 53, 17)};
	const Image image = compiled(config);

	EXPECT_EQ(find(image, "198.51.100.1", 6, 443), 0U);
	EXPECT_EQ(find(image, "198.51.100.1", 6 | AX_VIP_FRAGMENT, 0), 1U);
	EXPECT_EQ(find(image, "198.51.100.1", 17 | AX_VIP_FRAGMENT, 0), 2U);
	EXPECT_EQ(find(image, "198.51.100.1", AX_VIP_ADDRESS, 0), 0U);
	EXPECT_EQ(image.settings.flags & (AX_SETTINGS_ANY_PORT | AX_SETTINGS_ANY_PROTO),
		  AX_SETTINGS_ANY_PORT);
}

TEST(Image, AVipOfAnyProtocolTakesFragmentsNobodyElseTakes)
{
	Config config = three_backends();
	config.vips = {vip("any", "198.51.100.1", 0, 0), vip("http", "198.51.100.1", 80)};
	const Image image = compiled(config);

	EXPECT_EQ(find(image, "198.51.100.1", 0, 0), 0U);
	EXPECT_EQ(find(image, "198.51.100.1", 6 | AX_VIP_FRAGMENT, 0), 1U);
	EXPECT_EQ(find(image, "198.51.100.1", 17 | AX_VIP_FRAGMENT, 0), 0U);
	EXPECT_TRUE(image.settings.flags & AX_SETTINGS_ANY_PROTO);
}

TEST(Image, TheSameServiceTwiceIsRefused)
{
	Config config = three_backends();
	config.vips.push_back(vip("twin", "198.51.100.1"));
	EXPECT_THAT(refused(config).what, HasSubstr("twin"));
}

// ---- tunnels --------------------------------------------------------------------------------

TEST(Image, OuterSourceIsTheInterfacesFirstGlobalAddress)
{
	const Image image = compiled(three_backends());
	EXPECT_EQ(Address(image.settings.source4), address("10.1.0.1"));
	EXPECT_EQ(Address(image.settings.source6), address("2001:db8::1"));

	// Not a VIP, not loopback; the node's, if the interface has none.
	const NodeFacts bare = {.interface_addresses = {address("fe80::1")},
				.node_addresses = {address("127.0.0.1"), address("198.51.100.1"),
						   address("10.7.0.1")}};
	EXPECT_EQ(Address(compiled(three_backends(), bare).settings.source4), address("10.7.0.1"));

	Config config = three_backends();
	config.source_v4 = address("10.9.9.9");
	EXPECT_EQ(Address(compiled(config).settings.source4), address("10.9.9.9"));
}

TEST(Image, ATunnelWithoutASourceIsRefusedOnlyIfSomebodyNeedsIt)
{
	const NodeFacts none = {};
	Config config = three_backends();
	EXPECT_THAT(refused(config, none).hint, HasSubstr("source_v4"));
	EXPECT_EQ(refused(config, none).kind, Exit::kUsage);
	config.pools[0].backends = {backend("2001:db8::11")};
	EXPECT_THAT(refused(config, none).hint, HasSubstr("source_v6"));
	config.vips[0].forward = AX_FORWARD_L2DSR;
	EXPECT_TRUE(compile(config, none, {}));
	config.vips[0].forward = AX_FORWARD_IPIP;
	config.roles = AX_ROLE_BACKEND;
	EXPECT_TRUE(compile(config, none, {}));
}

TEST(Image, ConstantWordsOfTheOuterHeader)
{
	const Image image = compiled(three_backends());
	const std::uint8_t header[20] = {0x45, 0, 0,  0, 0, 0, 0x40, 0, 64, 0,
					 0,    0, 10, 1, 0, 1, 10,   1, 0,  11};
	std::uint32_t sum = 0;

	for (std::size_t i = 0; i < sizeof(header); i += 2) {
		std::uint16_t word;
		std::memcpy(&word, header + i, 2);
		sum += word;
	}
	EXPECT_EQ(image.backends[0].csum4, sum);
}

TEST(Image, ABackendWithOurAddressIsLocal)
{
	Config config = three_backends();
	config.pools[0].backends.push_back(backend("10.1.0.1"));
	const Image image = compiled(config);
	EXPECT_EQ(image.backends[0].flags, 0);
	EXPECT_EQ(image.backends[3].flags, AX_BACKEND_LOCAL);
	EXPECT_EQ(image.pools[0].own, 4);
}

// Nothing that leaves tells which of them has sent it.
TEST(Image, TwoBackendsWithOurAddressesAreTwins)
{
	Config config = three_backends();
	config.pools[0].backends.push_back(backend("10.1.0.1"));
	config.pools[0].backends.push_back(backend("198.51.100.1"));
	const Image image = compiled(config);
	EXPECT_EQ(image.backends[0].flags, 0);
	EXPECT_EQ(image.backends[3].flags, AX_BACKEND_LOCAL | AX_BACKEND_TWIN);
	EXPECT_EQ(image.backends[4].flags, AX_BACKEND_LOCAL | AX_BACKEND_TWIN);
	EXPECT_EQ(image.pools[0].own, 0);
}

TEST(Image, TunnelsEndHereInTheBackendRoleOnly)
{
	Config config = three_backends();
	config.edges = {address("10.0.0.1"), address("10.0.0.2"), address("10.0.0.1")};
	EXPECT_THAT(compiled(config).tunnel_addresses, IsEmpty());
	EXPECT_THAT(compiled(config).edges, // whose tunnels it lets by
		    ElementsAre(address("10.0.0.1"), address("10.0.0.2")));

	config.roles = AX_ROLE_BACKEND;
	NodeFacts facts = kFacts;
	facts.interface_addresses.push_back(address("198.51.100.1")); // the VIP
	facts.node_addresses.push_back(address("10.1.0.12")); // a backend's, on another device
	const Image image = compiled(config, facts);
	EXPECT_THAT(image.edges, ElementsAre(address("10.0.0.1"), address("10.0.0.2")));
	EXPECT_THAT(image.tunnel_addresses,
		    UnorderedElementsAre(address("fe80::1"), address("10.1.0.1"),
					 address("2001:db8::1"), address("10.1.0.12")));

	config.tunnel_addresses = {address("10.5.5.5")};
	EXPECT_THAT(compiled(config, facts).tunnel_addresses, ElementsAre(address("10.5.5.5")));
}

// ---- guard ----------------------------------------------------------------------------------

TEST(Image, GtsmPeersNeedTheTtlOfTheirDistance)
{
	Config config = three_backends();
	config.gtsm_peers = {{address("10.1.0.254"), 1},
			     {address("10.1.0.253"), 3},
			     {address("2001:db8::fe"), 0}};
	const Image image = compiled(config);

	ASSERT_EQ(image.gtsm_peers.size(), 3U);
	EXPECT_EQ(image.gtsm_peers[0].second.min_ttl, 255);
	EXPECT_EQ(image.gtsm_peers[1].second.min_ttl, 253);
	EXPECT_EQ(image.gtsm_peers[2].second.min_ttl, 0);
	EXPECT_THAT(image.gtsm_local,
		    ElementsAre(address("fe80::1"), address("10.1.0.1"), address("2001:db8::1")));
	EXPECT_TRUE(image.settings.flags & AX_SETTINGS_GTSM);

	// Ids of peers are kept as well.
	config.gtsm_peers.erase(config.gtsm_peers.begin());
	const Image after = compiled(config, kFacts, image.ids);
	EXPECT_EQ(after.gtsm_peers[0].second.id, 1);
}

TEST(Image, NoSessionAddressesNoGtsm)
{
	Config config = three_backends();
	config.source_v4 = address("10.1.0.1");
	EXPECT_FALSE(compiled(config, {}).settings.flags & AX_SETTINGS_GTSM);
	config.gtsm_local = {address("10.1.0.1")};
	EXPECT_TRUE(compiled(config, {}).settings.flags & AX_SETTINGS_GTSM);
}

// The tc program is there where it has something to do.
TEST(Image, WhatLeavesIsForNodesThatServe)
{
	const auto flags = [](const Config &config, const NodeFacts &facts = kFacts) {
		return compiled(config, facts).settings.flags &
		       (AX_SETTINGS_WATCH | AX_SETTINGS_CLAMP);
	};
	NodeFacts serving = kFacts;
	serving.node_addresses.push_back(address("10.1.0.11"));
	Config config = three_backends();
	EXPECT_EQ(flags(config), 0U);
	EXPECT_EQ(flags(config, serving), AX_SETTINGS_WATCH);
	config.pools[0].clamp_mss = 1400;
	EXPECT_EQ(flags(config), 0U) << "an edge: answers do not leave by it";
	EXPECT_EQ(flags(config, serving), AX_SETTINGS_WATCH | AX_SETTINGS_CLAMP);
	EXPECT_EQ(compiled(config).pools[0].path_mtu, 1400);
	config.roles = AX_ROLE_BACKEND;
	EXPECT_EQ(flags(config), AX_SETTINGS_CLAMP);
	EXPECT_EQ(flags(config, serving), AX_SETTINGS_CLAMP) << "flows are the edges' to count";
	for (Vip &vip : config.vips)
		vip.protocol = 17;
	EXPECT_EQ(flags(config), 0U) << "there is no MSS in UDP";
}

TEST(Image, RulesOverrideDefaultActions)
{
	Config config = three_backends();
	config.rules = {{"ip4_ihl", AX_ACTION_COUNT}, {"ip4_evil", AX_ACTION_OFF}};
	const Image image = compiled(config);

	EXPECT_EQ(image.settings.action[AX_R_IP4_IHL], AX_ACTION_COUNT);
	EXPECT_EQ(image.settings.action[AX_R_IP4_EVIL], AX_ACTION_OFF);
	EXPECT_EQ(image.settings.action[AX_R_IP4_VERSION],
		  find_reason(AX_R_IP4_VERSION)->default_action);
	EXPECT_TRUE(image.settings.flags & AX_SETTINGS_VALID);
}

} // namespace anycast
