// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Maps and the data plane on a kernel, without an interface: every way of access, and the halves.
#include "kernel/dataplane.h"

#include <sys/wait.h>
#include <unistd.h>

#include <numeric>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "kernel/features.h"
#include "kernel/program.h"
#include "kernel/sizes.h"
#include "support/program_fixture.h"

namespace anycast {

namespace {

using testing::HasSubstr;

// In a process of its own, since force_absent() is for good. Its failures are printed there.
void without(const std::vector<std::string_view> &absent, const std::function<void()> &body)
{
	std::fflush(nullptr);
	const pid_t pid = ::fork();
	if (pid == 0) {
		for (const std::string_view name : absent)
			force_absent(name);
		body();
		std::fflush(nullptr);
		::_exit(testing::Test::HasFailure() ? 1 : 0);
	}
	int status = 0;
	::waitpid(pid, &status, 0);
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "see above";
}

const std::vector<std::vector<std::string_view>> kWays = {
	{}, {"mmap_array"}, {"mmap_array", "batch_ops"}};

Map array_of(std::uint32_t value_size, std::uint32_t entries)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	const Fd fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "array", 4, value_size, entries, &options));
	return std::move(*Map::from_fd(fd.get()));
}

Config config_of(std::size_t backends)
{
	Config config;

	config.hash_seed = {1, 2};
	config.limits = {.flows_v4 = 256,
			 .flows_v6 = 256,
			 .vips = 4,
			 .pools = 4,
			 .backends = 8,
			 .table_slots = 1024,
			 .peers = 4};
	config.source_v4 = Address::parse("10.0.0.1");
	Pool pool{.name = "web", .table_size = 251, .backends = {}};
	for (std::size_t i = 0; i < backends; ++i) {
		const Address address = *Address::parse(fmt::format("10.1.0.{}", i + 1));
		pool.backends.push_back({.name = address.text(), .address = address});
	}
	config.pools = {pool};
	config.vips = {{.name = "www",
			.address = *Address::parse("198.51.100.1"),
			.port = 80,
			.pool = "web"}};
	config.gtsm_local = {*Address::parse("10.0.0.1")};
	config.gtsm_peers = {{*Address::parse("10.0.0.254"), 1}};
	return config;
}

Image image_of(std::size_t backends, const Ids &ids = {})
{
	return *compile(config_of(backends), {}, ids);
}

Program loaded()
{
	LoadOptions options;
	options.limits = config_of(1).limits;
	auto program = Program::load(options);
	if (!program)
		throw std::runtime_error(program.error().message());
	return std::move(*program);
}

template <typename Key> std::size_t keys_in(const Map &map, std::uint8_t half)
{
	std::size_t count = 0;
	EXPECT_TRUE(map.for_each([&](const std::byte *key, const std::byte *) {
		Key copy;
		std::memcpy(&copy, key, sizeof(copy));
		count += copy.half == half;
	}));
	return count;
}

} // namespace

TEST(MapAccess, EveryWayReadsWhatAnyWayWrote)
{
	const std::uint32_t size = 10000; // more than one batch
	std::vector<std::uint64_t> values(size);
	std::iota(values.begin(), values.end(), 1'000'000);

	for (const auto &writing : kWays) {
		const Map shared = array_of(8, size);
		without(writing, [&] {
			Map map = std::move(*Map::from_fd(shared.fd()));
			EXPECT_EQ(map.mapped() != nullptr, writing.empty());
			EXPECT_TRUE(map.write_at<std::uint64_t>(0, values));
			EXPECT_TRUE(map.write_at<std::uint64_t>(7, std::span(values).first(2)));
		});
		for (const auto &reading : kWays) {
			without(reading, [&] {
				Map map = std::move(*Map::from_fd(shared.fd()));
				std::vector<std::uint64_t> found(size), middle(3);
				EXPECT_TRUE(map.read_at<std::uint64_t>(0, found));
				EXPECT_EQ(found[7], values[0]);
				EXPECT_EQ(found[8], values[1]);
				EXPECT_EQ(found[9], values[9]);
				EXPECT_EQ(found[size - 1], values[size - 1]);
				EXPECT_TRUE(map.read_at<std::uint64_t>(4999, middle));
				EXPECT_THAT(middle, testing::ElementsAre(values[4999], values[5000],
									 values[5001]));
			});
		}
	}
}

TEST(MapAccess, ValuesOfOddSizeLieWhereTheKernelPutsThem)
{
	for (const auto &way : kWays) {
		without(way, [] {
			Map map = array_of(6, 5);
			std::array<std::byte, 12> out{}, in{};
			for (std::size_t i = 0; i < in.size(); ++i)
				in[i] = static_cast<std::byte>(i + 1);
			EXPECT_TRUE(map.write(2, in));
			EXPECT_TRUE(map.read(2, out));
			EXPECT_EQ(in, out);
			std::array<std::byte, 6> third{};
			const std::uint32_t key = 3;
			EXPECT_TRUE(*map.lookup(&key, third.data()));
			EXPECT_EQ(third[0], static_cast<std::byte>(7));
		});
	}
}

