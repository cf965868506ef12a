// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/damping.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "support/damping_router.h"

namespace anycast {
namespace {

constexpr double kEpoch = 1'700'000'000;

const DampingProfile &profile(const char *name)
{
	const DampingProfile *found = find_damping_profile(name);
	EXPECT_NE(found, nullptr) << name;
	return *found;
}

using Router = test::DampingRouter;

TEST(Damping, ProfilesAreKnownByName)
{
	for (const char *name : {"rfc2439", "cisco", "juniper", "frr", "rfc7196"})
		EXPECT_EQ(profile(name).name, name);
	EXPECT_EQ(find_damping_profile("none"), nullptr);
}

TEST(Damping, APrefixWithoutHistoryIsAnnouncedAtOnce)
{
	for (const DampingProfile &each : damping_profiles()) {
		EXPECT_EQ(Damping(each).wait_to_announce(kEpoch), 0) << each.name;
		EXPECT_EQ(Damping(each).wait_to_change(kEpoch), 0) << each.name;
	}
}

TEST(Damping, PenaltyHalvesInAHalfLife)
{
	Damping damping(profile("rfc2439"));
	damping.withdrawn(kEpoch);
	EXPECT_EQ(damping.penalty(kEpoch), 1000);
	// Two seconds are for clocks that differ.
	EXPECT_NEAR(damping.penalty(kEpoch + 902), 500, 1e-9);
	EXPECT_NEAR(damping.penalty(kEpoch + 1802), 250, 1e-9);
	EXPECT_EQ(damping.penalty(kEpoch + 6.9), 1000); // not yet a tick there
	EXPECT_LT(damping.penalty(kEpoch + 7), 1000);
}

TEST(Damping, SecondFlapWaitsForAHalfLife)
{
	Damping damping(profile("rfc2439"));
	damping.withdrawn(kEpoch);
	// 1000 now and 1000 for the next: that is the threshold, until a tick has passed.
	EXPECT_EQ(damping.wait_to_announce(kEpoch), 7);
	damping.announced(kEpoch + 7);
	damping.withdrawn(kEpoch + 8);
	EXPECT_NEAR(damping.penalty(kEpoch + 8), 1996, 1);
	EXPECT_FALSE(damping.suppressed(kEpoch + 8));
	const double wait = damping.wait_to_announce(kEpoch + 8);
	EXPECT_NEAR(wait, 900, 10);
	EXPECT_LT(damping.penalty(kEpoch + 8 + wait), 1000);
	EXPECT_GE(damping.penalty(kEpoch + 8 + wait - 5), 1000);
}

TEST(Damping, WaitShrinksAsTimePassesAndEndsWhenItSaid)
{
	Damping damping(profile("rfc2439"));
	damping.withdrawn(kEpoch);
	damping.withdrawn(kEpoch);
	const double wait = damping.wait_to_announce(kEpoch);
	EXPECT_NEAR(damping.wait_to_announce(kEpoch + 100), wait - 100, 1e-6);
	EXPECT_GT(damping.wait_to_announce(kEpoch + wait - 0.001), 0);
	EXPECT_EQ(damping.wait_to_announce(kEpoch + wait), 0);
}

TEST(Damping, ADrainCostsAndMayHaveToWait)
{
	Damping damping(profile("rfc2439"));
	damping.changed(kEpoch);
	EXPECT_EQ(damping.penalty(kEpoch), 500);
	EXPECT_EQ(damping.wait_to_announce(kEpoch), 0);
	EXPECT_GT(damping.wait_to_change(kEpoch), 0); // 500 + 500 + 1000
	EXPECT_NEAR(damping.wait_to_change(kEpoch), 7, 1);
}

TEST(Damping, JuniperCountsTheAnnouncementToo)
{
	Damping damping(profile("juniper"));
	damping.announced(kEpoch); // the first ever is no flap
	EXPECT_EQ(damping.penalty(kEpoch), 0);
	damping.withdrawn(kEpoch + 1);
	damping.announced(kEpoch + 20);
	EXPECT_GT(damping.penalty(kEpoch + 20), 1950);
}

TEST(Damping, HigherThresholdsOfRfc7196AllowMore)
{
	Damping strict(profile("rfc2439")), lenient(profile("rfc7196"));
	for (Damping *each : {&strict, &lenient})
		for (int i = 0; i < 4; i++)
			each->withdrawn(kEpoch + i);
	EXPECT_GT(strict.wait_to_announce(kEpoch + 4), 1500);
	EXPECT_EQ(lenient.wait_to_announce(kEpoch + 4), 0);
}

TEST(Damping, PenaltyHasACeilingSoThatNoWaitIsForEver)
{
	Damping damping(profile("rfc2439"));
	for (int i = 0; i < 1000; i++)
		damping.withdrawn(kEpoch + i);
	EXPECT_EQ(damping.penalty(kEpoch + 999), 12000); // 750 after an hour
	EXPECT_LE(damping.wait_to_announce(kEpoch + 999), 3600);
}

TEST(Damping, AClockThatStepsBackForgivesNothing)
{
	Damping damping(profile("rfc2439"));
	damping.withdrawn(kEpoch);
	EXPECT_EQ(damping.penalty(kEpoch - 86400), 1000);
	damping.withdrawn(kEpoch - 86400);
	EXPECT_EQ(damping.penalty(kEpoch - 86400), 2000);
	EXPECT_EQ(damping.penalty(kEpoch), 2000);
}

TEST(Damping, ARecordContinuesWhereItStopped)
{
	Damping before(profile("rfc2439"));
	before.withdrawn(kEpoch);
	before.withdrawn(kEpoch + 30);
	const Damping after(profile("rfc2439"), before.record());
	EXPECT_EQ(after.penalty(kEpoch + 500), before.penalty(kEpoch + 500));
	EXPECT_EQ(after.wait_to_announce(kEpoch + 60), before.wait_to_announce(kEpoch + 60));
}

// Whatever a service does, and however late each message reaches the router (up to a second each
// way): it never suppresses a speaker that asks the model, and no wait is longer than the hour
// after which routers forgive.
class DampingProperty : public testing::TestWithParam<std::string_view> {};

TEST_P(DampingProperty, NoRouterSuppressesWhoAsksFirst)
{
	const DampingProfile &each = *find_damping_profile(GetParam());
	std::mt19937_64 random(42);
	std::uniform_real_distribution<double> delay(0, 1), unit(0, 1);
	for (int run = 0; run < 200; run++) {
		Router router(each);
		Damping damping(each);
		bool announced = true, drained = false;
		double now = kEpoch, sent = 0;
		int flaps = 0;
		const double pace = std::pow(10, 3 * unit(random)); // 1 s to 1000 s
		for (int step = 0; step < 400; step++) {
			now += pace * unit(random);
			sent = std::max(sent, now + delay(random)); // TCP keeps the order
			if (announced && unit(random) < 0.7) {
				damping.withdrawn(now);
				router.withdraw(sent);
				announced = drained = false;
				flaps++;
			} else if (announced) {
				if (damping.wait_to_change(now) > 0)
					continue;
				drained = !drained;
				damping.changed(now);
				router.change(sent);
			} else if (damping.wait_to_announce(now) <= 0) {
				damping.announced(now);
				router.announce(sent);
				announced = true;
			}
			ASSERT_GE(damping.penalty(now) + 1e-6, router.penalty_at(sent));
			ASSERT_FALSE(router.ever_suppressed())
				<< each.name << ", run " << run << ", step " << step;
			ASSERT_LE(damping.wait_to_announce(now), each.max_suppress);
		}
		ASSERT_GT(flaps, 0);
	}
}

// The check has teeth: the same service without the model is suppressed.
TEST_P(DampingProperty, TheSameServiceUnaskedIsSuppressed)
{
	const DampingProfile &each = *find_damping_profile(GetParam());
	Router router(each);
	for (int flap = 0; flap < 12; flap++) { // in 60 s
		router.withdraw(kEpoch + 5 * flap);
		router.announce(kEpoch + 5 * flap + 2);
	}
	EXPECT_TRUE(router.ever_suppressed());
}

// Every 2 s up or down, for 10 minutes: withdrawn at once, and announced a few times only.
TEST_P(DampingProperty, AFlappingServiceIsAnnouncedSeldom)
{
	const DampingProfile &each = *find_damping_profile(GetParam());
	Router router(each);
	Damping damping(each);
	bool announced = true;
	int announcements = 0;
	for (double now = kEpoch; now < kEpoch + 600; now += 2) {
		const bool healthy = std::fmod(now - kEpoch, 4) < 2;
		if (announced && !healthy) {
			damping.withdrawn(now);
			router.withdraw(now);
			announced = false;
		} else if (!announced && healthy && damping.wait_to_announce(now) <= 0) {
			damping.announced(now);
			router.announce(now);
			announced = true;
			announcements++;
		}
	}
	EXPECT_FALSE(router.ever_suppressed());
	EXPECT_GE(announcements, 1);
	EXPECT_LE(announcements, 8);
}

INSTANTIATE_TEST_SUITE_P(Profiles, DampingProperty,
			 testing::Values("rfc2439", "juniper", "rfc7196"),
			 [](const auto &each) { return std::string(each.param); });

} // namespace
} // namespace anycast
