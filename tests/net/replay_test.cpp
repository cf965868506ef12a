// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `anycast-xdp replay`: its JSON lines, and that others can read what it writes.
#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>

#include "net/pcap.h"
#include "support/cli.h"
#include "support/in_lab.h"
#include "support/loss_lab.h"
#include "support/packet.h"
#include "support/sniffer.h"

namespace anycast::test {

namespace {

using nlohmann::json;

constexpr const char *kIn = "/run/lab/in.pcap", *kOut = "/run/lab/out.pcap";

constexpr const char *kConfig = R"([node]
name = "edge"
hash_seed = "6a09e667f3bcc908bb67ae8584caa73b"
interfaces = ["eth0"]
roles = ["edge"]

[gtsm]
local = ["10.1.0.2"]
[[gtsm.peers]]
address = "10.1.0.1"

[[pools]]
name = "web"
[[pools.backends]]
address = "10.1.0.11"

[[pools]]
name = "web6"
[[pools.backends]]
address = "2001:db8:1::11"

[[vips]]
name = "www"
address = "198.51.100.80"
port = 80
pool = "web"
forward = "ipip"

[[vips]]
name = "www6"
address = "2001:db8::80"
port = 80
pool = "web6"
forward = "ipip"

[[vips]]
name = "far"
address = "198.51.100.81"
port = 80
pool = "web6"
forward = "ipip"
)";

struct Expected {
	Packet frame;
	const char *verdict, *reason, *vip, *backend;
	int grows; // bytes; a dropped packet has no length
};

std::vector<Expected> cases()
{
	const Tcp syn{.dport = 80, .flags = kSyn, .options = mss(1460)};
	const Tcp bgp{.sport = 40179, .dport = 179, .flags = kSyn};
	const char *four = "10.1.0.11", *six = "2001:db8:1::11";
	return {
		{Eth{} / Ip4{} / syn, "tx", "steered", "www", four, 20},
		{Eth{} / Vlan{100} / Ip4{} / syn, "tx", "steered", "www", four, 16},
		{Eth{} / Ip4{} / Tcp{.dport = 80} / Payload(1000), "tx", "steered", "www", four,
		 20},
		{Eth{} / Ip6{} / syn, "tx", "steered", "www6", six, 40},
		{Eth{} / Ip4{.dst = "198.51.100.81"} / syn, "tx", "steered", "far", six, 40},
		{Eth{} / Ip4{.dst = "192.0.2.9"} / syn, "pass", "not_vip", "", "", 0},
		{Eth{} / Ip4{} / Tcp{.dport = 81, .flags = kSyn}, "pass", "vip_no_service", "", "",
		 0},
		{Eth{} / Arp{}, "pass", "not_ip", "", "", 0},
		{Eth{} / Ip4{.src = "198.51.100.80"} / syn, "drop", "ip4_land", "", "", 0},
		{Eth{} / Ip4{} / Tcp{.dport = 80, .flags = 0}, "drop", "tcp_no_flags", "", "", 0},
		{Eth{} / Ip4{.src = "10.1.0.1", .dst = "10.1.0.2", .ttl = 254} / bgp, "drop",
		 "gtsm_ttl", "", "", 0},
		{Eth{} / Ip4{.src = "10.1.0.1", .dst = "10.1.0.2", .ttl = 255} / bgp, "pass",
		 "gtsm_accepted", "", "", 0},
	};
}

void write_capture()
{
	auto writer = CaptureWriter::create(kIn);
	if (!writer)
		throw LabError(writer.error().message());
	std::uint64_t time_ns = 1'760'000'000'000'000'000;
	for (const Expected &expected : cases())
		if (!writer->write(expected.frame, time_ns += 1'000'000))
			throw LabError("write the capture");
	if (!writer->close())
		throw LabError("close the capture");
}

std::vector<json> replayed(const Cli &cli, const Netns &netns)
{
	std::ofstream("/run/lab/replay.toml") << kConfig;
	write_capture();
	const Output output = cli.expect(netns, {"replay", "--config", "/run/lab/replay.toml",
						 "--pcap", kIn, "--out", kOut, "--json"});
	std::vector<json> lines;
	std::istringstream stream(output.out);
	for (std::string line; std::getline(stream, line);)
		lines.push_back(json::parse(line));
	return lines;
}

json or_null(const char *text)
{
	return *text ? json(text) : json();
}

} // namespace

