// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Real TCP through every way of forwarding, and over both edges.
#include <future>

#include <gmock/gmock.h>

#include "support/attached_lab.h"
#include "support/in_lab.h"
#include "support/isolation.h"
#include "support/traffic.h"

namespace anycast::test {

namespace {

constexpr std::uint64_t kBig = 4 << 20;
constexpr int kRequests = 40;

std::map<std::string, int> ask_many(const Lab &lab, const Endpoint &to)
{
	std::map<std::string, int> by_server;
	for (int i = 0; i < kRequests; i++) {
		const Reply reply = http_get(lab.client, to, "/");
		EXPECT_TRUE(reply.ok) << reply.error;
		by_server[reply.body]++;
	}
	return by_server;
}

// Both directions, with all bytes checked at the other end.
void transfer(const Lab &lab, const Endpoint &www, const Endpoint &sink)
{
	const Download got = http_download(lab.client, www, "/big", SlowDownload::kCopy, 64 << 20,
					   [](std::uint64_t) {});
	EXPECT_TRUE(got.ok) << got.error;
	EXPECT_EQ(sha256(lab.client, SlowDownload::kCopy), lab.big_sha256);
	const Upload sent = upload(lab.client, sink, kBig);
	EXPECT_TRUE(sent.ok) << sent.error;
}

std::uint64_t decapsulated(const Cli &cli, const Lab &lab)
{
	std::uint64_t packets = 0;
	for (const auto &backend : lab.backends)
		packets += cli.stats(backend->netns).of("decapsulated");
	return packets;
}

// Which server answers each source port.
std::map<std::uint16_t, std::string> servers_of_ports(const Lab &lab, const Endpoint &to)
{
	std::map<std::uint16_t, std::string> servers;
	for (std::uint16_t port = 41000; port < 41000 + kRequests; port++) {
		const Reply reply = http_get(lab.client, to, "/", {.source_port = port});
		EXPECT_TRUE(reply.ok) << "from port " << port << ": " << reply.error;
		servers[port] = reply.body;
	}
	return servers;
}

} // namespace

TEST(Steering, TunnelsIp4InIp4AndIp6InIp6)
{
	in_lab([] {
		const AttachedLab lab({.six = true}, kBig);

		EXPECT_EQ(ask_many(lab, kWww).size(), 3U) << "all backends have a share";
		transfer(lab, kWww, kSink);
		const std::uint64_t four = lab.cli.stats(lab.edge()).of("steered");
		EXPECT_GT(four, 0U);
		EXPECT_EQ(ask_many(lab, kWww6).size(), 3U);
		transfer(lab, kWww6, kSink6);
		const std::uint64_t all = lab.cli.stats(lab.edge()).of("steered");
		EXPECT_GT(all, four);

		EXPECT_TRUE(wait_until(milliseconds(1000),
				       [&] { return decapsulated(lab.cli, lab) == all; }))
			<< all << " steered, " << decapsulated(lab.cli, lab) << " decapsulated";
		for (const auto &backend : lab.backends)
			EXPECT_TRUE(lab.cli.drops(backend->netns).reasons.empty());
	});
}

TEST(Steering, RewritesAddressesOnly)
{
	in_lab([] {
		const AttachedLab lab({.forward = "l2dsr", .six = true}, kBig);

		EXPECT_EQ(ask_many(lab, kWww).size(), 3U);
		EXPECT_EQ(ask_many(lab, kWww6).size(), 3U);
		transfer(lab, kWww, kSink);
		transfer(lab, kWww6, kSink6);
		EXPECT_GT(lab.cli.stats(lab.edge()).of("steered"), 0U);
		EXPECT_EQ(decapsulated(lab.cli, lab), 0U);
	});
}

// The smallest cluster: two nodes, each of them edge and backend.
TEST(Steering, EdgeIsItsOwnBackend)
{
	in_lab([] {
		Lab lab(kBig);
		const Cli cli;
		lab.resolve_neighbours();
		const EdgeSetup setup{.weights = {100, 100}, .six = true, .own_backends = true};
		for (const auto &edge : lab.edges) {
			lab.start_servers(*edge);
			cli.attach_edge(lab, *edge, setup);
		}
		for (const Endpoint &vip : {kWww, kWww6}) {
			lab.route_to(*lab.edges[0]);
			const auto by_port = servers_of_ports(lab, vip);
			lab.route_to(*lab.edges[1]);
			EXPECT_EQ(servers_of_ports(lab, vip), by_port);
		}
		transfer(lab, kWww, kSink);
		transfer(lab, kWww6, kSink6);
		for (const auto &edge : lab.edges) {
			const Stats stats = cli.stats(edge->netns);
			EXPECT_GT(stats.of("local"), 0U);
			EXPECT_GT(stats.of("steered"), 0U);
			EXPECT_GT(stats.of("decapsulated"), 0U);
		}
	});
}

TEST(Steering, BothEdgesChooseTheSameBackend)
{
	in_lab([] {
		const AttachedLab lab({.six = true}, kBig);
		for (const Endpoint &vip : {kWww, kWww6}) {
			lab.route_to(*lab.edges[0]);
			const auto by_port = servers_of_ports(lab, vip);
			lab.route_to(*lab.edges[1]);
			EXPECT_EQ(servers_of_ports(lab, vip), by_port);
		}
		EXPECT_EQ(lab.cli.stats(lab.edge()).backends.size(), 6U);
	});
}

TEST(Steering, SessionsSurviveRoutingShifts)
{
	in_lab([] {
		const AttachedLab lab({}, kBig);

		SlowDownload download(lab.client, kWww, 2 << 20, 42001);
		auto sending = std::async(std::launch::async, [&] {
			return upload(lab.client, kSink, 16 * kBig,
				      {.limit = milliseconds(15000), .source_port = 42002});
		});
		int shifts = 0;
		while (download.bytes() < kBig * 9 / 10 && shifts < 1000) {
			lab.route_to(*lab.edges[++shifts % 2]);
			std::this_thread::sleep_for(milliseconds(50));
		}
		const Download got = download.finish();
		const Upload sent = sending.get();
		EXPECT_TRUE(got.ok) << got.error;
		EXPECT_EQ(sha256(lab.client, SlowDownload::kCopy), lab.big_sha256);
		EXPECT_TRUE(sent.ok) << sent.error;
		EXPECT_GT(shifts, 5);
		for (const auto &edge : lab.edges)
			EXPECT_GT(lab.cli.stats(edge->netns).of("steered"), 100U);
	});
}

TEST(Steering, AVipOnTheInterfaceItselfIsRefused)
{
	in_lab([] {
		Lab lab;
		const Cli cli;
		const Node &edge = *lab.edges[0];
		const std::string file = write_config(edge, edge_config(lab, edge));
		edge.netns.ip(std::string("addr add ") + kVip + "/32 dev eth0");
		const Output refused = cli.run(edge.netns, {"attach", "eth0", "--config", file});
		EXPECT_EQ(refused.status, 2);
		EXPECT_THAT(refused.err, testing::HasSubstr("no anycast interface"));
		EXPECT_THAT(refused.err, testing::HasSubstr("ip addr del 198.51.100.80 dev eth0"));
		edge.netns.ip(std::string("addr del ") + kVip + "/32 dev eth0");
		cli.expect(edge.netns, {"attach", "eth0", "--config", file});
	});
}

} // namespace anycast::test
