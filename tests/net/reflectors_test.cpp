// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A node with iBGP to two route reflectors, and a router that knows nobody but them:
//
//   node 10.9.1.2 ---- 10.9.1.1 r1 10.9.3.1 ---- 10.9.3.2 router
//        10.9.2.2 ---- 10.9.2.1 r2 10.9.4.1 ---- 10.9.4.2
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "bird/base_config.h"
#include "bird/speaker.h"
#include "config/config.h"
#include "support/bird.h"
#include "support/in_lab.h"
#include "support/netns.h"

namespace anycast::test {
namespace {

constexpr milliseconds kBudget{2000}, kPatience{20000};
constexpr const char *kVip = "198.51.100.80";

constexpr const char *kToml = R"([node]
hash_seed = "0123456789abcdef0123456789abcdef"
[bird]
asn = 64512
router_id = "10.9.0.1"
socket = "/run/lab/bird-node.ctl"
include = "/run/lab/include/bird.conf"
[[bird.neighbours]]
name = "r1"
address = "10.9.1.1"
asn = 64512
[[bird.neighbours]]
name = "r2"
address = "10.9.2.1"
asn = 64512
[[pools]]
name = "web"
backends = [ { address = "10.9.5.1" } ]
[[vips]]
name = "www"
address = "198.51.100.80"
port = 80
pool = "web"
bgp = { communities = ["64512:100"], local_pref = 150 }
)";

std::string head(int id)
{
	return fmt::format("log stderr all;\nrouter id 10.9.255.{};\nprotocol device {{}}\n", id);
}

std::string session(const char *name, const std::string &local, const std::string &neighbour,
		    const char *more)
{
	return fmt::format("protocol bgp {} {{ local {} as 64512; neighbor {} as 64512; {}\n"
			   "connect retry time 1; connect delay time 1; error wait time 1, 2;\n"
			   "ipv4 {{ import all; export all; }}; }}\n",
			   name, local, neighbour, more);
}

std::string reflector(int i) // one cluster
{
	const char *client = "rr client; rr cluster id 10.9.255.255;";
	return head(i) +
	       session("node", fmt::format("10.9.{}.1", i), fmt::format("10.9.{}.2", i), client) +
	       session("rtr", fmt::format("10.9.{}.1", i + 2), fmt::format("10.9.{}.2", i + 2),
		       client);
}

class TwoReflectors {
public:
	TwoReflectors() : config(std::move(parse_config(kToml, "lab.toml")->config))
	{
		for (int i : {1, 2}) {
			Netns &r = i == 1 ? r1 : r2;
			connect_veth({node, fmt::format("r{}", i)}, {r, "node"}, 1500);
			connect_veth({router, fmt::format("r{}", i)}, {r, "router"}, 1500);
			node.ip(fmt::format("addr add 10.9.{}.2/24 dev r{}", i, i));
			router.ip(fmt::format("addr add 10.9.{}.2/24 dev r{}", i + 2, i));
			r.ip(fmt::format("addr add 10.9.{}.1/24 dev node\n"
					 "addr add 10.9.{}.1/24 dev router",
					 i, i + 2));
			start(i);
		}
		if (!bird::replace_file(config.bird.include,
					bird::include_text(wanted_for(config, {}))))
			throw LabError("no include file");
		node_bird.emplace(node, *bird::base_config(config));
		router_bird.emplace(
			router, head(9) + session("r1", "10.9.3.2", "10.9.3.1", "") +
					session("r2", "10.9.4.2", "10.9.4.1", "") +
					"protocol static { ipv4; route 10.9.1.0/24 via 10.9.3.1;\n"
					"route 10.9.2.0/24 via 10.9.4.1; }\n");
	}
	void start(int i) { (i == 1 ? r1_bird : r2_bird).emplace(i == 1 ? r1 : r2, reflector(i)); }
	[[nodiscard]] bool up() const
	{
		return node_bird->established("peer_r1") && node_bird->established("peer_r2") &&
		       router_bird->established("r1") && router_bird->established("r2");
	}
	// By how many reflectors the router has the VIP.
	[[nodiscard]] int ways() const
	{
		const std::string answer =
			router_bird->ask(fmt::format("show route {}/32 all", kVip));
		int count = 0;
		for (std::size_t at = 0; (at = answer.find("BGP.originator_id", at)) != answer.npos;
		     at++)
			count++;
		return count;
	}
	[[nodiscard]] Wanted wanted(bool there) const
	{
		std::map<Address, Reach> reach;
		if (there)
			reach[*Address::parse(kVip)] = Reach::kAnnounced;
		return wanted_for(config, reach);
	}

	Config config;
	Netns node{"node"}, r1{"r1"}, r2{"r2"}, router{"router"};
	std::optional<Bird> r1_bird, r2_bird, node_bird, router_bird;
};

bool soon(const std::function<bool()> &holds)
{
	return wait_until(kPatience * slowness(), holds);
}

TEST(Reflectors, OneOfTwoMayDie)
{
	in_lab([] {
		TwoReflectors lab;
		ASSERT_TRUE(soon([&] { return lab.up(); }))
			<< lab.node_bird->ask("show protocols all");
		bird::Speaker speaker(lab.config.bird);
		const BirdStatus announced = speaker.reconcile(lab.wanted(true), kBudget);
		EXPECT_TRUE(announced.in_force);
		EXPECT_EQ(announced.established(), 2U);
		ASSERT_TRUE(soon([&] { return lab.ways() == 2; }));
		EXPECT_THAT(lab.router_bird->ask(fmt::format("show route {}/32 all", kVip)),
			    testing::AllOf(testing::HasSubstr("BGP.local_pref: 150"),
					   testing::HasSubstr("(64512,100)"),
					   testing::HasSubstr("BGP.originator_id: 10.9.0.1")));

		lab.r1_bird->kill_now();
		bool gone = false;
		EXPECT_TRUE(soon([&] {
			gone = gone || lab.ways() == 0;
			return lab.ways() == 1;
		}));
		EXPECT_FALSE(gone) << "the other reflector has it all the while";
		EXPECT_TRUE(soon([&] {
			const BirdStatus status = speaker.reconcile(lab.wanted(true), kBudget);
			return status.degraded() && status.established() == 1 && status.in_force;
		}));

		// What happens meanwhile holds when it is back.
		EXPECT_TRUE(speaker.reconcile(lab.wanted(false), kBudget).in_force);
		EXPECT_TRUE(soon([&] { return lab.ways() == 0; }));
		lab.start(1);
		ASSERT_TRUE(soon([&] { return lab.up(); }));
		EXPECT_EQ(lab.ways(), 0);
		EXPECT_TRUE(soon([&] {
			return speaker.reconcile(lab.wanted(true), kBudget).verdict() == "ok";
		}));
		EXPECT_TRUE(soon([&] { return lab.ways() == 2; }));
	});
}

} // namespace
} // namespace anycast::test
