// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Segment sizes that fit behind the tunnel's header: real TCP over links of 1500 bytes.
#include <cstdlib>

#include <gtest/gtest.h>

#include "support/fleet.h"
#include "support/in_lab.h"

namespace anycast::test {

namespace {

constexpr std::uint64_t kUpload = 1 << 20;

// The links of the lab take 1600.
void shrink_ways_to_backends(const Lab &lab)
{
	const std::string end = " dev eth0 mtu lock 1500";
	for (const auto &edge : lab.edges)
		edge->netns.ip("route replace 10.1.0.0/24" + end +
			       "\nroute replace 2001:db8:1::/64" + end + " metric 256");
}

std::string egress_of(const Cli &cli, const Node &node)
{
	const auto egress = cli.ask(node.netns, {"status"}).at("interfaces").at(0).at("egress");
	return egress.is_string() ? egress.get<std::string>() : "";
}

void uploads_to_both(const Lab &lab)
{
	for (const Endpoint &sink : {kSink, kSink6}) {
		const Upload sent = upload(lab.client, sink, kUpload);
		EXPECT_TRUE(sent.ok) << sent.error;
	}
}

void nothing_is_too_big(const EdgeSetup &setup)
{
	Lab lab(1 << 16);
	const Cli cli;
	lab.start_servers();
	EdgeSetup clamping = setup;
	clamping.pool_options = "clamp_mss_to_mtu = 1500\n";
	attach_fleet(lab, cli, clamping);
	lab.route_to(*lab.edges[0]);
	shrink_ways_to_backends(lab);
	const Netns &edge = lab.edges[0]->netns;

	for (int i = 0; i < 3; i++)
		uploads_to_both(lab);
	EXPECT_EQ(clamped_syns(lab, cli), 6U);
	// Checksums are computed by the kernel from here on, after the program; the lab's links
	// would not notice a wrong one otherwise.
	for (const auto &backend : lab.backends)
		EXPECT_EQ(run(backend->netns, {"ethtool", "-K", "eth0", "tx", "off"}).status, 0);
	uploads_to_both(lab);
	EXPECT_EQ(clamped_syns(lab, cli), 8U);
	EXPECT_EQ(cli.stats(edge).of("ptb_sent"), 0U);
	EXPECT_EQ(cli.stats(edge).of("too_big"), 0U);
	for (const auto &node : lab.backends)
		EXPECT_NE(egress_of(cli, *node), "");
	EXPECT_EQ(egress_of(cli, *lab.edges[0]), "") << "no server here";

	for (const auto &node : lab.backends)
		cli.expect(node->netns,
			   {"apply", write_config(*node, as_backend(edge_config(lab, *node, setup),
								    lab, *node))});
	for (const auto &node : lab.backends)
		EXPECT_EQ(egress_of(cli, *node), "");
	uploads_to_both(lab);
	EXPECT_EQ(clamped_syns(lab, cli), 8U);
	EXPECT_GE(cli.stats(edge).of("ptb_sent"), 2U);
}

} // namespace

TEST(ClampMss, FitsBehindIpip)
{
	in_lab([] { nothing_is_too_big({.six = true}); });
}

TEST(ClampMss, FitsBehindGueOfTheOtherFamily)
{
	in_lab([] { nothing_is_too_big({.forward = "gue", .six = true, .other_family = true}); });
}

TEST(ClampMss, ByClsactToo)
{
	in_lab([] {
		setenv("AX_WITHOUT", "tcx", 1);
		nothing_is_too_big({.forward = "gue", .six = true});
	});
}

} // namespace anycast::test
