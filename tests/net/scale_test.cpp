// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// 4096 VIPs on 4096 backends in 64 pools. Says how long it takes; docs/performance.md has figures
// of a build with optimisation.
#include <chrono>
#include <iostream>

#include "core/maglev.h"
#include "net/attaching.h"
#include "render/table.h"

namespace anycast::test {

namespace {

constexpr std::size_t kVips = 4096, kPools = 64, kBackends = 64; // backends of each pool

Config large()
{
	Config config;

	config.hash_seed = {1, 2};
	config.limits.flows_v4 = config.limits.flows_v6 = 16384;
	config.limits.vips = kVips;
	config.limits.pools = kPools;
	config.limits.backends = kPools * kBackends;
	for (std::size_t p = 0; p < kPools; ++p) {
		Pool pool{.name = fmt::format("pool{}", p),
			  .table_size = next_prime(100 * kBackends),
			  .backends = {}};
		for (std::size_t b = 0; b < kBackends; ++b) {
			Backend backend;
			backend.address = *Address::parse(fmt::format("10.2.{}.{}", p, b + 1));
			backend.name = backend.address.text();
			pool.backends.push_back(std::move(backend));
		}
		config.pools.push_back(std::move(pool));
	}
	for (std::size_t v = 0; v < kVips; ++v)
		config.vips.push_back(
			{.name = fmt::format("vip{}", v),
			 .address = *Address::parse(fmt::format("198.18.{}.{}", v / 256, v % 256)),
			 .port = 443,
			 .pool = fmt::format("pool{}", v % kPools)});
	return config;
}

template <typename F> auto timed(const char *what, F &&function)
{
	const auto start = std::chrono::steady_clock::now();
	auto result = function();
	const auto end = std::chrono::steady_clock::now();
	std::cout << what << ": "
		  << std::chrono::duration_cast<std::chrono::milliseconds>(end - start).count()
		  << " ms\n";
	return result;
}

} // namespace

TEST(Scale, FourThousandVipsAndBackends)
{
	in_lab([] {
		make_veth();
		sh("ip route add 10.2.0.0/16 via 10.1.0.2");
		Config config = large();
		const AttachReport report =
			timed("attach", [&] { return attached("dev0", config); });
		std::cout << "memory: " << render::bytes_text(report.sizes.bytes) << "\n";
		EXPECT_GT(report.sizes.bytes, 0U);

		const auto same =
			timed("unchanged apply", [&] { return apply(kPaths, "dev0", config); });
		ASSERT_TRUE(same) << same.error().message();
		EXPECT_FALSE(same->changed);

		config.pools[63].backends[63].weight = 200;
		config.vips[4095].port = 80;
		const auto other = timed("apply", [&] { return apply(kPaths, "dev0", config); });
		ASSERT_TRUE(other) << other.error().message();
		EXPECT_TRUE(other->changed);
		EXPECT_EQ(other->generation, 2U);

		// One VIP or backend more than there is room for.
		Config more = config;
		more.vips.push_back(more.vips[0]);
		more.vips.back().name = "one-more";
		more.vips.back().port = 8080;
		const auto refused = apply(kPaths, "dev0", more);
		ASSERT_FALSE(refused);
		EXPECT_THAT(refused.error().what, testing::HasSubstr("[limits] vips"));

		const Instance instance = opened();
		EXPECT_EQ(instance.applied.config, config);
		const auto counters = instance.dataplane.vip_counters();
		ASSERT_TRUE(counters);
		EXPECT_EQ(counters->size(), kVips);
	});
}

} // namespace anycast::test
