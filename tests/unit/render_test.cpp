// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <sstream>

#include <gtest/gtest.h>

#include "render/diff.h"
#include "render/maps.h"
#include "render/reasons.h"
#include "render/replay.h"
#include "render/status.h"
#include "render/table.h"

namespace anycast::render {
namespace {

// ---- tables and units -----------------------------------------------------------------------

TEST(Table, AlignsColumnsAndLeavesNoTrailingBlanks)
{
	Table table({{"NAME"}, {"COUNT", Align::kRight}, {"LAST"}});
	table.row({"a", "1", "x"});
	table.row({"longer", "1234567", ""});
	table.row({"caf\xc3\xa9", "2"});
	EXPECT_EQ(table.text(), "NAME      COUNT  LAST\n"
				"a             1  x\n"
				"longer  1234567  -\n"
				"caf\xc3\xa9          2  -\n");
	EXPECT_EQ(Table({{"A"}, {"B"}}).text(2), "  A  B\n");
}

TEST(Table, Units)
{
	EXPECT_EQ(bytes_text(0), "0 B");
	EXPECT_EQ(bytes_text(1023), "1023 B");
	EXPECT_EQ(bytes_text(1536), "1.5 KiB");
	EXPECT_EQ(bytes_text((1 << 20) - 1), "1.0 MiB");
	EXPECT_EQ(bytes_text(UINT64_MAX), "16.0 EiB");
	EXPECT_EQ(percent_text(0), "0.0 %");
	EXPECT_EQ(percent_text(0.0004), "0.040 %");
	EXPECT_EQ(percent_text(1.0 / 3), "33.3 %");
	EXPECT_EQ(duration_text(750), "750 us");
	EXPECT_EQ(duration_text(12345), "12.3 ms");
	EXPECT_EQ(duration_text(4200000), "4.2 s");
	EXPECT_EQ(duration_text(600000000), "10 min");
	EXPECT_EQ(rtt_text(0), "<64 us");
	EXPECT_EQ(count_text(1, "flow"), "1 flow");
	EXPECT_EQ(count_text(0, "flow"), "0 flows");
	EXPECT_EQ(hex_text(0xabc), "0000000000000abc");
	EXPECT_EQ(more_text(5, 5), "");
	EXPECT_EQ(more_text(5, 8), "... 3 more (--limit 0 shows all)\n");
}

// ---- reasons --------------------------------------------------------------------------------

InterfaceStats some_stats()
{
	InterfaceStats stats;
	stats.interface = "eth0";
	stats.finals = {{find_reason(AX_R_NOT_VIP), AX_ACTION_DROP, 5, 500},
			{find_reason(AX_R_STEERED), AX_ACTION_DROP, 90, 9000},
			{find_reason(AX_R_NO_ROUTE), AX_ACTION_DROP, 0, 0},
			{find_reason(AX_R_IP4_IHL), AX_ACTION_DROP, 3, 180},
			{find_reason(AX_R_IP4_EVIL), AX_ACTION_COUNT, 0, 0}};
	stats.notes = {{find_reason(AX_R_IP4_EVIL), AX_ACTION_COUNT, 7, 700},
		       {find_reason(AX_R_UNTRACKED), AX_ACTION_DROP, 0, 0}};
	stats.backends = {{.pool = "web",
			   .backend = "b1",
			   .address = "10.1.0.11",
			   .state = "active",
			   .weight = 100,
			   .packets = 90,
			   .bytes = 9000,
			   .share = 0.33}};
	return stats;
}

TEST(Stats, FinalReasonsAddUpAndNotesStandBeside)
{
	const auto json = stats_json({some_stats()}, false)["interfaces"][0];
	EXPECT_EQ(json["packets"], 98);
	EXPECT_EQ(json["bytes"], 9680);
	ASSERT_EQ(json["reasons"].size(), 3U);
	EXPECT_EQ(json["reasons"][0].dump(),
		  R"({"reason":"steered","class":"steer","packets":90,"bytes":9000})");
	EXPECT_EQ(json["reasons"][2]["action"], "drop");
	ASSERT_EQ(json["noted"].size(), 1U);
	EXPECT_EQ(json["noted"][0]["reason"], "ip4_evil");
	EXPECT_EQ(json["backends"][0]["share"], 0.33);
}

TEST(Stats, AllShowsIdleRowsThatCouldCount)
{
	const auto json = stats_json({some_stats()}, true)["interfaces"][0];
	EXPECT_EQ(json["reasons"].size(), 4U); // not ip4_evil: it is only noted
	EXPECT_EQ(json["noted"].size(), 2U);
}

TEST(Drops, OnlyWhatWasDropped)
{
	const auto json = drops_json({some_stats()}, false)["interfaces"][0];
	ASSERT_EQ(json["drops"].size(), 1U);
	EXPECT_EQ(json["drops"][0]["reason"], "ip4_ihl");
	EXPECT_EQ(json["drops"][0]["help"], find_reason(AX_R_IP4_IHL)->help);
	EXPECT_NE(drops_text({some_stats()}, false).find("eth0: 3 of 98 packets dropped"),
		  std::string::npos);
}

TEST(Stats, TheConfigurationOverridesARulesAction)
{
	Config config;
	EXPECT_EQ(action_in_force(config, *find_reason(AX_R_IP4_IHL)), AX_ACTION_DROP);
	config.rules["ip4_ihl"] = AX_ACTION_OFF;
	EXPECT_EQ(action_in_force(config, *find_reason(AX_R_IP4_IHL)), AX_ACTION_OFF);
}

// ---- status, diff, maps, replay -------------------------------------------------------------

TEST(Status, OneLineSaysWhetherToLookCloser)
{
	InterfaceStatus status;
	status.vips = 1;
	status.backends = {{"active", 2}, {"down", 1}};
	status.totals["pass"] = {90, 0};
	status.totals["drop"] = {10, 0};
	EXPECT_EQ(verdict_of(status),
		  "ok: 1 VIP, 2 of 3 backends active, 10 of 100 packets dropped (10.0 %)");
	status.problems = {"one", "two"};
	EXPECT_EQ(verdict_of(status), "degraded: one; two");
	EXPECT_EQ(status_json({status})["interfaces"][0]["ok"], false);
	EXPECT_EQ(status_json({}).dump(), R"({"interfaces":[]})");
	EXPECT_EQ(status_text({status}).find("coming slowly"), std::string::npos);
	status.coming_slowly = 1;
	EXPECT_NE(status_text({status}).find(
			  "1 VIP, 2 backends active, 1 backend down, 1 coming slowly\n"),
		  std::string::npos);
	EXPECT_EQ(status_json({status})["interfaces"][0]["coming_slowly"], 1);
}

TEST(Diff, NamesWhatIsNewGoneAndChanged)
{
	Config from;
	from.pools = {{.name = "web", .backends = {}}};
	from.pools[0].backends = {{.name = "b1", .address = *Address::parse("10.1.0.11")},
				  {.name = "b2", .address = *Address::parse("10.1.0.12")}};
	Config to = from;
	EXPECT_TRUE(changes_between(from, to).empty());
	EXPECT_EQ(changes_text({}), "");

	to.pools[0].backends.erase(to.pools[0].backends.begin() + 1);
	to.pools[0].backends[0].weight = 50;
	to.pools[0].backends[0].state = AX_BACKEND_DRAINING;
	to.rules["ip4_evil"] = AX_ACTION_DROP;
	to.vips.push_back({.name = "www",
			   .address = *Address::parse("198.51.100.80"),
			   .port = 80,
			   .pool = "web"});
	EXPECT_EQ(changes_text(changes_between(from, to)),
		  "- backend web/b2  address 10.1.0.12, weight 100, state active\n"
		  "~ rule ip4_evil  action count -> drop\n"
		  "~ backend web/b1  weight 100 -> 50, state active -> draining\n"
		  "+ vip www  address 198.51.100.80, port 80, protocol tcp, pool web, forward "
		  "ipip, measure none, checks none, canary no\n");
}

TEST(Diff, SaysWhoMayAskForMarksAndWhoIsAsked)
{
	Config from, to;
	to.agent.marks_listen = Endpoint::parse("10.1.0.11:9556");
	to.agent.marks_allow = {*Prefix::parse("10.2.0.0/24")};
	to.agent.marks_from = {*Endpoint::parse("[2001:db8::1]:9556")};
	EXPECT_EQ(changes_text(changes_between(from, to)),
		  "~ agent  marks_listen off -> 10.1.0.11:9556, marks_allow none -> 10.2.0.0/24, "
		  "marks_from none -> [2001:db8::1]:9556\n");
}

TEST(Diff, NeverShowsTheHashSeed)
{
	Config from, to;
	from.hash_seed = {0x1111222233334444, 2};
	to.hash_seed = {0x5555666677778888, 2};
	const std::string text = changes_text(changes_between(from, to));
	EXPECT_NE(text.find("hash_seed (secret "), std::string::npos);
	for (const char *digits : {"1111", "2222", "5555", "6666"})
		EXPECT_EQ(text.find(digits), std::string::npos);
}

TEST(Maps, ElementsReadAsFields)
{
	using Json = nlohmann::ordered_json;
	const Json value{{"addr", "10.1.0.11"},
			 {"flow", {{"sport", 80}, {"flags", {"syn", "ts"}}}},
			 {"action", std::vector<int>(256, 0)}};
	EXPECT_EQ(element_text(Json{{"half", 1}, {"id", 2}}, value),
		  "half=1 id=2: addr=10.1.0.11 flow={sport=80 flags=[syn ts]} "
		  "action=[256 elements, 0 not zero]\n");
}

TEST(Maps, OfLongArraysWhatIsNotZeroIsShownWhereThatIsLittle)
{
	using Json = nlohmann::ordered_json;
	const Json zero{{"steered", {{"packets", 0}, {"bytes", 0}}}};
	Json cpus(256, zero), bits = std::vector<int>(17, 1);

	EXPECT_EQ(element_text(Json(0), cpus), "0: [256 elements, 0 not zero]\n");
	cpus[3]["steered"]["packets"] = 2;
	EXPECT_EQ(element_text(Json(0), cpus),
		  "0: [256 elements, not zero: 3={steered={packets=2 bytes=0}}]\n");
	EXPECT_EQ(element_text(Json(0), bits), "0: [17 elements, 17 not zero]\n");
}

TEST(Replay, PacketsAreWhatTheDesignPromises)
{
	const ReplayedPacket packet{.number = 1,
				    .verdict = "tx",
				    .reason = "steered",
				    .vip = "www",
				    .backend = "10.1.0.11",
				    .length_in = 66,
				    .length_out = 86,
				    .note = ""};
	EXPECT_EQ(packet_json(packet).dump(),
		  R"({"packet":1,"verdict":"tx","reason":"steered","vip":"www",)"
		  R"("backend":"10.1.0.11","length_in":66,"length_out":86})");
	ReplaySummary summary;
	summary.add(packet);
	summary.add({.number = 2,
		     .verdict = "not_run",
		     .reason = "",
		     .vip = "",
		     .backend = "",
		     .note = "skipped"});
	EXPECT_EQ(summary_json(summary).dump(),
		  R"({"summary":{"packets":2,"verdicts":{"not_run":1,"tx":1},)"
		  R"("reasons":{"steered":1}}})");
}

} // namespace
} // namespace anycast::render
