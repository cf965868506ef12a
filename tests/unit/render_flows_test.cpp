// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// How flows and their loss are shown.
#include <sstream>

#include <gtest/gtest.h>

#include "render/flows.h"
#include "render/loss.h"
#include "render/node_drops.h"

namespace anycast::render {
namespace {

Ids ids_with_names()
{
	Ids ids;
	ids.vips.push_back({.name = "www", .identity = "", .gen = 1, .used = true});
	ids.backends.push_back({.name = "web/b1", .identity = "", .gen = 2, .used = true});
	return ids;
}

FlowRecord tcp_flow(std::uint16_t port, std::uint32_t lost, std::uint32_t segments)
{
	FlowRecord flow;
	flow.source = *Address::parse("203.0.113.5");
	flow.destination = *Address::parse("198.51.100.80");
	flow.source_port = port;
	flow.destination_port = 80;
	flow.protocol = 6;
	flow.flags = AX_FLOW_SYNCED | AX_FLOW_TS;
	flow.vip_gen = 1;
	flow.backend_gen = 2;
	flow.segments = segments;
	flow.packets = segments;
	flow.loss.lost = lost;
	return flow;
}

FlowRecord udp_flow()
{
	FlowRecord flow = tcp_flow(5000, 0, 0);
	flow.protocol = 17;
	flow.packets = 99;
	return flow;
}

std::vector<NamedFlow> named(const std::vector<FlowRecord> &flows, const Ids &ids)
{
	std::vector<NamedFlow> list;
	for (const FlowRecord &flow : flows)
		list.push_back(name_flow(flow, "eth0", ids));
	return list;
}

nlohmann::json flows_json(const std::vector<NamedFlow> &flows, std::size_t limit)
{
	std::ostringstream out;
	write_flows_json(out, flows, limit);
	return nlohmann::json::parse(out.str());
}

nlohmann::json loss_json(const std::vector<NamedFlow> &flows, LossBy by, std::size_t limit,
			 const std::vector<std::string> &warnings,
			 const GroupTotals &since_attach = {})
{
	std::ostringstream out;
	write_loss_json(out, flows, by, limit, warnings, since_attach);
	return nlohmann::json::parse(out.str());
}

TEST(Flows, NamesFollowTheIdUnlessItWasReused)
{
	const Ids ids = ids_with_names();
	FlowRecord flow = tcp_flow(1, 0, 1);
	EXPECT_EQ(name_flow(flow, "", ids).vip, "www");
	EXPECT_EQ(name_flow(flow, "", ids).pool, "web");
	EXPECT_EQ(name_flow(flow, "", ids).backend, "b1");
	flow.vip_gen = 2;
	flow.backend = 1;
	const auto json = flow_json(name_flow(flow, "", ids));
	EXPECT_TRUE(json["vip"].is_null());
	EXPECT_TRUE(json["backend"].is_null());
}

TEST(Flows, StateHoldsWhatBothDirectionsTold)
{
	const Ids ids = ids_with_names();
	FlowRecord flow = tcp_flow(1, 0, 100);
	auto json = flow_json(name_flow(flow, "", ids));
	EXPECT_TRUE(json["state"]["sack"].is_null());
	EXPECT_TRUE(json["state"]["egress"].is_null());
	flow.sack.started = true;
	flow.sack.duplicates = 2;
	flow.egress = EgressCounters{.whole = false, .segments = 50, .rtx = 7, .duplicates = 1};
	flow.loss.rtx_seen = 4;
	json = flow_json(name_flow(flow, "", ids));
	EXPECT_EQ(json["state"]["sack"]["duplicates"], 2);
	EXPECT_EQ(json["state"]["egress"]["sent_again"], 7);
	EXPECT_EQ(json["state"]["egress"]["whole"], false);
	EXPECT_EQ(json["c2s_down_lost"]["kind"], "upper_bound");
	const std::vector<FlowRecord> flows{flow};
	EXPECT_NE(loss_text(named(flows, ids), LossBy::kFlow, 0).find("<=3"), std::string::npos)
		<< "a bound is told from a number";
}

TEST(Flows, Filters)
{
	const Ids ids = ids_with_names();
	const FlowRecord flow = tcp_flow(1, 0, 1);
	const NamedFlow one = name_flow(flow, "", ids);
	EXPECT_TRUE((FlowFilter{}).matches(one));
	EXPECT_TRUE((FlowFilter{.vip = "www", .backend = "b1", .source = {}}).matches(one));
	EXPECT_TRUE((FlowFilter{.vip = "", .backend = "web/b1", .source = {}}).matches(one));
	EXPECT_FALSE((FlowFilter{.vip = "", .backend = "api/b1", .source = {}}).matches(one));
	EXPECT_FALSE((FlowFilter{.vip = "dns", .backend = "", .source = {}}).matches(one));
	EXPECT_FALSE(
		(FlowFilter{.vip = "", .backend = "", .source = parse_prefix("::1")}).matches(one));
}

TEST(Flows, BusiestFirstUpToTheLimit)
{
	const Ids ids = ids_with_names();
	const std::vector<FlowRecord> flows{tcp_flow(1, 0, 5), tcp_flow(2, 0, 50), udp_flow()};
	const auto json = flows_json(named(flows, ids), 2);
	ASSERT_EQ(json["flows"].size(), 2U);
	EXPECT_EQ(json["total"], 3);
	EXPECT_EQ(json["flows"][0]["flow"]["protocol"], "udp");
	EXPECT_EQ(json["flows"][1]["flow"]["source_port"], 2);
	EXPECT_NE(flows_text(named(flows, ids), 2).find("... 1 more"), std::string::npos);
	EXPECT_EQ(flows_text({}, 2), "no flows\n");
	EXPECT_EQ(flows_json({}, 0)["flows"].size(), 0U);
}

TEST(Loss, WorstFirstAndUnknownLast)
{
	const Ids ids = ids_with_names();
	const std::vector<FlowRecord> flows{udp_flow(), tcp_flow(1, 0, 10), tcp_flow(2, 3, 1000),
					    tcp_flow(3, 3, 10)};
	const auto json = loss_json(named(flows, ids), LossBy::kFlow, 0, {});
	ASSERT_EQ(json["flows"].size(), 4U);
	EXPECT_EQ(json["flows"][0]["flow"]["source_port"], 3); // as many lost, of fewer
	EXPECT_EQ(json["flows"][1]["flow"]["source_port"], 2);
	EXPECT_EQ(json["flows"][2]["flow"]["source_port"], 1);
	EXPECT_EQ(json["flows"][3]["flow"]["protocol"], "udp");
	EXPECT_EQ(json["totals"]["flows"], 4);
	EXPECT_EQ(json["totals"]["measured"], 3);
	EXPECT_EQ(json["totals"]["c2s_up_lost"]["value"], 6);
	EXPECT_EQ(json["totals"]["c2s_up_lost"]["of"], 1020);
}

TEST(Loss, UnknownIsNullInJsonAndADashInTables)
{
	const Ids ids = ids_with_names();
	const std::vector<FlowRecord> flows{udp_flow()};
	const auto json = loss_json(named(flows, ids), LossBy::kFlow, 0, {"careful"});
	const auto &figure = json["flows"][0]["c2s_up_lost"];
	EXPECT_TRUE(figure["value"].is_null());
	EXPECT_TRUE(figure["rate"].is_null());
	EXPECT_TRUE(figure["basis"].is_null());
	EXPECT_EQ(figure["kind"], "unsupported");
	EXPECT_EQ(json["flows"][0]["loss_unknown"], "protocol");
	EXPECT_TRUE(json["totals"]["c2s_up_lost"]["value"].is_null());
	EXPECT_EQ(json["warnings"][0], "careful");

	EXPECT_EQ(figure_text({}), "-");
	const std::string text = loss_text(named(flows, ids), LossBy::kFlow, 0);
	EXPECT_NE(text.find("unsupported"), std::string::npos);
	EXPECT_NE(text.find("lost before this node: unknown; 0 of 1 flow measured"),
		  std::string::npos);
}

TEST(Loss, FigureHasEveryFieldOfTheDefinition)
{
	const LossFigure figure{.value = 3,
				.kind = "estimate",
				.basis = "ts",
				.of = 1000,
				.evicted = 1,
				.unrepaired = 2,
				.resync = 4};
	EXPECT_EQ(figure_json(figure).dump(),
		  R"({"value":3,"kind":"estimate","basis":"ts","of":1000,"rate":0.003,)"
		  R"("evicted":1,"unrepaired":2,"resync":4})");
}

TEST(Loss, SumsByVipAndBackend)
{
	const Ids ids = ids_with_names();
	std::vector<FlowRecord> flows{tcp_flow(1, 2, 10), tcp_flow(2, 3, 10), udp_flow()};
	const auto by_vip = loss_json(named(flows, ids), LossBy::kVip, 0, {});
	ASSERT_EQ(by_vip["vips"].size(), 1U);
	EXPECT_EQ(by_vip["vips"][0]["vip"], "www");
	EXPECT_EQ(by_vip["vips"][0]["c2s_up_lost"]["value"], 5);
	EXPECT_EQ(by_vip["vips"][0]["flows"], 3);
	EXPECT_EQ(by_vip["vips"][0]["measured"], 2);
	const auto by_backend = loss_json(named(flows, ids), LossBy::kBackend, 0, {});
	EXPECT_EQ(by_backend["backends"][0]["pool"], "web");
	EXPECT_EQ(by_backend["backends"][0]["backend"], "b1");
}

TEST(Loss, ByPrefixWithSumsOfFlowsThatAreGone)
{
	const Ids ids = ids_with_names();
	std::vector<FlowRecord> flows{tcp_flow(1, 2, 10), tcp_flow(2, 3, 10), tcp_flow(3, 1, 10)};
	flows[1].source = *Address::parse("203.0.113.99");
	flows[2].source = *Address::parse("203.0.114.1");
	auto list = named(flows, ids);
	for (NamedFlow &flow : list)
		flow.client_bits = 24;
	GroupTotals ever;
	LossTotals gone;
	gone.segments = 500;
	gone.lost = 7;
	gone.undone = 1;
	ever[{{}, {}, {}, *parse_prefix("192.0.2.0/24")}] = gone;
	ever[{{}, {}, {}, Prefix{}}] = LossTotals();

	const auto json = loss_json(list, LossBy::kPrefix, 0, {}, ever);
	ASSERT_EQ(json["prefixes"].size(), 4U);
	EXPECT_EQ(json["prefixes"][0]["prefix"], "203.0.113.0/24");
	EXPECT_EQ(json["prefixes"][0]["c2s_up_lost"]["value"], 5);
	EXPECT_EQ(json["prefixes"][0]["flows"], 2);
	EXPECT_TRUE(json["prefixes"][0]["since_attach"].is_null());
	EXPECT_EQ(json["prefixes"][1]["prefix"], "203.0.114.0/24");
	EXPECT_EQ(json["prefixes"][2]["prefix"], "192.0.2.0/24");
	EXPECT_EQ(json["prefixes"][2]["flows"], 0);
	EXPECT_TRUE(json["prefixes"][2]["c2s_up_lost"]["value"].is_null());
	EXPECT_EQ(json["prefixes"][2]["since_attach"]["c2s_up_lost"]["value"], 6);
	EXPECT_EQ(json["prefixes"][2]["since_attach"]["c2s_up_lost"]["of"], 500);
	EXPECT_EQ(json["prefixes"][3]["prefix"], "others");
	EXPECT_TRUE(json["prefixes"][3]["since_attach"]["c2s_up_lost"]["value"].is_null());

	const std::string text = loss_text(list, LossBy::kPrefix, 0, ever);
	for (const char *part : {"EVER LOST", "203.0.113.0/24", "192.0.2.0/24", "1.2 %", "others"})
		EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

TEST(Loss, WhatTheNodeDroppedIsExactAndSaysWhy)
{
	InterfaceStats one, two;
	for (const auto &[label, packets] :
	     {std::pair{"not_vip", 80U}, {"gtsm_ttl", 5U}, {"gtsm_bfd", 0U}})
		one.finals.push_back(
			{.info = find_reason(std::string_view(label)), .packets = packets});
	for (const auto &[label, packets] : {std::pair{"gtsm_ttl", 2U}, {"gtsm_icmp", 13U}})
		two.finals.push_back(
			{.info = find_reason(std::string_view(label)), .packets = packets});
	for (const auto *stats : {&one, &two})
		for (const ReasonRow &row : stats->finals)
			ASSERT_NE(row.info, nullptr);
	const auto json = node_drop_json({one, two});
	EXPECT_EQ(json["value"], 20);
	EXPECT_EQ(json["of"], 100);
	EXPECT_EQ(json["rate"], 0.2);
	EXPECT_EQ(json["kind"], "exact");
	EXPECT_EQ(json["reasons"][0]["reason"], "gtsm_icmp");
	EXPECT_EQ(json["reasons"][1]["packets"], 7);
	EXPECT_EQ(json["reasons"].size(), 2U);
	const std::string line = node_drop_text({one, two});
	EXPECT_EQ(line, "dropped by this node: 20 of 100 packets (exact): gtsm_icmp 13, "
			"gtsm_ttl 7; `drops` has more\n");
	one.finals.resize(1);
	EXPECT_EQ(node_drop_text({one}), "");
	EXPECT_EQ(node_drop_json({one})["value"], 0);
	EXPECT_NE(loss_text({}, LossBy::kFlow, 0, {}, line).find(line), std::string::npos);
}

TEST(Loss, PayloadsThatVipsDeclare)
{
	const Ids ids = ids_with_names();
	FlowRecord rtp = udp_flow(), dns = udp_flow();
	rtp.measure = AX_MEASURE_RTP;
	rtp.segments = 90;
	rtp.payload_lost = 10;
	dns.measure = AX_MEASURE_DNS;
	dns.segments = 5;
	dns.payload_lost = 1;
	const std::vector<FlowRecord> flows{tcp_flow(1, 2, 100), dns, rtp};
	const auto json = loss_json(named(flows, ids), LossBy::kFlow, 0, {});
	EXPECT_EQ(json["flows"][0]["rtp_lost"]["value"], 10) << "ranked among the others";
	EXPECT_EQ(json["flows"][0]["rtp_lost"]["rate"], 0.1);
	EXPECT_TRUE(json["flows"][0]["c2s_up_lost"]["value"].is_null());
	EXPECT_FALSE(json["flows"][1].contains("rtp_lost"));
	EXPECT_EQ(json["flows"][2]["dns_repeat"]["value"], 1);
	EXPECT_TRUE(json["flows"][2]["dns_unanswered"]["value"].is_null());
	EXPECT_EQ(json["totals"]["measured"], 3);
	EXPECT_NE(loss_text(named(flows, ids), LossBy::kFlow, 0).find("exact/rtp"),
		  std::string::npos);
}

TEST(Flows, FilterByPrefix)
{
	const Ids ids = ids_with_names();
	const FlowRecord flow = tcp_flow(1, 0, 1);
	const NamedFlow one = name_flow(flow, "", ids);
	for (const auto &[prefix, matches] :
	     {std::pair{"203.0.113.0/24", true}, std::pair{"203.0.112.0/23", true},
	      std::pair{"203.0.114.0/24", false}, std::pair{"0.0.0.0/0", true},
	      std::pair{"::/0", false}, std::pair{"203.0.113.5", true},
	      std::pair{"203.0.113.4", false}})
		EXPECT_EQ((FlowFilter{.vip = "", .backend = "", .source = parse_prefix(prefix)})
				  .matches(one),
			  matches)
			<< prefix;
}

} // namespace
} // namespace anycast::render
