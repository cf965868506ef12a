// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `drops` and `drops --follow` on an attached interface.
#include <atomic>
#include <fstream>
#include <sstream>
#include <stop_token>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/cli.h"
#include "support/in_lab.h"
#include "support/packet.h"
#include "support/raw_sender.h"

namespace anycast::test {

namespace {

constexpr const char *kPins = "/sys/fs/bpf/anycast-xdp";

class Wire {
public:
	Wire()
	{
		connect_veth({there, "eth0"}, {node.netns, "eth0"}, 1500);
		configure("");
	}
	void configure(const std::string &more)
	{
		config_ = write_config(
			node, "[node]\nname = \"here\"\nhash_seed = "
			      "\"0123456789abcdef0123456789abcdef\"\ninterfaces = [\"eth0\"]\n"
			      "[limits]\nflows_v4 = 1024\nflows_v6 = 1024\n" +
				      more);
	}
	void apply() const { cli.expect(node.netns, {"apply", config_}); }
	void attach() const { cli.expect(node.netns, {"attach", "--config", config_}); }
	void send(const Packet &packet) const { RawSender({there, "eth0"}).send(packet); }
	void send_bad(const std::string &from) const
	{
		send(Eth{} / Ip4{.src = from, .ttl = 9} /
		     Tcp{.sport = 1234, .dport = 443, .flags = 0});
	}
	// Follows until `samples` have come, while `feed` is called every 50 ms.
	std::vector<nlohmann::json> follow(int samples, const Argv &more,
					   const std::function<void()> &feed) const
	{
		Argv command{cli.binary(), "--json",  "drops",
			     "--follow",   "--count", std::to_string(samples)};
		command.insert(command.end(), more.begin(), more.end());
		const std::string log = std::string(kLabDir) + "/follow.log";
		std::ofstream(log, std::ios::trunc); // of the follower before
		Process follower = Process::spawn(node.netns, command, log);
		if (!wait_until(milliseconds(20000), [&] {
			    feed();
			    std::this_thread::sleep_for(milliseconds(50));
			    return !follower.running();
		    }))
			throw LabError("drops --follow saw too little: " + text_of(log));
		EXPECT_EQ(follower.wait(milliseconds(100)), 0) << text_of(log);
		std::vector<nlohmann::json> lines;
		std::istringstream text(text_of(log));
		for (std::string line; std::getline(text, line);)
			lines.push_back(nlohmann::json::parse(line));
		return lines;
	}
	[[nodiscard]] nlohmann::json row(const Argv &more, const std::string &reason) const
	{
		Argv command{"drops"};
		command.insert(command.end(), more.begin(), more.end());
		const auto report = cli.ask(node.netns, command);
		for (const auto &drop : report["interfaces"][0]["drops"])
			if (drop["reason"] == reason)
				return drop;
		return {};
	}
	[[nodiscard]] bool pinned(const std::string &map) const
	{
		const Output found =
			::anycast::test::run(node.netns, {"find", kPins, "-name", map});
		return !found.out.empty();
	}
	static std::string text_of(const std::string &file)
	{
		std::ostringstream text;
		text << std::ifstream(file).rdbuf();
		return text.str();
	}

