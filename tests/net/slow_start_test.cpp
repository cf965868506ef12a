// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A backend that recovers comes slowly: by a real agent and its checks, under sessions.
#include <gmock/gmock.h>

#include "support/fleet.h"
#include "support/in_lab.h"
#include "support/sessions.h"

namespace anycast::test {

namespace {

struct Row {
	std::string state;
	double share = 0;
	bool slow = false;
};

Row row_of(const Cli &cli, const Node &edge, const std::string &name)
{
	const nlohmann::json list = cli.ask(edge.netns, {"backend", "list"});
	for (const auto &backend : list.at("interfaces").at(0).at("backends"))
		if (backend.at("backend") == name)
			return {backend.at("state"), backend.at("share"),
				!backend.at("since").is_null()};
	throw LabError("no backend " + name);
}

} // namespace

TEST(SlowStart, TheAgentTakesTheStepsOfABackendThatRecovers)
{
	in_lab([] {
		Lab lab(1 << 16);
		const Cli cli;
		const Node &edge = *lab.edges[0];
		std::vector<Process> health;
		for (auto &backend : lab.backends) {
			backend->servers.push_back(serve_sessions(backend->netns, kSink));
			health.push_back(
				serve_http(backend->netns, {backend->address, 8080}, lab.big_file));
		}
		attach_fleet(lab, cli,
			     {.weights = {100, 100, 100},
			      .forward = "gue",
			      .pool_options = "slow_start = \"10s\"\n[[pools.checks]]\ntype = "
					      "\"tcp\"\nport = 8080\ndirect = true\n"
					      "interval = \"200ms\"\ntimeout = \"150ms\"\n"
					      "rise = 1\nfall = 2\n"});
		lab.route_to(edge);
		const Process agent = Process::spawn(
			edge.netns,
			{cli.binary(), "agent", "--config", std::string(kLabDir) + "/edge1.toml"},
			"/run/lab/agent.log");
		Sessions sessions(lab.client, kSink, 60, milliseconds(50));
		const auto b3 = [&] { return row_of(cli, edge, "b3"); };
		const milliseconds soon(15000);
		EXPECT_EQ(b3().state, "active");
		const double whole = b3().share;
		EXPECT_FALSE(b3().slow) << "a new pool begins with everybody at once";

		health[2].kill_now();
		ASSERT_TRUE(wait_until(soon, [&] { return b3().state == "down"; }));
		EXPECT_EQ(b3().share, 0.0);
		health[2] = serve_http(lab.backends[2]->netns, {lab.backends[2]->address, 8080},
				       lab.big_file);
		ASSERT_TRUE(wait_until(soon, [&] { return b3().state == "active"; }));

		std::vector<double> shares{b3().share};
		EXPECT_TRUE(b3().slow);
		EXPECT_LT(shares.back(), whole / 2);
		EXPECT_THAT(cli.run(edge.netns, {"backend", "list"}).out,
			    testing::HasSubstr("active, slow start"));
		EXPECT_TRUE(wait_until(soon * 2, [&] {
			const Row now = b3();
			if (now.share != shares.back())
				shares.push_back(now.share);
			return !now.slow;
		}));
		EXPECT_EQ(shares.back(), whole);
		EXPECT_GE(shares.size(), 5U);
		EXPECT_TRUE(std::ranges::is_sorted(shares)) << testing::PrintToString(shares);
		const Sessions::Result result = sessions.finish(milliseconds(10000));
		EXPECT_EQ(result.all_broken(), 0) << result.first_error;
		EXPECT_EQ(result.total.size(), 3U);
	});
}

} // namespace anycast::test
