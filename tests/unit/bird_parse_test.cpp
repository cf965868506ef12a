// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bird/parse.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/bird_replies.h"

namespace anycast::bird {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

Reply reply(std::string_view text)
{
	ReplyParser parser(1 << 20);
	const auto complete = parser.feed(text);
	EXPECT_TRUE(complete) << complete.error().what;
	EXPECT_TRUE(complete && *complete) << text;
	return parser.take();
}

std::string refusal(std::string_view text)
{
	ReplyParser parser(1 << 20);
	const auto complete = parser.feed(text);
	return complete ? "accepted" : complete.error().what;
}

TEST(BirdReply, CodesAndContinuationsAreOfTheLineBefore)
{
	const Reply all = reply("1000-BIRD 2.0.12\n1011-Router ID is 1.2.3.4\n Hostname is vm\n"
				"0013 Daemon is up and running\n");
	ASSERT_EQ(all.lines.size(), 4U);
	EXPECT_EQ(all.lines[2].code, 1011);
	EXPECT_EQ(all.lines[2].text, "Hostname is vm");
	EXPECT_EQ(all.code(), 13);
	EXPECT_TRUE(all.ok());
	EXPECT_TRUE(all.has(1000));
	EXPECT_FALSE(all.has(1002));
}

TEST(BirdReply, ErrorsAreRepliesToo)
{
	const Reply wrong = reply("9001 syntax error, unexpected CF_SYM_UNDEFINED\n");
	EXPECT_FALSE(wrong.ok());
	EXPECT_EQ(wrong.code(), 9001);
	EXPECT_FALSE(reply("8001 Network not found\n").ok());
}

TEST(BirdReply, AnyPiecesGiveTheSameReply)
{
	const std::string text = std::string("+an asynchronous line\n") + test::kShowProtocols;
	for (std::size_t size = 1; size < 70; size++) {
		ReplyParser parser(1 << 20);
		bool complete = false;
		for (std::size_t at = 0; at < text.size(); at += size) {
			ASSERT_FALSE(complete);
			const auto fed = parser.feed(std::string_view(text).substr(at, size));
			ASSERT_TRUE(fed);
			complete = *fed;
		}
		ASSERT_TRUE(complete) << size;
		EXPECT_EQ(parser.take().lines.size(), reply(test::kShowProtocols).lines.size());
	}
}

TEST(BirdReply, AsynchronousLinesAreNoReply)
{
	ReplyParser parser(1000);
	EXPECT_FALSE(*parser.feed("+2026-11-22 something happened\n+and more\n"));
	EXPECT_TRUE(*parser.feed("0000 \n+afterwards\n"));
	EXPECT_EQ(parser.rest(), "+afterwards\n");
	EXPECT_EQ(parser.take().lines.size(), 1U);
}

TEST(BirdReply, WhatIsNoReplyIsRefusedWithAnExcerpt)
{
	EXPECT_EQ(refusal("HTTP/1.1 400 Bad Request\r\n"),
		  "not a reply: \"HTTP/1.1 400 Bad Request\"");
	EXPECT_EQ(refusal(" a continuation of nothing\n"),
		  "not a reply: \" a continuation of nothing\"");
	EXPECT_EQ(refusal("\n"), "not a reply: \"\"");
	EXPECT_EQ(refusal("00000\n"), "not a reply: \"00000\"");
	EXPECT_EQ(refusal("12a4 text\n"), "not a reply: \"12a4 text\"");
	EXPECT_EQ(refusal("-001 text\n"), "not a reply: \"-001 text\"");
	EXPECT_EQ(refusal(std::string("\x1b[31m\0zero\n", 11)), "not a reply: \"?[31m?zero\"");
}

TEST(BirdReply, NothingGrowsWithoutBound)
{
	EXPECT_EQ(refusal(std::string(100 << 10, 'x')), "a line without an end");
	EXPECT_EQ(refusal("0000-" + std::string(100 << 10, 'x') + "\n"), "a line without an end");
	ReplyParser parser(10000);
	Result<bool> fed = false;
	int rounds = 0;
	while (fed && rounds++ < 100000)
		fed = parser.feed("1007-a route\n");
	ASSERT_FALSE(fed);
	EXPECT_EQ(fed.error().what, "a reply without an end");
	EXPECT_LT(rounds, 1000);
}

TEST(BirdReply, TextIsSafeForATerminal)
{
	EXPECT_EQ(reply("0000 a\x1b[2Jb\tc\x7f\r\n").last(), "a?[2Jb\tc?");
}

TEST(BirdParse, Status)
{
	const auto status = parse_status(reply(test::kShowStatus));
	ASSERT_TRUE(status) << status.error().what;
	EXPECT_EQ(status->version, "2.0.12");
	EXPECT_EQ(status->router_id, "10.9.0.2");
	EXPECT_EQ(status->last_reboot, "2026-11-22 18:48:32.911");
	EXPECT_FALSE(parse_status(reply("0013 Daemon is up and running\n")));
	EXPECT_FALSE(parse_status(reply("8007 Access denied\n")));
}

TEST(BirdParse, Protocols)
{
	const auto all = parse_protocols(reply(test::kShowProtocols));
	ASSERT_TRUE(all) << all.error().what;
	ASSERT_EQ(all->size(), 5U);
	EXPECT_EQ((*all)[1].name, "anycast_xdp4");
	EXPECT_EQ((*all)[1].kind, "Static");
	EXPECT_EQ((*all)[1].imported, 2U);

	const Protocol &up = (*all)[2];
	EXPECT_EQ(up.name, "upstream");
	EXPECT_EQ(up.bgp_state, "Established");
	EXPECT_EQ(up.since, "18:48:37.109");
	EXPECT_EQ(up.neighbour, "10.9.0.1");
	EXPECT_EQ(up.neighbour_asn, 64500U);
	EXPECT_EQ(up.local_asn, 64512U);
	EXPECT_EQ(up.last_error, "");
	EXPECT_EQ(up.source, "10.9.0.2");
	EXPECT_TRUE(up.ipv4 && up.ipv6);
	EXPECT_EQ(up.imported, 7U);
	EXPECT_EQ(up.exported, 7U);

	const Protocol &active = (*all)[3];
	EXPECT_EQ(active.name, "up-2.a:b");
	EXPECT_EQ(active.state, "start");
	EXPECT_EQ(active.since, "2026-11-22 18:48:32"); // timeformat protocol iso long
	EXPECT_EQ(active.bgp_state, "Active");
	EXPECT_EQ(active.neighbour, "fe80::9%ve1");
	EXPECT_EQ(active.neighbour_asn, 4200000001U);
	EXPECT_EQ(active.last_error, "Socket: No route to host");
	EXPECT_TRUE(active.ipv4);
	EXPECT_FALSE(active.ipv6);

	EXPECT_EQ((*all)[4].bgp_state, "Down");
	EXPECT_EQ((*all)[4].since, "2026-11-22");
}

TEST(BirdParse, ProtocolsThatLackWhatIsNeeded)
{
	const auto error = [](const char *text) {
		const auto parsed = parse_protocols(reply(text));
		return parsed ? "accepted" : parsed.error().what;
	};
	EXPECT_EQ(error("0000 \n"), "accepted"); // no protocols at all
	EXPECT_THAT(error("1002-a BGP\n0000 \n"), HasSubstr("list of protocols"));
	EXPECT_THAT(error("1002-a BGP --- up 10:00\n0000 \n"), HasSubstr("BGP session"));
	EXPECT_THAT(error("1002-a BGP --- up 10:00\n1006-  BGP state: Idle\n Neighbor AS: x\n"
			  "0000 \n"),
		    HasSubstr("AS number"));
	EXPECT_THAT(error("1002-a BGP --- up 10:00\n1006-  BGP state: Idle\n"
			  " Neighbor AS: 99999999999\n0000 \n"),
		    HasSubstr("AS number"));
	EXPECT_THAT(error("9001 syntax error\n"), HasSubstr("9001 syntax error"));
}

TEST(BirdParse, Bfd)
{
	const auto sessions = parse_bfd(reply(test::kShowBfd));
	ASSERT_TRUE(sessions);
	EXPECT_THAT(*sessions, ElementsAre(Pair("10.9.0.1", "Up"), Pair("10.9.0.9", "Down"),
					   Pair("fe80::9", "Init")));
	const auto none = parse_bfd(reply("9001 There is no BFD protocol running\n"));
	ASSERT_TRUE(none);
	EXPECT_TRUE(none->empty());
}

TEST(BirdParse, Routes)
{
	const auto routes = parse_routes(reply(test::kShowRoutes));
	ASSERT_TRUE(routes) << routes.error().what;
	ASSERT_EQ(routes->size(), 4U);
	EXPECT_EQ((*routes)[0].address, *Address::parse("198.51.100.81"));
	EXPECT_EQ((*routes)[0].attributes, BgpAttributes{});
	EXPECT_TRUE((*routes)[0].best);

	const Route &rich = (*routes)[1];
	EXPECT_EQ(rich.length, 32U);
	EXPECT_EQ(rich.protocol, "anycast_xdp4");
	EXPECT_THAT(rich.attributes.communities,
		    ElementsAre(Community{64512, 100}, kGracefulShutdown));
	EXPECT_THAT(rich.attributes.large_communities, ElementsAre(LargeCommunity{64512, 1, 2}));
	EXPECT_EQ(rich.attributes.med, 5U);
	EXPECT_EQ(rich.attributes.local_pref, 120U);
	EXPECT_EQ(rich.attributes.prepend, 2U);

	EXPECT_EQ((*routes)[2].address, rich.address); // a second way to the same net
	EXPECT_EQ((*routes)[2].protocol, "edge2");
	EXPECT_FALSE((*routes)[2].best);
	EXPECT_EQ((*routes)[3].address, *Address::parse("2001:db8::80"));
	EXPECT_EQ((*routes)[3].length, 128U);
	EXPECT_TRUE(parse_routes(reply("0000 \n"))->empty());
}

TEST(BirdParse, RoutesThatCannotBe)
{
	for (const char *line :
	     {"198.51.100.80/33 blackhole [a 1] * (1)", "198.51.100.80 blackhole [a 1] * (1)",
	      "198.51.100.80/ blackhole [a 1] *", "198.51.100.80/32 blackhole", "x/32 y [a 1]",
	      "198.51.100.80/32 ]a[", "                 unicast [edge2 1] (100)"})
		EXPECT_FALSE(parse_routes(reply(std::string("1007-") + line + "\n0000 \n")))
			<< line;
	for (const char *attribute :
	     {"BGP.community: (1,2", "BGP.community: (1)", "BGP.community: (1,2,3)",
	      "BGP.community: 1,2", "BGP.med: 99999999999", "BGP.local_pref: x",
	      "BGP.large_community: (1, 2)", "BGP.large_community: (1, 2, -3)",
	      "anycast_xdp_prepend: "})
		EXPECT_FALSE(parse_routes(
			reply(std::string("1007-192.0.2.1/32 blackhole [a 1] * (1)\n1012-\t") +
			      attribute + "\n0000 \n")))
			<< attribute;
}

// Damaged replies give errors or results, never a crash and never a hang.
TEST(BirdParse, DamagedRepliesAreHarmless)
{
	std::mt19937 random(7);
	for (const char *good :
	     {test::kShowStatus, test::kShowProtocols, test::kShowBfd, test::kShowRoutes}) {
		const std::string text = good;
		for (int round = 0; round < 3000; round++) {
			std::string bad = text;
			for (int i = 0; i < 1 + round % 5; i++)
				bad[random() % bad.size()] = static_cast<char>(random());
			bad.resize(random() % (bad.size() + 1));
			ReplyParser parser(1 << 16);
			const auto complete = parser.feed(bad);
			if (!complete || !*complete)
				continue;
			const Reply damaged = parser.take();
			(void)parse_status(damaged);
			(void)parse_protocols(damaged);
			(void)parse_bfd(damaged);
			(void)parse_routes(damaged);
		}
	}
}

} // namespace
} // namespace anycast::bird