	Netns there{"there"};
	Node node{"here", 3};
	Cli cli;

private:
	std::string config_;
};

void expect_samples_come(const Wire &wire)
{
	const auto lines = wire.follow(2, {}, [&] { wire.send_bad("192.0.2.66"); });
	ASSERT_EQ(lines.size(), 2U);
	for (const auto &line : lines) {
		EXPECT_EQ(line["reason"], "tcp_no_flags");
		EXPECT_EQ(line["interface"], "eth0");
		EXPECT_EQ(line["source"], "192.0.2.66");
		EXPECT_EQ(line["source_port"], 1234);
		EXPECT_EQ(line["destination_port"], 443);
		EXPECT_EQ(line["protocol"], "tcp");
		EXPECT_EQ(line["ttl"], 9);
		EXPECT_EQ(line["length"], 54);
		EXPECT_THAT(line["time"].get<std::string>(),
			    testing::MatchesRegex("20..-..-..T..:..:..\\....Z"));
	}
	EXPECT_TRUE(lines[0]["per_second"].is_null());
	EXPECT_GT(lines[1]["per_second"], 0);
	EXPECT_GT(lines[1]["packets"], lines[0]["packets"]);
}

} // namespace

TEST(Drops, ShowTheLastSourceOfEachReasonAndItsRate)
{
	in_lab([] {
		Wire wire;
		wire.attach();
		wire.send_bad("192.0.2.1");
		wire.send(Eth{} / Ip4{.src = "192.0.2.9"} / Udp{.dport = 0});
		const auto tcp = wire.row({"--interval", "0"}, "tcp_no_flags");
		EXPECT_EQ(tcp["packets"], 1);
		EXPECT_EQ(tcp["last"]["source"], "192.0.2.1") << tcp;
		EXPECT_LT(tcp["last"]["age_ms"], 10000);
		EXPECT_TRUE(tcp["per_second"].is_null());
		const auto udp = wire.row({"--interval", "0.1"}, "udp_port_zero");
		EXPECT_EQ(udp["last"]["source"], "192.0.2.9") << udp;
		EXPECT_EQ(udp["per_second"], 0);
		const Output text = wire.cli.expect(wire.node.netns, {"drops", "--interval", "0"});
		EXPECT_THAT(text.out, testing::HasSubstr("192.0.2.9"));
	});
}

TEST(Drops, FollowedThroughTheRingBufferAcrossAReplacedProgram)
{
	in_lab([] {
		Wire wire;
		wire.attach();
		ASSERT_TRUE(wire.pinned("ax_drop_ring"));
		EXPECT_FALSE(wire.pinned("ax_drop_perf")) << "nobody uses it: it is not made";
		expect_samples_come(wire);
		// A follower that started before the program was replaced goes on after.
		int fed = 0;
		const auto lines = wire.follow(8, {}, [&] {
			wire.send_bad("192.0.2.7");
			if (++fed == 4)
				wire.attach();
		});
		EXPECT_EQ(lines.size(), 8U);
		EXPECT_GE(fed, 4);
		expect_samples_come(wire);
	});
}

TEST(Drops, FollowedThroughPerfBuffersWithoutARingBuffer)
{
	in_lab([] {
		setenv("AX_WITHOUT", "ring_buffer", 1);
		Wire wire;
		wire.attach();
		ASSERT_TRUE(wire.pinned("ax_drop_perf"));
		EXPECT_FALSE(wire.pinned("ax_drop_ring"));
		expect_samples_come(wire);
	});
}

TEST(Drops, FollowedByReason)
{
	in_lab([] {
		Wire wire;
		wire.attach();
		const auto lines = wire.follow(2, {"--reason", "udp_port_zero"}, [&] {
			wire.send_bad("192.0.2.1");
			wire.send(Eth{} / Ip4{.src = "192.0.2.9"} / Udp{.dport = 0});
		});
		for (const auto &line : lines)
			EXPECT_EQ(line["reason"], "udp_port_zero");
		const Output typo = wire.cli.run(
			wire.node.netns, {"drops", "--follow", "--reason", "udp_port_zerro"});
		EXPECT_EQ(typo.status, 2);
		EXPECT_THAT(typo.err, testing::HasSubstr("udp_port_zero"));
		const Output alone = wire.cli.run(wire.node.netns, {"drops", "--count", "3"});
		EXPECT_EQ(alone.status, 2) << "--count is for --follow";
	});
}

// Every packet is dropped or counted, whichever the rule said just then; the program stays.
TEST(Drops, ApplySwitchesARuleUnderTrafficWithoutAGap)
{
	in_lab([] {
		Wire wire;
		wire.attach();
		const auto program = [&] {
			return wire.cli.ask(wire.node.netns,
					    {"status"})["interfaces"][0]["program_id"];
		};
		const auto before = program();
		std::atomic<std::uint64_t> sent = 0;
		std::jthread sender([&](const std::stop_token &stop) {
			const RawSender raw({wire.there, "eth0"});
			const Packet bad = Eth{} / Ip4{.src = "192.0.2.66"} / Tcp{.flags = 0};
			for (; !stop.stop_requested(); ++sent) {
				raw.send(bad);
				std::this_thread::sleep_for(std::chrono::microseconds(500));
			}
		});
		const auto dropped = [&] {
			return wire.cli.drops(wire.node.netns).of("tcp_no_flags");
		};
		const auto noted = [&] {
			const auto stats = wire.cli.ask(wire.node.netns, {"stats"});
			for (const auto &row : stats["interfaces"][0]["noted"])
				if (row["reason"] == "tcp_no_flags")
					return row["packets"].get<std::uint64_t>();
			return std::uint64_t{0};
		};
		for (int round = 0; round < 3; round++)
			for (const bool drop : {false, true}) {
				wire.configure(std::string("[guard.rules]\ntcp_no_ack = \"off\"\n"
							   "tcp_no_flags = \"") +
					       (drop ? "drop" : "count") + "\"\n");
				wire.apply();
				const auto count = [&] { return drop ? dropped() : noted(); };
				const std::uint64_t then = count();
				EXPECT_TRUE(wait_until(milliseconds(10000),
						       [&] { return count() > then; }));
			}
		sender.request_stop();
		sender.join();
		EXPECT_TRUE(
			wait_until(milliseconds(5000), [&] { return dropped() + noted() == sent; }))
			<< dropped() << " dropped, " << noted() << " counted of " << sent;
		EXPECT_EQ(program(), before);
	});
}

TEST(Drops, AJumboInterfaceGetsAProgramThatSeesWholeFrames)
{
	in_lab([] {
		Wire wire;
		wire.there.ip("link set eth0 mtu 9000");
		wire.node.netns.ip("link set eth0 mtu 9000");
		const Output features = wire.cli.expect(wire.node.netns, {"features"});
		wire.attach();
		const auto status = wire.cli.ask(wire.node.netns, {"status"});
		EXPECT_EQ(status["interfaces"][0]["mode"], "native") << features.out;
		// Its length is right; a program that saw the first buffer only would drop it.
		wire.send(Eth{} / Ip4{.src = "192.0.2.9"} / Udp{.dport = 9} / Payload(8000));
		EXPECT_TRUE(wait_until(milliseconds(2000), [&] {
			return wire.cli.stats(wire.node.netns).of("not_vip") >= 1;
		}));
		EXPECT_EQ(wire.cli.drops(wire.node.netns).of("ip4_total_length"), 0U);
		wire.send(Eth{} / Ip4{.src = "192.0.2.9", .total_length = 8900} / Udp{.dport = 9} /
			  Payload(8000));
		EXPECT_TRUE(wait_until(milliseconds(2000), [&] {
			return wire.cli.drops(wire.node.netns).of("ip4_total_length") == 1;
		}));
	});
}

} // namespace anycast::test
