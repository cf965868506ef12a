// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a pool was before: remembered by changes, and in the slots of every node.
#include "core/generations.h"

#include <algorithm>
#include <functional>
#include <set>
#include <span>

#include <gmock/gmock.h>

#include "config/config.h"
#include "core/edit.h"
#include "core/maglev.h"
#include "unit/image_parts.h"

namespace anycast {
namespace {

constexpr std::int64_t kNow = 1'800'000'000;

Config by_gue()
{
	Config config = three_backends();
	config.vips[0].forward = AX_FORWARD_GUE;
	return config;
}

Config changed(const Config &running, auto edit, std::int64_t now = kNow)
{
	Config next = running;
	edit(next);
	const Status carried = carry_generations(running, next, now);
	EXPECT_TRUE(carried) << carried.error().what;
	return next;
}

Config with_one_more(const Config &config, const std::string &text, std::int64_t now = kNow)
{
	return changed(
		config, [&](Config &next) { next.pools[0].backends.push_back(backend(text)); },
		now);
}

// Names of a slot's candidates.
std::vector<std::string> candidates(const Image &image, std::size_t slot)
{
	std::vector<std::string> names;
	for (std::uint16_t i = 0; i < image.slots[slot].count; ++i)
		names.push_back(image.ids.backends[image.slots[slot].backend[i]].name);
	return names;
}

// Slots of `after` that do not name whom `before` sent its flows to.
std::size_t forgotten(const Image &before, const Image &after)
{
	std::size_t slots = 0;
	for (std::size_t s = 0; s < before.slots.size(); ++s)
		slots += !std::ranges::count(candidates(after, s), candidates(before, s).at(0));
	return slots;
}

TEST(Generations, AChangeOfBackendsOrWeightsLeavesOne)
{
	const Config first = by_gue();
	const Config second = with_one_more(first, "10.1.0.14");
	ASSERT_EQ(second.pools[0].generations.size(), 1U);
	EXPECT_EQ(second.pools[0].generations[0],
		  (Generation{1,
			      kNow + kRememberSeconds,
			      {{"10.1.0.11", 100}, {"10.1.0.12", 100}, {"10.1.0.13", 100}}}));
	const Config third = changed(
		second, [](Config &next) { next.pools[0].backends[0].weight = 50; }, kNow + 1);
	ASSERT_EQ(third.pools[0].generations.size(), 2U);
	EXPECT_EQ(third.pools[0].generations[1].number, 2U);
	EXPECT_EQ(third.pools[0].generations[1].weights.size(), 4U);
}

TEST(Generations, StatesLeaveNone)
{
	const Config drained = changed(by_gue(), [](Config &next) {
		next.pools[0].backends[0].state = AX_BACKEND_DRAINING;
	});
	EXPECT_TRUE(drained.pools[0].generations.empty());
}

TEST(Generations, NothingIsRememberedWhereNobodyIsTold)
{
	Config ipip = by_gue();
	ipip.vips[0].forward = AX_FORWARD_IPIP;
	EXPECT_TRUE(with_one_more(ipip, "10.1.0.14").pools[0].generations.empty());
	Config off = by_gue();
	off.second_chance = false;
	EXPECT_TRUE(with_one_more(off, "10.1.0.14").pools[0].generations.empty());
}

TEST(Generations, TheSameFileAgainChangesNothing)
{
	const Config file = with_one_more(by_gue(), "10.1.0.14");
	Config without = file;
	without.pools[0].generations.clear();
	const Config again = changed(
		file, [&](Config &next) { next = without; }, kNow + 5);
	EXPECT_EQ(again, file);
}

TEST(Generations, AFileThatNamesThemIsTakenAtItsWord)
{
	Config file = with_one_more(by_gue(), "10.1.0.14");
	file.pools[0].generations[0].number = 7;
	const Config taken = changed(by_gue(), [&](Config &next) { next = file; });
	EXPECT_EQ(taken, file);
}

TEST(Generations, AThirdChangeWaitsUntilOneRetires)
{
	const Config second = with_one_more(by_gue(), "10.1.0.14");
	const Config third = with_one_more(second, "10.1.0.15", kNow + 10);
	Config next = third;
	next.pools[0].backends.push_back(backend("10.1.0.16"));
	const Status refused = carry_generations(third, next, kNow + kRememberSeconds - 1);
	ASSERT_FALSE(refused);
	EXPECT_THAT(refused.error().what, testing::HasSubstr("pool web was changed 2 times"));
	const Config later = with_one_more(third, "10.1.0.16", kNow + kRememberSeconds);
	ASSERT_EQ(later.pools[0].generations.size(), 2U);
	EXPECT_EQ(later.pools[0].generations[0].number, 2U);
	EXPECT_EQ(later.pools[0].generations[1].number, 3U);
}

TEST(Generations, SlotsNameWhoHadTheFlowsBefore)
{
	const Config first = by_gue(), second = with_one_more(first, "10.1.0.14");
	const Config third =
		changed(second, [](Config &next) { next.pools[0].backends[1].weight = 300; });
	const Image one = compiled(first), two = compiled(second), three = compiled(third);
	EXPECT_EQ(forgotten(one, two), 0U);
	EXPECT_EQ(forgotten(two, three), 0U);
	EXPECT_EQ(forgotten(one, three), 0U);
	Config amnesia = third;
	amnesia.pools[0].generations.clear();
	EXPECT_GT(forgotten(one, compiled(amnesia)), 0U);
	for (std::size_t s = 0; s < three.slots.size(); ++s) {
		const auto names = candidates(three, s);
		EXPECT_EQ(std::set(names.begin(), names.end()).size(), names.size());
		EXPECT_EQ(names[0], candidates(compiled(amnesia), s)[0]) << "owners of now";
		if (s > 20)
			break;
	}
}

// One that fails, drains or comes back beside a change of the pool.
TEST(Generations, AStateAndAChangeTogetherForgetNobody)
{
	for (const ax_backend_state state : {AX_BACKEND_DOWN, AX_BACKEND_DRAINING}) {
		const Config first = by_gue();
		const Config second = with_one_more(first, "10.1.0.14");
		for (std::size_t i = 0; i < 3; ++i) {
			Config before = first, after = second;
			after.pools[0].backends[i].state = state;
			EXPECT_EQ(forgotten(compiled(before), compiled(after)), 0U);
			before.pools[0].backends[i].state = state; // and where its flows went
			EXPECT_EQ(forgotten(compiled(before), compiled(after)), 0U);
			EXPECT_EQ(
				forgotten(compiled(after),
					  compiled(changed(after,
							   [&](Config &next) {
								   next.pools[0].backends[i].state =
									   AX_BACKEND_ACTIVE;
							   }))),
				0U);
		}
	}
}

// A node that has seen it all, and one that has the file and nothing else.
TEST(Generations, ANewNodeComputesTheSame)
{
	const Config old = by_gue(), running = with_one_more(old, "10.1.0.14");
	const Image seen = compiled(running, kFacts, compiled(old).ids);
	const auto parsed = parse_config(to_toml(running), "file");
	ASSERT_TRUE(parsed) << parsed.error().what;
	EXPECT_EQ(parsed->config.pools, running.pools);
	Config shuffled = parsed->config;
	std::ranges::reverse(shuffled.pools[0].backends);
	const Image fresh = compiled(shuffled);
	EXPECT_EQ(fresh.digest, seen.digest);
	for (std::size_t s = 0; s < seen.slots.size(); ++s)
		ASSERT_EQ(candidates(fresh, s), candidates(seen, s)) << "slot " << s;
	Config amnesia = shuffled;
	amnesia.pools[0].generations.clear();
	EXPECT_NE(compiled(amnesia).digest, seen.digest);
}

// What an edit makes and what a file makes.
TEST(Generations, EditsAndFilesComeToTheSame)
{
	ObjectEdit one;
	one.name = "10.1.0.12";
	one.weight = 50;
	ObjectEdit more;
	more.pool = "web";
	more.address = "10.1.0.14";
	ObjectEdit service;
	service.name = "ssh";
	service.address = "198.51.100.2";
	service.pool = "web";
	service.port = 22;
	service.forward = "gue";
	ObjectEdit www;
	www.name = "www";
	const auto member = [](Config &config) -> Backend & { return config.pools[0].backends[1]; };
	const std::vector<std::pair<std::function<Status(Config &)>, std::function<void(Config &)>>>
		cases{
			{[&](Config &c) { return add_backend(c, more); },
			 [](Config &c) { c.pools[0].backends.push_back(backend("10.1.0.14")); }},
			{[&](Config &c) { return del_backend(c, one); },
			 [](Config &c) {
				 c.pools[0].backends.erase(c.pools[0].backends.begin() + 1);
			 }},
			{[&](Config &c) { return set_weight(c, one); },
			 [&](Config &c) { member(c).weight = 50; }},
			{[&](Config &c) { return set_state(c, one, AX_BACKEND_DRAINING); },
			 [&](Config &c) { member(c).state = AX_BACKEND_DRAINING; }},
			{[&](Config &c) { return add_vip(c, service); },
			 [](Config &c) {
				 c.vips.push_back(vip("ssh", "198.51.100.2", 22));
				 c.vips.back().forward = AX_FORWARD_GUE;
			 }},
			{[&](Config &c) { return del_vip(c, www); },
			 [](Config &c) { c.vips.clear(); }},
		};
	const Config running = by_gue();
	const Image before = compiled(running);
	for (const auto &[edit, write] : cases) {
		Config edited = running, file = running;
		ASSERT_TRUE(edit(edited));
		write(file);
		EXPECT_NE(edited, running);
		ASSERT_TRUE(carry_generations(running, edited, kNow));
		ASSERT_TRUE(carry_generations(running, file, kNow));
		EXPECT_EQ(edited, file);
		EXPECT_EQ(compiled(edited, kFacts, before.ids).digest,
			  compiled(file, kFacts, before.ids).digest);
	}
}

// Three candidates are enough while all are up. With one down besides, few slots have had a fourth
// (docs/steering.md has the figures).
TEST(Generations, FewSlotsHaveHadAFourth)
{
	constexpr MaglevSeed kSeed{0x0011223344556677, 0x8899aabbccddeeff};
	const std::vector<std::string_view> names{"b0", "b1", "b2", "b3", "b4"};
	const auto weights = [&](std::uint32_t first, std::uint32_t second) {
		MaglevGeneration generation;
		for (const auto name : names)
			generation.emplace_back(name, name == "b0"   ? first
						      : name == "b1" ? second
								     : 100);
		return generation;
	};
	const auto table = [&](const MaglevGeneration &now, std::size_t down,
			       std::vector<MaglevGeneration> earlier) {
		std::vector<MaglevBackend> backends;
		for (std::size_t i = 0; i < now.size(); i++)
			backends.push_back({now[i].first, now[i].second, i != down});
		return build_table(backends, 65537, kSeed, earlier).value();
	};
	const auto before = table(weights(100, 100), names.size(), {});
	double sum = 0, most = 0;
	for (std::size_t down = 0; down <= names.size(); down++) {
		const auto after =
			table(weights(50, 50), down, {weights(100, 100), weights(50, 100)});
		double forgotten = 0, living = 0;
		for (std::size_t s = 0; s < after.size(); s++) {
			const std::span named(after[s].backend, after[s].count);
			const auto had = before[s].backend[0];
			living += had != down;
			forgotten += had != down && std::ranges::find(named, had) == named.end();
		}
		if (down == names.size()) {
			EXPECT_EQ(forgotten, 0) << "nobody is down";
			continue;
		}
		sum += forgotten / living;
		most = std::max(most, forgotten / living);
	}
	std::printf("forgotten: %.3f %% of the slots, at most %.3f %%\n", sum * 20, most * 100);
	EXPECT_GT(most, 0) << "then the flow table need not remember who has seen the SYN";
	EXPECT_LT(most, 0.004);
}

TEST(Generations, BadOnesAreErrors)
{
	const std::string pool = "[[pools]]\nname = \"web\"\n"
				 "[[pools.backends]]\naddress = \"10.1.0.11\"\n";
	const std::string one = "[[pools.generations]]\nnumber = 1\nretire = 5\n";
	for (const std::string &bad : std::vector<std::string>{
		     one, one + "backends = [\"a\"]\n", one + "backends = [\"a=0\"]\n",
		     one + "backends = [\"=1\"]\n", one + "backends = [\"a=1\", \"a=2\"]\n",
		     one + "backends = [\"a=1x\"]\n",
		     "[[pools.generations]]\nbackends = [\"a=1\"]\n",
		     one + "backends = [\"a=1\"]\n" + one + "backends = [\"a=2\"]\n"})
		EXPECT_FALSE(parse_config(pool + bad, "file")) << bad;
	EXPECT_TRUE(parse_config(pool + one + "backends = [\"a=1\"]\n", "file"));
}

} // namespace
} // namespace anycast
