// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// bird status, bird render, announce, withdraw, drain: without an agent, with real BIRDs.
#include <sys/stat.h>

#include <csignal>

#include <gmock/gmock.h>

#include "net/bird_lab.h"
#include "support/cli.h"

namespace anycast::test {
namespace {

using testing::HasSubstr;

constexpr const char *kVips[] = {"198.51.100.53", "198.51.100.80"};
constexpr const char *kFile = "/run/lab/node.toml";

// The command on the lab's node, with its configuration.
class NodeCli {
public:
	explicit NodeCli(const BirdLab &lab) : lab_(lab) { std::ofstream(kFile) << kBirdToml; }
	Output run(Argv arguments) const
	{
		arguments.insert(arguments.end(), {"--config", kFile});
		return cli_.run(lab_.node, std::move(arguments));
	}
	nlohmann::json ask(Argv arguments) const
	{
		arguments.emplace_back("--json");
		return nlohmann::json::parse(run(std::move(arguments)).out, nullptr, false);
	}

private:
	const BirdLab &lab_;
	Cli cli_;
};

TEST(BirdCli, OrdersActOnTheIncludeFileAndRespectTheDampingModel)
{
	in_lab([] {
		BirdLab lab;
		lab.start();
		if (testing::Test::HasFatalFailure())
			return;
		const NodeCli cli(lab);
		const Output announced = cli.run({"announce", "--all"});
		EXPECT_EQ(announced.status, 0) << announced.out << announced.err;
		EXPECT_THAT(announced.out, HasSubstr("www 198.51.100.80: announced\n"));
		for (const char *vip : kVips)
			EXPECT_TRUE(BirdLab::sees(*lab.upstream_bird, vip));
		EXPECT_THAT(cli.run({"announce", "www"}).out, HasSubstr("unchanged"));

		const auto status = cli.ask({"bird", "status"});
		EXPECT_EQ(status["verdict"], "ok") << status.dump(1);
		EXPECT_EQ(status["established"], 3);
		EXPECT_EQ(status["sessions"][0]["expected"], 2);
		EXPECT_EQ(status["sessions"][0]["exported"], 2);

		EXPECT_EQ(cli.run({"drain", "www"}).status, 0);
		EXPECT_TRUE(BirdLab::sees(*lab.upstream_bird, "198.51.100.80", "(65535,0)"));
		EXPECT_EQ(cli.run({"withdraw", "198.51.100.80"}).status, 0);
		EXPECT_TRUE(BirdLab::lost(*lab.upstream_bird, "198.51.100.80"));
		EXPECT_FALSE(BirdLab::route(*lab.upstream_bird, "198.51.100.53").empty());

		// 500 for the drain, 1000 for the withdrawal: one more would be suppressed.
		const Output refused = cli.run({"announce", "www"});
		EXPECT_EQ(refused.status, 1);
		EXPECT_THAT(refused.err, HasSubstr("could get it suppressed upstream"));
		EXPECT_TRUE(BirdLab::route(*lab.upstream_bird, "198.51.100.80").empty());
		EXPECT_EQ(cli.run({"announce", "www", "--force"}).status, 0);
		EXPECT_TRUE(BirdLab::sees(*lab.upstream_bird, "198.51.100.80"));

		EXPECT_EQ(cli.run({"withdraw", "nothing"}).status, 2);
		EXPECT_EQ(cli.run({"withdraw"}).status, 2);
		EXPECT_EQ(cli.run({"drain", "www", "--for", "soon"}).status, 2);
		const Output timed = cli.run({"drain", "www", "--for", "10m"});
		EXPECT_EQ(timed.status, 1);
		EXPECT_THAT(timed.err, HasSubstr("--for needs the agent"));
	});
}

TEST(BirdCli, AHungBirdIsSaidAndTheOrderWaitsForIt)
{
	in_lab([] {
		BirdLab lab;
		lab.start();
		if (testing::Test::HasFatalFailure())
			return;
		const NodeCli cli(lab);
		ASSERT_EQ(cli.run({"announce", "www"}).status, 0);
		ASSERT_TRUE(BirdLab::sees(*lab.reflector_bird, "198.51.100.80"));
		kill(lab.node_bird->pid(), SIGSTOP);
		const Output withdrawn = cli.run({"withdraw", "www"});
		EXPECT_EQ(withdrawn.status, 1);
		EXPECT_THAT(withdrawn.err, HasSubstr("does not answer"));
		EXPECT_EQ(cli.ask({"bird", "status"})["state"], "hung");
		kill(lab.node_bird->pid(), SIGCONT);
		EXPECT_EQ(cli.run({"withdraw", "www"}).status, 0);
		EXPECT_TRUE(BirdLab::lost(*lab.reflector_bird, "198.51.100.80"));
		lab.node_bird->kill_now();
		EXPECT_EQ(cli.run({"bird", "status"}).status, 1);
		EXPECT_EQ(cli.ask({"bird", "status"})["state"], "absent");
	});
}

TEST(BirdCli, RenderWritesWhatBirdAcceptsAndOnlyOnce)
{
	in_lab([] {
		const BirdLab lab;
		const NodeCli cli(lab);
		const std::string path = "/run/lab/rendered.conf";
		const Output first = cli.run({"bird", "render", "--out", path});
		EXPECT_EQ(first.status, 0) << first.err;
		EXPECT_THAT(first.out, HasSubstr("changed"));
		EXPECT_EQ(run(lab.node, {"bird", "-p", "-c", path}).status, 0);
		struct stat info {};
		ASSERT_EQ(stat(path.c_str(), &info), 0);
		EXPECT_EQ(info.st_mode & 0777, 0640U); // it has a password
		EXPECT_THAT(cli.run({"bird", "render", "--out", path}).out, HasSubstr("unchanged"));
		EXPECT_EQ(cli.run({"bird", "render"}).out, *bird::read_file(path));
	});
}

} // namespace
} // namespace anycast::test
