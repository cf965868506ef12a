// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The command line, as far as it goes without root and without an interface.
#include "cli/app.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace anycast::cli {
namespace {

constexpr const char *kConfig = R"([node]
hash_seed = "0123456789abcdef0123456789abcdef"
[[pools]]
name = "web"
backends = [ { name = "b1", address = "10.1.0.11" } ]
[[vips]]
name = "www"
address = "198.51.100.80"
port = 80
protocol = "tcp"
pool = "web"
)";

class Cli : public testing::Test {
protected:
	void SetUp() override
	{
		std::string pattern = testing::TempDir() + "ax-cli-XXXXXX";
		ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
		directory_ = pattern;
		write("good.toml", kConfig);
	}
	void TearDown() override { std::filesystem::remove_all(directory_); }

	std::string write(const std::string &name, const std::string &text) const
	{
		std::ofstream(directory_ + "/" + name) << text;
		return directory_ + "/" + name;
	}

	Status call(std::vector<std::string> arguments)
	{
		out_.str("");
		err_.str("");
		// Neither the machine's pins nor its configuration.
		for (const char *option : {"--pins", "--state"})
			arguments.insert(arguments.end(), {option, directory_ + "/none"});
		return run(std::move(arguments), out_, err_);
	}

	// Expects this failure, and returns what is said.
	std::string fails(std::vector<std::string> arguments, Exit kind)
	{
		const Status status = call(std::move(arguments));
		EXPECT_FALSE(status.has_value());
		if (status)
			return "";
		EXPECT_EQ(status.error().kind, kind) << status.error().message();
		return status.error().message();
	}

	std::string directory_;
	std::ostringstream out_, err_;
};

void expect_in(const std::string &text, const std::string &part)
{
	EXPECT_NE(text.find(part), std::string::npos) << part << "\nin\n" << text;
}

TEST_F(Cli, HelpOfEveryCommandIsUseful)
{
	ASSERT_TRUE(call({"--help"}));
	for (const char *command :
	     {"attach",	 "detach",   "status",	 "validate", "apply",	 "diff",   "vip",
	      "backend", "map",	     "stats",	 "drops",    "flows",	 "loss",   "replay",
	      "bird",	 "announce", "withdraw", "drain",    "features", "version"}) {
		ASSERT_TRUE(call({"--help"}));
		expect_in(out_.str(), std::string("\n  ") + command + " ");
		ASSERT_TRUE(call({command, "--help"})) << command;
		expect_in(out_.str(), std::string("Usage: anycast-xdp ") + command);
		expect_in(out_.str(), "--json");
	}
	ASSERT_TRUE(call({"backend", "weight", "--help"}));
	expect_in(out_.str(), "1..65535");
}

TEST_F(Cli, AnUnknownCommandSuggestsTheNearest)
{
	expect_in(fails({"stauts"}, Exit::kUsage), "did you mean \"status\"?");
	expect_in(fails({"--json", "lss"}, Exit::kUsage), "did you mean \"loss\"?");
	expect_in(fails({"--dev", "eth0", "backend", "drian", "b1"}, Exit::kUsage),
		  "did you mean \"backend drain\"?");
	expect_in(fails({"frobnicate"}, Exit::kUsage), "commands: attach");
}

TEST_F(Cli, ValidateListsErrorsAsJsonToo)
{
	write("bad.toml", "[node]\nhash_seed = 1\nroles = [\"boss\"]\n");
	expect_in(fails({"--json", "validate", directory_ + "/bad.toml"}, Exit::kUsage),
		  "bad.toml:2:13");
	const auto document = nlohmann::json::parse(out_.str());
	EXPECT_EQ(document.at("valid"), false);
	ASSERT_EQ(document.at("errors").size(), 2u) << document;
	expect_in(document.at("errors").at(1), "bad.toml:3:10: node.roles");
	ASSERT_TRUE(call({"--json", "validate", directory_ + "/good.toml"}));
	EXPECT_EQ(nlohmann::json::parse(out_.str()).at("valid"), true);
}

TEST_F(Cli, MetricsOfNothingAreNoSuccess)
{
	fails({"metrics"}, Exit::kNotAttached);
	EXPECT_EQ(out_.str(), "");
	expect_in(fails({"metrics", "--json"}, Exit::kUsage), "--json stats");
}

TEST_F(Cli, UsageErrorsPointAtTheHelp)
{
	fails({}, Exit::kUsage);
	expect_in(fails({"status", "--frob"}, Exit::kUsage), "anycast-xdp status --help");
	expect_in(fails({"attach", "--mode", "fast"}, Exit::kUsage), "native");
	expect_in(fails({"backend", "weight", "b1", "0"}, Exit::kUsage), "65535");
	expect_in(fails({"loss", "--by", "mood"}, Exit::kUsage), "backend");
	expect_in(fails({"loss", "--limit", "-1"}, Exit::kUsage), "--limit");
	fails({"replay"}, Exit::kUsage);
	fails({"vip", "add", "www"}, Exit::kUsage);
	fails({"backend"}, Exit::kUsage);
	fails({"detach"}, Exit::kUsage);
	fails({"detach", "--all", "eth0"}, Exit::kUsage);
}

