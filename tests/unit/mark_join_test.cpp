// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What two observers' counters come to, and what must not be compared.
#include "core/mark_join.h"

#include <gmock/gmock.h>

#include "core/mark_json.h"
#include "render/marks.h"

namespace anycast {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kNow = 1'795'000'000'000; // Unix milliseconds
constexpr double kPeriod = 1000;
constexpr std::uint64_t kAt = 1'000'003; // the edge's period at kNow

const Address kEdge = *Address::parse("10.0.0.1"), kBackend = *Address::parse("10.1.0.11"),
	      kVip = *Address::parse("198.51.100.80"), kClient = *Address::parse("203.0.113.10");

// `began`: the period, and the node's clock with it, before kAt.
MarkPeriod slot(int ago, std::uint32_t packets, std::int64_t skew = 0)
{
	return {static_cast<std::uint8_t>((kAt - static_cast<std::uint64_t>(ago)) % 32), packets,
		kNow - ago * 1000 + 100 + skew};
}

MarkKey key_of(bool flow)
{
	MarkKey key{.edge = kEdge,
		    .backend = kBackend,
		    .vip = kVip,
		    .port = 80,
		    .protocol = 6,
		    .client = {}};
	if (flow) {
		key.client = kClient;
		key.client_port = 40000;
	}
	return key;
}

MarkRecord record(bool flow, std::uint64_t settled, std::vector<MarkPeriod> periods,
		  std::int64_t age = 20'000)
{
	MarkRecord record;
	record.key = key_of(flow);
	record.settled = settled;
	record.since = kNow - age;
	record.first = static_cast<std::uint8_t>(
		(kAt - static_cast<std::uint64_t>((age + 999) / 1000)) % 32);
	record.last = kNow;
	record.periods = std::move(periods);
	return record;
}

MarkReport node(const char *name)
{
	MarkReport report;
	report.node = name;
	report.time = kNow + 700; // 0.7 into period kAt
	report.period_ms = kPeriod;
	report.period = kAt;
	report.period_began = kNow;
	report.sent.since = report.received.since = kNow - 600'000;
	return report;
}

struct Pair {
	MarkReport edge = node("edge"), backend = node("b1");

	void both(std::uint64_t settled, const std::vector<MarkPeriod> &out,
		  const std::vector<MarkPeriod> &in, std::uint64_t settled_in)
	{
		for (const bool flow : {false, true}) {
			auto &to = flow ? edge.sent.flows : edge.sent.sums;
			auto &from = flow ? backend.received.flows : backend.received.sums;
			to = {record(flow, settled, out)};
			from = {record(flow, settled_in, in)};
		}
	}
	[[nodiscard]] MarkLoss flow() const { return join_marks({edge, backend}).flows.at(0); }
	[[nodiscard]] MarkLoss sum() const { return join_marks({backend, edge}).sums.at(0); }
};

Pair some()
{
	Pair pair;
	pair.both(1000, {slot(2, 50), slot(1, 60), slot(0, 30)},
		  {slot(2, 49), slot(1, 58), slot(0, 12)}, 995);
	return pair;
}

TEST(MarkJoin, WhatIsOverIsComparedExactly)
{
	const Pair pair = some();
	for (const MarkLoss &loss : {pair.flow(), pair.sum()}) {
		ASSERT_TRUE(loss.lost) << loss.why;
		EXPECT_EQ(loss.of, 1110U);
		EXPECT_EQ(*loss.lost, 5U + 1 + 2);
		EXPECT_EQ(loss.received, 1102U);
		EXPECT_EQ(loss.period, kAt - 1);
	}
}

TEST(MarkJoin, ATornPeriodIsLeftOut)
{
	Pair pair = some();
	// Just begun: the last period may still be on its way.
	pair.edge.time = kNow + 300;
	EXPECT_EQ(pair.flow().period, kAt - 2);
	EXPECT_EQ(pair.flow().of, 1050U);
	EXPECT_EQ(*pair.flow().lost, 6U);
	// The backend was read before its last period was closed: the next one had begun 0.2 s ago.
	pair = some();
	pair.backend.time = kNow + 300;
	EXPECT_EQ(pair.flow().period, kAt - 2);
	EXPECT_EQ(*pair.flow().lost, 6U);
}

TEST(MarkJoin, ThePeriodIsClosedByTheClockWhereNothingFollows)
{
	Pair pair;
	pair.both(0, {slot(5, 10)}, {slot(5, 9)}, 0);
	ASSERT_TRUE(pair.flow().lost) << pair.flow().why;
	EXPECT_EQ(*pair.flow().lost, 1U);
	pair.both(0, {slot(2, 10)}, {slot(2, 9)}, 0); // within what clocks may differ by
	EXPECT_FALSE(pair.flow().lost);
	EXPECT_THAT(pair.flow().why, HasSubstr("nothing of it was sent in a period that is over"));
}

TEST(MarkJoin, ClocksMayDiffer)
{
	for (const std::int64_t skew : {-1500, 1500}) {
		Pair pair;
		pair.both(1000, {slot(2, 50), slot(1, 60), slot(0, 30)},
			  {slot(2, 49, skew), slot(1, 58, skew), slot(0, 12, skew)}, 995);
		for (auto *list : {&pair.backend.received.sums, &pair.backend.received.flows})
			list->at(0).since += skew;
		pair.backend.time += skew;
		ASSERT_TRUE(pair.flow().lost) << pair.flow().why;
		EXPECT_EQ(*pair.flow().lost, 8U);
	}
}

TEST(MarkJoin, TheBackendWasRestarted)
{
	Pair pair = some();
	pair.backend.received.since = kNow - 10'000;
	EXPECT_FALSE(pair.flow().lost);
	EXPECT_THAT(pair.flow().why, HasSubstr("before the backend counted"));
	EXPECT_FALSE(pair.sum().lost);
	EXPECT_TRUE(pair.sum().counts); // for who has seen both before
}

TEST(MarkJoin, TheEdgeWasRestarted)
{
	Pair pair = some();
	pair.edge.sent.flows = {record(true, 0, {slot(1, 60), slot(0, 30)}, 1500)};
	EXPECT_FALSE(pair.flow().lost);
	EXPECT_THAT(pair.flow().why, HasSubstr("the edge counts anew"));
}

// By the period's number, whatever the clocks say: within a second of each other.
TEST(MarkJoin, TheEdgeWasRestartedAMomentAgo)
{
	Pair pair = some();
	pair.edge.sent.flows.at(0).since += 1000;
	pair.edge.sent.flows.at(0).first = (pair.edge.sent.flows.at(0).first + 1) % 32;
	EXPECT_FALSE(pair.flow().lost);
	EXPECT_THAT(pair.flow().why, HasSubstr("the edge counts anew"));
}

TEST(MarkJoin, ThePacketThatBeganItMayBeLost)
{
	Pair pair = some();
	pair.backend.received.flows.at(0).since += 3000;
	pair.backend.received.flows.at(0).first =
		(pair.backend.received.flows.at(0).first + 3) % 32;
	EXPECT_EQ(pair.flow().lost, 8U);
}

TEST(MarkJoin, TheBackendForgotAnIdleFlow)
{
	Pair pair = some();
	pair.edge.sent.flows.at(0).since = kNow - 100'000;
	pair.edge.sent.flows.at(0).first = static_cast<std::uint8_t>((kAt - 100) % 32);
	EXPECT_FALSE(pair.flow().lost);
	EXPECT_THAT(pair.flow().why, HasSubstr("the backend counts anew"));
}

TEST(MarkJoin, AFlowWithoutCounterpartIsLostWholly)
{
	Pair pair = some();
	pair.backend.received.flows.clear();
	EXPECT_EQ(pair.flow().lost, 1110U);
	EXPECT_EQ(pair.flow().of, 1110U);
	pair.edge.sent.flows.at(0).since = kNow - 100'000; // the backend may have forgotten it
	EXPECT_FALSE(pair.flow().lost);
	EXPECT_THAT(pair.flow().why, HasSubstr("no counterpart"));
}

TEST(MarkJoin, AFullTableSaysNothing)
{
	Pair pair = some();
	pair.backend.received.flows.clear();
	pair.backend.received.no_room = 7;
	pair.backend.received.last_no_room = kNow - 5000;
	EXPECT_FALSE(pair.flow().lost);
	EXPECT_THAT(pair.flow().why, HasSubstr("table was full"));
	EXPECT_EQ(pair.sum().lost, 8U);
	pair.backend.received.last_no_room = kNow - 60'000; // before this flow
	EXPECT_EQ(pair.flow().lost, 1110U);
	pair.edge.sent.no_room = 3;
	EXPECT_THAT(join_marks({pair.edge, pair.backend}).notes.at(0), HasSubstr("3 packets"));
}

TEST(MarkJoin, NoReportOfTheBackend)
{
	const Pair pair = some();
	const MarkJoin join = join_marks({pair.edge});
	ASSERT_EQ(join.flows.size(), 1U);
	EXPECT_FALSE(join.flows[0].lost);
	EXPECT_THAT(join.flows[0].why, HasSubstr("no report of the backend"));
}

TEST(MarkJoin, TheBackendDoesNotCount)
{
	Pair pair = some();
	pair.backend.received.since.reset();
	EXPECT_THAT(pair.flow().why, HasSubstr("marking is off there"));
}

TEST(MarkJoin, ReportsTooFarApart)
{
	Pair pair = some();
	pair.backend.received.flows = {
		record(true, 2000, {{static_cast<std::uint8_t>((kAt + 12) % 32), 5, kNow + 12'100}},
		       20'000)};
	pair.backend.time = kNow + 13'000;
	EXPECT_FALSE(pair.flow().lost);
	EXPECT_THAT(pair.flow().why, HasSubstr("reports are 12.3 s apart"));
}

TEST(MarkJoin, MoreThanWasSentIsNoLoss)
{
	Pair pair = some();
	pair.backend.received.flows.at(0).settled = 1100;
	EXPECT_FALSE(pair.flow().lost);
	EXPECT_THAT(pair.flow().why, HasSubstr("another edge has this address"));
}

TEST(MarkJoin, OtherPeriods)
{
	Pair pair = some();
	pair.backend.period_ms = 2000;
	EXPECT_THAT(pair.flow().why, HasSubstr("periods differ"));
}

TEST(MarkJoin, WorstFirstAndUnknownLast)
{
	Pair pair = some();
	MarkRecord worse = pair.edge.sent.flows.at(0), unknown = worse;
	worse.key.client_port = 40001;
	worse.settled += 500;
	unknown.key.client_port = 40002;
	unknown.key.backend = *Address::parse("10.1.0.99");
	pair.edge.sent.flows.insert(pair.edge.sent.flows.begin(), unknown);
	pair.edge.sent.flows.push_back(worse);
	MarkRecord got = pair.backend.received.flows.at(0);
	got.key.client_port = 40001;
	pair.backend.received.flows.push_back(got);
	const MarkJoin join = join_marks({pair.edge, pair.backend});
	ASSERT_EQ(join.flows.size(), 3U);
	EXPECT_EQ(join.flows[0].lost, 508U);
	EXPECT_EQ(join.flows[1].lost, 8U);
	EXPECT_FALSE(join.flows[2].lost);
}

TEST(MarkJoin, OfANodesReportsTheLatestCounts)
{
	const Pair pair = some();
	MarkReport older = pair.edge;
	older.time -= 50'000;
	older.sent.flows.clear();
	EXPECT_EQ(join_marks({pair.edge, older, pair.backend}).flows.size(), 1U);
}

TEST(MarkJson, ComesBackAsItWas)
{
	Pair pair = some();
	pair.edge.sent.flows.at(0).vip = "www";
	pair.edge.sent.flows.at(0).backend = "web/b1";
	pair.edge.received.last_no_room = kNow;
	const auto json = marks_to_json(pair.edge);
	const auto back = marks_from_json(json);
	ASSERT_TRUE(back) << back.error().message();
	EXPECT_EQ(*back, pair.edge);
	EXPECT_EQ(*marks_from_json({{"marking", json}, {"flows", {}}}), pair.edge);
	EXPECT_TRUE(marks_from_json(marks_to_json(pair.edge, false))->sent.flows.empty());
}

TEST(MarkJson, AFullTableOfServicesFitsIntoAnAnswer)
{
	MarkReport report = node("b1");
	MarkRecord one = record(false, 123'456'789'012, {});
	one.key.edge = one.key.backend = one.key.vip =
		*Address::parse("2001:db8:1111:2222:3333:4444:5555:6666");
	for (int i = 0; i < AX_MARK_SLOTS; i++)
		one.periods.push_back(slot(i, 123'456'789));
	report.received.sums.assign(AX_MARK_SUMS, one);
	const std::string text = marks_to_json(report, false).dump();
	EXPECT_LT(text.size(), kMostMarkBytes);
	EXPECT_EQ(parse_marks(text)->received.sums.size(), std::size_t{AX_MARK_SUMS});
}

TEST(MarkJson, WhatIsNoReportIsRefused)
{
	const Pair pair = some();
	EXPECT_THAT(parse_marks("{").error().message(), HasSubstr("no JSON"));
	EXPECT_THAT(parse_marks("{}").error().message(), HasSubstr("no report"));
	EXPECT_THAT(parse_marks("[]").error().message(), HasSubstr("no report"));
	for (const auto &[key, value] :
	     {std::pair<const char *, nlohmann::ordered_json>{"period_ms", -1.0},
	      {"period_ms", 1e-300},
	      {"node", 3},
	      {"sent", nullptr}}) {
		auto json = marks_to_json(pair.edge);
		json[key] = value;
		EXPECT_FALSE(marks_from_json(json)) << key;
	}
	for (const auto &[key, value] :
	     {std::pair<const char *, nlohmann::ordered_json>{"vip", "nowhere"},
	      {"port", 65536},
	      {"port", -1},
	      {"first", 32},
	      {"client", nullptr}}) {
		auto json = marks_to_json(pair.edge);
		json["sent"]["flows"][0][key] = value;
		EXPECT_FALSE(marks_from_json(json)) << key;
	}
}

TEST(MarkText, SaysFigureAndReason)
{
	Pair pair = some();
	pair.edge.sent.sums.at(0).vip = "www";
	pair.edge.sent.sums.at(0).backend = "web/b1";
	pair.backend.received.flows.at(0).settled = 1100;
	const MarkJoin join = join_marks({pair.edge, pair.backend});
	const std::string text = render::mark_join_text(join, 0);
	EXPECT_THAT(text, testing::ContainsRegex("10.0.0.1 +www +web/b1 +8 +1110 +0.721 % +exact"));
	EXPECT_THAT(text, testing::ContainsRegex("203.0.113.10:40000 > 198.51.100.80:80 tcp .* - "
						 ".*another edge"));
	const auto json = render::mark_join_json(join, 0);
	EXPECT_EQ(json["services"][0]["lb_backend_lost"]["value"], 8);
	EXPECT_EQ(json["services"][0]["lb_backend_lost"]["kind"], "exact");
	EXPECT_TRUE(json["flows"][0]["lb_backend_lost"]["value"].is_null());
	EXPECT_EQ(json["flows"][0]["flow"]["source_port"], 40000);
}

TEST(Mark, PeriodsArePowersOfTwoOfTicks)
{
	EXPECT_EQ(mark_shift(Milliseconds(1000), 250), 8);
	EXPECT_EQ(mark_shift(Milliseconds(500), 250), 7);
	EXPECT_EQ(mark_shift(Milliseconds(1000), 1000), 10);
	EXPECT_EQ(mark_shift(Milliseconds(1000), 100), 7);
	EXPECT_EQ(mark_shift(Milliseconds(500), 300), 8);
}

TEST(Mark, SaysWhyAServiceIsNotMarked)
{
	Config config;
	Vip vip;
	vip.forward = AX_FORWARD_L2DSR;
	EXPECT_THAT(unmarked_because(config, vip), HasSubstr("no second observer"));
	vip.forward = AX_FORWARD_GUE;
	EXPECT_THAT(unmarked_because(config, vip), HasSubstr("marking is off"));
	config.marking = true;
	EXPECT_TRUE(is_marked(config, vip));
	config.gue_variant = 1;
	EXPECT_THAT(unmarked_because(config, vip), HasSubstr("variant 1"));
	vip.forward = AX_FORWARD_IPIP;
	EXPECT_TRUE(is_marked(config, vip));
}

} // namespace
} // namespace anycast
