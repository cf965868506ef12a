// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `check` finds what is planted, and nothing where nothing is.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "net/agent_lab.h"

namespace anycast::test {

namespace {

using nlohmann::json;
using testing::HasSubstr;

struct Lines {
	json document;
	int status = 0;

	// All lines of that check and level, joined.
	[[nodiscard]] std::string of(const std::string &check, const std::string &level) const
	{
		std::string text;
		for (const json &line : document.value("checks", json::array()))
			if (line.at("check") == check && line.at("level") == level)
				text += line.at("text").get<std::string>() + " -> " +
					(line.at("advice").is_null()
						 ? ""
						 : line.at("advice").get<std::string>()) +
					"\n";
		return text;
	}
	[[nodiscard]] std::string all(const std::string &level) const
	{
		std::string text;
		for (const json &line : document.value("checks", json::array()))
			if (line.at("level") == level)
				text += line.dump() + "\n";
		return text;
	}
};

Lines check(const AgentLab &lab, Argv more = {})
{
	more.insert(more.begin(), {"--json", "check", "--config", lab.config});
	const Output output = lab.cli.run(lab.node, more);
	Lines lines{json::parse(output.out, nullptr, false), output.status};
	EXPECT_FALSE(lines.document.is_discarded()) << output.out << output.err;
	for (const json &line : lines.document.value("checks", json::array()))
		if (line.at("level") != "ok") {
			EXPECT_FALSE(line.at("advice").is_null()) << "what to do? " << line;
		}
	return lines;
}

std::string udp_vip()
{
	return "[[pools]]\nname = \"web\"\n"
	       "[[pools.backends]]\nname = \"b1\"\naddress = \"10.1.0.1\"\n"
	       "[[pools.backends]]\nname = \"b2\"\naddress = \"10.1.0.11\"\n"
	       "[[vips]]\nname = \"www\"\naddress = \"198.51.100.80\"\nport = 80\n"
	       "protocol = \"udp\"\npool = \"web\"\n";
}

void attach(const AgentLab &lab, Argv more = {})
{
	more.insert(more.begin(), {"attach", "eth0", "--config", lab.config});
	lab.cli.expect(lab.node, more);
}

// BIRD as an operator wrote it, at its usual socket, without a word of ours.
void start_foreign_bird(AgentLab &lab, const std::string &direct, const std::string &ipv4)
{
	lab.node_bird.emplace(lab.node,
			      "log stderr all;\nrouter id 10.1.0.2;\nprotocol device {}\n"
			      "protocol direct { " +
				      direct +
				      " interface \"anycast0\"; }\n"
				      "protocol bgp up {\n\tlocal 10.1.0.2 as 64512;\n"
				      "\tneighbor 10.1.0.1 as 64500;\n\tttl security on;\n"
				      "\tconnect delay time 1; connect retry time 1;\n" +
				      ipv4 + "\n}\n");
	mkdir("/run/bird", 0755);
	ASSERT_EQ(symlink("/run/lab/bird-node.ctl", "/run/bird/bird.ctl"), 0);
	EXPECT_TRUE(wait_until(milliseconds(20000) * slowness(),
			       [&] { return lab.router_bird->established("node"); }));
}

void send_udp(const Netns &from, const char *to, std::uint16_t port, int packets)
{
	from.run([&] {
		const Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
		sockaddr_in address{};
		address.sin_family = AF_INET;
		address.sin_port = htons(port);
		inet_pton(AF_INET, to, &address.sin_addr);
		for (int i = 0; i < packets; i++)
			sendto(fd.get(), "x", 1, MSG_DONTWAIT,
			       reinterpret_cast<const sockaddr *>(&address), sizeof(address));
	});
}

} // namespace

TEST(Check, FindsNothingWhereAllIsWell)
{
	in_lab([] {
		AgentLab lab(AgentLab::default_vip() +
			     "[gtsm]\nlocal = [\"10.1.0.2\"]\n[[gtsm.peers]]\naddress = "
			     "\"10.1.0.1\"\n");
		for (const auto &[netns, name] :
		     {std::pair{&lab.node, "eth0"}, std::pair{&lab.router, "lan0"}})
			netns->ip(std::string("link set ") + name + " mtu 1600");
		attach(lab);
		lab.start();
		Lines lines;
		EXPECT_TRUE(wait_until(milliseconds(10000),
				       [&] {
					       lines = check(lab);
					       return lines.status == 0;
				       }))
			<< lines.all("fail") << lab.log();
		EXPECT_TRUE(lines.document.at("ok"));
		EXPECT_THAT(lines.of("bgp", "ok"), HasSubstr("Established, 1 of 1 VIPs exported"));
		EXPECT_THAT(lines.of("gtsm", "ok"), HasSubstr("every BGP neighbour"));
		EXPECT_THAT(lines.of("agent", "ok"), HasSubstr("runs, process"));
		for (const char *quiet : {"mtu", "vip", "sysctl", "icmp", "balance", "mode"})
			EXPECT_NE(lines.of(quiet, "ok"), "") << quiet << lines.all("warn");
		const Output text = lab.cli.run(lab.node, {"check", "--config", lab.config});
		EXPECT_EQ(text.status, 0);
		EXPECT_THAT(text.out, HasSubstr("0 wrong"));
	});
}

TEST(Check, FindsMtuSysctlVipAndModeDrift)
{
	in_lab([] {
		AgentLab lab;
		lab.agent_section = "";
		lab.write();
		std::string text;
		{
			std::ostringstream file;
			file << std::ifstream(lab.config).rdbuf();
			text = file.str();
		}
		text.replace(text.find("[host]"), 0, "mode = \"native\"\n");
		std::ofstream(lab.config) << text;
		attach(lab, {"--mode", "generic"});
		lab.node.sysctl("net.ipv4.fib_multipath_hash_policy", "0");
		lab.node.ip(
			"addr del 198.51.100.80/32 dev anycast0\naddr add 10.1.0.77/24 dev eth0");
		// The only backend is this node: one elsewhere is what needs room.
		text.replace(text.find("address = \"10.1.0.2\""), 20, "address = \"10.1.0.1\"");
		std::ofstream(lab.config) << text;
		setenv("AX_WITHOUT", "ring_buffer,mmap_array", 1);
		const Lines lines = check(lab);
		unsetenv("AX_WITHOUT");
		EXPECT_EQ(lines.status, 1);
		EXPECT_FALSE(lines.document.at("ok"));
		EXPECT_THAT(lines.of("mtu", "warn"), HasSubstr("eth0 has an MTU of 1500"));
		EXPECT_THAT(lines.of("mtu", "warn"), HasSubstr("ip link set eth0 mtu 1520"));
		EXPECT_THAT(lines.of("sysctl", "fail"),
			    HasSubstr("net.ipv4.fib_multipath_hash_policy is 0, it should be 1"));
		EXPECT_THAT(lines.of("vip", "fail"), HasSubstr("198.51.100.80 is on no interface"));
		EXPECT_THAT(lines.of("mode", "fail"), HasSubstr("generic mode, the configuration "
								"says native"));
		EXPECT_THAT(lines.of("kernel", "warn"), HasSubstr("features"));
		EXPECT_THAT(lines.of("kernel", "warn"), HasSubstr("ring_buffer"));
		EXPECT_THAT(lines.of("agent", "fail"), HasSubstr("no agent runs"));
		EXPECT_THAT(lines.of("bird", "fail"), HasSubstr("absent"));
	});
}

TEST(Check, FindsWhatAnOperatorForgotInBird)
{
	in_lab([] {
		AgentLab lab;
		std::ofstream(lab.config)
			<< "[node]\nhash_seed = \"6a09e667f3bcc908bb67ae8584caa73b\"\n[host]\n"
			<< AgentLab::default_vip("");
		start_foreign_bird(lab, "", "\tipv4 { import none; export none; };");
		const Lines lines = check(lab);
		EXPECT_THAT(lines.of("bird", "fail"), HasSubstr("has no ipv4 channel"));
		EXPECT_THAT(lines.of("export", "fail"), HasSubstr("no route is exported"));
		EXPECT_THAT(lines.of("gtsm", "warn"), HasSubstr("up (10.1.0.1) is not protected"));
	});
	in_lab([] {
		AgentLab lab;
		std::ofstream(lab.config)
			<< "[node]\nhash_seed = \"6a09e667f3bcc908bb67ae8584caa73b\"\n[host]\n"
			<< AgentLab::default_vip("");
		start_foreign_bird(lab, "ipv4;",
				   "\tipv4 { import none; export where source = RTS_DEVICE; };");
		const Lines lines = check(lab);
		EXPECT_EQ(lines.of("bird", "fail"), "");
		EXPECT_EQ(lines.of("export", "fail"), "") << lines.of("bgp", "ok");
	});
}

TEST(Check, FindsAWrongAsn)
{
	in_lab([] {
		AgentLab lab;
		std::ostringstream file;
		file << std::ifstream(lab.config).rdbuf();
		std::string text = file.str();
		text.replace(text.find("asn = 64500"), 11, "asn = 64599");
		std::ofstream(lab.config) << text;
		lab.cli.expect(lab.node, {"bird", "render", "--out", "/run/lab/rendered.conf",
					  "--config", lab.config});
		std::ostringstream rendered;
		rendered << std::ifstream("/run/lab/rendered.conf").rdbuf();
		lab.node_bird.emplace(lab.node, rendered.str());
		EXPECT_TRUE(wait_until(milliseconds(15000) * slowness(), [&] {
			return check(lab).of("bgp", "fail").find("Bad peer AS") !=
			       std::string::npos;
		})) << check(lab).all("fail");
		EXPECT_THAT(check(lab).of("bgp", "fail"), HasSubstr("compare"));
	});
}

// BIRD's neighbours, its own configuration's and one that an operator added by hand.
TEST(Check, FindsNeighboursThatGtsmDoesNotCover)
{
	in_lab([] {
		const std::string peers = "[gtsm]\nlocal = [\"10.1.0.2\"]\n"
					  "[[gtsm.peers]]\naddress = \"10.1.0.1\"\n";
		AgentLab lab(AgentLab::default_vip("") + peers);
		attach(lab);
		lab.start_bird();
		EXPECT_EQ(check(lab).of("gtsm", "warn"), "");
		EXPECT_THAT(check(lab).of("gtsm", "ok"), HasSubstr("every BGP neighbour"));

		std::ofstream("/run/lab/rendered.conf", std::ios::app)
			<< "protocol bgp by_hand { local 10.1.0.2 as 64512;\n"
			   "\tneighbor 10.1.0.7 as 64507; ipv4 { import none; export none; }; }\n";
		std::ostringstream text;
		text << std::ifstream("/run/lab/rendered.conf").rdbuf();
		lab.node_bird.reset();
		lab.node_bird.emplace(lab.node, text.str());
		const std::string warned = check(lab).of("gtsm", "warn");
		EXPECT_THAT(warned, HasSubstr("by_hand (10.1.0.7) is not protected"));
		EXPECT_THAT(warned, HasSubstr("address = \"10.1.0.7\", hops = 1"));
		EXPECT_THAT(warned, testing::Not(HasSubstr("10.1.0.1)")));

		lab.more(AgentLab::default_vip("") + peers +
			 "[[gtsm.peers]]\naddress = \"10.1.0.7\"\nhops = 0\n");
		const Lines late = check(lab);
		EXPECT_EQ(late.of("gtsm", "warn"), "");
		EXPECT_THAT(late.of("gtsm", "fail"),
			    HasSubstr("by_hand (10.1.0.7) is a peer in the file, but not yet on "
				      "eth0"));
		lab.cli.expect(lab.node, {"apply", lab.config});
		const Lines now = check(lab);
		EXPECT_EQ(now.of("gtsm", "warn") + now.of("gtsm", "fail"), "");
		EXPECT_THAT(now.of("gtsm", "ok"), HasSubstr("every BGP neighbour"));
	});
}

TEST(Check, FindsGtsmOnOneSideOnly)
{
	in_lab([] {
		AgentLab lab(AgentLab::default_vip("") +
			     "[gtsm]\nlocal = [\"10.1.0.2\"]\n[[gtsm.peers]]\naddress = "
			     "\"10.1.0.1\"\n");
		attach(lab);
		// What a router without `ttl security` sends: SYNs with TTL 1.
		const Process router = Process::call(
			lab.router,
			[] {
				for (;;) {
					const Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
					const int ttl = 1;
					setsockopt(fd.get(), IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
					const timeval patience{0, 200000};
					setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience,
						   sizeof(patience));
					const SocketAddress to({"10.1.0.2", 179});
					(void)!connect(fd.get(), to.get(), to.size);
				}
				return 0;
			},
			"/run/lab/low-ttl.log");
		EXPECT_TRUE(wait_until(milliseconds(8000), [&] {
			return check(lab).of("gtsm", "fail").find("refused for their TTL") !=
			       std::string::npos;
		}));
		EXPECT_THAT(check(lab).of("gtsm", "fail"), HasSubstr("GTSM on one side only"));
	});
}

TEST(Check, FindsUnreachablesAndUnevenBackends)
{
	in_lab([] {
		AgentLab lab(udp_vip());
		lab.router.ip(
			"addr add 10.1.0.11/24 dev lan0\nroute add 198.51.100.80 via 10.1.0.2");
		attach(lab);
		for (const char *address : {"10.1.0.1", "10.1.0.11"})
			run(lab.node, {"busybox", "ping", "-c1", "-W2", address});
		send_udp(lab.router, AgentLab::kWeb, 80, 3000); // one flow, one backend
		EXPECT_THAT(check(lab).of("balance", "warn"), HasSubstr("gets 100 %"));
		EXPECT_NE(check(lab).of("icmp", "ok"), "");
		lab.node.sysctl("net.ipv4.icmp_ratelimit", "0");
		lab.node.sysctl("net.ipv4.icmp_msgs_per_sec", "100000");
		lab.node.sysctl("net.ipv4.icmp_msgs_burst", "100000");
		send_udp(lab.router, "10.1.0.2", 9, 500); // nobody listens
		EXPECT_THAT(check(lab).of("icmp", "warn"), HasSubstr("unreachables"));
	});
}

TEST(Check, ComparesDigests)
{
	in_lab([] {
		AgentLab lab;
		attach(lab);
		const std::string own =
			lab.cli.ask(lab.node, {"status"}).at("interfaces").at(0).at("digest");
		EXPECT_THAT(check(lab, {"--peer-digest", own}).of("digest", "ok"), HasSubstr(own));
		EXPECT_THAT(check(lab, {"--peer-digest", "0000000000000000"}).of("digest", "fail"),
			    HasSubstr("hash_seed"));
	});
}

} // namespace anycast::test
