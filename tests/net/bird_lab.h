// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A node with the BIRD configuration that we render, and two routers:
//
//   upstream (AS 64500, eBGP, 10.9.1.1) ---- node (AS 64512) ---- reflector (iBGP, 10.9.2.1)
//
// both links with IPv4 and IPv6, the IPv6 session to the upstream only.
#pragma once

#include <fstream>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "bird/base_config.h"
#include "bird/speaker.h"
#include "config/config.h"
#include "support/bird.h"
#include "support/in_lab.h"
#include "support/netns.h"

namespace anycast::test {

inline constexpr const char *kBirdToml = R"([node]
hash_seed = "0123456789abcdef0123456789abcdef"
[paths]
state = "/run/lab/state"
[bird]
asn = 64512
router_id = "10.9.0.1"
socket = "/run/lab/bird-node.ctl"
include = "/run/lab/include/bird.conf"
[[bird.neighbours]]
name = "upstream"
address = "10.9.1.1"
local = "10.9.1.2"
asn = 64500
password = "correct horse"
import = "vips"
[[bird.neighbours]]
name = "upstream6"
address = "2001:db8:9:1::1"
local = "2001:db8:9:1::2"
asn = 64500
[[bird.neighbours]]
name = "reflector"
address = "10.9.2.1"
local = "10.9.2.2"
asn = 64512
[[pools]]
name = "web"
backends = [ { address = "10.9.3.1" } ]
[[vips]]
name = "www"
address = "198.51.100.80"
port = 80
pool = "web"
bgp = { communities = ["64512:100"], large_communities = ["64512:1:2"], prepend = 2, med = 5, local_pref = 150 }
[[vips]]
name = "dns"
address = "198.51.100.53"
port = 53
pool = "web"
[[vips]]
name = "www6"
address = "2001:db8:51::80"
port = 80
pool = "web"
)";

class BirdLab {
public:
	explicit BirdLab(const std::string &toml = kBirdToml) : config(parsed(toml))
	{
		connect_veth({node, "wan"}, {upstream, "lan"}, 1500);
		connect_veth({node, "core"}, {reflector, "lan"}, 1500);
		add_dummy(node, "anycast0");
		node.ip("link set lo up\naddr add 10.9.1.2/24 dev wan\naddr add 10.9.2.2/24 dev "
			"core\n"
			"addr add 2001:db8:9:1::2/64 dev wan nodad\n"
			"addr add 198.51.100.80/32 dev anycast0\n"
			"addr add 2001:db8:51::80/128 dev anycast0 nodad");
		upstream.ip("link set lo up\naddr add 10.9.1.1/24 dev lan\n"
			    "addr add 2001:db8:9:1::1/64 dev lan nodad");
		reflector.ip("link set lo up\naddr add 10.9.2.1/24 dev lan");
	}

	void start_routers(const std::string &of_upstream = "")
	{
		upstream_bird.emplace(upstream, kRouterHead + std::string(R"(
protocol bfd { interface "lan" { min rx interval 300 ms; min tx interval 300 ms; }; }
protocol bgp node { local 10.9.1.1 as 64500; neighbor 10.9.1.2 as 64512; ttl security on; bfd on;
	password "correct horse"; connect retry time 1; connect delay time 1; error wait time 1, 2;
	ipv4 { import all; export where source = RTS_STATIC; }; }
protocol bgp node6 { local 2001:db8:9:1::1 as 64500; neighbor 2001:db8:9:1::2 as 64512;
	ttl security on; bfd on;
	connect retry time 1; connect delay time 1; error wait time 1, 2;
	ipv6 { import all; export none; }; }
)") + of_upstream);
		reflector_bird.emplace(reflector, kRouterHead + std::string(R"(
protocol bgp node { local 10.9.2.1 as 64512; neighbor 10.9.2.2 as 64512; rr client;
	connect retry time 1; connect delay time 1; error wait time 1, 2;
	ipv4 { import all; export all; }; }
)"));
	}
	// With nothing announced, and the configuration that `bird render` gives.
	void start_node()
	{
		ASSERT_TRUE(bird::replace_file(config.bird.include,
					       bird::include_text(wanted_for(config, {}))));
		const auto text = bird::base_config(config);
		ASSERT_TRUE(text) << text.error().message();
		node_bird.emplace(node, *text);
	}
	void start()
	{
		start_routers();
		start_node();
		ASSERT_TRUE(wait_until(milliseconds(20000), [&] { return established() == 3; }))
			<< node_bird->ask("show protocols all");
	}
	[[nodiscard]] int established() const
	{
		int count = 0;
		for (const auto &[name, state] : node_bird->sessions())
			count += state == "Established" ? 1 : 0;
		return count;
	}

	[[nodiscard]] Wanted wanted(const std::map<std::string, Reach> &reach) const
	{
		std::map<Address, Reach> by_address;
		for (const auto &[address, state] : reach)
			by_address[*Address::parse(address)] = state;
		return wanted_for(config, by_address);
	}
	// What a router has for it, attributes and all; "" if it has none.
	static std::string route(const Bird &router, const std::string &vip)
	{
		const std::string answer = router.ask("show route for " + vip + " all");
		return answer.find("BGP.origin") == answer.npos ? "" : answer;
	}
	static bool sees(const Bird &router, const std::string &vip, const std::string &what = "")
	{
		return wait_until(milliseconds(5000), [&] {
			const std::string found = route(router, vip);
			return !found.empty() && found.find(what) != found.npos;
		});
	}
	static bool lost(const Bird &router, const std::string &vip)
	{
		return wait_until(milliseconds(5000), [&] { return route(router, vip).empty(); });
	}

	Config config;
	Netns node{"node"}, upstream{"upstream"}, reflector{"reflector"};
	std::optional<Bird> upstream_bird, reflector_bird, node_bird;

private:
	static constexpr const char *kRouterHead =
		"log stderr all;\nrouter id 10.9.255.1;\nprotocol device { scan time 1; }\n";
	static Config parsed(const std::string &toml)
	{
		auto result = parse_config(toml, "lab.toml");
		if (!result)
			throw LabError(result.error().message());
		return std::move(result->config);
	}
};

} // namespace anycast::test
