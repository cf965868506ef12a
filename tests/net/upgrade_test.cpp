// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Changes under traffic: not a request fails, not a flow is lost.
#include <algorithm>

#include <gmock/gmock.h>

#include "kernel/features.h"
#include "net/releases.h"
#include "support/chained.h"
#include "support/cli.h"
#include "support/in_lab.h"
#include "support/traffic.h"

namespace anycast::test {

namespace {

using nlohmann::json;

constexpr std::uint16_t kDownloadPort = 43001;

// In an emulated guest a smaller file, and a download that leaves the commands beside it room.
std::uint64_t big_bytes()
{
	return (8 << 20) / static_cast<std::uint64_t>(slowness());
}

std::uint64_t per_second(std::uint64_t bytes)
{
	return slowness() > 1 ? bytes / (2 * static_cast<std::uint64_t>(slowness())) : bytes;
}

// Servers and programs everywhere; all traffic goes by edge1.
struct Running {
	Lab lab{big_bytes()};
	Cli cli;
	std::vector<Chained> others; // before ours, behind ours

	Running()
	{
		lab.start_servers();
		cli.attach_all(lab);
		lab.route_to(edge());
	}
	// Edge1's NIC has a program of somebody else's on either side of ours.
	struct BesideOthers {};
	explicit Running(BesideOthers /*unused*/)
	{
		lab.start_servers();
		others.emplace_back(edge().nic(), 20);
		others.emplace_back(edge().nic(), 90);
		cli.attach_all(lab);
		lab.route_to(edge());
	}
	[[nodiscard]] const Node &edge() const { return *lab.edges[0]; }

	// The entry of the flow from that port; null if there is none.
	[[nodiscard]] json flow_from(std::uint16_t port) const
	{
		const json answer = cli.ask(edge().netns, {"flows"});
		for (const json &flow : answer.at("flows"))
			if (flow.at("flow").at("source_port") == port)
				return flow;
		return {};
	}
	[[nodiscard]] std::uint64_t packets() const { return cli.stats(edge().netns).packets; }

