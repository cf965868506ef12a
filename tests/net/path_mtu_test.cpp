// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Path MTU discovery through a VIP, in both directions: links that are too small before the node
// and behind it, with TCP and UDP.
#include <gmock/gmock.h>

#include "support/attached_lab.h"
#include "support/in_lab.h"
#include "support/process.h"
#include "support/udp.h"

namespace anycast::test {

namespace {

constexpr std::uint64_t kBig = 1 << 20;

void start_echoes(Lab &lab)
{
	for (auto &backend : lab.backends)
		for (const Endpoint &endpoint : {kEcho, kEcho6})
			backend->servers.push_back(serve_echo(backend->netns, endpoint));
}

// From this node to the backends; the links themselves take more.
void small_way_to_backends(const Node &edge, unsigned mtu)
{
	const std::string end = " dev eth0 mtu lock " + std::to_string(mtu);
	// IPv6 tells routes by their metric, and the link's own has 256.
	edge.netns.ip("route replace 10.1.0.0/24" + end + "\nroute replace 2001:db8:1::/64" + end +
		      " metric 256");
}

} // namespace

TEST(PathMtu, BehindTheNodeTheSenderIsToldByTheVip)
{
	in_lab([] {
		AttachedLab lab({.six = true, .udp = true}, kBig);
		start_echoes(lab);
		small_way_to_backends(*lab.edges[0], 1400);

		for (const Endpoint &sink : {kSink, kSink6}) {
			const Upload sent = upload(lab.client, sink, kBig);
			EXPECT_TRUE(sent.ok) << sent.error;
		}
		EXPECT_GE(lab.cli.stats(lab.edge()).of("ptb_sent"), 2U);
		// What TCP has learned is the path's; UDP has to learn it for itself.
		run(lab.client, {"ip", "route", "flush", "cache"});
		run(lab.client, {"ip", "-6", "route", "flush", "cache"});
		UdpClient four(lab.client, kEcho, true), six(lab.client, kEcho6, true);
		EXPECT_NE(four.ask(1472, 10), "");
		EXPECT_EQ(four.sent(), 1380U - 28U);
		EXPECT_NE(six.ask(1452, 10), "");
		EXPECT_EQ(six.sent(), 1360U - 48U);
		const Stats stats = lab.cli.stats(lab.edge());
		EXPECT_GE(stats.of("ptb_sent"), 4U);
		EXPECT_EQ(stats.of("too_big"), 0U);
		EXPECT_EQ(stats.of("too_big_no_df"), 0U);
	});
}

TEST(PathMtu, BeforeTheClientTheBackendIsTold)
{
	in_lab([] {
		const AttachedLab lab({.six = true}, kBig);
		// The client says 1500 in its SYN; the way there takes 1300.
		const std::string end = " dev wan0 mtu lock 1300";
		lab.router.ip("route replace 203.0.113.0/24" + end +
			      "\nroute replace 2001:db8:203::/64" + end);
		for (const Endpoint &www : {kWww, kWww6})
			for (int i = 0; i < 6; i++) { // every backend, perhaps more than once
				const Download got =
					http_download(lab.client, www, "/big", "/run/lab/copy",
						      64 << 20, [](std::uint64_t) {});
				EXPECT_TRUE(got.ok) << got.error;
				EXPECT_EQ(sha256(lab.client, "/run/lab/copy"), lab.big_sha256);
			}
		EXPECT_GE(lab.cli.stats(lab.edge()).of("steered_icmp"), 2U);
	});
}

TEST(Echo, IsAnsweredByTheProgramIfConfigured)
{
	in_lab([] {
		const AttachedLab lab({.six = true, .sections = "[icmp]\necho = true\n"});
		for (const char *vip : {kVip, kVip6})
			EXPECT_EQ(run(lab.client, {"busybox", "ping", "-c3", "-W2", vip}).status, 0)
				<< vip;
		const Stats stats = lab.cli.stats(lab.edge());
		EXPECT_EQ(stats.of("echo_answered"), 6U);
		EXPECT_EQ(stats.of("vip_icmp"), 0U);
	});
}

} // namespace anycast::test
