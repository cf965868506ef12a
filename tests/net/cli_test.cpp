// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Exit codes and messages as docs/operations.md has them.
#include <fstream>

#include <gmock/gmock.h>

#include "support/cli.h"
#include "support/in_lab.h"

namespace anycast::test {

namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

constexpr int kFailed = 1, kUsage = 2, kNotAttached = 3, kUnsupported = 4;

constexpr const char *kGood = R"([node]
hash_seed = "6a09e667f3bcc908bb67ae8584caa73b"
interfaces = ["dev0"]
[limits]
flows_v4 = 16384
flows_v6 = 16384
[[pools]]
name = "web"
[[pools.backends]]
name = "b1"
address = "10.1.0.11"
[[vips]]
name = "www"
address = "198.51.100.80"
port = 80
pool = "web"
)";

constexpr const char *kBroken = R"([node]
hash_seed = "too short"
interfaces = ["dev0"]
roles = ["boss"]
[[pools]]
name = "web"
table_size = 100
[[pools.backends]]
address = "10.1.0.999"
[[vips]]
name = "www"
address = "198.51.100.80"
port = 80000
pool = "nobody"
)";

// One namespace with dev0, whose peer is dev1.
struct Host {
	Netns netns{"host"};
	Cli cli;

	Host()
	{
		netns.ip("link add dev0 type veth peer name dev1\nlink set dev0 up\n"
			 "link set dev1 up\naddr add 10.1.0.1/24 dev dev0");
	}

	[[nodiscard]] static std::string file(const std::string &text)
	{
		const std::string path = "/run/lab/host.toml";
		std::ofstream(path) << text;
		return path;
	}
	Output attach(const Argv &more = {}) const
	{
		Argv arguments{"attach", "--config", file(kGood)};
		arguments.insert(arguments.end(), more.begin(), more.end());
		return cli.run(netns, arguments);
	}
	[[nodiscard]] json status() const
	{
		json status = cli.ask(netns, {"status"}).at("interfaces").at(0);
		for (const char *counting : {"totals", "verdict"}) // neighbour discovery goes on
			status.erase(counting);
		return status;
	}
};

void expect_failure(const Output &output, int status, const char *words)
{
	EXPECT_EQ(output.status, status) << output.out << output.err;
	EXPECT_EQ(output.out, "") << "messages go to stderr";
	EXPECT_THAT(output.err, AllOf(testing::StartsWith("anycast-xdp: "), HasSubstr(words)));
}

} // namespace

TEST(CliCodes, NothingAttached)
{
	in_lab([] {
		const Host host;
		for (const Argv &arguments : std::vector<Argv>{{"status"},
							       {"stats"},
							       {"drops"},
							       {"flows"},
							       {"loss"},
							       {"vip", "list"},
							       {"backend", "list"},
							       {"backend", "drain", "b1"},
							       {"map", "list"},
							       {"detach", "--all"},
							       {"apply", Host::file(kGood)}}) {
			const Output output = host.cli.run(host.netns, arguments);
			EXPECT_EQ(output.status, kNotAttached)
				<< arguments[0] << ": " << output.out << output.err;
			EXPECT_THAT(output.err, HasSubstr("attached")) << arguments[0];
		}
		EXPECT_EQ(host.cli.run(host.netns, {"detach", "dev0"}).status, kNotAttached);
	});
}

TEST(CliCodes, Usage)
{
	in_lab([] {
		const Host host;
		const auto run = [&](const Argv &arguments) {
			return host.cli.run(host.netns, arguments);
		};
		expect_failure(run({"atach"}), kUsage, "attach");
		expect_failure(run({"attach", "--mode", "fast"}), kUsage, "fast");
		expect_failure(run({}), kUsage, "");
		expect_failure(run({"attach", "--config", "/run/lab/none.toml"}), kUsage,
			       "none.toml");
		expect_failure(run({"attach", "eth7", "--config", Host::file(kGood)}), kUsage,
			       "eth7");
		EXPECT_EQ(run({"version"}).status, 0);
		EXPECT_EQ(run({"attach", "--help"}).status, 0);
	});
}

TEST(CliCodes, AllErrorsOfAFileAtOnce)
{
	in_lab([] {
		const Host host;
		const std::string broken = Host::file(kBroken);
		for (const Argv &arguments :
		     std::vector<Argv>{{"validate", broken}, {"attach", "--config", broken}}) {
			const Output output = host.cli.run(host.netns, arguments);
			EXPECT_EQ(output.status, kUsage);
			for (const char *error :
			     {"host.toml:2:13: ", "host.toml:4:10: ", "host.toml:7:14: ",
			      "host.toml:9:11: ", "host.toml:13:8: ", "host.toml:14:8: "})
				EXPECT_THAT(output.err, HasSubstr(error));
		}
		EXPECT_EQ(host.cli.run(host.netns, {"status"}).status, kNotAttached);
	});
}

