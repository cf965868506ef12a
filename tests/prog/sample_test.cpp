// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Samples of what is dropped: the last one of each reason, a stream of them, at a limited rate.
#include <algorithm>
#include <memory>
#include <set>

#include "kernel/drop_reader.h"
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

constexpr std::uint64_t kTickNs = 4'000'000; // a jiffy of a replay's clock

// A program that takes samples, on one CPU.
class SampleTest : public testing::Test {
protected:
	void load(Samples samples)
	{
		LoadOptions options;
		options.replay = true;
		options.samples = samples;
		options.limits.flows_v4 = options.limits.flows_v6 = 4096;
		auto loaded = Program::load(options);
		ASSERT_TRUE(loaded) << loaded.error().message();
		program_ = std::make_unique<Program>(std::move(*loaded));
		Config config = guard_only();
		config.limits = options.limits;
		const auto image = compile(config, NodeFacts{}, Ids{});
		ASSERT_TRUE(dataplane().apply(*image));
		sched_getaffinity(0, sizeof(cpus_), &cpus_);
		cpu_set_t one;
		CPU_ZERO(&one);
		CPU_SET(sched_getcpu(), &one);
		sched_setaffinity(0, sizeof(one), &one);
		tick(1000);
	}
	void TearDown() override { sched_setaffinity(0, sizeof(cpus_), &cpus_); }
	Dataplane &dataplane() { return program_->dataplane(); }

	// The clock of a replay is the test's. Followers discard what is older than they are, by
	// the real clock, so ours starts in the future.
	void tick(std::uint64_t jiffies)
	{
		now_ += jiffies * kTickNs;
		ASSERT_TRUE(dataplane().set_clock(now_));
	}
	void drop(const Packet &packet)
	{
		const auto run = program_->run(packet);
		ASSERT_TRUE(run);
		ASSERT_EQ(run->verdict, static_cast<std::uint32_t>(XDP_DROP)) << packet;
	}
	DropFollower follow()
	{
		auto follower = DropFollower::open(
			dataplane(), [this](const DropSample &s) { seen_.push_back(s); });
		if (!follower)
			throw std::runtime_error(follower.error().message());
		return std::move(*follower);
	}
	[[nodiscard]] bool has(std::string_view map) { return dataplane().maps().contains(map); }

	static Packet null_flags(const std::string &source)
	{
		return Eth{} / Vlan{7} / Ip4{.src = source, .ttl = 33} /
		       Tcp{.sport = 4000, .dport = 443, .flags = 0} / Payload(30);
	}

	std::unique_ptr<Program> program_;
	std::vector<DropSample> seen_;
	cpu_set_t cpus_{};
	std::uint64_t now_ = std::uint64_t{1} << 62;
};

class Samplers : public SampleTest, public testing::WithParamInterface<Samples> {};

TEST_P(Samplers, AFollowerGetsWhoSentWhatToWhom)
{
	load(GetParam());
	DropFollower follower = follow();
	drop(null_flags("192.0.2.77"));
	ASSERT_TRUE(follower.consume());
	ASSERT_EQ(seen_.size(), 1U);
	const DropSample &sample = seen_[0];
	EXPECT_EQ(sample.reason, AX_R_TCP_NO_FLAGS);
	EXPECT_EQ(sample.source_text(), "192.0.2.77");
	EXPECT_EQ(sample.destination->text(), "198.51.100.80");
	EXPECT_EQ(sample.source_port, 4000);
	EXPECT_EQ(sample.destination_port, 443);
	EXPECT_EQ(sample.protocol, kTcp);
	EXPECT_EQ(sample.ttl, 33);
	EXPECT_EQ(sample.vlans, std::vector<std::uint16_t>{7});
	EXPECT_EQ(sample.bytes, null_flags("192.0.2.77").size());
	EXPECT_EQ(sample.time_ns, now_);
	EXPECT_EQ(sample.ifindex, 1U) << "a test run's is the loopback";
}