TEST(Replay, SaysVerdictAndReasonOfEachPacket)
{
	in_lab([] {
		const Netns netns("replay");
		const Cli cli;
		const auto lines = replayed(cli, netns);
		const auto expected = cases();
		ASSERT_EQ(lines.size(), expected.size() + 1);

		std::map<std::string, int> verdicts, reasons;
		for (std::size_t i = 0; i < expected.size(); i++) {
			const Expected &wanted = expected[i];
			const auto size = wanted.frame.size();
			const bool drops = wanted.verdict == std::string("drop");
			EXPECT_EQ(lines[i],
				  (json{{"packet", i + 1},
					{"verdict", wanted.verdict},
					{"reason", wanted.reason},
					{"vip", or_null(wanted.vip)},
					{"backend", or_null(wanted.backend)},
					{"length_in", size},
					{"length_out",
					 drops ? 0 : static_cast<int>(size) + wanted.grows}}))
				<< wanted.frame;
			verdicts[wanted.verdict]++;
			reasons[wanted.reason]++;
		}
		EXPECT_EQ(lines.back().at("summary"), (json{{"packets", expected.size()},
							    {"verdicts", verdicts},
							    {"reasons", reasons}}));
	});
}

// A client that sends a segment a millisecond of the capture's time; every 50th is lost before the
// node and sent again after 40 ms, every 70th comes 3 ms late. Returns how many were lost.
std::size_t write_lossy_client(CaptureWriter &writer, std::uint16_t port, bool timestamped)
{
	struct Sent {
		std::uint64_t at_ms;
		std::uint32_t seq, ts;
		std::uint8_t flags;
	};
	std::vector<Sent> sent{{0, 999, 5000, kSyn}, {30, 1000, 5030, kAck}}; // the RTT is 30 ms
	std::size_t lost = 0;
	for (std::uint32_t i = 0; i < 2000; i++) {
		const std::uint32_t seq = 1000 + i * 100, ts = 5100 + i;
		const bool ends = i > 1900; // so that all gaps are filled
		if (i % 50 == 49 && !ends) {
			lost++;
			sent.push_back({140 + i, seq, ts + 40, kAck});
		} else {
			sent.push_back(
				{100 + i + (i % 70 == 60 && !ends ? 3U : 0U), seq, ts, kAck});
		}
	}
	std::ranges::stable_sort(sent, {}, &Sent::at_ms);
	for (const Sent &segment : sent) {
		Tcp tcp{.sport = port, .seq = segment.seq, .flags = segment.flags};
		if (timestamped)
			tcp.options = join({Bytes(2, 1), timestamps(segment.ts, 1)});
		const std::size_t bytes = segment.at_ms < 100 ? 0 : 100;
		if (!writer.write(Eth{} / Ip4{.id = 0, .df = true} / tcp / Payload(bytes),
				  1'760'000'000'000'000'000 + segment.at_ms * 1'000'000))
			throw LabError("write the capture");
	}
	return lost;
}

// By timestamps, and by the capture's own clock where there are none: the packets pass within
// milliseconds here, so no other clock could tell a retransmission from a late original.
TEST(Replay, FlowsHaveTheLossOfTheCapture)
{
	in_lab([] {
		const Netns netns("replay");
		std::ofstream("/run/lab/replay.toml") << kConfig;
		for (const bool timestamped : {true, false}) {
			auto writer = CaptureWriter::create(kIn);
			ASSERT_TRUE(writer);
			const std::size_t lost = write_lossy_client(*writer, 40000, timestamped);
			ASSERT_TRUE(writer->close());
			const Output output =
				Cli().expect(netns, {"replay", "--config", "/run/lab/replay.toml",
						     "--pcap", kIn, "--flows", "--json"});
			std::string last;
			std::istringstream stream(output.out);
			for (std::string line; std::getline(stream, line);)
				last = line;
			const json flow = json::parse(last);
			EXPECT_EQ(flow["rtt_us"], 30000 / 64 * 64);
			EXPECT_EQ(flow["c2s_up_lost"]["basis"], timestamped ? "ts" : "time");
			EXPECT_EQ(flow["c2s_up_lost"]["value"], lost);
			EXPECT_EQ(flow["c2s_up_lost"]["of"], 2001);
			EXPECT_EQ(flow["c2s_up_reordered"]["value"], 27);
			EXPECT_EQ(flow["c2s_rtx_seen"]["value"], 0);
			EXPECT_EQ(flow["c2s_up_lost"]["unrepaired"], 0);
		}
	});
}