TEST(MapAccess, BeyondTheEndIsAnErrorThatNamesTheMap)
{
	Map map = array_of(8, 4);
	std::array<std::uint64_t, 3> values{};
	EXPECT_THAT(map.write_at<std::uint64_t>(2, values).error().what, HasSubstr("map array"));
	EXPECT_FALSE(map.read_at<std::uint64_t>(4, values));
	EXPECT_FALSE(map.read_at<std::uint64_t>(0xffffffff, values));
}

TEST(MapAccess, SumsOverCpus)
{
	const Fd fd(bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "sums", 4, 16, 2, nullptr));
	Map map = std::move(*Map::from_fd(fd.get()));
	const auto cpus = static_cast<std::size_t>(libbpf_num_possible_cpus());
	std::vector<ax_counter> values(cpus);
	std::uint64_t total = 0;
	for (std::size_t i = 0; i < cpus; ++i) {
		values[i] = {i + 1, 100};
		total += i + 1;
	}
	const std::uint32_t key = 1;
	ASSERT_TRUE(map.update(&key, values.data()));
	EXPECT_THAT(*map.sum(1), testing::ElementsAre(total, 100 * cpus));
	EXPECT_THAT(*map.sum(0), testing::ElementsAre(0, 0));
	ASSERT_TRUE(map.clear(1));
	EXPECT_THAT(*map.sum(1), testing::ElementsAre(0, 0));
}

TEST(MapAccess, AFullHashSaysWhichLimitItIs)
{
	const Fd fd(bpf_map_create(BPF_MAP_TYPE_HASH, "full", 4, 4, 2, nullptr));
	Map map = std::move(*Map::from_fd(fd.get()));
	Status status;
	for (std::uint32_t i = 0; i < 3 && status; ++i)
		status = map.update(&i, &i);
	ASSERT_FALSE(status);
	EXPECT_THAT(status.error().what, HasSubstr("map full is full: 2"));
	const std::uint32_t absent = 77;
	EXPECT_TRUE(map.erase(&absent));
}

TEST(Sizes, FlowTablesAreRoundedUpPerCpu)
{
	const DataplaneSizes two = sizes_for({.flows_v4 = 524288, .flows_v6 = 100}, 2);
	EXPECT_EQ(two.buckets4 * AX_WAYS * 2, 524288U);
	EXPECT_EQ(two.buckets6, static_cast<std::uint32_t>(AX_MIN_BUCKETS));
	const DataplaneSizes three = sizes_for({.flows_v4 = 524288}, 3);
	EXPECT_EQ(three.buckets4 * AX_WAYS, 262144U);
	EXPECT_GE(two.anomalies, (two.buckets4 + two.buckets6) * AX_WAYS / 8);
}

TEST(DataplaneSizes, ComputedMemoryIsNearWhatTheKernelAccounts)
{
	Program program = loaded();
	const DataplaneSizes computed = sizes_for(config_of(1).limits, possible_cpus());
	DataplaneSizes found = program.dataplane().sizes();

	std::uint64_t here = 0; // the tc program's map is not of this object
	for (const MapShape &shape : map_shapes(computed))
		here += shape.egress ? 0 : map_bytes(shape, computed.cpus);
	EXPECT_NEAR(static_cast<double>(here), static_cast<double>(found.bytes),
		    0.2 * static_cast<double>(found.bytes));
	found.bytes = computed.bytes;
	EXPECT_EQ(found, computed);
}

class Halves : public testing::TestWithParam<int> {};