TEST_P(Samplers, AFloodIsSampledAndEveryOtherReasonIsSeen)
{
	load(GetParam());
	DropFollower follower = follow();
	for (int i = 0; i < (in_vm() ? 500 : 5000); ++i)
		drop(null_flags("192.0.2.1"));
	drop(Eth{} / Ip4{.version = 5} / Udp{});
	ASSERT_TRUE(follower.consume());
	ASSERT_EQ(seen_.size(), 2U);
	EXPECT_EQ(seen_[1].reason, AX_R_IP4_VERSION);
	tick(AX_SAMPLE_JIFFIES - 1);
	drop(null_flags("192.0.2.2"));
	ASSERT_TRUE(follower.consume());
	EXPECT_EQ(seen_.size(), 2U);
	tick(1);
	drop(null_flags("192.0.2.3"));
	ASSERT_TRUE(follower.consume());
	ASSERT_EQ(seen_.size(), 3U);
	EXPECT_EQ(seen_[2].source_text(), "192.0.2.3");
}

TEST_P(Samplers, WithNobodyFollowingTheLastOneIsKept)
{
	load(GetParam());
	EXPECT_FALSE(last_sample(dataplane(), AX_R_TCP_NO_FLAGS)->has_value());
	// More than a ring buffer holds.
	for (int i = 0; i < 1000; ++i) {
		drop(null_flags("192.0.2." + std::to_string(i % 200 + 1)));
		tick(AX_SAMPLE_JIFFIES);
	}
	const auto last = last_sample(dataplane(), AX_R_TCP_NO_FLAGS);
	ASSERT_TRUE(last && *last);
	EXPECT_EQ((*last)->source_text(), "192.0.2.200");
	EXPECT_FALSE(last_sample(dataplane(), AX_R_IP4_VERSION)->has_value());
}

TEST_P(Samplers, WhatPassesLeavesNoSample)
{
	load(GetParam());
	DropFollower follower = follow();
	for (const Packet &packet : {Packet(Eth{} / Arp{}), Eth{} / Ip4{} / Tcp{}})
		EXPECT_EQ(program_->run(packet)->verdict, static_cast<std::uint32_t>(XDP_PASS));
	ASSERT_TRUE(follower.consume());
	EXPECT_TRUE(seen_.empty());
}

TEST_P(Samplers, OnlyTheBufferInUseIsMade)
{
	load(GetParam());
	EXPECT_TRUE(has("ax_drop_last"));
	EXPECT_EQ(has("ax_drop_ring"), GetParam() == Samples::kBest);
	EXPECT_EQ(has("ax_drop_perf"), GetParam() == Samples::kPerf);
}

TEST_P(Samplers, FramesOfEveryLengthAreKeptAsFarAsTheyGo)
{
	load(GetParam());
	DropFollower follower = follow();
	const Packet whole = Eth{} / Ip4{.total_length = 2000} / Udp{} / Payload(200);
	for (std::size_t length = 34; length <= 200; ++length) {
		drop(Raw{Bytes(whole.bytes().begin(),
			       whole.bytes().begin() + static_cast<long>(length))});
		tick(AX_SAMPLE_JIFFIES);
		ASSERT_TRUE(follower.consume());
		ASSERT_EQ(seen_.size(), length - 33);
		EXPECT_EQ(seen_.back().bytes, length);
		EXPECT_EQ(seen_.back().source_text(), "203.0.113.5");
		EXPECT_EQ(seen_.back().source_port.has_value(), length >= 38);
	}
}

INSTANTIATE_TEST_SUITE_P(By, Samplers, testing::Values(Samples::kBest, Samples::kPerf),
			 [](const auto &by) {
				 return by.param == Samples::kBest ? "RingBuffer" : "PerfBuffer";
			 });

TEST_F(SampleTest, AProgramWithoutSamplesHasNoneOfTheMaps)
{
	load(Samples::kNone);
	drop(null_flags("192.0.2.1"));
	for (const char *map : {"ax_drop_last", "ax_drop_ring", "ax_drop_perf"})
		EXPECT_FALSE(has(map)) << map;
	EXPECT_FALSE(last_sample(dataplane(), AX_R_TCP_NO_FLAGS)->has_value());
	const auto follower = DropFollower::open(dataplane(), [](const DropSample &) {});
	ASSERT_FALSE(follower);
	EXPECT_EQ(follower.error().kind, Exit::kUnsupported);
}

} // namespace
} // namespace anycast::test
