// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The agent with a real BIRD, a real service and a router that sees what is announced.
#include <pwd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <thread>

#include "net/agent_lab.h"

namespace anycast::test {

namespace {

using std::chrono::steady_clock;
using testing::HasSubstr;
using testing::Not;

double seconds_until(const std::function<bool()> &condition, milliseconds limit)
{
	const auto began = steady_clock::now();
	if (!wait_until(limit * slowness(), condition))
		return 1e9;
	return std::chrono::duration<double>(steady_clock::now() - began).count();
}

} // namespace

TEST(Agent, AnnouncesTheHealthyAndWithdrawsTheDead)
{
	in_lab([] {
		AgentLab lab;
		lab.start_bird();
		lab.start_agent();
		std::this_thread::sleep_for(milliseconds(2500));
		EXPECT_FALSE(lab.has_route()) << "nobody serves yet";
		lab.start_server();
		lab.await_route(true);
		lab.server->kill_now();
		const double took =
			seconds_until([&] { return !lab.has_route(); }, milliseconds(15000));
		std::printf("the route was gone %.2f s after the service (every 1 s, fall 2)\n",
			    took);
		EXPECT_LT(took, 6.0 * slowness());
		EXPECT_THAT(lab.log(), HasSubstr("vip/www/0 is down"));
		lab.start_server();
		lab.await_route(true);
		const auto vips = lab.ask("status").at("result").at("vips");
		EXPECT_EQ(vips.at(0).at("state"), "announced");
		EXPECT_EQ(vips.at(0).at("health"), "up");
	});
}

TEST(Agent, KilledAndRestartedItSendsNoUpdate)
{
	in_lab([] {
		AgentLab lab;
		lab.start();
		const std::string before = lab.updates();
		ASSERT_THAT(before, HasSubstr("Import updates"));
		lab.agent->kill_now();
		std::this_thread::sleep_for(milliseconds(1500));
		EXPECT_EQ(lab.updates(), before) << "killing it changes nothing on the wire";
		lab.start_agent();
		std::this_thread::sleep_for(milliseconds(3500));
		EXPECT_EQ(lab.updates(), before);
		std::filesystem::remove(std::string(AgentLab::kState) + "/agent.json");
		lab.agent->kill_now();
		lab.start_agent();
		std::this_thread::sleep_for(milliseconds(3500));
		EXPECT_EQ(lab.updates(), before) << "without its record it goes on from BIRD's";
	});
}

// After a power failure BIRD's include file says what was announced before it.
TEST(Agent, BootForgetsWhatWasAnnounced)
{
	in_lab([] {
		AgentLab lab;
		lab.start();
		const auto forget = [&] {
			lab.cli.expect(lab.node, {"agent", "--forget", "--config", lab.config});
		};
		forget();
		std::ostringstream text;
		text << std::ifstream("/run/lab/ours.conf").rdbuf();
		EXPECT_THAT(text.str(), HasSubstr(AgentLab::kWeb)) << "this is no boot";

		lab.agent->kill_now();
		lab.node_bird->kill_now();
		lab.server->kill_now();
		std::filesystem::remove_all(AgentLab::kState); // as /run
		lab.await_route(false);
		forget();
		lab.start_bird();
		lab.start_agent();
		std::this_thread::sleep_for(milliseconds(2500));
		EXPECT_FALSE(lab.has_route()) << "nobody serves yet: " << lab.log();
		lab.start_server();
		lab.await_route(true);
	});
}

TEST(Agent, StoppedItWithdrawsOrLeaves)
{
	in_lab([] {
		AgentLab lab;
		lab.start();
		lab.agent->stop(milliseconds(20000));
		lab.await_route(false);
		EXPECT_THAT(lab.log(), HasSubstr("announcements are withdrawn"));

		lab.agent_section = "[agent]\non_stop = \"leave\"\n";
		lab.write();
		lab.start_agent();
		lab.await_route(true);
		lab.agent->stop(milliseconds(10000));
		std::this_thread::sleep_for(milliseconds(500));
		EXPECT_TRUE(lab.has_route());
		lab.cli.expect(lab.node, {"agent", "--withdraw", "--config", lab.config});
		lab.await_route(false);
		lab.server->kill_now();
		lab.start_agent();
		std::this_thread::sleep_for(milliseconds(1500));
		EXPECT_FALSE(lab.has_route()) << "its record must not announce a dead service";
	});
}

TEST(Agent, SecondOneIsRefused)
{
	in_lab([] {
		AgentLab lab;
		lab.start_server();
		lab.start_agent();
		const Output second = lab.cli.run(lab.node, {"agent", "--config", lab.config});
		EXPECT_EQ(second.status, 1);
		EXPECT_THAT(second.err, HasSubstr(fmt::format("an agent runs already, process {}",
							      lab.agent->pid())));
		EXPECT_TRUE(lab.asks()) << "the first one goes on";
	});
}

TEST(Agent, OrdersDrainWithdrawAndExpire)
{
	in_lab([] {
		AgentLab lab;
		lab.start();
		const auto order = [&](Argv arguments) {
			arguments.insert(arguments.end(), {"--config", lab.config});
			return lab.cli.run(lab.node, arguments);
		};
		EXPECT_EQ(order({"withdraw", "www", "--for", "4s"}).status, 0) << lab.log();
		lab.await_route(false);
		lab.await_route(true, milliseconds(15000)); // one flap: damping lets it pass
		EXPECT_THAT(lab.route(), Not(HasSubstr("(65535,0)")));

		const Output drain = order({"drain", "www", "--reason", "kernel update"});
		EXPECT_EQ(drain.status, 0) << drain.err << lab.log();
		EXPECT_TRUE(wait_until(milliseconds(15000) * slowness(), [&] {
			return lab.route().find("(65535,0)") != std::string::npos;
		})) << lab.route();
		EXPECT_THAT(lab.ask("status").dump(), HasSubstr("kernel update"));
		lab.agent->kill_now();
		lab.start_agent();
		std::this_thread::sleep_for(milliseconds(2500));
		EXPECT_THAT(lab.route(), HasSubstr("(65535,0)")) << "orders survive a restart";

		lab.server->kill_now();
		lab.await_route(false);
		EXPECT_THAT(lab.log(), HasSubstr("health: down, while it drains"));
		lab.start_server();
		// Two flaps and a change: one more could get it suppressed.
		EXPECT_EQ(order({"announce", "www"}).status, 0) << lab.log();
		EXPECT_TRUE(wait_until(
			milliseconds(8000) * slowness(),
			[&] {
				const auto vip = lab.ask("status").at("result").at("vips").at(0);
				return vip.at("wait_s").get<double>() > 60 &&
				       vip.at("reason").get<std::string>().find("damping") !=
					       std::string::npos;
			}))
			<< lab.ask("status").at("result").at("vips").at(0) << lab.log();
		EXPECT_FALSE(lab.has_route());
		EXPECT_EQ(order({"announce", "www", "--force"}).status, 0) << lab.log();
		lab.await_route(true); // forced, though damping says no
		EXPECT_EQ(order({"announce", "nobody"}).status, 2);
	});
}

TEST(Agent, ControlSocketIsForItsGroupOnly)
{
	in_lab([] {
		AgentLab lab;
		lab.agent_section = "[agent]\ngroup = \"daemon\"\n";
		lab.write();
		lab.start_server();
		lab.start_agent();
		const std::string request = "{\"version\":1,\"command\":\"status\"}\n";
		chmod("/run/lab", 0755);
		chmod(AgentLab::kState, 0755);
		const auto as = [](const char *group) {
			return AgentLab::Who{getpwnam("nobody")->pw_uid, getgrnam(group)->gr_gid};
		};
		EXPECT_TRUE(lab.ask_raw(request, as("daemon")).value("ok", false));
		EXPECT_TRUE(lab.ask_raw(request, as("nogroup")).is_discarded())
			<< "the file's mode";
		chmod((std::string(AgentLab::kState) + "/agent.sock").c_str(), 0666);
		const auto refused = lab.ask_raw(request, as("nogroup"));
		EXPECT_FALSE(refused.value("ok", true)) << "the credentials";
		EXPECT_THAT(refused.value("error", ""), HasSubstr("may not control"));

		for (const std::string &garbage :
		     {std::string("\n"), std::string("{}\n"), std::string("[[[[\n"),
		      std::string("{\"version\":1,\"command\":7}\n"), std::string(10000, 'x'),
		      std::string("{\"version\":99,\"command\":\"status\"}\n"),
		      std::string("\xff\xfe\n")}) {
			const auto reply = lab.ask_raw(garbage);
			EXPECT_TRUE(!reply.is_discarded() && !reply.value("ok", true))
				<< garbage.substr(0, 30);
		}
		// Sixty-four that say nothing must not keep others out for long, or stop the loop.
		EXPECT_TRUE(lab.asks());
	});
}

TEST(Agent, FullDiskIsSaidAndSurvived)
{
	in_lab([] {
		mkdir(AgentLab::kState, 0755);
		ASSERT_EQ(mount("tiny", AgentLab::kState, "tmpfs", 0, "size=64k"), 0);
		AgentLab lab;
		lab.start();
		std::ofstream(std::string(AgentLab::kState) + "/filler")
			<< std::string(200000, 'x');
		lab.server->kill_now();
		lab.await_route(false);
		EXPECT_TRUE(wait_until(milliseconds(15000) * slowness(), [&] {
			return lab.log().find("No space left") != std::string::npos;
		})) << lab.log();
		EXPECT_THAT(lab.ask("status").at("result").at("problems").dump(),
			    HasSubstr("No space left"));
		std::filesystem::remove(std::string(AgentLab::kState) + "/filler");
		EXPECT_TRUE(wait_until(milliseconds(15000) * slowness(), [&] {
			return lab.ask("status").at("result").at("problems").empty();
		})) << lab.log();
	});
}

// The order stands, the status says that it is not carried out, and BIRD gets it when it wakes.
TEST(Agent, BirdHangsDuringAFailure)
{
	in_lab([] {
		AgentLab lab;
		lab.start();
		kill(lab.node_bird->pid(), SIGSTOP);
		lab.server->kill_now();
		EXPECT_TRUE(wait_until(milliseconds(20000) * slowness(), [&] {
			const auto status = lab.ask("status").at("result");
			return status.at("vips").at(0).at("state") == "withdrawn" &&
			       !status.at("bird").at("in_force").get<bool>() &&
			       status.at("problems").dump().find("BIRD") != std::string::npos;
		})) << lab.log();
		EXPECT_TRUE(lab.has_route()) << "nobody could take it back";
		kill(lab.node_bird->pid(), SIGCONT);
		std::printf("withdrawn %.2f s after BIRD ran again\n",
			    seconds_until([&] { return !lab.has_route(); }, milliseconds(15000)));
		lab.await_route(false);
		EXPECT_TRUE(wait_until(milliseconds(15000) * slowness(), [&] {
			return lab.ask("status").at("result").at("problems").empty();
		})) << lab.log();
	});
}

TEST(Agent, HungScriptIsAFailure)
{
	in_lab([] {
		std::ofstream("/run/lab/script")
			<< "#!/bin/sh\ntest -e /run/lab/hang && sleep 1000\n"
			   "exit 0\n";
		chmod("/run/lab/script", 0755);
		chmod("/run/lab", 0755);
		AgentLab lab(AgentLab::default_vip(
			"[[vips.checks]]\ntype = \"exec\"\ncommand = [\"/run/lab/script\"]\n"
			"interval = \"500ms\"\ntimeout = \"400ms\"\nrise = 1\nfall = 2\n"));
		lab.start();
		std::ofstream("/run/lab/hang") << "";
		lab.await_route(false);
		EXPECT_THAT(lab.log(), HasSubstr("no end after 400 ms"));
	});
}

TEST(Agent, ReloadTakesAGoodFileAndRefusesABadOne)
{
	in_lab([] {
		AgentLab lab;
		lab.start();
		const std::string before = lab.updates();
		lab.more("[[broken\n");
		kill(lab.agent->pid(), SIGHUP);
		EXPECT_TRUE(wait_until(milliseconds(15000) * slowness(), [&] {
			return lab.log().find("is not taken") != std::string::npos;
		}));
		std::this_thread::sleep_for(milliseconds(1500));
		EXPECT_EQ(lab.updates(), before);
		std::string other = AgentLab::default_vip(AgentLab::http_check());
		other.replace(other.find("body = \"node\""), 13, "body = \"nono\"");
		lab.more(other);
		kill(lab.agent->pid(), SIGHUP);
		lab.await_route(false);
		EXPECT_THAT(lab.ask("status").at("result").at("vips").dump(),
			    HasSubstr("not in the body"));
	});
}

TEST(Agent, TellsSystemdThatItLives)
{
	in_lab([] {
		AgentLab lab;
		lab.start_server();
		const std::string path = "/run/lab/notify";
		const Fd listener(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
		sockaddr_un address{};
		address.sun_family = AF_UNIX;
		path.copy(address.sun_path, sizeof(address.sun_path) - 1);
		ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr *>(&address),
			       sizeof(address)),
			  0);
		setenv("NOTIFY_SOCKET", path.c_str(), 1);
		lab.start_agent();
		unsetenv("NOTIFY_SOCKET");
		std::string heard;
		EXPECT_TRUE(wait_until(milliseconds(15000) * slowness(), [&] {
			char buffer[256];
			const ssize_t got = recv(listener.get(), buffer, sizeof(buffer), 0);
			if (got > 0)
				heard += std::string(buffer, static_cast<std::size_t>(got)) + "\n";
			return heard.find("READY=1") != heard.npos &&
			       heard.find("WATCHDOG=1") != heard.npos;
		})) << heard;
	});
}

