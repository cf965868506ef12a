// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// --reset-flows under traffic: not a moment without a program, and connections go on.
#include <map>
#include <sstream>

#include "kernel/features.h"
#include "net/reset_flows.h"
#include "net/wire.h"
#include "support/chained.h"

namespace anycast::test {

namespace {

using nlohmann::json;

void reset_in_a_flood(const Wire &wire)
{
	std::stringstream text;
	text << std::ifstream(wire.config).rdbuf();
	for (int i = 0; i < rounds(6); i++) {
		const std::string file = sized(text.str(), i, "/run/lab/sized.toml");
		const json report = wire.cli.ask(wire.here, {"apply", "--reset-flows", file});
		EXPECT_EQ(report.at("interfaces").at(0).at("forgotten"), json{"flows"});
	}
}

constexpr std::uint16_t kDownloadPort = 43001;

// The flows that edge1 knows, by the client's port.
std::map<std::uint16_t, json> known_flows(const Cli &cli, const Node &edge)
{
	std::map<std::uint16_t, json> flows;
	const json answer = cli.ask(edge.netns, {"flows"});
	for (const json &flow : answer.at("flows"))
		flows[flow.at("flow").at("source_port")] = flow;
	return flows;
}

std::uint64_t steered_packets(const Cli &cli, const Node &edge)
{
	const json vips = cli.ask(edge.netns, {"vip", "list"}).at("interfaces").at(0).at("vips");
	return vips.at(0).at("packets");
}

// Ports of flows that send nothing any more.
std::vector<std::uint16_t> idle_flows(const Cli &cli, const Node &edge)
{
	std::vector<std::uint16_t> ports;
	for (const auto &[port, flow] : known_flows(cli, edge))
		if (port != kDownloadPort && flow.at("idle_ms") > 2000)
			ports.push_back(port);
	return ports;
}

} // namespace

TEST(ResetFlows, CountsEveryPacketOfAFloodOnce)
{
	in_lab([] {
		const Wire wire;
		wire.cli.expect(wire.here, {"attach", "--config", wire.config});
		const std::uint64_t before = wire.counted();
		const std::uint64_t sent = wire.flood([&] { reset_in_a_flood(wire); });
		EXPECT_GT(sent, 100U);
		EXPECT_TRUE(wait_until(milliseconds(5000),
				       [&] { return wire.counted() - before >= sent; }));
		EXPECT_EQ(wire.counted() - before, sent);
	});
}

TEST(ResetFlows, BesideOthersNoPacketIsNobodys)
{
	if (!has_feature("dispatcher"))
		GTEST_SKIP() << "this kernel takes no extension with global functions";
	in_lab([] {
		const Wire wire;
		const Chained first(wire.dev0, 20), last(wire.dev0, 90);
		wire.cli.expect(wire.here, {"attach", "--config", wire.config});
		const std::uint64_t before = wire.counted();
		const std::uint64_t at_first = first.packets(), at_last = last.packets();
		const std::uint64_t sent = wire.flood([&] { reset_in_a_flood(wire); });
		EXPECT_TRUE(wait_until(milliseconds(5000),
				       [&] { return first.packets() - at_first == sent; }));
		EXPECT_EQ(last.packets() - at_last, sent);
		EXPECT_GE(wire.counted() - before, sent) << "packets that nobody of ours saw";
		// Both see a packet that is on its way from one to the other.
		EXPECT_LE(wire.counted() - before, sent + static_cast<unsigned>(rounds(6)) * 4);
		wire.here.run([] { expect_one_set_of_maps(); });
	});
}

TEST(ResetFlows, ConnectionsGoOn)
{
	in_lab([] {
		constexpr std::uint64_t kBytes = 8 << 20;
		Lab lab(kBytes);
		const Cli cli;
		const Node &edge = *lab.edges[0];
		lab.start_servers();
		cli.attach_all(lab);
		lab.route_to(edge);
		Requests requests(lab.client, kWww);
		SlowDownload download(lab.client, kWww,
				      (1 << 19) / static_cast<unsigned>(slowness()), kDownloadPort);
		ASSERT_TRUE(download.await_bytes(50000, milliseconds(10000)));
		const std::string text = edge_config(lab, edge);
		const json backend = known_flows(cli, edge)[kDownloadPort].at("backend");
		for (int i = 0; i < rounds(4); i++) {
			std::vector<std::uint16_t> idle;
			ASSERT_TRUE(wait_until(milliseconds(10000) * slowness(), [&] {
				idle = idle_flows(cli, edge);
				return !idle.empty();
			}));
			const std::uint64_t packets = steered_packets(cli, edge);
			cli.expect(edge.netns, {"apply", "--reset-flows",
						sized(text, i, "/run/lab/sized.toml")});
			EXPECT_GE(steered_packets(cli, edge), packets) << "counters go on";
			auto flows = known_flows(cli, edge);
			for (const std::uint16_t port : idle)
				EXPECT_FALSE(flows.contains(port)) << port << " was not forgotten";
			ASSERT_TRUE(wait_until(milliseconds(10000), [&] {
				flows = known_flows(cli, edge);
				return flows.contains(kDownloadPort) || download.bytes() == kBytes;
			}));
			if (flows.contains(kDownloadPort)) {
				EXPECT_EQ(flows[kDownloadPort].at("backend"), backend);
			}
			const json status = cli.ask(edge.netns, {"status"});
			const json &memory = status.at("interfaces").at(0).at("memory");
			EXPECT_EQ(memory.at("flows_v4"), i % 2 ? 4096 : 16384);
			EXPECT_EQ(memory.at("flows_v6"), i % 2 ? 16384 : 4096);
		}
		const Requests::Count count = requests.stop();
		EXPECT_EQ(count.bad, 0) << count.first_error;
		EXPECT_GT(count.good, 20);
		const Download got = download.finish();
		EXPECT_TRUE(got.ok) << got.error;
		EXPECT_EQ(sha256(lab.client, SlowDownload::kCopy), lab.big_sha256);
	});
}

} // namespace anycast::test
