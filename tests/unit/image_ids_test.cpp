// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What stays the same from one image to the next: ids and generations; and the digest.
#include <algorithm>
#include <cstring>
#include <functional>

#include <gmock/gmock.h>

#include "unit/image_parts.h"

namespace anycast {

using testing::HasSubstr;

// ---- ids ------------------------------------------------------------------------------------

TEST(Image, IdsStayWithTheirNames)
{
	const Image before = compiled(three_backends());
	Config config = three_backends();
	std::reverse(config.pools[0].backends.begin(), config.pools[0].backends.end());
	config.vips.insert(config.vips.begin(), vip("api", "198.51.100.2"));
	const Image after = compiled(config, kFacts, before.ids);

	EXPECT_EQ(after.ids.backends, before.ids.backends);
	EXPECT_EQ(after.backends[0].gen, before.backends[0].gen);
	EXPECT_EQ(after.ids.vips[0], before.ids.vips[0]);
	EXPECT_EQ(after.ids.vips[1].name, "api");
}

TEST(Image, AFreedIdIsReusedWithAnotherGeneration)
{
	const Image first = compiled(three_backends());
	Config config = three_backends();
	config.pools[0].backends.erase(config.pools[0].backends.begin());
	const Image second = compiled(config, kFacts, first.ids);
	EXPECT_FALSE(second.ids.backends[0].used);
	EXPECT_EQ(second.backends[0].state, AX_BACKEND_ABSENT);
	EXPECT_EQ(second.backends[0].gen, 0);

	config.pools[0].backends.push_back(backend("10.1.0.14"));
	const Image third = compiled(config, kFacts, second.ids);
	EXPECT_EQ(third.ids.backends.size(), 3U);
	EXPECT_EQ(third.ids.backends[0].name, "web/10.1.0.14");
	EXPECT_EQ(third.backends[0].gen, first.backends[0].gen + 1);

	// In one step, too.
	const Image at_once = compiled(config, kFacts, first.ids);
	EXPECT_EQ(at_once.ids, third.ids);
}

TEST(Image, ABackThatComesBackIsNew)
{
	const Image first = compiled(three_backends());
	Config without = three_backends();
	without.pools[0].backends.erase(without.pools[0].backends.begin());
	const Image second = compiled(without, kFacts, first.ids);
	const Image third = compiled(three_backends(), kFacts, second.ids);

	EXPECT_EQ(third.ids.backends[0].name, "web/10.1.0.11");
	EXPECT_EQ(third.backends[0].gen, first.backends[0].gen + 1);
}

TEST(Image, ABackendWithAnotherAddressIsAnotherBackend)
{
	const Image before = compiled(three_backends());
	Config config = three_backends();
	config.pools[0].backends[1].address = address("10.1.0.99");
	const Image after = compiled(config, kFacts, before.ids);

	EXPECT_EQ(after.backends[1].gen, before.backends[1].gen + 1);
	EXPECT_EQ(after.backends[0].gen, before.backends[0].gen);
	EXPECT_EQ(std::memcmp(after.slots.data(), before.slots.data(), 251 * sizeof(ax_slot)), 0)
		<< "it takes over the slots of its name";
}

TEST(Image, AVipIsTheSameWithAnotherPoolAndForwarding)
{
	Config config = three_backends();
	const Image before = compiled(config);
	config.pools.push_back(pool("other", {backend("10.1.0.31")}));
	config.vips[0].pool = "other";
	config.vips[0].forward = AX_FORWARD_L2DSR;
	const Image after = compiled(config, kFacts, before.ids);
	EXPECT_EQ(after.vips[0].gen, before.vips[0].gen);
	EXPECT_EQ(after.vips[0].pool, 1U);
	EXPECT_EQ(after.vips[0].forward, AX_FORWARD_L2DSR);

	config.vips[0].port = 443;
	EXPECT_EQ(compiled(config, kFacts, before.ids).vips[0].gen, before.vips[0].gen + 1);
}

TEST(Image, GenerationZeroIsNeverGivenToAnything)
{
	Image before = compiled(three_backends());
	before.ids.backends[0].gen = 65535;
	before.ids.backends[0].used = false;
	EXPECT_EQ(compiled(three_backends(), kFacts, before.ids).backends[0].gen, 1);
}

// ---- digest and limits ----------------------------------------------------------------------

TEST(Image, DigestIsTheSameInAnyOrderAndOnAnyNode)
{
	Config config = three_backends();
	config.pools.push_back(pool("dns", {backend("10.1.0.21"), backend("10.1.0.22")}));
	config.vips.push_back(vip("ns", "198.51.100.2", 53, 17, "dns"));
	const Image one = compiled(config);
	std::reverse(config.pools.begin(), config.pools.end());
	std::reverse(config.pools[0].backends.begin(), config.pools[0].backends.end());
	std::reverse(config.vips.begin(), config.vips.end());
	config.source_v4 = address("10.77.0.1");
	const Image other = compiled(config, {}, one.ids);
	EXPECT_EQ(one.digest, other.digest);
}

TEST(Image, DigestChangesWithWhatSteeringDependsOn)
{
	std::set<std::uint64_t> digests = {compiled(three_backends()).digest};
	const auto changed = [&](const std::function<void(Config &)> &change) {
		Config config = three_backends();
		change(config);
		digests.insert(compiled(config).digest);
	};

	changed([](Config &c) { c.hash_seed = {2, 1}; });
	changed([](Config &c) { c.vips[0].port = 81; });
	changed([](Config &c) { c.vips[0].forward = AX_FORWARD_L2DSR; });
	changed([](Config &c) { c.pools[0].table_size = 257; });
	changed([](Config &c) { c.pools[0].backends[0].weight = 50; });
	changed([](Config &c) { c.pools[0].backends[0].address = address("10.1.0.99"); });
	changed([](Config &c) { c.pools[0].backends[0].state = AX_BACKEND_DOWN; });
	changed([](Config &c) { c.pools[0].all_down = AX_ALL_DOWN_PASS; });
	changed([](Config &c) { c.pools[0].backends.pop_back(); });
	EXPECT_EQ(digests.size(), 10U);
}

TEST(Image, NamesTheLimitThatIsExceeded)
{
	Config config = three_backends();
	config.limits.backends = 2;
	EXPECT_THAT(refused(config).what, HasSubstr("[limits] backends is 2"));
	config.limits.backends = 3;
	config.limits.table_slots = 250;
	EXPECT_THAT(refused(config).what, HasSubstr("[limits] table_slots"));
	config.limits.table_slots = 251;
	config.limits.vips = 0;
	EXPECT_THAT(refused(config).what, HasSubstr("[limits] vips"));
	EXPECT_EQ(refused(config).kind, Exit::kUsage);
	config.limits.vips = 1;
	EXPECT_TRUE(compile(config, kFacts, {}));
}

} // namespace anycast