TEST(Agent, ServesMetricsAndAPage)
{
	in_lab([] {
		AgentLab lab;
		lab.agent_section = "[agent]\nhttp_address = \"127.0.0.1\"\nhttp_port = 9180\n";
		lab.write();
		lab.start();
		const auto get = [&](const Argv &more) {
			Argv argv{"curl", "-s", "-m", "5"};
			argv.insert(argv.end(), more.begin(), more.end());
			return run(lab.node, argv).out;
		};
		const std::string metrics = get({"http://127.0.0.1:9180/metrics"});
		EXPECT_THAT(metrics,
			    HasSubstr("anycast_vip_state{vip=\"www\",address=\"198.51.100.80\","
				      "state=\"announced\"} 1\n"));
		EXPECT_THAT(metrics, HasSubstr("anycast_vip_healthy{vip=\"www\"} 1\n"));
		EXPECT_TRUE(wait_until(milliseconds(15000) * slowness(), [&] {
			return get({"http://127.0.0.1:9180/metrics"})
				       .find("neighbour=\"10.1.0.1\"} 1") != std::string::npos;
		}));
		EXPECT_THAT(get({"-i", "http://127.0.0.1:9180/"}),
			    testing::AllOf(HasSubstr("200 OK"),
					   HasSubstr("Content-Security-Policy"),
					   HasSubstr("<title>anycast-xdp on node"),
					   HasSubstr("announced")));
		EXPECT_THAT(get({"-i", "http://127.0.0.1:9180/none"}), HasSubstr("404"));
		EXPECT_THAT(get({"-i", "-X", "POST", "http://127.0.0.1:9180/"}), HasSubstr("405"));
		EXPECT_EQ(get({"http://10.1.0.2:9180/"}), "") << "loopback only";
		const Output command = lab.cli.run(lab.node, {"metrics", "--config", lab.config});
		EXPECT_THAT(command.out, HasSubstr("anycast_agent_up"));

		// Nothing is attached, so it fails; what the agent says is there all the same.
		const Output text = lab.cli.run(lab.node, {"status", "--config", lab.config});
		EXPECT_EQ(text.status, 3) << text.err;
		EXPECT_THAT(text.out, testing::ContainsRegex("agent: ok, process [0-9]+\n"));
		EXPECT_THAT(text.out,
			    testing::ContainsRegex("  www +198.51.100.80 +announced +up"));
		const Output both =
			lab.cli.run(lab.node, {"--json", "status", "--config", lab.config});
		const auto document = nlohmann::json::parse(both.out);
		EXPECT_EQ(document.at("agent").at("vips").at(0).at("state"), "announced");
		EXPECT_TRUE(document.at("interfaces").empty());
	});
}

