// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/announcer.h"

#include <gmock/gmock.h>

#include "core/overload.h"

namespace anycast {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const Address kWww = *Address::parse("198.51.100.80"), kCanary = *Address::parse("198.51.100.1");

class AnnouncerTest : public testing::Test {
protected:
	AnnouncerTest()
	{
		facts[kWww].health = Health::kUp;
		options.canary_hold = Milliseconds(30000);
	}
	Decision step(double seconds = 1)
	{
		now += seconds;
		return announcer.decide(facts, options, overloaded, now).at(kWww);
	}
	Reach reach(double seconds = 1) { return step(seconds).reach; }
	void order(OrderKind kind, std::optional<double> expires = {})
	{
		announcer.order(kWww,
				{.kind = kind, .reason = "test", .since = now, .expires = expires});
	}

	std::map<Address, Damping> dampings;
	std::map<Address, VipFacts> facts;
	AgentOptions options;
	bool overloaded = false;
	double now = 1e9;
	Announcer announcer{[this](const Address &vip) -> Damping & {
		return dampings.try_emplace(vip, *find_damping_profile("rfc2439")).first->second;
	}};
};

TEST_F(AnnouncerTest, FollowsHealth)
{
	facts[kWww].health = Health::kUnknown;
	EXPECT_EQ(reach(), Reach::kWithdrawn) << "a service that nobody has asked";
	facts[kWww].health = Health::kUp;
	EXPECT_EQ(reach(), Reach::kAnnounced);
	facts[kWww].health = Health::kUnknown;
	EXPECT_EQ(reach(), Reach::kAnnounced) << "the agent has restarted: no flap";
	facts[kWww].health = Health::kDown;
	EXPECT_EQ(reach(), Reach::kWithdrawn);
	EXPECT_EQ(step().reason, "health: down");
}

// A router with RFC 2439's defaults never suppresses us, whatever the service does.
TEST_F(AnnouncerTest, FlappingServiceIsNeverSuppressed)
{
	Damping router(*find_damping_profile("rfc2439"));
	Reach before = Reach::kWithdrawn;
	int announcements = 0;
	for (int second = 0; second < 6 * 3600; second++) {
		facts[kWww].health = second % 4 < 2 ? Health::kUp : Health::kDown;
		const Decision decision = step();
		if (decision.reach != before && decision.reach == Reach::kWithdrawn)
			router.withdrawn(now);
		announcements += decision.reach != before && decision.reach == Reach::kAnnounced;
		before = decision.reach;
		ASSERT_FALSE(router.suppressed(now)) << "after " << second << " s";
	}
	EXPECT_GT(announcements, 2) << "it is announced again when that is safe";
}

TEST_F(AnnouncerTest, ShowsTheWait)
{
	reach();
	for (const double wait : {60, 1}) { // the first flap is nearly free, the second is not
		facts[kWww].health = Health::kDown;
		reach();
		facts[kWww].health = Health::kUp;
		reach(wait);
	}
	const Decision decision = step();
	EXPECT_EQ(decision.reach, Reach::kWithdrawn);
	EXPECT_GT(decision.wait, 60);
	EXPECT_THAT(decision.reason, StartsWith("damping: health: up"));
	EXPECT_EQ(reach(decision.wait + 1), Reach::kAnnounced);
}

TEST_F(AnnouncerTest, OrdersWinAndExpire)
{
	ASSERT_EQ(reach(), Reach::kAnnounced);
	order(OrderKind::kWithdraw, now + 60);
	EXPECT_EQ(reach(), Reach::kWithdrawn);
	EXPECT_EQ(step().reason, "order: withdraw (test)");
	EXPECT_EQ(reach(70), Reach::kAnnounced);
	EXPECT_TRUE(announcer.memory().orders.empty());

	facts[kWww].health = Health::kDown;
	EXPECT_EQ(reach(), Reach::kWithdrawn);
	order(OrderKind::kAnnounce);
	EXPECT_EQ(reach(), Reach::kAnnounced) << "forced, whatever checks and damping say";
	order(OrderKind::kAuto);
	EXPECT_EQ(reach(), Reach::kWithdrawn);
}

TEST_F(AnnouncerTest, DrainEndsInWithdrawalWhenNewFlowsStop)
{
	ASSERT_EQ(reach(), Reach::kAnnounced);
	order(OrderKind::kDrain);
	EXPECT_EQ(reach(), Reach::kDraining);
	EXPECT_EQ(reach(100), Reach::kDraining);
	facts[kWww].quiet = true;
	EXPECT_EQ(reach(), Reach::kWithdrawn);
	facts[kWww].quiet = false;
	EXPECT_EQ(reach(), Reach::kWithdrawn) << "not back into the drain";
	order(OrderKind::kAuto);
	EXPECT_EQ(reach(900), Reach::kAnnounced) << "a drain and a withdrawal: 1500 points";
	order(OrderKind::kDrain);
	EXPECT_EQ(reach(), Reach::kDraining);
	facts[kWww].health = Health::kDown;
	EXPECT_EQ(reach(), Reach::kWithdrawn) << "a dead service is not drained";
}

TEST_F(AnnouncerTest, WhatNobodyServesIsNotAnnounced)
{
	ASSERT_EQ(reach(), Reach::kAnnounced);
	facts[kWww].served = false;
	EXPECT_EQ(reach(), Reach::kWithdrawn);
	EXPECT_THAT(step().reason, StartsWith("not served"));
	order(OrderKind::kAnnounce);
	EXPECT_EQ(reach(), Reach::kAnnounced) << "forced";
	order(OrderKind::kDrain);
	EXPECT_EQ(reach(), Reach::kWithdrawn);
	facts[kWww].served = true;
	order(OrderKind::kAuto);
	EXPECT_EQ(reach(1900), Reach::kAnnounced);
}

// A change of attributes costs as well; the end of a drain is one.
TEST_F(AnnouncerTest, TheEndOfADrainWaitsToo)
{
	ASSERT_EQ(reach(), Reach::kAnnounced);
	Damping router(*find_damping_profile("rfc2439"));
	Reach before = Reach::kAnnounced;
	int changes = 0;
	double longest = 0;
	for (int second = 0; second < 3600; second++) {
		overloaded = second % 20 < 10;
		const Decision decision = step();
		longest = std::max(longest, decision.wait);
		if (decision.reach != before) {
			ASSERT_NE(decision.reach, Reach::kWithdrawn);
			router.changed(now);
			changes++;
		}
		before = decision.reach;
		ASSERT_FALSE(router.suppressed(now)) << "after " << second << " s";
	}
	EXPECT_GE(changes, 2);
	EXPECT_GT(longest, 60) << "and it is shown";
}

TEST_F(AnnouncerTest, OverloadDrainsAndWithdrawsOnlyWithEvidence)
{
	ASSERT_EQ(reach(), Reach::kAnnounced);
	overloaded = true;
	EXPECT_EQ(reach(), Reach::kDraining);
	overloaded = false;
	EXPECT_EQ(reach(60), Reach::kAnnounced);
	options.overload.action = OverloadAction::kWithdraw;
	overloaded = true;
	EXPECT_EQ(reach(1800), Reach::kDraining) << "the upstreams have forgotten the first one";
	EXPECT_THAT(step().reason, HasSubstr("no other is seen"));
	facts[kWww].others_announce = true;
	EXPECT_EQ(reach(), Reach::kWithdrawn);
	options.overload.action = OverloadAction::kNone;
	EXPECT_EQ(reach(3600), Reach::kAnnounced);
}

TEST_F(AnnouncerTest, CanaryFirst)
{
	facts[kCanary] = {.health = Health::kDown, .canary = true};
	EXPECT_EQ(step().reason, "canary: not up yet");
	facts[kCanary].health = Health::kUp;
	step();
	EXPECT_EQ(announcer.memory().decisions.at(kCanary).reach, Reach::kAnnounced);
	EXPECT_EQ(reach(), Reach::kWithdrawn);
	EXPECT_THAT(step(10).reason, HasSubstr("of 30 s"));
	EXPECT_EQ(reach(15), Reach::kWithdrawn);
	facts[kCanary].health = Health::kDown; // the hold begins anew
	step();
	facts[kCanary].health = Health::kUp;
	step(60); // damping lets it be announced again
	step();
	EXPECT_EQ(reach(20), Reach::kWithdrawn);
	EXPECT_EQ(reach(15), Reach::kAnnounced);
	facts[kCanary].health = Health::kDown;
	EXPECT_EQ(reach(100), Reach::kAnnounced) << "production does not die with the canary";
}

TEST_F(AnnouncerTest, ForgetsWhatIsNoVipAnyMore)
{
	reach();
	order(OrderKind::kWithdraw);
	announcer.decide({}, options, false, now);
	EXPECT_TRUE(announcer.memory().decisions.empty());
	EXPECT_TRUE(announcer.memory().orders.empty());
}

class OverloadTest : public testing::Test {
protected:
	OverloadTest()
	{
		options.hold = Milliseconds(10000);
		options.cpu = {90, 70};
		options.temperature = {95, 85};
	}
	bool judge(double cpu, double seconds, std::optional<double> temperature = {})
	{
		bool overloaded = guard.overloaded();
		for (double t = 0; t < seconds; t++) {
			now++;
			Load load;
			load.cpu = cpu;
			load.temperature = temperature;
			overloaded = guard.judge(options, load, now);
		}
		return overloaded;
	}
	OverloadOptions options;
	OverloadGuard guard;
	double now = 0;
};

TEST_F(OverloadTest, NeedsTheHoldTimeBothWays)
{
	EXPECT_FALSE(judge(95, 9));
	EXPECT_FALSE(judge(60, 1)) << "one good sample begins anew";
	EXPECT_FALSE(judge(95, 10));
	EXPECT_TRUE(judge(95, 2));
	EXPECT_THAT(guard.reason(), HasSubstr("cpu 95 % (limit 90)"));
	EXPECT_TRUE(judge(80, 100)) << "between low and high it stays";
	EXPECT_TRUE(judge(60, 9));
	EXPECT_FALSE(judge(60, 2));
	EXPECT_FALSE(judge(80, 100)) << "and stays";
	EXPECT_EQ(guard.reason(), "");
}

TEST_F(OverloadTest, AnyGaugeCountsAndAllMustRecover)
{
	EXPECT_TRUE(judge(50, 12, 99));
	EXPECT_TRUE(judge(80, 30, 50)) << "cpu is between now";
	EXPECT_FALSE(judge(50, 12, 50));
}

TEST_F(OverloadTest, SaysWhatCannotBeMeasured)
{
	Load busy;
	busy.cpu = 1;
	EXPECT_THAT(unmeasurable(options, busy), testing::ElementsAre("temperature"));
	EXPECT_FALSE(judge(50, 100)) << "what cannot be measured overloads nobody";
}

} // namespace
} // namespace anycast
