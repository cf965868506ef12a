// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What an edge's agent makes of its backends' answers: both sides counted packet by packet, and
// what was lost is known.
#include "core/mark_pull.h"

#include <gmock/gmock.h>

#include "core/mark_json.h"

namespace anycast {
namespace {

using testing::HasSubstr;

const Address kEdge = *Address::parse("10.2.0.2"), kBackend = *Address::parse("10.1.0.11"),
	      kVip = *Address::parse("198.51.100.80");
const Endpoint kFrom{*Address::parse("10.9.0.11"), 9556}; // of management: no tunnel ends there
constexpr std::int64_t kBegin = 1'795'000'000'000;	  // Unix milliseconds

// One node's half of one service, counted as bpf/mark.h does.
struct Counted {
	std::uint64_t settled = 0;
	std::int64_t since = 0, last = 0;
	std::uint8_t first = 0;
	std::map<unsigned, MarkPeriod> slots;

	void add(std::uint8_t period, std::uint32_t packets, std::int64_t now)
	{
		if (since == 0) {
			since = now;
			first = period;
		}
		last = now;
		MarkPeriod &slot = slots[period % AX_MARK_SLOTS];
		if (slot.period != period || slot.began == 0) {
			settled += slot.packets;
			slot = {period, 0, now};
		}
		slot.packets += packets;
	}
};

// An edge and a backend at one clock. The edge's periods have their own beginning.
struct World {
	std::int64_t now = kBegin;
	std::int64_t edge_boot = kBegin - 3'600'250, skew = 0;
	std::int64_t edge_counts = kBegin - 600'000, backend_counts = kBegin - 600'000;
	std::optional<Counted> sent, received;
	std::uint64_t truth_lost = 0, truth_sent = 0;
	double backend_period = 1000;
	bool answers = true;
	MarkPull pull;