TEST_F(Cli, WithoutAnAttachedInterfaceCommandsSayWhatToDo)
{
	for (const std::vector<std::string> &arguments :
	     std::vector<std::vector<std::string>>{{"status"},
						   {"stats"},
						   {"drops"},
						   {"flows"},
						   {"loss"},
						   {"vip", "list"},
						   {"backend", "list"},
						   {"backend", "drain", "b1"},
						   {"map", "list"},
						   {"detach", "--all"}})
		fails(arguments, Exit::kNotAttached);
	expect_in(fails({"status"}, Exit::kNotAttached), "anycast-xdp attach DEV");
	expect_in(fails({"apply", directory_ + "/good.toml"}, Exit::kNotAttached), "attach");

	fails({"status", "--json"}, Exit::kNotAttached);
	EXPECT_EQ(nlohmann::json::parse(out_.str())["interfaces"].size(), 0U);
}

TEST_F(Cli, ValidateAcceptsAndCounts)
{
	ASSERT_TRUE(call({"validate", directory_ + "/good.toml"}));
	expect_in(out_.str(), "valid: 1 VIP, 1 pool, 1 backend, 0 GTSM peers");
	ASSERT_TRUE(call({"--json", "validate", "--config", directory_ + "/good.toml"}));
	EXPECT_EQ(nlohmann::json::parse(out_.str())["valid"], true);
}

TEST_F(Cli, ABrokenConfigurationIsAUsageErrorWithItsPlace)
{
	const std::string bad = write("bad.toml", "[node]\nfrob = 1\n");
	for (const char *command : {"validate", "apply", "diff"})
		expect_in(fails({command, bad}, Exit::kUsage), "bad.toml:2:");
	expect_in(fails({"attach", "lo", "--config", bad}, Exit::kUsage), "bad.toml:2:");
	expect_in(fails({"attach", "lo", "--config", directory_ + "/absent"}, Exit::kUsage),
		  "--config");
}

TEST_F(Cli, AttachWantsAnInterface)
{
	expect_in(fails({"attach", "--config", directory_ + "/good.toml"}, Exit::kUsage),
		  "interfaces");
}

TEST_F(Cli, ReplayNeedsACaptureAndLeavesStdoutAlone)
{
	const std::string good = directory_ + "/good.toml";
	EXPECT_FALSE(call({"replay", "--config", good, "--pcap", directory_ + "/absent.pcap"}));
	expect_in(fails({"replay", "--config", good, "--pcap", "x", "--out", "-"}, Exit::kUsage),
		  "name a file");
}

TEST_F(Cli, PathsComeFromTheCommandLineThenTheEnvironmentThenTheFile)
{
	Config config;
	config.pin_dir = "/file/pins";
	config.state_dir = "/file/state";
	std::ostringstream out, err;
	const Context plain(Globals{}, out, err);
	EXPECT_EQ(plain.paths_with({}).pins, AX_DEFAULT_PIN_DIR);
	EXPECT_EQ(plain.paths_with(config).pins, "/file/pins");
	EXPECT_EQ(plain.paths_with(config).socket, "/file/state/agent.sock");
	Globals given;
	given.pins = "/option/pins";
	given.socket = "/option/sock";
	const Context context(given, out, err);
	EXPECT_EQ(context.paths_with(config).pins, "/option/pins");
	EXPECT_EQ(context.paths_with(config).state, "/file/state");
	EXPECT_EQ(context.paths_with(config).socket, "/option/sock");

	// The environment stands in for an option that is not given.
	::setenv("ANYCAST_XDP_PIN_DIR", (directory_ + "/env").c_str(), 1);
	const Status status = run({"status", "--state", directory_ + "/none"}, out, err);
	::unsetenv("ANYCAST_XDP_PIN_DIR");
	ASSERT_FALSE(status);
	expect_in(status.error().what, directory_ + "/env");
}

TEST_F(Cli, Version)
{
	ASSERT_TRUE(call({"version"}));
	expect_in(out_.str(), "anycast-xdp " AX_VERSION);
	ASSERT_TRUE(call({"version", "--json"}));
	EXPECT_EQ(nlohmann::json::parse(out_.str())["abi"], AX_ABI_VERSION);
}

TEST_F(Cli, WarningsNameTheDeviceOnce)
{
	const Context context(Globals{}, out_, err_);
	context.warn("eth0", "eth0 strips tags");
	context.warn("eth0", "no route");
	EXPECT_EQ(err_.str(), "anycast-xdp: warning: eth0 strips tags\n"
			      "anycast-xdp: warning: eth0: no route\n");
}

} // namespace
} // namespace anycast::cli
