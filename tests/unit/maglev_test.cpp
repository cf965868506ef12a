// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/maglev.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace anycast {
namespace {

constexpr MaglevSeed kSeed{0x0011223344556677, 0x8899aabbccddeeff};

// A pool whose members' states a test may change.
class TestPool {
public:
	explicit TestPool(std::size_t n, std::uint32_t weight = 1) : weights(n, weight), up(n, true)
	{
		for (std::size_t i = 0; i < n; i++)
			keys_.push_back("10.1." + std::to_string(i / 250) + "." +
					std::to_string(i % 250) + " b" + std::to_string(i));
	}

	[[nodiscard]] std::vector<std::string_view> keys() const
	{
		return {keys_.begin(), keys_.end()};
	}
	[[nodiscard]] std::vector<MaglevBackend> backends() const
	{
		std::vector<MaglevBackend> list;
		for (std::size_t i = 0; i < keys_.size(); i++)
			list.push_back({keys_[i], weights[i], up[i]});
		return list;
	}
	[[nodiscard]] std::vector<ax_slot> table(std::uint32_t size = 65537) const
	{
		const auto built = build_table(backends(), size, kSeed);
		EXPECT_TRUE(built) << built.error().what;
		return built.value_or(std::vector<ax_slot>());
	}
	[[nodiscard]] std::vector<std::uint32_t> load(std::uint32_t size = 65537) const
	{
		std::vector<std::uint32_t> slots(keys_.size());
		for (const ax_slot &slot : table(size))
			slots.at(slot.backend[0])++;
		return slots;
	}

