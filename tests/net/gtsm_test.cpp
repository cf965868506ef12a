// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// GTSM on a real BGP session: what an attacker several hops away can reach with and without it.
#include <algorithm>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/cli.h"
#include "support/in_lab.h"
#include "support/raw_sender.h"
#include "support/sniffer.h"
#include "support/to_the_second.h"

namespace anycast::test {

namespace {

constexpr int kSyns = 50;

struct Peering {
	Lab lab{1 << 20};
	Cli cli;
	Sniffer sniffer{lab.router_lan()}; // sees the session from its first packet
	std::vector<Segment> seen;

	Peering() { lab.start_routing(); }
	[[nodiscard]] const Node &edge() const { return *lab.edges[0]; }

	void sniff()
	{
		for (const Segment &segment : sniffer.segments())
			seen.push_back(segment);
	}
	// In the router's name, as its neighbour would get it.
	void spoof(const Tcp &tcp, std::uint8_t ttl) const
	{
		const RawSender sender(lab.router_lan());
		const auto text = [](const Mac &mac) {
			return fmt::format("{:02x}", fmt::join(mac, ":"));
		};
		sender.send(Eth{.dst = text(mac_of(edge().nic())), .src = text(sender.mac())} /
			    Ip4{.src = kRouterAddress, .dst = edge().address, .ttl = ttl} / tcp);
	}
	// How many of the SYNs from these ports were answered.
	int answered_syns(std::uint16_t first_port)
	{
		for (int i = 0; i < kSyns; i++)
			spoof({.sport = static_cast<std::uint16_t>(first_port + i),
			       .dport = 179,
			       .seq = 1000,
			       .flags = kSyn},
			      64);
		const auto answers = [&] {
			sniff();
			std::vector<bool> answered(kSyns);
			for (const Segment &segment : seen)
				if (segment.source == edge().address &&
				    segment.flags == (kSyn | kAck) && segment.dport >= first_port &&
				    segment.dport < first_port + kSyns)
					answered[segment.dport - first_port] = true;
			return static_cast<int>(std::ranges::count(answered, true));
		};
		wait_until(milliseconds(1000), [&] { return answers() == kSyns; });
		return answers();
	}
	// The router's last segment of the session with edge1, whoever had opened it.
	[[nodiscard]] Segment last_from_router()
	{
		sniff();
		const auto last = std::find_if(seen.rbegin(), seen.rend(), [&](const Segment &s) {
			return s.source == kRouterAddress && s.destination == edge().address &&
			       (s.sport == 179 || s.dport == 179) && s.ttl == 255 &&
			       !(s.flags & (kSyn | kRst | kFin));
		});
		if (last == seen.rend())
			throw LabError("no segment of the session was seen");
		return *last;
	}
	[[nodiscard]] std::uint64_t dropped() const
	{
		return cli.drops(edge().netns).of("gtsm_ttl");
	}
	// With the times since when the states have been as they are.
	[[nodiscard]] std::string session() const
	{
		return to_the_second(edge().bird->ask("show protocols"));
	}
};

} // namespace

TEST(Gtsm, SpoofedSynsGetNoAnswer)
{
	in_lab([] {
		Peering peering;
		EXPECT_GT(peering.answered_syns(20000), 0) << "BIRD's listener takes any TTL";

		peering.cli.attach_edge(peering.lab, peering.edge());
		peering.lab.await_calm();
		const std::string before = peering.session();
		EXPECT_EQ(peering.answered_syns(30000), 0);
		EXPECT_EQ(peering.dropped(), static_cast<std::uint64_t>(kSyns));
		EXPECT_EQ(peering.session(), before);
		EXPECT_TRUE(peering.lab.sessions_established());
	});
}

TEST(Gtsm, ForgedResetIsDropped)
{
	in_lab([] {
		Peering peering;
		peering.cli.attach_edge(peering.lab, peering.edge());
		peering.lab.await_calm();
		const std::string before = peering.session();
		const Segment last = peering.last_from_router();
		const Tcp reset{.sport = last.sport,
				.dport = last.dport,
				.seq = last.next_seq(),
				.flags = kRst};

		for (const std::uint8_t ttl : {1, 64, 254})
			peering.spoof(reset, ttl);
		EXPECT_TRUE(wait_until(milliseconds(1000), [&] { return peering.dropped() == 3; }))
			<< peering.dropped();
		EXPECT_EQ(peering.session(), before);
		EXPECT_EQ(peering.edge().bird->sessions().at("upstream"), "Established");

		// The number was right: from next door it would have ended the session.
		peering.spoof(reset, 255);
		EXPECT_TRUE(wait_until(milliseconds(2000),
				       [&] { return peering.session() != before; }));
	});
}

TEST(Gtsm, ADeviceThatHidesTagsIsWarnedAboutByName)
{
	in_lab([] {
		Netns here{"here"}, there{"there"};
		connect_veth({here, "eth0"}, {there, "eth0"}, 1500);
		Cli cli;
		const auto warnings = [&](const char *rxvlan) {
			EXPECT_EQ(run(here, {"ethtool", "-K", "eth0", "rxvlan", rxvlan}).status, 0);
			Node node{"node", 3};
			const std::string config = write_config(
				node, "[node]\nname = \"here\"\nhash_seed = "
				      "\"0123456789abcdef0123456789abcdef\"\ninterfaces = "
				      "[\"eth0\"]\n");
			const auto report = cli.ask(here, {"attach", "--config", config});
			cli.expect(here, {"detach", "eth0"});
			return report["interfaces"][0]["warnings"].dump();
		};
		EXPECT_THAT(warnings("on"), testing::HasSubstr("ethtool -K eth0 rxvlan off"));
		EXPECT_THAT(warnings("off"), testing::Not(testing::HasSubstr("rxvlan")));
	});
}

} // namespace anycast::test