	[[nodiscard]] std::uint64_t period() const
	{
		return static_cast<std::uint64_t>(now - edge_boot) / 1000;
	}
	void send(std::uint32_t packets, std::uint32_t lost)
	{
		const auto number = static_cast<std::uint8_t>(period() % 32);
		if (!sent)
			sent.emplace();
		sent->add(number, packets, now);
		if (packets > lost) {
			if (!received)
				received.emplace();
			received->add(number, packets - lost, now + skew);
		}
		truth_lost += lost;
		truth_sent += packets;
	}
	// Some seconds of traffic, and an answer every two.
	void run(int seconds, std::uint32_t packets, std::uint32_t lost)
	{
		for (int i = 0; i < seconds * 10; i++) {
			now += 100;
			if (packets != 0)
				send(packets, i % 10 == 3 ? lost : 0);
			if (now % 2000 == 0)
				ask();
		}
	}
	static MarkRecord record(const Counted &counted)
	{
		MarkRecord made;
		made.key = {.edge = kEdge,
			    .backend = kBackend,
			    .vip = kVip,
			    .port = 80,
			    .protocol = 6,
			    .client = {}};
		made.settled = counted.settled;
		made.since = counted.since;
		made.last = counted.last;
		made.first = counted.first;
		for (const auto &[place, slot] : counted.slots)
			made.periods.push_back(slot);
		return made;
	}
	[[nodiscard]] MarkReport edge() const
	{
		MarkReport report;
		report.node = "edge";
		report.time = now;
		report.period_ms = 1000;
		report.period = period();
		report.period_began = edge_boot + static_cast<std::int64_t>(period()) * 1000;
		report.sent.since = report.received.since = edge_counts;
		if (sent) {
			report.sent.sums = {record(*sent)};
			report.sent.sums[0].vip = "www";
			report.sent.sums[0].backend = "web/b1";
		}
		return report;
	}
	[[nodiscard]] MarkReport backend() const
	{
		MarkReport report;
		report.node = "b1";
		report.time = now + skew;
		report.period_ms = backend_period;
		report.sent.since = report.received.since = backend_counts + skew;
		if (received)
			report.received.sums = {record(*received)};
		return report;
	}
	void ask()
	{
		MarkAnswer answer{
			.from = kFrom, .report = {}, .why = {}, .asked = now, .answered = now};
		if (answers)
			answer.report = backend();
		else
			answer.why = "does not answer";
		pull.add(edge(), {answer});
		const MarkSum sum = the();
		EXPECT_GE(sum.lost, before.lost) << "never back";
		EXPECT_GE(sum.of, before.of);
		EXPECT_LE(sum.lost, truth_lost) << "never more than was lost";
		before = sum;
	}
	[[nodiscard]] MarkSum the() const
	{
		const auto sums = pull.sums();
		return sums.empty() ? MarkSum{} : sums.at(0);
	}
	MarkSum before;
};

void expect_exact(const World &world, std::uint64_t lost, std::uint64_t of)
{
	const MarkSum sum = world.the();
	EXPECT_EQ(sum.why, "");
	EXPECT_EQ(sum.lost, lost);
	EXPECT_EQ(sum.of, of);
}

TEST(MarkPull, SumsAreTheTruth)
{
	World world;
	world.run(10, 0, 0);
	world.run(100, 7, 3); // periods' numbers wrap three times
	world.run(10, 0, 0);
	EXPECT_EQ(world.truth_lost, 300U);
	expect_exact(world, 300, 7000);
	EXPECT_EQ(world.the().vip, "www");
	EXPECT_EQ(world.the().backend, "web/b1");
	ASSERT_TRUE(world.the().since);
	EXPECT_EQ(*world.the().since, kBegin + 10'100);
}

TEST(MarkPull, NothingSentIsNoFigure)
{
	World world;
	world.run(4, 0, 0);
	EXPECT_TRUE(world.pull.sums().empty());
	world.send(5, 0);
	world.ask();
	EXPECT_THAT(world.the().why, HasSubstr("nothing of it was sent in a period that is over"));
	EXPECT_EQ(world.the().of, 0U);
}

TEST(MarkPull, WithoutAnswersSumsStayAndNothingIsMissingLater)
{
	World world;
	world.run(20, 10, 1);
	const MarkSum kept = world.the();
	EXPECT_EQ(kept.why, "");
	EXPECT_GE(kept.lost, 15U);
	world.answers = false;
	world.run(60, 10, 5);
	EXPECT_EQ(world.the().why, "10.9.0.11:9556 does not answer");
	EXPECT_EQ(world.the().lost, kept.lost);
	EXPECT_EQ(world.the().of, kept.of);
	world.answers = true;
	world.run(10, 0, 0);
	EXPECT_EQ(world.truth_lost, 320U);
	expect_exact(world, 320, 8000);
}

TEST(MarkPull, WhoNeverAnsweredIsNamedOnlyWhereItMustBeHim)
{
	World world;
	world.answers = false;
	world.run(10, 10, 1);
	EXPECT_THAT(world.the().why, HasSubstr("no backend of [agent] marks_from"));
	MarkAnswer silent{.from = {kBackend, 9556}, .report = {}, .why = "does not answer"};
	world.pull.add(world.edge(), {silent});
	EXPECT_EQ(world.the().why, "10.1.0.11:9556 does not answer");
}

// The interval is lost, and what follows is exact again.
TEST(MarkPull, TheBackendBeginsAnew)
{
	for (const std::int64_t skew : {-1500, 0, 1500}) {
		World world;
		world.skew = skew;
		world.run(30, 10, 2);
		world.run(8, 0, 0);
		expect_exact(world, 60, 3000);
		world.run(1, 10, 1); // not asked about before it is gone
		world.received.reset();
		world.backend_counts = world.now;
		world.run(8, 10, 1);
		EXPECT_THAT(world.the().why, HasSubstr("counts anew"));
		EXPECT_EQ(world.the().lost, 60U);
		world.run(40, 10, 1);
		EXPECT_EQ(world.the().why, "");
		const MarkSum then = world.the();
		// Of each ten periods from the new base on: what was lost is a hundredth.
		EXPECT_GT(then.of, 3000U + 1500);
		EXPECT_EQ((then.of - 3000) % 100, 0U);
		EXPECT_EQ(then.lost - 60, (then.of - 3000) / 100);
	}
}

TEST(MarkPull, TheEdgeBeginsAnew)
{
	for (const std::int64_t boot : {0, 777'123}) { // attached again; the machine, too
		World world;
		world.run(30, 10, 2);
		world.run(5, 0, 0);
		world.run(1, 10, 1);
		world.sent.reset();
		world.edge_counts = world.now;
		world.edge_boot += boot;
		world.run(8, 10, 1);
		EXPECT_THAT(world.the().why, HasSubstr("counts anew")) << boot;
		world.run(60, 10, 1);
		const MarkSum then = world.the();
		EXPECT_EQ(then.why, "");
		EXPECT_GT(then.of, 3000U + 2500);
		EXPECT_EQ((then.of - 3000) % 100, 0U);
		EXPECT_EQ(then.lost - 60, (then.of - 3000) / 100);
	}
}

TEST(MarkPull, TheEdgesAgentBeginsAnew)
{
	World world;
	world.run(50, 10, 2);
	world.pull = MarkPull();
	world.before = {};
	world.run(50, 10, 2);
	world.run(5, 0, 0);
	expect_exact(world, 200, 10000); // both sides have counted from the beginning

	world.received.reset(); // and where they have not: from now on
	world.backend_counts = world.now;
	world.pull = MarkPull();
	world.before = {};
	world.run(100, 10, 2);
	world.run(5, 0, 0);
	const MarkSum then = world.the();
	EXPECT_EQ(then.why, "");
	EXPECT_GT(then.of, 7000U);
	// Where it began anew, and at the end, parts of a second.
	EXPECT_NEAR(static_cast<double>(then.lost) * 50, static_cast<double>(then.of), 100);
}

TEST(MarkPull, ClocksMayDifferByTwoSeconds)
{
	for (const std::int64_t skew : {-1900, 1900}) {
		World world;
		world.skew = skew;
		world.run(50, 10, 2);
		world.run(10, 0, 0);
		expect_exact(world, 100, 5000);
		// More would give the backend's periods wrong numbers.
		world.skew *= 10;
		world.run(10, 10, 2);
		EXPECT_THAT(world.the().why, HasSubstr(skew < 0 ? "clock is 19.0 s behind"
								: "clock is 19.0 s ahead"));
		EXPECT_EQ(world.the().lost, 100U);
	}
}

TEST(MarkPull, WhatTheBackendDoesNotCount)
{
	World world;
	world.run(20, 10, 2);
	const MarkSum kept = world.the();
	world.backend_period = 2000;
	world.ask();
	EXPECT_THAT(world.the().why, HasSubstr("periods differ: 1000 ms at the edge, 2000 ms"));
	world.backend_period = 0;
	world.ask();
	EXPECT_THAT(world.the().why, HasSubstr("marking is off there"));
	EXPECT_EQ(world.the().lost, kept.lost);
}

TEST(MarkPull, AllIsLost)
{
	World world;
	world.run(20, 10, 0);
	world.run(20, 10, 10); // of each tenth send
	world.run(5, 0, 0);
	expect_exact(world, 200, 4000);
}

// A packet that comes when its period was closed has counted as lost: the next ones make up for it.
TEST(MarkPull, LatePacketsAreSetOffAgainstLaterLosses)
{
	World world;
	world.run(20, 10, 2);
	world.run(6, 0, 0);
	expect_exact(world, 40, 2000);
	world.received->settled += 1;
	world.truth_lost -= 1;
	world.before.lost = 0;
	world.now += 1000;
	MarkAnswer answer{.from = kFrom,
			  .report = world.backend(),
			  .why = {},
			  .asked = world.now,
			  .answered = world.now};
	world.pull.add(world.edge(), {answer});
	expect_exact(world, 40, 2000);
	world.now += 1000;
	world.run(20, 10, 2);
	world.run(6, 0, 0);
	expect_exact(world, world.truth_lost, 4000);
}

TEST(MarkPull, MoreThanWasSentIsNoFigure)
{
	World world;
	world.run(20, 10, 0);
	world.run(6, 0, 0);
	expect_exact(world, 0, 2000);
	world.received->settled += 7; // somebody else's
	world.run(2, 0, 0);
	EXPECT_THAT(world.the().why, HasSubstr("7 arrived of 0 that were sent"));
	EXPECT_EQ(world.the().of, 2000U);
	world.run(20, 10, 1);
	world.run(6, 0, 0);
	EXPECT_EQ(world.the().why, "");
	EXPECT_LE(world.the().lost, 20U);
}

TEST(MarkPull, WhatIsNotSentAnyMoreKeepsItsSum)
{
	World world;
	world.run(20, 10, 1);
	world.run(6, 0, 0);
	world.sent.reset();
	world.ask();
	EXPECT_THAT(world.the().why, HasSubstr("has sent nothing there"));
	EXPECT_EQ(world.the().lost, 20U);
	EXPECT_EQ(world.the().of, 2000U);
}

} // namespace
} // namespace anycast