TEST_P(Halves, ApplyFillsTheIdleHalfAndSwitches)
{
	without(kWays[static_cast<std::size_t>(GetParam())], [] {
		Program program = loaded();
		Dataplane &dataplane = program.dataplane();
		const Image first = image_of(3), second = image_of(5, first.ids);

		EXPECT_FALSE(*dataplane.holds(first));
		EXPECT_EQ(*dataplane.apply(first), 1U);
		EXPECT_EQ(dataplane.control()->generation, 1U);
		EXPECT_TRUE(*dataplane.holds(first));
		EXPECT_FALSE(*dataplane.holds(second));
		EXPECT_EQ(std::memcmp(dataplane.read_slots(0, 251)->data(), first.slots.data(),
				      251 * sizeof(ax_slot)),
			  0);

		EXPECT_EQ(*dataplane.apply(second), 2U);
		EXPECT_TRUE(*dataplane.holds(second));
		// The old half stays as it was, for packets on their way.
		EXPECT_EQ(keys_in<ax_vip_key>(dataplane.map("ax_vip"), 1), first.vip_keys.size());
		EXPECT_EQ(std::memcmp(&dataplane.control()->half[1], &first.settings,
				      sizeof(first.settings)),
			  0);

		EXPECT_EQ(*dataplane.apply(first), 3U);
		EXPECT_TRUE(*dataplane.holds(first));
		EXPECT_EQ(keys_in<ax_vip_key>(dataplane.map("ax_vip"), 1), first.vip_keys.size());
		std::vector<ax_backend> backends(16);
		EXPECT_TRUE(dataplane.map("ax_backend").read_at<ax_backend>(0, backends));
		EXPECT_EQ(backends[8 + 3].state, AX_BACKEND_ABSENT)
			<< "the tail of half 1 is cleared";
	});
}
INSTANTIATE_TEST_SUITE_P(EveryAccess, Halves, testing::Values(0, 1, 2));

TEST(Dataplane, AFailedApplyLeavesTheRunningHalf)
{
	Program program = loaded();
	Dataplane &dataplane = program.dataplane();
	const Image good = image_of(3);
	ASSERT_TRUE(dataplane.apply(good));
	Image bad = image_of(4);
	bad.edges.assign(kMaxEdges + 1, *Address::parse("10.0.0.9"));
	const auto result = dataplane.apply(bad);

	ASSERT_FALSE(result);
	EXPECT_THAT(result.error().what, HasSubstr("untouched"));
	EXPECT_EQ(dataplane.control()->generation, 1U);
	EXPECT_TRUE(*dataplane.holds(good));
	EXPECT_EQ(*dataplane.apply(image_of(4)), 2U) << "leftovers of the failure do not stay";
	EXPECT_EQ(keys_in<ax_addr_key>(dataplane.map("ax_edge"), 0), 0U);
}

TEST(Dataplane, GenerationWrapsPastZeroAndKeepsAlternating)
{
	Program program = loaded();
	Dataplane &dataplane = program.dataplane();
	ASSERT_TRUE(dataplane.apply(image_of(3)));
	ASSERT_TRUE(dataplane.set_generation(0xffffffff));
	EXPECT_TRUE(*dataplane.holds(image_of(3)));
	EXPECT_EQ(*dataplane.apply(image_of(2)), 2U);
	EXPECT_TRUE(*dataplane.holds(image_of(2)));
}

TEST(Dataplane, CountersOfAReusedIdBeginAtZero)
{
	Program program = loaded();
	Dataplane &dataplane = program.dataplane();
	const Image first = image_of(2);
	ASSERT_TRUE(dataplane.apply(first));
	const std::vector<ax_traffic> some(static_cast<std::size_t>(libbpf_num_possible_cpus()),
					   {5, 6, 7});
	for (const std::uint32_t id : {0, 1})
		ASSERT_TRUE(dataplane.map("ax_backend_ctr").update(&id, some.data()));

	Config config = config_of(2);
	config.pools[0].backends[1].address = *Address::parse("10.1.0.77");
	ASSERT_TRUE(dataplane.apply(*compile(config, {}, first.ids)));
	const auto counters = dataplane.backend_counters();
	EXPECT_GT((*counters)[0].packets, 0U);
	EXPECT_EQ((*counters)[1].packets, 0U);
}

TEST(Dataplane, MapsOfAnotherBuildAreNamed)
{
	Program program = loaded();
	std::map<std::string, Map, std::less<>> maps;
	for (const auto &[name, map] : program.dataplane().maps())
		maps.emplace(name, std::move(*Map::from_fd(map.fd())));
	maps.erase("ax_slot");
	EXPECT_THAT(Dataplane::from_maps(std::move(maps)).error().what, HasSubstr("ax_slot"));
}

TEST(Features, EachProbeIsQuickAndRequiredOnesAreThere)
{
	const auto begin = std::chrono::steady_clock::now();
	const auto &list = features();
	const std::chrono::duration<double, std::milli> took =
		std::chrono::steady_clock::now() - begin;

	EXPECT_LT(took.count(), (test::in_vm() ? 50.0 : 10.0) * static_cast<double>(list.size()));
	for (const Feature &feature : list) {
		EXPECT_TRUE(feature.available || !feature.required) << feature.name;
		EXPECT_EQ(feature.available, feature.detail.empty()) << feature.name;
		EXPECT_EQ(feature.required || !feature.used, feature.fallback.empty())
			<< feature.name;
	}
	EXPECT_FALSE(has_feature("no_such_feature"));
	without({"ring_buffer"}, [] { EXPECT_FALSE(has_feature("ring_buffer")); });
}

} // namespace anycast