TEST(CliCodes, FailedChangesLeaveTheRunningState)
{
	in_lab([] {
		const Host host;
		ASSERT_EQ(host.attach().status, 0);
		const json before = host.status();
		const auto run = [&](const Argv &arguments) {
			return host.cli.run(host.netns, arguments);
		};
		std::string other_limits = kGood;
		other_limits.replace(other_limits.find("16384"), 5, "32768");

		expect_failure(run({"apply", Host::file(kBroken)}), kUsage, "host.toml:2:13");
		expect_failure(run({"apply", Host::file(other_limits)}), kUsage, "flows_v4");
		expect_failure(run({"attach", "--config", Host::file(other_limits)}), kUsage,
			       "flows_v4");
		expect_failure(run({"attach", "--config", Host::file(kGood), "--mode", "generic"}),
			       kFailed, "native");
		expect_failure(run({"backend", "drain", "b9"}), kUsage, "b9");
		expect_failure(run({"backend", "weight", "b1", "0"}), kUsage, "");
		expect_failure(run({"vip", "add", "x", "--address", "198.51.100.80", "--port", "80",
				    "--pool", "web"}),
			       kUsage, "www");
		expect_failure(run({"vip", "add", "x", "--address", "198.51.100.81", "--port",
				    "65536", "--pool", "web"}),
			       kUsage, "--port: Value 65536 not in range 0 to 65535");
		expect_failure(run({"backend", "del", "b1"}), kUsage,
			       "anycast-xdp: pool web has no backends");
		expect_failure(run({"backend", "add", "web", "10.1.0.12", "--server-id", "c4"}),
			       kUsage, "anycast-xdp: pool web: backend 10.1.0.12 has a server_id");
		EXPECT_EQ(host.status(), before);
		EXPECT_EQ(run({"apply", Host::file(kGood)}).status, 0);
		EXPECT_EQ(host.status(), before) << "unchanged";
	});
}

TEST(CliCodes, EditsTwiceAreUnchanged)
{
	in_lab([] {
		const Host host;
		ASSERT_EQ(host.attach().status, 0);
		const auto says = [&](const Argv &arguments, const char *what) {
			const Output output = host.cli.run(host.netns, arguments);
			EXPECT_EQ(output.status, 0) << output.err;
			EXPECT_THAT(output.out, HasSubstr(std::string("dev0: ") + what))
				<< arguments[1];
		};
		for (const Argv &arguments :
		     std::vector<Argv>{{"vip", "add", "all", "--address", "198.51.100.81", "--port",
					"any", "--pool", "web"},
				       {"backend", "add", "web", "10.1.0.12", "--name", "b2"},
				       {"backend", "weight", "b2", "7"},
				       {"backend", "drain", "web/b2"},
				       {"backend", "undrain", "10.1.0.12"}}) {
			says(arguments, "changed");
			says(arguments, "unchanged");
		}
		for (const char *port : {"any", "0"})
			says({"vip", "add", "all", "--address", "198.51.100.81", "--port", port,
			      "--pool", "web"},
			     "unchanged");
		std::string same = kGood; // as a file
		same.insert(same.find("[[vips]]"), "[[pools.backends]]\nname = \"b2\"\n"
						   "address = \"10.1.0.12\"\nweight = 7\n");
		same += "[[vips]]\nname = \"all\"\naddress = \"198.51.100.81\"\nport = 0\n"
			"pool = \"web\"\n";
		says({"apply", Host::file(same)}, "unchanged");
		for (const Argv &arguments :
		     std::vector<Argv>{{"backend", "del", "b2"}, {"vip", "del", "all"}}) {
			says(arguments, "changed");
			says(arguments, "unchanged");
		}
		says({"apply", Host::file(kGood)}, "unchanged");
	});
}

// Each reads what runs, changes it, and writes all of it: none may undo another's change.
TEST(CliCodes, EditsAtOnceAreAllMade)
{
	in_lab([] {
		constexpr int kEdits = 6;
		const Host host;
		ASSERT_EQ(host.attach().status, 0);
		std::string together;
		for (int i = 1; i <= kEdits; i++) {
			const std::string name = "n" + std::to_string(i);
			host.cli.expect(host.netns,
					{"backend", "add", "web", "10.1.0.2" + std::to_string(i),
					 "--name", name});
			together += host.cli.binary() + " backend weight " + name + " 20" +
				    std::to_string(i) + " & ";
		}
		const Output output = run(host.netns, {"sh", "-c", together + "wait"});
		json list = host.cli.ask(host.netns, {"backend", "list"});
		for (const json &backend : list.at("interfaces").at(0).at("backends"))
			if (const std::string name = backend.at("backend"); name[0] == 'n') {
				EXPECT_EQ(backend.at("weight"), 200 + (name[1] - '0'))
					<< output.out << output.err;
			}
		EXPECT_EQ(list.at("interfaces").at(0).at("backends").size(), kEdits + 1U);
	});
}

TEST(CliCodes, TheSystemRefuses)
{
	in_lab([] {
		const Host host;
		// A bridge has no XDP of its own.
		host.netns.ip("link add br0 type bridge\nlink set br0 up");
		const Output native = host.cli.run(host.netns, {"attach", "br0", "--mode", "native",
								"--config", Host::file(kGood)});
		expect_failure(native, kUnsupported, "--mode generic");
		EXPECT_EQ(host.cli.run(host.netns, {"status"}).status, kNotAttached);

		const Output nowhere =
			host.cli.run(host.netns, {"--pins", "/run/lab/no-bpffs", "attach",
						  "--config", Host::file(kGood)});
		expect_failure(nowhere, kFailed, "bpf");
		EXPECT_EQ(host.cli.run(host.netns, {"status"}).status, kNotAttached);
	});
}

} // namespace anycast::test
