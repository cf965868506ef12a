// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// More nodes: a third edge joins while sessions run, and an edge under attack takes nobody with it.
#include <sstream>

#include <fmt/format.h>

#include "support/attached_lab.h"
#include "support/in_lab.h"
#include "support/packet.h"
#include "support/raw_sender.h"
#include "support/sessions.h"

namespace anycast::test {

namespace {

const Endpoint kSession{kVip, 7001};
constexpr int kPorts = 3000;

EdgeSetup with_sessions()
{
	return {.sections =
			fmt::format("[[vips]]\nname = \"session\"\naddress = \"{}\"\nport = {}\n"
				    "protocol = \"tcp\"\npool = \"web\"\nforward = \"ipip\"\n",
				    kVip, kSession.port)};
}

void serve_everywhere(const Lab &lab)
{
	for (const auto &backend : lab.backends)
		backend->servers.push_back(serve_sessions(backend->netns, kSession));
}

// The next hop that the router's kernel takes for each source port of the client. Protocol by
// number: a bare machine has no /etc/protocols.
std::vector<std::string> ways(const Lab &lab)
{
	std::string questions;
	for (int port = 0; port < kPorts; port++)
		questions +=
			fmt::format("route get {} from {} iif wan0 ipproto 6 sport {} dport 80\n",
				    kVip, kClientAddress, 20000 + port);
	const Output answers = run(lab.router, {"ip", "-batch", "-"}, questions);
	if (answers.status != 0)
		throw LabError("ip route get: " + answers.err);
	std::vector<std::string> hops;
	std::istringstream words(answers.out);
	for (std::string word; words >> word;)
		if (word == "via" && words >> word)
			hops.push_back(word);
	return hops;
}

std::map<std::string, int> shares(const std::vector<std::string> &hops)
{
	std::map<std::string, int> counts;
	for (const std::string &hop : hops)
		counts[hop]++;
	return counts;
}

double moved(const std::vector<std::string> &before, const std::vector<std::string> &after)
{
	int count = 0;
	for (std::size_t i = 0; i < before.size(); i++)
		count += before[i] != after[i];
	return static_cast<double>(count) / static_cast<double>(before.size());
}

} // namespace

// RFC 2992: the hash's range is cut into equal regions, one a next hop; with a region more at the
// end half of all flows get another next hop. (Reckoned for two next hops: of the first region's
// half a third of the whole stays, of the second's a sixth.) Sessions must not care.
TEST(ScaleOut, AThirdEdgeJoinsAndTakesItsShare)
{
	in_lab([] {
		Lab lab(1 << 16, 3, 3);
		const Cli cli;
		lab.start_servers();
		serve_everywhere(lab);
		cli.attach_all(lab, with_sessions());
		Node &third = *lab.edges[2];
		cli.expect(third.netns, {"detach", "eth0"});
		lab.start_routing();
		lab.stop_edge(2, true);
		ASSERT_TRUE(lab.await_next_hops(2, milliseconds(5000)));

		const std::vector<std::string> two = ways(lab);
		ASSERT_EQ(two.size(), static_cast<std::size_t>(kPorts));
		Sessions sessions(lab.client, kSession, 150, milliseconds(50));
		cli.attach_edge(lab, third, with_sessions());
		EXPECT_EQ(cli.stats(third.netns).of("steered"), 0U);
		lab.start_edge(2);
		const std::vector<std::string> three = ways(lab);
		ASSERT_EQ(three.size(), two.size());
		std::printf("a third edge: %.1f %% of %d flows moved (RFC 2992: 50.0 %%), shares",
			    100 * moved(two, three), kPorts);
		// Six standard deviations of a fair share.
		for (const auto &[hop, count] : shares(two))
			EXPECT_NEAR(count, kPorts / 2, 165) << hop;
		EXPECT_EQ(shares(three).size(), 3U);
		for (const auto &[hop, count] : shares(three)) {
			EXPECT_NEAR(count, kPorts / 3, 155) << hop;
			std::printf(" %d", count);
		}
		EXPECT_NEAR(moved(two, three), 0.5, 0.055);

		const Sessions::Result result = sessions.finish(milliseconds(10000));
		std::printf("; %d sessions open, %d broken\n", result.open, result.all_broken());
		EXPECT_EQ(result.all_broken(), 0) << result.first_error;
		EXPECT_EQ(result.open, 150);
		EXPECT_GT(cli.stats(third.netns).of("steered"), 0U);
	});
}

// A flood from somewhere else in the network reaches one node only: that is what anycast is for.
TEST(ScaleOut, AFloodOnOneEdgeCostsTheOthersClientsNothing)
{
	in_lab([] {
		const AttachedLab lab(with_sessions(), 1 << 16);
		serve_everywhere(lab);
		const Node &attacked = *lab.edges[0], &other = *lab.edges[1];
		lab.route_to(other);
		Sessions sessions(lab.client, kSession, 60, milliseconds(50));

		const RawSender sender(lab.router_lan());
		const Mac mac = mac_of(attacked.nic());
		const Eth eth{.dst = fmt::format("{:02x}", fmt::join(mac, ":"))};
		std::vector<Bytes> frames;
		for (int i = 0; i < 1000; i++) {
			const std::string from = fmt::format("203.0.113.{}", 20 + i % 200);
			const Ip4 ip{.src = from, .ttl = 60};
			const auto port = static_cast<std::uint16_t>(1024 + i);
			frames.push_back((eth / ip / Tcp{.sport = port, .dport = 80, .flags = kSyn})
						 .bytes());
			frames.push_back(
				(eth / ip / Tcp{.sport = port, .dport = 80, .flags = kSyn | kFin})
					.bytes());
		}
		const std::uint64_t before = lab.cli.stats(attacked.netns).packets;
		std::uint64_t sent = 0;
		std::jthread flood([&](const std::stop_token &stop) {
			for (std::size_t i = 0; !stop.stop_requested(); i++, sent++) {
				sender.send(frames[i % frames.size()]);
				if (i % 64 == 0)
					leave_room();
			}
		});
		int answered = 0, asked = 0;
		const auto end = std::chrono::steady_clock::now() + milliseconds(3000);
		for (; std::chrono::steady_clock::now() < end; asked++)
			answered += http_get(lab.client, kWww, "/").ok;
		flood.request_stop();
		flood.join();

		const Sessions::Result result = sessions.finish(milliseconds(10000));
		const Stats flooded = lab.cli.stats(attacked.netns);
		std::printf("%lu frames at one edge, %d of %d requests by the other answered, "
			    "%d sessions open, %d broken\n",
			    static_cast<unsigned long>(sent), answered, asked, result.open,
			    result.all_broken());
		EXPECT_GT(flooded.packets - before, sent / 2) << "it was no flood";
		EXPECT_GT(sent, 1000U);
		EXPECT_GT(flooded.of("tcp_syn_fin"), 0U);
		EXPECT_EQ(answered, asked);
		EXPECT_GT(asked, 10);
		EXPECT_EQ(result.all_broken(), 0) << result.first_error;
		EXPECT_EQ(result.open, 60);
		EXPECT_EQ(lab.cli.stats(other.netns).of("tcp_syn_fin"), 0U);
	});
}

} // namespace anycast::test