	void expect_no_failure(Requests &requests) const
	{
		const Requests::Count count = requests.stop();
		EXPECT_EQ(count.bad, 0) << count.first_error;
		EXPECT_GT(count.good, 20);
	}
	void expect_whole(SlowDownload &download) const
	{
		const Download got = download.finish();
		EXPECT_TRUE(got.ok) << got.error;
		EXPECT_EQ(sha256(lab.client, SlowDownload::kCopy), lab.big_sha256);
	}
	// The same configuration, but for the weights.
	[[nodiscard]] Argv apply_weights(const std::vector<unsigned> &weights) const
	{
		return {"apply",
			write_config(edge(), edge_config(lab, edge(), {.weights = weights}))};
	}
};

int rounds(int number)
{
	return slowness() > 1 ? std::max(3, number / slowness()) : number;
}

// By each of the builds in turn.
void replaces_the_program_under_traffic(const Running &running, const std::vector<Cli> &builds)
{
	Requests requests(running.lab.client, kWww);
	SlowDownload download(running.lab.client, kWww, per_second(1 << 20), kDownloadPort);
	ASSERT_TRUE(download.await_bytes(100000, milliseconds(5000)));

	std::uint64_t packets = running.packets(), of_flow = 0;
	const std::string config =
		write_config(running.edge(), edge_config(running.lab, running.edge()));
	for (int i = 0; i < rounds(20); i++) {
		const Cli &build = builds[static_cast<std::size_t>(i) % builds.size()];
		const json report = build.ask(running.edge().netns, {"attach", "--config", config});
		EXPECT_EQ(report.at("interfaces").at(0).at("replaced"), true);

		const std::uint64_t now = running.packets();
		EXPECT_GT(now, packets) << "counters go on";
		packets = now;
		const json flow = running.flow_from(kDownloadPort);
		ASSERT_FALSE(flow.is_null()) << "flows stay";
		EXPECT_GE(flow.at("packets"), of_flow);
		of_flow = flow.at("packets");
	}
	running.expect_no_failure(requests);
	running.expect_whole(download);
}

} // namespace

TEST(Upgrade, ReplacesTheProgramUnderTraffic)
{
	in_lab([] {
		const Running running;
		replaces_the_program_under_traffic(running, {running.cli});
	});
}

TEST(Upgrade, ReplacesTheProgramByThePreviousReleaseAndBack)
{
	AX_NEED_PREVIOUS_RELEASE();
	in_lab([] {
		const Running running;
		replaces_the_program_under_traffic(running, {previous_release(), running.cli});
	});
}

TEST(Upgrade, ReplacesTheProgramBesideOthersUnderTraffic)
{
	if (!has_feature("dispatcher"))
		GTEST_SKIP() << "this kernel takes no extension with global functions";
	in_lab([] {
		const Running running{Running::BesideOthers{}};
		const json chain{"chained", "anycast", "chained"};
		const auto hook = [&] {
			return running.cli.ask(running.edge().netns, {"status"})
				.at("interfaces")
				.at(0);
		};
		EXPECT_EQ(hook().at("chain"), chain);
		std::vector<Cli> builds{running.cli};
		if (why_no_previous_release().empty())
			builds.insert(builds.begin(), previous_release());
		replaces_the_program_under_traffic(running, builds);
		EXPECT_EQ(hook().at("chain"), chain);
		EXPECT_GE(running.others.at(0).packets(), running.packets())
			<< "what comes to ours has come by the first";
	});
}

TEST(Upgrade, AppliesWeightsUnderTraffic)
{
	in_lab([] {
		const Running running;
		Requests requests(running.lab.client, kWww);
		SlowDownload download(running.lab.client, kWww, per_second(2 << 20), kDownloadPort);
		ASSERT_TRUE(download.await_bytes(100000, milliseconds(5000)));
		const json before = running.flow_from(kDownloadPort);

		for (int i = 0; i < rounds(10); i++) {
			const std::vector<unsigned> weights =
				i % 2 ? std::vector<unsigned>{100, 200, 100}
				      : std::vector<unsigned>{100, 100, 800};
			const json report = running.cli.ask(running.edge().netns,
							    running.apply_weights(weights));
			EXPECT_EQ(report.at("changed"), true);
			const Stats stats = running.cli.stats(running.edge().netns);
			for (std::size_t b = 0; b < 3; b++)
				EXPECT_NEAR(stats.backends.at(b).share,
					    weights[b] / (i % 2 ? 400.0 : 1000.0), 0.001);
		}
		EXPECT_EQ(running.flow_from(kDownloadPort).at("backend"), before.at("backend"));
		running.expect_no_failure(requests);
		running.expect_whole(download);
	});
}

TEST(Upgrade, DrainLetsTransfersFinish)
{
	in_lab([] {
		const Running running;
		SlowDownload download(running.lab.client, kWww, per_second(2 << 20), kDownloadPort);
		ASSERT_TRUE(download.await_bytes(100000, milliseconds(5000)));
		const std::string backend =
			running.flow_from(kDownloadPort).at("backend").get<std::string>();

		running.cli.expect(running.edge().netns, {"backend", "drain", backend});
		Requests requests(running.lab.client, kWww);
		EXPECT_TRUE(wait_until(milliseconds(5000), [&] { return requests.good() > 60; }));
		EXPECT_LT(download.bytes(), big_bytes()) << "still running";
		const Requests::Count drained = requests.stop();
		EXPECT_EQ(drained.bad, 0) << drained.first_error;
		EXPECT_FALSE(drained.by_server.contains(backend));
		EXPECT_EQ(drained.by_server.size(), 2U);
		running.expect_whole(download);

		running.cli.expect(running.edge().netns, {"backend", "undrain", backend});
		std::map<std::string, int> by_server;
		for (int i = 0; i < 60; i++)
			by_server[http_get(running.lab.client, kWww, "/").body]++;
		EXPECT_TRUE(by_server.contains(backend + "\n"));
	});
}

TEST(Upgrade, SurvivesKilledCommands)
{
	in_lab([] {
		const Running running;
		Requests requests(running.lab.client, kWww);
		SlowDownload download(running.lab.client, kWww, per_second(1 << 20), kDownloadPort);
		ASSERT_TRUE(download.await_bytes(100000, milliseconds(5000)));

		const std::string config =
			write_config(running.edge(), edge_config(running.lab, running.edge()));
		const std::vector<Argv> commands{{"attach", "--config", config},
						 {"apply", config},
						 {"backend", "weight", "b1", "300"},
						 {"backend", "drain", "b2"},
						 {"backend", "undrain", "b2"}};
		// Each is killed at another point of its way; the longest takes about 300 ms.
		const int kills = rounds(40);
		for (int i = 0; i < kills; i++) {
			Argv argv = commands[static_cast<std::size_t>(i) % commands.size()];
			argv.insert(argv.begin(), running.cli.binary());
			Process command =
				Process::spawn(running.edge().netns, argv, "/run/lab/killed.log");
			std::this_thread::sleep_for(milliseconds(5 + 300 * i / kills) * slowness());
			command.kill_now();
		}
		ASSERT_FALSE(running.flow_from(kDownloadPort).is_null());

		const json report =
			running.cli.ask(running.edge().netns, {"attach", "--config", config});
		EXPECT_EQ(report.at("interfaces").at(0).at("replaced"), true);
		const json status = running.cli.ask(running.edge().netns, {"status"});
		EXPECT_EQ(status.at("interfaces").at(0).at("ok"), true)
			<< status.at("interfaces").at(0).at("verdict");
		ASSERT_FALSE(running.flow_from(kDownloadPort).is_null());
		running.expect_no_failure(requests);
		running.expect_whole(download);
	});
}

} // namespace anycast::test