// Health of backends -> the pools of the attached program.
TEST(Agent, TakesBackendsOutAndBringsThemBack)
{
	in_lab([] {
		AgentLab lab("[[pools]]\nname = \"web\"\n"
			     "[[pools.backends]]\nname = \"b1\"\naddress = \"10.1.0.2\"\n"
			     "[[pools.backends]]\nname = \"b2\"\naddress = \"10.1.0.1\"\n"
			     "[[pools.checks]]\ntype = \"tcp\"\nport = 8080\ninterval = \"200ms\"\n"
			     "timeout = \"150ms\"\nrise = 1\nfall = 2\n"
			     "[[vips]]\nname = \"www\"\naddress = \"198.51.100.80\"\nport = 80\n"
			     "pool = \"web\"\n");
		auto b1 = std::optional(serve_http(lab.node, {"10.1.0.2", 8080}, big_file()));
		auto b2 = std::optional(serve_http(lab.router, {"10.1.0.1", 8080}, big_file()));
		lab.cli.expect(lab.node, {"attach", "eth0", "--config", lab.config});
		lab.start_bird();
		lab.start_agent();
		lab.await_route(true);
		const auto state = [&](const std::string &name) -> std::string {
			const nlohmann::json list = lab.cli.ask(lab.node, {"backend", "list"});
			for (const auto &interface : list.at("interfaces"))
				for (const auto &backend : interface.at("backends"))
					if (backend.at("backend") == name)
						return backend.at("state");
			return "none";
		};
		EXPECT_EQ(state("b1"), "active");
		b1.reset();
		EXPECT_TRUE(wait_until(milliseconds(15000) * slowness(), [&] {
			return state("b1") == "down";
		})) << lab.log();
		EXPECT_EQ(state("b2"), "active");
		EXPECT_TRUE(lab.has_route()) << "one backend is left";

		// An operator's file says active: the agent takes it out again.
		lab.cli.expect(lab.node, {"apply", lab.config});
		EXPECT_TRUE(wait_until(milliseconds(15000) * slowness(),
				       [&] { return state("b1") == "down"; }));
		lab.agent->kill_now();
		lab.start_agent();
		std::this_thread::sleep_for(milliseconds(1500));
		EXPECT_EQ(state("b1"), "down");
		b2.reset();
		lab.await_route(false);
		b1.emplace(serve_http(lab.node, {"10.1.0.2", 8080}, big_file()));
		EXPECT_TRUE(wait_until(milliseconds(15000) * slowness(), [&] {
			return state("b1") == "active";
		})) << "though it was taken out before the restart";
		lab.await_route(true);
	});
}

} // namespace anycast::test
