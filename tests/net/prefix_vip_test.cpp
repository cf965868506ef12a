// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Whole prefixes and any port as VIPs: sessions through two edges to backends that have the prefix
// on a route of their own.
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/fleet.h"
#include "support/in_lab.h"
#include "support/sessions.h"
#include "support/udp.h"

namespace anycast::test {

namespace {

constexpr const char *kNet = "198.51.100.0/24", *kNet6 = "2001:db8:51::/64";

// The edges' VIPs are the prefixes; one address within has a port for itself, with another pool.
std::string with_prefixes(const std::string &text, const Lab &lab, const std::string &pool_options)
{
	std::string out = text.substr(0, text.find("\n[[pools]]"));
	for (const bool six : {false, true}) {
		out += fmt::format("\n[[pools]]\nname = \"net{}\"\n{}", six ? "6" : "",
				   pool_options);
		for (const auto &backend : lab.backends)
			out += fmt::format("[[pools.backends]]\nname = \"{}\"\naddress = \"{}\"\n",
					   backend->netns.name(),
					   six ? backend->address6 : backend->address);
		for (const char *protocol : {"tcp", "udp"})
			out += fmt::format("[[vips]]\nname = \"{}{}\"\naddress = \"{}\"\n"
					   "port = \"any\"\nprotocol = \"{}\"\n"
					   "pool = \"net{}\"\nforward = \"gue\"\n",
					   protocol, six ? "6" : "", six ? kNet6 : kNet, protocol,
					   six ? "6" : "");
	}
	return out + fmt::format("[[pools]]\nname = \"own\"\n[[pools.backends]]\nname = \"b1\"\n"
				 "address = \"{}\"\n[[vips]]\nname = \"own\"\n"
				 "address = \"198.51.100.7\"\nport = 8080\nprotocol = \"tcp\"\n"
				 "pool = \"own\"\nforward = \"gue\"\n",
				 lab.backends[0]->address);
}

void route(const Lab &lab, const std::vector<std::size_t> &edges)
{
	std::string hops, hops6;
	for (const std::size_t edge : edges) {
		hops += " nexthop via " + lab.edges[edge]->address;
		hops6 += " nexthop via " + lab.edges[edge]->address6;
	}
	lab.router.ip(
		fmt::format("route replace {}{}\nroute replace {}{}", kNet, hops, kNet6, hops6));
}

class PrefixLab : public Lab {
public:
	explicit PrefixLab(const std::string &pool_options = {}) : Lab(1 << 16)
	{
		for (auto &backend : backends) {
			backend->netns.ip(fmt::format("route add local {} dev anycast0\n"
						      "route add local {} dev anycast0",
						      kNet, kNet6));
			// IPv6 wants an address of a device, or this, where a server names one.
			backend->netns.sysctl("net.ipv6.ip_nonlocal_bind", "1");
			for (const std::uint16_t port : {7001, 8080}) // of IPv4, too
				backend->servers.push_back(
					serve_sessions(backend->netns, {"::", port}));
			for (const char *any : {"198.51.100.99", "2001:db8:51::99"})
				backend->servers.push_back(serve_echo(backend->netns, {any, 7000}));
		}
		attach_fleet(*this, cli, {}, [&](const std::string &text) {
			return with_prefixes(text, *this, pool_options);
		});
		route(*this, {0, 1});
	}
	const Cli cli;
};

} // namespace

TEST(PrefixVip, SessionsToItsAddressesSurviveRoutingShifts)
{
	in_lab([] {
		PrefixLab lab;
		std::vector<std::unique_ptr<Sessions>> all;
		for (const char *address : {"198.51.100.1", "198.51.100.80", "198.51.100.254",
					    "2001:db8:51::1", "2001:db8:51:0:ffff::9"})
			all.push_back(std::make_unique<Sessions>(
				lab.client, Endpoint{address, 7001}, 12, milliseconds(50)));
		for (const std::vector<std::size_t> &edges :
		     {std::vector<std::size_t>{0}, {1}, {1, 0}, {0, 1}}) {
			route(lab, edges);
			std::this_thread::sleep_for(milliseconds(300));
		}
		std::map<std::string, int> servers;
		for (auto &sessions : all) {
			const auto result = sessions->finish(milliseconds(10000));
			EXPECT_EQ(result.all_broken(), 0) << result.first_error;
			EXPECT_EQ(result.open, 12);
			for (const auto &[server, count] : result.total)
				servers[server] += count;
		}
		EXPECT_EQ(servers.size(), 3U);
		for (const auto &edge : lab.edges)
			EXPECT_GT(lab.cli.stats(edge->netns).of("steered"), 0U);
	});
}

TEST(PrefixVip, DatagramsAndAnAddressWithAServiceOfItsOwn)
{
	in_lab([] {
		PrefixLab lab;
		for (const char *address : {"198.51.100.99", "2001:db8:51::99"}) {
			std::set<std::string> servers;
			for (std::uint16_t port = 42000; port < 42024; port++) {
				UdpClient client(lab.client, {address, 7000}, false, port);
				const std::string first = client.ask(200);
				EXPECT_NE(first, "") << address;
				route(lab, {port % 2U});
				EXPECT_EQ(client.ask(200), first);
				servers.insert(first);
			}
			EXPECT_EQ(servers.size(), 3U) << address;
		}
		Sessions own(lab.client, {"198.51.100.7", 8080}, 8, milliseconds(50)),
			beside(lab.client, {"198.51.100.7", 7001}, 24, milliseconds(50)),
			other(lab.client, {"198.51.100.8", 8080}, 24, milliseconds(50));
		EXPECT_EQ(own.finish(milliseconds(10000)).total,
			  (std::map<std::string, int>{{"b1", 8}}));
		EXPECT_EQ(beside.finish(milliseconds(10000)).total.size(), 3U);
		EXPECT_EQ(other.finish(milliseconds(10000)).total.size(), 3U);
		const nlohmann::json way =
			lab.cli.ask(lab.edges[0]->netns,
				    {"explain", "203.0.113.10:40000", "198.51.100.33:7001", "tcp"})
				.at("interfaces")
				.at(0);
		EXPECT_EQ(way.at("vip").at("address"), kNet);
		EXPECT_EQ(way.at("reason"), "steered");
	});
}

// The server's own segments are found by the prefix, too.
TEST(PrefixVip, TheMssOfItsServersIsClamped)
{
	in_lab([] {
		PrefixLab lab("clamp_mss_to_mtu = 1400\n");
		for (const char *address : {"198.51.100.3", "2001:db8:51::3"}) {
			Sessions sessions(lab.client, {address, 7001}, 6, milliseconds(50));
			EXPECT_EQ(sessions.finish(milliseconds(10000)).all_broken(), 0);
		}
		EXPECT_EQ(clamped_syns(lab, lab.cli), 12U);
	});
}

} // namespace anycast::test
