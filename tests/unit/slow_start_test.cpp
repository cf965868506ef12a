// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A backend that comes takes over its slots little by little, and nobody else's move.
#include "core/slow_start.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/config.h"
#include "image_parts.h"

namespace anycast {
namespace {

constexpr std::int64_t kStart = 1'800'000'000;

Config warming(std::int64_t since)
{
	Config config = three_backends();
	config.pools[0].table_size = 16381;
	config.pools[0].slow_start = 160;
	config.pools[0].backends[1].since = since;
	return config;
}

Image at(const Config &config, std::int64_t now)
{
	NodeFacts facts = kFacts;
	facts.now = now;
	return compiled(config, facts);
}

double share_of(const Image &image, std::size_t id)
{
	return slot_shares(image.slots, image.pools[0], image.backends.size())[id];
}

} // namespace

TEST(SlowStart, GrowsInStepsToTheWholeShare)
{
	const Config config = warming(kStart);
	double last = 0;
	for (std::int64_t second = 0; second < 160; ++second) {
		const Pool &pool = config.pools[0];
		const std::uint8_t step = warmth(pool, pool.backends[1], kStart + second);
		EXPECT_GE(step, 1);
		EXPECT_LT(step, kWarm);
		if (second % 20 != 0)
			continue;
		const double share = share_of(at(config, kStart + second), 1);
		EXPECT_NEAR(share, step / 16.0 / 3, 0.02) << second;
		EXPECT_GT(share, last);
		last = share;
	}
	const Config plain = three_backends();
	EXPECT_EQ(warmth(config.pools[0], config.pools[0].backends[1], kStart + 160), kWarm);
	EXPECT_EQ(at(config, kStart + 160).digest, at(warming(0), kStart).digest);
	EXPECT_EQ(warmth(config.pools[0], config.pools[0].backends[1], kStart - 1000), 1)
		<< "another clock may be behind";
	EXPECT_EQ(warmth(plain.pools[0], plain.pools[0].backends[1], kStart), kWarm);
}

// A flow that goes to the backend at some time goes on doing so; the others' stay as they are.
TEST(SlowStart, OnlyAddsSlotsAndTheOwnerIsACandidateOfTheRest)
{
	const Config config = warming(kStart);
	const Image whole = at(config, kStart + 1000);
	Image before = at(config, kStart);
	for (std::int64_t second = 10; second <= 160; second += 10) {
		const Image now = at(config, kStart + second);
		for (std::size_t s = 0; s < now.slots.size(); ++s) {
			const ax_slot &slot = now.slots[s], &was = before.slots[s];
			const std::uint16_t owner = whole.slots[s].backend[0];
			std::uint16_t expected = owner;
			if (owner == 1 && slot.backend[0] != 1) // not yet: as before
				expected = was.backend[0];
			ASSERT_EQ(slot.backend[0], expected) << s;
			ASSERT_TRUE(owner != 1 || was.backend[0] != 1 || slot.backend[0] == 1) << s;
			ASSERT_EQ(slot.backend[slot.backend[0] == owner ? 0 : 1], owner) << s;
		}
		before = now;
	}
	EXPECT_EQ(std::memcmp(before.slots.data(), whole.slots.data(),
			      whole.slots.size() * sizeof(ax_slot)),
		  0);
}

TEST(SlowStart, WithNobodyWarmOwnersServe)
{
	Config config = warming(kStart);
	for (Backend &backend : config.pools[0].backends)
		backend.since = kStart;
	const Image all = at(config, kStart), warm = at(config, kStart + 1000);
	for (std::size_t s = 0; s < all.slots.size(); ++s)
		ASSERT_EQ(all.slots[s].backend[0], warm.slots[s].backend[0]);
	config.pools[0].backends[0].state = AX_BACKEND_DOWN;
	config.pools[0].backends[2].state = AX_BACKEND_DOWN;
	EXPECT_NEAR(share_of(at(config, kStart), 1), 1, 1e-9);
}

TEST(SlowStart, BeginsWhereABackendComesAndIsForgottenWhenItIsOver)
{
	const Config running = warming(0);
	Config next = running;
	carry_slow_starts(running, next, kStart);
	EXPECT_EQ(next, running) << "nobody has come";

	next.pools[0].backends.push_back(backend("10.1.0.14"));
	carry_slow_starts(running, next, kStart);
	EXPECT_EQ(next.pools[0].backends[3].since, kStart);
	EXPECT_EQ(next.pools[0].backends[0].since, 0);

	Config later = next; // the file, which knows nothing of it, is applied again
	later.pools[0].backends[3].since = 0;
	carry_slow_starts(next, later, kStart + 50);
	EXPECT_EQ(later.pools[0].backends[3].since, kStart);
	EXPECT_EQ(next_warming(later, kStart + 50), kStart + 54);
	carry_slow_starts(next, later, kStart + 160);
	EXPECT_EQ(later.pools[0].backends[3].since, 0);
	EXPECT_EQ(next_warming(later, kStart + 160), 0);

	Config drained = running, back = running;
	drained.pools[0].backends[0].state = AX_BACKEND_DRAINING;
	carry_slow_starts(drained, back, kStart);
	EXPECT_EQ(back.pools[0].backends[0].since, kStart) << "undrained, or up again";
	carry_slow_starts(back, drained, kStart + 10);
	EXPECT_EQ(drained.pools[0].backends[0].since, 0);

	Config moved = running;
	moved.pools[0].backends[0].address = address("10.1.0.99");
	carry_slow_starts(running, moved, kStart);
	EXPECT_EQ(moved.pools[0].backends[0].since, kStart) << "another machine";

	Config fresh = running;
	fresh.pools[0].name = "new";
	fresh.vips[0].pool = "new";
	carry_slow_starts(running, fresh, kStart);
	EXPECT_EQ(fresh.pools[0].backends[0].since, 0) << "nobody else would take the load";
}

// At each time that it names, and at none before, there is a step.
TEST(SlowStart, NextStepIsWhenTheShareGrows)
{
	for (const std::uint32_t seconds : {1U, 7U, 15U, 160U, 300U}) {
		Config config = warming(kStart);
		config.pools[0].slow_start = seconds;
		const Pool &pool = config.pools[0];
		std::int64_t due = next_warming(config, kStart);
		std::uint8_t last = warmth(pool, pool.backends[1], kStart);
		for (std::int64_t now = kStart; due != 0 && now <= kStart + seconds; ++now) {
			const std::uint8_t step = warmth(pool, pool.backends[1], now);
			EXPECT_EQ(step > last, now >= due) << seconds << " s, at " << now - kStart;
			if (now >= due) {
				last = step;
				due = next_warming(config, now);
			}
		}
		EXPECT_EQ(due, 0);
		EXPECT_EQ(last, kWarm);
	}
}

TEST(SlowStart, IsReadAndWritten)
{
	const std::string text =
		"[node]\nhash_seed = \"000102030405060708090a0b0c0d0e0f\"\ninterfaces = "
		"[\"eth0\"]\n[[pools]]\nname = \"web\"\nslow_start = \"5m\"\n"
		"[[pools.backends]]\naddress = \"10.1.0.11\"\nsince = 1800000000\n"
		"[[vips]]\nname = \"www\"\naddress = \"198.51.100.1\"\nport = 80\npool = "
		"\"web\"\n";
	const auto parsed = parse_config(text, "f");
	ASSERT_TRUE(parsed) << parsed.error().what;
	EXPECT_EQ(parsed->config.pools[0].slow_start, 300U);
	EXPECT_EQ(parsed->config.pools[0].backends[0].since, kStart);
	const auto again = parse_config(to_toml(parsed->config), "again");
	ASSERT_TRUE(again) << again.error().what;
	EXPECT_EQ(again->config, parsed->config);
	std::string wrong = text;
	wrong.replace(wrong.find("5m"), 2, "25h");
	EXPECT_FALSE(parse_config(wrong, "f"));
}

} // namespace anycast
