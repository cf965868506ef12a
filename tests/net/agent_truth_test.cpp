// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The agent beside everybody else who has a say: a broken file, orders without it, `attach`,
// `detach` and `apply`, and others on its port.
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "net/agent_lab.h"

namespace anycast::test {

namespace {

using testing::HasSubstr;

} // namespace

// What is wrong with the file is often why the agent cannot run.
TEST(Agent, WithdrawsWithAFileThatIsWrong)
{
	in_lab([] {
		AgentLab lab;
		lab.start();
		lab.agent->kill_now();
		std::ofstream(lab.config, std::ios::app) << "\n[[[ this is no TOML\n";
		EXPECT_EQ(lab.cli.run(lab.node, {"agent", "--config", lab.config}).status, 2);
		EXPECT_TRUE(lab.has_route());
		const Output output =
			lab.cli.run(lab.node, {"agent", "--withdraw", "--config", lab.config});
		EXPECT_EQ(output.status, 0) << output.err;
		EXPECT_THAT(output.err, HasSubstr("/run/lab/ours.conf"));
		lab.await_route(false);
		std::filesystem::remove(std::string(AgentLab::kState) + "/booted");
		EXPECT_EQ(
			lab.cli.run(lab.node, {"agent", "--forget", "--config", lab.config}).status,
			0);
	});
}

TEST(Agent, KeepsAnOrderThatWasGivenWithoutIt)
{
	in_lab([] {
		AgentLab lab;
		lab.start();
		lab.agent->kill_now();
		const auto order = [&](const char *what) {
			return lab.cli.run(lab.node, {what, "www", "--reason", "by hand",
						      "--config", lab.config});
		};
		EXPECT_EQ(order("withdraw").status, 0);
		lab.await_route(false);
		lab.start_agent();
		std::this_thread::sleep_for(milliseconds(3500));
		EXPECT_FALSE(lab.has_route()) << lab.log();
		EXPECT_THAT(lab.ask("status").at("result").at("vips").dump(), HasSubstr("by hand"));
		EXPECT_EQ(order("announce").status, 0);
		lab.await_route(true, milliseconds(20000));
	});
}

// A steering node whose program has been taken off swallows what it attracts.
TEST(Agent, AnnouncesOnlyWhatIsSteered)
{
	in_lab([] {
		AgentLab lab("[[pools]]\nname = \"web\"\n[[pools.backends]]\naddress = "
			     "\"10.1.0.1\"\n[[vips]]\nname = \"www\"\naddress = "
			     "\"198.51.100.80\"\nport = 80\npool = \"web\"\n");
		lab.start_bird();
		lab.start_agent();
		std::this_thread::sleep_for(milliseconds(2500));
		EXPECT_FALSE(lab.has_route());
		EXPECT_THAT(lab.ask("status").at("result").at("vips").dump(),
			    HasSubstr("not served"));
		EXPECT_THAT(lab.cli.run(lab.node, {"check", "--config", lab.config}).out,
			    HasSubstr("VIP www is not announced: not served"));
		lab.cli.expect(lab.node, {"attach", "eth0", "--config", lab.config});
		lab.await_route(true);
		lab.cli.expect(lab.node, {"detach", "eth0", "--config", lab.config});
		lab.await_route(false);
	});
}

TEST(Agent, ApplyTellsItAndSaysWhetherAnythingChanged)
{
	in_lab([] {
		AgentLab lab;
		lab.cli.expect(lab.node, {"attach", "eth0", "--config", lab.config});
		lab.start();
		const auto apply = [&] {
			return lab.cli.run(lab.node, {"apply", "--exit-code", lab.config});
		};
		EXPECT_EQ(apply().status, 0) << "nothing to do";
		lab.more(AgentLab::default_vip("bgp = { communities = [\"64512:77\"] }\n" +
					       AgentLab::http_check()));
		const Output changed = apply();
		EXPECT_EQ(changed.status, 10) << changed.err;
		EXPECT_EQ(changed.err, "");
		EXPECT_TRUE(wait_until(
			milliseconds(10000) * slowness(),
			[&] { return lab.route().find("(64512,77)") != std::string::npos; }))
			<< "the agent has read the file again: " << lab.log();
		EXPECT_EQ(apply().status, 0);
		// What the data plane would refuse does not reach the host either.
		lab.node.sysctl("net.ipv4.fib_multipath_hash_policy", "0");
		std::ofstream(lab.config, std::ios::app) << "[limits]\nvips = 77\n";
		EXPECT_EQ(apply().status, 2);
		EXPECT_THAT(
			run(lab.node, {"sysctl", "-n", "net.ipv4.fib_multipath_hash_policy"}).out,
			testing::StartsWith("0"));
	});
}

TEST(Agent, APortInUseIsAProblemNotTheEnd)
{
	in_lab([] {
		AgentLab lab;
		lab.agent_section = "[agent]\nhttp_address = \"127.0.0.1\"\nhttp_port = 9180\n";
		lab.write();
		lab.node.ip("link set lo up");
		auto other = std::optional(serve_http(lab.node, {"127.0.0.1", 9180}, big_file()));
		lab.start();
		EXPECT_THAT(lab.ask("status").at("result").at("problems").dump(),
			    HasSubstr("port 9180"));
		other.reset();
		EXPECT_TRUE(wait_until(milliseconds(15000) * slowness(), [&] {
			return run(lab.node,
				   {"curl", "-s", "-m", "5", "http://127.0.0.1:9180/metrics"})
				       .out.find("anycast_") != std::string::npos;
		})) << lab.log();
	});
}

// As the unit runs it: a user of its own, pins by [agent] group, no more than these capabilities.
TEST(Agent, RunsAsAUserOfItsOwnWithFewCapabilities)
{
	in_lab([] {
		const passwd *user = getpwnam("daemon");
		ASSERT_NE(user, nullptr);
		AgentLab lab("[[pools]]\nname = \"web\"\n"
			     "[[pools.backends]]\nname = \"b1\"\naddress = \"10.1.0.2\"\n"
			     "[[pools.backends]]\nname = \"b2\"\naddress = \"10.1.0.1\"\n"
			     "[[pools.checks]]\ntype = \"tcp\"\nport = 8080\ninterval = \"200ms\"\n"
			     "timeout = \"150ms\"\nrise = 1\nfall = 2\n"
			     "[[vips]]\nname = \"www\"\naddress = \"198.51.100.80\"\nport = 80\n"
			     "pool = \"web\"\n"
			     "[[vips.checks]]\ntype = \"exec\"\ncommand = [\"/usr/bin/id\"]\n"
			     "timeout = \"900ms\"\nrise = 1\n"
			     "[[vips.checks]]\ntype = \"icmp\"\ntarget = \"10.1.0.1\"\n"
			     "timeout = \"900ms\"\nrise = 1\n");
		lab.agent_section = "[agent]\ngroup = \"daemon\"\n";
		lab.write();
		auto b1 = std::optional(serve_http(lab.node, {"10.1.0.2", 8080}, big_file()));
		auto b2 = std::optional(serve_http(lab.router, {"10.1.0.1", 8080}, big_file()));
		chmod("/sys/fs/bpf", 0700); // as systemd mounts it
		lab.cli.expect(lab.node, {"attach", "eth0", "--config", lab.config});
		lab.start_bird();
		for (const char *path :
		     {"/run/lab", AgentLab::kState, "/run/lab/ours.conf", "/run/lab/bird-node.ctl"})
			ASSERT_EQ(chown(path, user->pw_uid, user->pw_gid), 0) << path;
		chmod("/run/lab", 0755);
		const std::string caps = "+net_admin,+net_raw,+bpf,+setuid,+setgid,+kill";
		const std::string binary = "/run/lab/anycast-xdp"; // where that user may read it
		std::filesystem::copy_file(lab.cli.binary(), binary);
		lab.agent.emplace(
			Process::spawn(lab.node,
				       {"setpriv", "--reuid=daemon", "--regid=daemon",
					"--clear-groups", "--bounding-set=-all," + caps,
					"--inh-caps=-all," + caps, "--ambient-caps=-all," + caps,
					"--no-new-privs", binary, "agent", "--config", lab.config},
				       lab.log_path));
		ASSERT_TRUE(wait_until(milliseconds(10000) * slowness(), [&] {
			return lab.asks();
		})) << lab.log();
		std::ostringstream status;
		status << std::ifstream(fmt::format("/proc/{}/status", lab.agent->pid())).rdbuf();
		EXPECT_THAT(status.str(), HasSubstr(fmt::format("Uid:\t{}\t", user->pw_uid)));
		EXPECT_THAT(status.str(), HasSubstr("CapEff:\t00000080000030e0"));
		lab.await_route(true);
		const auto state = [&](const std::string &name) -> std::string {
			const nlohmann::json list = lab.cli.ask(lab.node, {"backend", "list"});
			for (const auto &backend : list.at("interfaces").at(0).at("backends"))
				if (backend.at("backend") == name)
					return backend.at("state");
			return "none";
		};
		b1.reset();
		EXPECT_TRUE(wait_until(milliseconds(15000) * slowness(), [&] {
			return state("b1") == "down";
		})) << lab.log();
		b2.reset();
		lab.await_route(false);
		EXPECT_EQ(lab.ask("status").at("result").at("problems").dump(), "[]") << lab.log();
		// Root's commands beside it leave it its files.
		lab.cli.expect(lab.node, {"apply", lab.config});
		b2.emplace(serve_http(lab.router, {"10.1.0.1", 8080}, big_file()));
		EXPECT_TRUE(wait_until(milliseconds(15000) * slowness(), [&] {
			return state("b2") == "active";
		})) << lab.log();
		lab.await_route(true);
		EXPECT_EQ(lab.ask("status").at("result").at("problems").dump(), "[]") << lab.log();
	});
}

} // namespace anycast::test