// What the node saw, replayed: the same figures, flow by flow.
TEST(Replay, LiveTrafficHasTheLiveFigures)
{
	in_lab([] {
		LossConditions conditions;
		conditions.bytes = 3 << 20;
		conditions.forth.lose_per_10000 = 100;
		conditions.forth.hold_per_10000 = 200;
		conditions.forth.hold_us = 3000;
		conditions.vip = "sink";
		LossLab lab(conditions);
		std::vector<std::pair<std::uint64_t, Bytes>> seen;
		{
			Sniffer sniffer(lab.node.nic());
			std::jthread reader([&](const std::stop_token &stop) {
				for (bool last = false; !last;
				     std::this_thread::sleep_for(milliseconds(1))) {
					last = stop.stop_requested();
					const auto now =
						std::chrono::system_clock::now().time_since_epoch();
					for (Bytes &frame : sniffer.frames())
						if (frame.size() > 34 && frame[30] == 198)
							seen.emplace_back(
								std::chrono::nanoseconds(now)
									.count(),
								std::move(frame));
				}
			});
			EXPECT_TRUE(lab.run().errors.empty());
		}
		auto writer = CaptureWriter::create(kIn);
		ASSERT_TRUE(writer);
		for (const auto &[time_ns, frame] : seen)
			ASSERT_TRUE(writer->write(frame, time_ns));
		ASSERT_TRUE(writer->close());

		const auto figures = [](const json &flow) {
			json all;
			for (const char *name : {"c2s_up_lost", "c2s_up_reordered", "c2s_rtx_seen"})
				all[name] = flow.at(name);
			return all;
		};
		std::map<int, json> live, replayed;
		const json document = lab.cli.ask(lab.node.netns, {"flows", "--vip", "sink"});
		for (const json &flow : document.at("flows"))
			live[flow.at("flow").at("source_port")] = figures(flow);
		const Output output = lab.cli.expect(
			lab.node.netns, {"replay", "--config", std::string(kLabDir) + "/node.toml",
					 "--pcap", kIn, "--flows", "--json"});
		std::istringstream stream(output.out);
		for (std::string line; std::getline(stream, line);)
			if (const json flow = json::parse(line);
			    flow.contains("c2s_up_lost") && flow.at("vip") == "sink")
				replayed[flow.at("flow").at("source_port")] = figures(flow);
		EXPECT_EQ(live.size(), conditions.flows);
		EXPECT_EQ(replayed, live);
	});
}

TEST(Replay, WritesWhatTsharkReads)
{
	in_lab([] {
		const Netns netns("replay");
		if (run(netns, {"tshark", "--version"}).status != 0)
			GTEST_SKIP() << "tshark is not installed";
		replayed(Cli(), netns);
		const Output output =
			run(netns, {"tshark", "-r", kOut, "-V", "-o", "ip.check_checksum:TRUE",
				    "-o", "tcp.check_checksum:TRUE"});
		EXPECT_EQ(output.status, 0) << output.err;
		for (const char *complaint : {"Malformed", "[Expert Info (Error", "Status: Bad"})
			EXPECT_THAT(output.out, testing::Not(testing::HasSubstr(complaint)));
		// Outer and inner header of what was steered: three 4in4, one 6in6, one 4in6.
		std::istringstream fields(run(netns, {"tshark", "-r", kOut, "-T", "fields", "-e",
						      "ip.dst", "-e", "ipv6.dst"})
						  .out);
		std::map<std::string, int> headers;
		for (std::string line; std::getline(fields, line);)
			headers[line]++;
		EXPECT_EQ(headers["10.1.0.11,198.51.100.80\t"], 3);
		EXPECT_EQ(headers["\t2001:db8:1::11,2001:db8::80"], 1);
		EXPECT_EQ(headers["198.51.100.81\t2001:db8:1::11"], 1);
	});
}

} // namespace anycast::test
