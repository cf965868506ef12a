// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The check engine against real servers: they serve, refuse, hang and answer wrongly.
#include <arpa/inet.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>

#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "net/health_lab.h"

namespace anycast::test {

namespace {

using testing::HasSubstr;

std::string script(const std::string &name, const std::string &body)
{
	const std::string path = "/run/lab/" + name;
	std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
	chmod(path.c_str(), 0755);
	chmod("/run/lab", 0755);
	return path;
}

Target exec_target(const std::string &name, const std::string &body)
{
	Target made = target(name, CheckType::kExec);
	made.spec.timeout = milliseconds(1000 * slowness());
	made.spec.interval = made.spec.timeout;
	made.spec.command = {script(name, body)};
	return made;
}

} // namespace

TEST(Health, TcpServesDiesAndComesBack)
{
	in_lab([] {
		const World world;
		Bench bench(world);
		auto server = std::optional(serve_http(world.server, {kServer, 80}, big_file()));
		bench.set({target("tcp", CheckType::kTcp, 80)});
		ASSERT_TRUE(bench.until("tcp", Health::kUp)) << bench.state("tcp").detail;
		server.reset();
		ASSERT_TRUE(bench.until("tcp", Health::kDown));
		EXPECT_THAT(bench.state("tcp").detail, HasSubstr("refused"));
		server.emplace(serve_http(world.server, {kServer, 80}, big_file()));
		ASSERT_TRUE(bench.until("tcp", Health::kUp));
		world.server.ip("link set eth0 down");
		ASSERT_TRUE(bench.until("tcp", Health::kDown));
		EXPECT_THAT(bench.state("tcp").detail,
			    testing::AnyOf(HasSubstr("no end after"), HasSubstr("unreach")));
		EXPECT_THAT(bench.changes(),
			    testing::ElementsAre("tcp up", "tcp down", "tcp up", "tcp down"));
	});
}

TEST(Health, HttpHangsAndAnswersWrongly)
{
	in_lab([] {
		const World world;
		Bench bench(world);
		Process server = serve_http(world.server, {kServer, 80}, big_file());
		Process server6 = serve_http(world.server, {kServer6, 8080}, big_file());
		Target plain = target("plain", CheckType::kHttp, 80);
		plain.spec.body = "server"; // busybox httpd answers with the namespace's name
		plain.spec.host = "www.example.net";
		Target six = target("six", CheckType::kHttp, 8080, kServer6);
		Target missing = plain, other_body = plain, wanted_404 = plain;
		missing.id = "missing", missing.spec.path = "/none";
		other_body.id = "other_body", other_body.spec.body = "another";
		wanted_404.id = "wanted_404", wanted_404.spec.path = "/none";
		wanted_404.spec.status = {404}, wanted_404.spec.body = "";
		bench.set({plain, six, missing, other_body, wanted_404});
		for (const char *good : {"plain", "six", "wanted_404"})
			EXPECT_TRUE(bench.until(good, Health::kUp)) << bench.state(good).detail;
		EXPECT_TRUE(bench.until("missing", Health::kDown));
		EXPECT_EQ(bench.state("missing").detail, "status 404");
		EXPECT_TRUE(bench.until("other_body", Health::kDown));
		EXPECT_THAT(bench.state("other_body").detail, HasSubstr("not in the body"));

		kill(server.pid(), SIGSTOP); // the kernel still completes handshakes
		EXPECT_TRUE(bench.until("plain", Health::kDown));
		EXPECT_THAT(bench.state("plain").detail, HasSubstr("waiting for an answer"));
		kill(server.pid(), SIGCONT);
		EXPECT_TRUE(bench.until("plain", Health::kUp)) << bench.state("plain").detail;
	});
}

TEST(Health, HttpsVerifiesTheName)
{
	in_lab([] {
		const World world;
		Bench bench(world);
		const std::string key = "/run/lab/key.pem", cert = "/run/lab/cert.pem";
		ASSERT_EQ(run(world.server,
			      {"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
			       "1", "-subj", "/CN=www.example.net", "-keyout", key, "-out", cert})
				  .status,
			  0);
		const Process server = Process::spawn(world.server,
						      {"openssl", "s_server", "-accept", "443",
						       "-key", key, "-cert", cert, "-www"},
						      "/run/lab/tls.log");
		Target strict = target("strict", CheckType::kHttps, 443);
		strict.spec.host = "www.example.net";
		strict.spec.interval = strict.spec.timeout = milliseconds(400 * slowness());
		Target lax = strict;
		lax.id = "lax", lax.spec.verify = false;
		bench.set({strict, lax});
		EXPECT_TRUE(bench.until("lax", Health::kUp, milliseconds(8000)))
			<< bench.state("lax").detail;
		EXPECT_TRUE(bench.until("strict", Health::kDown, milliseconds(8000)));
		EXPECT_THAT(bench.state("strict").detail, HasSubstr("certificate"));
	});
}

TEST(Health, UdpNeedsTheRightAnswer)
{
	in_lab([] {
		const World world;
		Bench bench(world);
		Process right = serve_udp(world, 5000, "pong "),
			wrong = serve_udp(world, 5001, "x");
		Target ping = target("right", CheckType::kUdp, 5000);
		ping.spec.payload = "ping", ping.spec.expect = "pong ping";
		Target bad = ping, nobody = ping, hex = ping;
		bad.id = "wrong", bad.port = 5001;
		nobody.id = "nobody", nobody.port = 5002;
		hex.id = "hex", hex.spec.hex = true;
		hex.spec.payload = "00ff", hex.spec.expect = "00Ff";
		bench.set({ping, bad, nobody, hex});
		EXPECT_TRUE(bench.until("right", Health::kUp)) << bench.state("right").detail;
		EXPECT_TRUE(bench.until("hex", Health::kUp)) << bench.state("hex").detail;
		EXPECT_TRUE(bench.until("wrong", Health::kDown));
		EXPECT_THAT(bench.state("wrong").detail, HasSubstr("another answer: \"xping\""));
		EXPECT_TRUE(bench.until("nobody", Health::kDown));
		EXPECT_THAT(bench.state("nobody").detail, HasSubstr("refused"));
		kill(right.pid(), SIGSTOP);
		EXPECT_TRUE(bench.until("right", Health::kDown));
		EXPECT_THAT(bench.state("right").detail, HasSubstr("no end after"));
	});
}

TEST(Health, IcmpOfBothFamilies)
{
	in_lab([] {
		const World world;
		Bench bench(world);
		bench.set({target("v4", CheckType::kIcmp),
			   target("v6", CheckType::kIcmp, 0, kServer6),
			   target("nobody", CheckType::kIcmp, 0, "10.9.0.77")});
		EXPECT_TRUE(bench.until("v4", Health::kUp)) << bench.state("v4").detail;
		EXPECT_TRUE(bench.until("v6", Health::kUp)) << bench.state("v6").detail;
		EXPECT_TRUE(bench.until("nobody", Health::kDown));
		world.server.sysctl("net.ipv4.icmp_echo_ignore_all", "1");
		EXPECT_TRUE(bench.until("v4", Health::kDown));
		EXPECT_EQ(bench.state("v6").rise_fall.health(), Health::kUp);
	});
}

TEST(Health, DnsAsksARealServer)
{
	in_lab([] {
		const World world;
		Bench bench(world);
		Process server = Process::spawn(
			world.server,
			{"dnsmasq", "-k", "-C", "/dev/null", "-R", "-h", "--pid-file", "-u", "root",
			 "--host-record=www.example.net,192.0.2.7,2001:db8::7",
			 "--listen-address=10.9.0.2", "--bind-interfaces", "--local=/example.net/"},
			"/run/lab/dns.log");
		Target www = target("www", CheckType::kDns, 53);
		www.spec.name = "www.example.net", www.spec.expect = "192.0.2.7";
		Target six = www, other = www, none = www;
		six.id = "six", six.spec.record = "AAAA", six.spec.expect = "2001:db8::7";
		other.id = "other", other.spec.expect = "192.0.2.8";
		none.id = "none", none.spec.name = "no.example.net", none.spec.expect = "";
		bench.set({www, six, other, none});
		EXPECT_TRUE(bench.until("www", Health::kUp)) << bench.state("www").detail;
		EXPECT_TRUE(bench.until("six", Health::kUp)) << bench.state("six").detail;
		EXPECT_TRUE(bench.until("other", Health::kDown));
		EXPECT_THAT(bench.state("other").detail, HasSubstr("not among"));
		EXPECT_TRUE(bench.until("none", Health::kDown));
		EXPECT_EQ(bench.state("none").detail, "NXDOMAIN");
		kill(server.pid(), SIGSTOP);
		EXPECT_TRUE(bench.until("www", Health::kDown));
	});
}

TEST(Health, ExecRunsAsSomebodyElseWithoutCapabilities)
{
	in_lab([] {
		const World world;
		Bench bench(world);
		Target good = exec_target("good", "echo fine; exit 0");
		Target bad = exec_target("bad", "echo 'disk is \033[31mfull'; exit 3");
		Target who = exec_target(
			"who",
			"id -u; grep -E 'CapEff|CapPrm|CapAmb|NoNewPrivs' /proc/self/status |"
			" tr '\\n\\t' '  '; ls /proc/self/fd | tr '\\n' ' '; exit 1");
		Target flood = exec_target("flood", "yes overflow | head -c 300000; exit 4");
		Target none = good;
		none.id = "none", none.spec.command = {"/run/lab/does-not-exist"};
		bench.set({good, bad, who, flood, none});
		EXPECT_TRUE(bench.until("good", Health::kUp)) << bench.state("good").detail;
		EXPECT_EQ(bench.state("good").detail, "exit code 0: fine");
		EXPECT_TRUE(bench.until("bad", Health::kDown));
		EXPECT_EQ(bench.state("bad").detail, "exit code 3: disk is ?[31mfull");
		EXPECT_TRUE(bench.until("who", Health::kDown));
		EXPECT_THAT(bench.state("who").detail,
			    testing::AllOf(HasSubstr(std::to_string(getpwnam("nobody")->pw_uid)),
					   HasSubstr("CapPrm: 0000000000000000"),
					   HasSubstr("CapEff: 0000000000000000"),
					   HasSubstr("CapAmb: 0000000000000000"),
					   HasSubstr("NoNewPrivs: 1"), HasSubstr("0 1 2 3")));
		EXPECT_THAT(bench.state("who").detail, testing::Not(HasSubstr(" 5")));
		EXPECT_TRUE(bench.until("flood", Health::kDown));
		EXPECT_THAT(bench.state("flood").detail, HasSubstr("exit code 4: overflow"));
		EXPECT_LT(bench.state("flood").detail.size(), 300U);
		EXPECT_TRUE(bench.until("none", Health::kDown));
		EXPECT_THAT(bench.state("none").detail, HasSubstr("exit code 127"));
	});
}

TEST(Health, ExecIsKilledWithAllItsChildren)
{
	in_lab([] {
		const World world;
		{
			Bench bench(world);
			// It ignores SIGTERM, and so does what it left in the background.
			Target hung = exec_target("hung", "trap '' TERM; echo before; sleep 987 & "
							  "sleep 987");
			bench.set({hung});
			EXPECT_TRUE(bench.until("hung", Health::kDown));
			EXPECT_THAT(bench.state("hung").detail,
				    testing::AllOf(HasSubstr("no end after"), HasSubstr("before")));
			bench.set({});
			bench.run_for(milliseconds(200));
		}
		const auto left = [&] {
			return run(world.checker, {"pgrep", "-f", "sleep 987"}).out;
		};
		EXPECT_EQ(left(), "");
	});
}

TEST(Health, ExecUserMustNotBeRoot)
{
	EXPECT_FALSE(health::exec_user("root"));
	EXPECT_FALSE(health::exec_user("no-such-user"));
}

TEST(Health, ChangedSetKeepsWhatStays)
{
	in_lab([] {
		const World world;
		Bench bench(world);
		const Process server = serve_http(world.server, {kServer, 80}, big_file());
		const Target stays = target("stays", CheckType::kTcp, 80);
		bench.set({stays, target("goes", CheckType::kTcp, 81)});
		ASSERT_TRUE(bench.until("stays", Health::kUp));
		ASSERT_TRUE(bench.until("goes", Health::kDown));
		const auto runs = bench.state("stays").runs;
		bench.set({stays});
		EXPECT_EQ(bench.state("stays").runs, runs);
		EXPECT_EQ(bench.engine().find("goes"), nullptr);
		bench.run_for(milliseconds(300));
		EXPECT_GT(bench.state("stays").runs, runs);
	});
}

// A thousand a second on one core: how late do they begin, and what do they cost?
// For the agent's own questions: a page as a whole, or nothing of it.
TEST(Health, APageIsFetchedUpToItsLimit)
{
	in_lab([] {
		const World world;
		std::ofstream(big_file()) << std::string(300000, 'x');
		const Process server = serve_http(world.server, {kServer, 80}, big_file());
		Loop loop = std::move(*Loop::make());
		health::TunnelProber tunnel(loop);
		health::HttpClient http(loop, tunnel);
		const auto fetch = [&](std::uint16_t port, std::size_t most) {
			std::optional<health::HttpClient::Answer> got;
			world.checker.run([&] {
				const auto probe =
					http.fetch({*Address::parse(kServer), port}, "/big", most,
						   [&](const health::HttpClient::Answer &answer) {
							   got = answer;
						   });
				ASSERT_TRUE(probe);
				const auto end =
					Loop::Clock::now() + milliseconds(5000) * slowness();
				while (!got && Loop::Clock::now() < end)
					ASSERT_TRUE(loop.turn(milliseconds(5)));
			});
			return got.value_or(health::HttpClient::Answer{});
		};
		const auto whole = fetch(80, 300000);
		EXPECT_TRUE(whole.ended) << whole.trouble;
		EXPECT_EQ(whole.status, 200);
		EXPECT_EQ(whole.body.size(), 300000U);
		const auto longer = fetch(80, 299999);
		EXPECT_FALSE(longer.ended);
		EXPECT_EQ(longer.trouble, "an answer of more than 299999 bytes");
		EXPECT_LE(longer.body.size(), 299999U);
		const auto none = fetch(81, 10);
		EXPECT_FALSE(none.ended);
		EXPECT_NE(none.trouble, "");
	});
}

} // namespace anycast::test