	std::vector<std::uint32_t> weights;
	std::vector<bool> up;

private:
	std::vector<std::string> keys_;
};

// Slots that changed hands although the one before is still up and the one after was up already.
std::size_t moved_for_nothing(const std::vector<ax_slot> &before, const std::vector<ax_slot> &after,
			      const std::vector<bool> &up_before, const std::vector<bool> &up_after)
{
	std::size_t moved = 0;
	for (std::size_t s = 0; s < before.size(); s++) {
		const auto was = before[s].backend[0], is = after[s].backend[0];
		moved += was != is && up_after[was] && up_before[is];
	}
	return moved;
}

TEST(Maglev, PaperExample)
{
	const std::vector<Permutation> three{{3, 4}, {0, 2}, {3, 1}};
	EXPECT_EQ(maglev_fill(three, std::vector<std::uint32_t>{1, 1, 1}, 7),
		  (std::vector<std::uint32_t>{1, 0, 1, 0, 2, 2, 0}));
	// B1 removed; here the second of the two is the paper's B2.
	const std::vector<Permutation> two{{3, 4}, {3, 1}};
	EXPECT_EQ(maglev_fill(two, std::vector<std::uint32_t>{1, 1}, 7),
		  (std::vector<std::uint32_t>{0, 0, 0, 0, 1, 1, 1}));
}

TEST(Maglev, EqualWeightsGiveFloorOrCeil)
{
	for (const std::uint32_t n : {1u, 2u, 3u, 7u, 100u, 1000u}) {
		const auto load = TestPool(n, 100).load();
		const auto [least, most] = std::ranges::minmax(load);
		EXPECT_EQ(least, 65537 / n) << n;
		EXPECT_EQ(most, (65537 + n - 1) / n) << n;
	}
}

TEST(Maglev, WeightsAreExact)
{
	std::mt19937 random(7);
	for (const std::uint32_t size : {7u, 1009u, 65537u}) {
		for (int round = 0; round < 20; round++) {
			TestPool pool(1 + random() % 40);
			for (std::uint32_t &weight : pool.weights)
				weight = 1 + (random() % 3 == 0 ? random() % 65535 : random() % 10);
			const auto sum = std::accumulate(pool.weights.begin(), pool.weights.end(),
							 std::uint64_t{0});
			const auto load = pool.load(size);
			for (std::size_t i = 0; i < load.size(); i++) {
				const std::uint64_t share = std::uint64_t{size} * pool.weights[i];
				EXPECT_GE(load[i], share / sum);
				EXPECT_LE(load[i], (share + sum - 1) / sum);
			}
		}
	}
}

TEST(Maglev, OneHeavyBackendAmongManyLightOnes)
{
	TestPool pool(1000);
	pool.weights[3] = 65535;
	const auto load = pool.load();
	EXPECT_NEAR(load[3], 65537.0 * 65535 / 66534, 1);
	EXPECT_LE(std::ranges::count(load, 0u), 16);
	EXPECT_EQ(std::ranges::count_if(load, [](std::uint32_t n) { return n > 1; }), 1);
}

TEST(Maglev, OneFailureMovesNobodyElse)
{
	TestPool pool(100);
	const auto before = pool.table();
	pool.up[42] = false;
	const auto after = pool.table();

	std::vector<std::uint32_t> gained(100);
	for (std::size_t s = 0; s < before.size(); s++) {
		if (before[s].backend[0] == 42) {
			gained[after[s].backend[0]]++;
		} else {
			ASSERT_EQ(before[s].backend[0], after[s].backend[0]);
		}
	}
	EXPECT_EQ(gained[42], 0u);
	// 655 slots over 99 heirs: none may get a great part of them.
	EXPECT_LE(*std::ranges::max_element(gained), 25u);
	EXPECT_GE(std::ranges::count_if(gained, [](std::uint32_t n) { return n > 0; }), 90);

	pool.up[42] = true;
	EXPECT_EQ(table_digest(pool.table(), pool.keys()), table_digest(before, pool.keys()));
}

TEST(Maglev, FailuresOneAfterAnotherAndRecoveriesInAnotherOrder)
{
	std::mt19937 random(13);
	TestPool pool(40);
	const auto all_up = pool.table(4001);
	auto before = all_up;
	std::vector<std::size_t> order(40);
	std::iota(order.begin(), order.end(), 0);
	const auto flip = [&](std::size_t i) {
		const auto up_before = pool.up;
		pool.up[i] = !pool.up[i];
		const auto after = pool.table(4001);
		EXPECT_EQ(moved_for_nothing(before, after, up_before, pool.up), 0u);
		before = after;
	};

	std::ranges::shuffle(order, random);
	for (std::size_t i = 0; i < 39; i++)
		flip(order[i]);
	for (const ax_slot &slot : before)
		ASSERT_EQ(slot.backend[0], order[39]);
	order.pop_back();
	std::ranges::shuffle(order, random);
	for (const std::size_t i : order)
		flip(i);
	EXPECT_EQ(table_digest(before, pool.keys()), table_digest(all_up, pool.keys()));
}

TEST(Maglev, OverlappingFailuresAndRecoveriesMoveNobodyElse)
{
	std::mt19937 random(11);
	TestPool pool(50, 10);
	pool.weights[0] = 300;
	pool.weights[1] = 1;
	const auto all_up = pool.table(5003);
	auto before = all_up;
	for (int step = 0; step < 300; step++) {
		const auto up_before = pool.up;
		for (std::uint32_t changes = 1 + random() % 3; changes > 0; changes--)
			pool.up[random() % 50].flip();
		if (std::ranges::count(pool.up, true) == 0)
			pool.up = up_before;
		const auto after = pool.table(5003);
		ASSERT_EQ(moved_for_nothing(before, after, up_before, pool.up), 0u) << step;
		for (std::size_t s = 0; s < after.size(); s++) {
			const auto owner = all_up[s].backend[0];
			ASSERT_TRUE(pool.up[after[s].backend[0]]);
			ASSERT_TRUE(!pool.up[owner] || after[s].backend[0] == owner);
		}
		before = after;
	}
}

TEST(Maglev, NearlyEverybodyDownIsStableToo)
{
	// Jumps seldom meet the few that are up: this is the linear scan's part.
	TestPool pool(1000);
	pool.up.assign(1000, false);
	for (const std::size_t i : {5, 500, 900})
		pool.up[i] = true;
	const auto three = pool.table();
	const auto up_before = pool.up;
	pool.up[500] = false;
	const auto two = pool.table();
	EXPECT_EQ(moved_for_nothing(three, two, up_before, pool.up), 0u);
	for (const ax_slot &slot : two)
		ASSERT_TRUE(slot.backend[0] == 5 || slot.backend[0] == 900);
}

TEST(Maglev, StandInsAreProportionalToWeight)
{
	TestPool pool(20, 100);
	pool.weights[4] = 300;
	const auto home = pool.load();
	pool.up[7] = false;
	const auto load = pool.load();
	EXPECT_EQ(load[7], 0u);
	EXPECT_NEAR(home[7], 65537.0 * 100 / 2200, 1);
	for (std::size_t i = 0; i < 20; i++) {
		if (i == 7)
			continue;
		const double fair = home[7] * pool.weights[i] / 2100.0;
		EXPECT_NEAR(load[i] - home[i], fair, 5 * std::sqrt(fair)) << i;
	}
}

TEST(Maglev, CandidatesNameTheStandInAndTheOwner)
{
	TestPool pool(30);
	const auto before = pool.table(3001);
	for (const ax_slot &slot : before) {
		ASSERT_EQ(slot.count, 2);
		ASSERT_NE(slot.backend[0], slot.backend[1]);
	}
	pool.up[5] = pool.up[6] = false;
	const auto after = pool.table(3001);
	for (std::size_t s = 0; s < after.size(); s++) {
		ASSERT_EQ(after[s].count, 2);
		const auto owner = before[s].backend[0];
		if (pool.up[owner]) {
			ASSERT_EQ(after[s].backend[0], owner);
			ASSERT_TRUE(pool.up[after[s].backend[1]]);
			continue;
		}
		ASSERT_EQ(after[s].backend[1], owner);
		// The table before had named the one that stands in now.
		if (pool.up[before[s].backend[1]]) {
			ASSERT_EQ(after[s].backend[0], before[s].backend[1]);
		}
	}
}

TEST(Maglev, OneLivingBackendTakesAll)
{
	TestPool pool(1000);
	pool.up.assign(1000, false);
	pool.up[17] = true;
	for (const ax_slot &slot : pool.table()) {
		ASSERT_EQ(slot.backend[0], 17);
		ASSERT_GE(slot.count, 1);
	}
	for (const ax_slot &slot : TestPool(1).table(7))
		ASSERT_EQ(slot.count, 1);
}

TEST(Maglev, ALivingBackendWithoutSlotsIsBetterThanNobody)
{
	TestPool pool(3);
	pool.weights = {65535, 65535, 1};
	const auto home = pool.load(7);
	ASSERT_EQ(home[2], 0u);
	pool.up = {false, false, true};
	EXPECT_EQ(pool.load(7)[2], 7u);
}

TEST(Maglev, NobodyUpGivesEmptySlots)
{
	TestPool pool(3);
	pool.up.assign(3, false);
	for (const ax_slot &slot : pool.table(7))
		EXPECT_EQ(slot.count, 0);
	EXPECT_EQ(build_table({}, 7, kSeed).value().size(), 7u);
}

TEST(Maglev, OrderOfInputDoesNotMatter)
{
	TestPool pool(64);
	for (std::size_t i = 0; i < 64; i++)
		pool.weights[i] = 1 + static_cast<std::uint32_t>(i % 5);
	pool.up[3] = pool.up[60] = false;
	const auto keys = pool.keys();
	auto shuffled = pool.backends();
	std::ranges::shuffle(shuffled, std::mt19937(5));
	std::vector<std::string_view> shuffled_keys;
	for (const MaglevBackend &backend : shuffled)
		shuffled_keys.push_back(backend.key);

	const auto a = pool.table();
	const auto b = build_table(shuffled, 65537, kSeed).value();
	for (std::size_t s = 0; s < a.size(); s++) {
		ASSERT_EQ(a[s].count, b[s].count);
		for (int c = 0; c < a[s].count; c++)
			ASSERT_EQ(keys[a[s].backend[c]], shuffled_keys[b[s].backend[c]]);
	}
	EXPECT_EQ(table_digest(a, keys), table_digest(b, shuffled_keys));
}

// A fleet agrees only while these stay: another value means that every flow may move at an upgrade.
TEST(Maglev, DigestIsStable)
{
	TestPool pool(5);
	pool.weights = {1, 2, 3, 4, 5};
	EXPECT_EQ(table_digest(pool.table(1009), pool.keys()), 14037273125631918755ULL);
	pool.up[2] = false;
	EXPECT_EQ(table_digest(pool.table(1009), pool.keys()), 4453751514782412566ULL);
}

TEST(Maglev, DigestSeesEveryDifference)
{
	TestPool pool(5);
	auto table = pool.table(101);
	const auto digest = table_digest(table, pool.keys());
	table[100].backend[1] = table[100].backend[0];
	EXPECT_NE(table_digest(table, pool.keys()), digest);
	table = pool.table(101);
	table[0].count = 1;
	EXPECT_NE(table_digest(table, pool.keys()), digest);
	const auto other = build_table(pool.backends(), 101, {1, 2}).value();
	EXPECT_NE(table_digest(other, pool.keys()), digest) << "the seed decides the table";
}

TEST(Maglev, RefusesWhatCannotBeBuilt)
{
	const std::vector<MaglevBackend> one{{"a", 1, true}};
	for (const std::uint32_t size : {0u, 1u, 4u, 65536u, 655379u})
		EXPECT_FALSE(build_table(one, size, kSeed)) << size;
	EXPECT_TRUE(build_table(one, 2, kSeed));
	EXPECT_TRUE(build_table(one, kMaxTableSize, kSeed));

	const std::vector<MaglevBackend> weightless{{"a", 0, true}};
	EXPECT_FALSE(build_table(weightless, 7, kSeed));
	const std::vector<MaglevBackend> twins{{"a", 1, true}, {"b", 1, true}, {"a", 1, true}};
	EXPECT_FALSE(build_table(twins, 7, kSeed));
}

TEST(Maglev, Primes)
{
	for (const std::uint32_t prime : {2u, 3u, 5u, 7u, 65537u, 655373u, 4294967291u})
		EXPECT_TRUE(is_prime(prime)) << prime;
	for (const std::uint32_t other : {0u, 1u, 4u, 9u, 25u, 65536u, 4294836225u, 4294967295u})
		EXPECT_FALSE(is_prime(other)) << other;
	EXPECT_EQ(next_prime(0), 2u);
	EXPECT_EQ(next_prime(2), 2u);
	EXPECT_EQ(next_prime(8), 11u);
	EXPECT_EQ(next_prime(65536), 65537u);
	EXPECT_EQ(next_prime(65538), 65539u);
	EXPECT_EQ(next_prime(4294967292u), 0u);
}

} // namespace
} // namespace anycast
