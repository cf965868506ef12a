// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the program does without its guard, as benchmarks build it; and [guard.rules], which change
// it as it runs.
#include <atomic>
#include <iostream>
#include <memory>
#include <stop_token>
#include <string_view>
#include <thread>

#include "support/builds.h"
#include "support/program_fixture.h"
#include "support/rule_rows.h"

namespace anycast::test {
namespace {

Limits small()
{
	Limits limits;
	limits.flows_v4 = limits.flows_v6 = 4096;
	return limits;
}

Program load(std::string_view build = {})
{
	LoadOptions options;
	options.build = build;
	options.replay = true;
	options.limits = small();
	auto program = Program::load(options);
	if (!program)
		throw std::runtime_error(program.error().message());
	return std::move(*program);
}

Image image_of(Config config, const Ids &before = {})
{
	config.limits = small();
	return *compile(config, NodeFacts{}, before);
}

TEST(GuardSwitch, WithoutTheGuardNoRuleDropsOrCounts)
{
	if (needs_legacy_build())
		GTEST_SKIP() << "benchmarks have no such build for kernels before 5.6";
	Program program = load(build_without_guard());
	Config config = guard_only();
	config.rules = every_rule(AX_ACTION_DROP);
	config.gtsm_local = {*Address::parse("192.0.2.1")};
	ASSERT_TRUE(program.dataplane().apply(image_of(config)));
	std::vector<Packet> packets;
	for (const RuleRow &row : rule_rows())
		packets.push_back(row.hit);
	packets.push_back(Eth{} / Ip4{.dst = "192.0.2.1", .ttl = 1} / Tcp{.dport = 179});
	packets.push_back(Eth{} / Ip4{.dst = "192.0.2.1", .ttl = 1} / Udp{.dport = 3784});
	packets.push_back(Eth{} / Ip4{.dst = "192.0.2.1", .ttl = 1} / Icmp4{.type = 3, .code = 4} /
			  (Eth{} / Ip4{.src = "192.0.2.1"} / Tcp{.dport = 179}).slice(14));
	packets.push_back(Eth{} / Ip4{.checksum = 1} / Udp{});
	for (const Packet &packet : packets)
		EXPECT_EQ(program.run(packet)->verdict, static_cast<std::uint32_t>(XDP_PASS))
			<< packet;
	const auto notes = program.dataplane().notes();
	for (const ReasonCount &count : *notes)
		EXPECT_EQ(count.packets, 0U) << reason_label(static_cast<ax_reason>(count.reason));
}

TEST(GuardSwitch, WithoutTheGuardWhatIsValidIsSteeredAllTheSame)
{
	if (needs_legacy_build())
		GTEST_SKIP() << "benchmarks have no such build for kernels before 5.6";
	Program program = load(build_without_guard());
	Image image = image_of(two_families());
	for (ax_backend &backend : image.backends)
		if (backend.state != AX_BACKEND_ABSENT) {
			backend.flags |= AX_BACKEND_RESOLVED;
			backend.ifindex = 1;
			backend.mtu = 1500;
		}
	ASSERT_TRUE(program.dataplane().apply(image));
	for (const Packet &packet : {Packet(Eth{} / Ip4{} / Tcp{}), Eth{} / Vlan{3} / Ip4{} / Udp{},
				     Eth{} / Ip6{} / Tcp{}})
		EXPECT_EQ(program.run(packet)->verdict, static_cast<std::uint32_t>(XDP_TX))
			<< packet;
}

// One thread sends, another flips the rule: nothing is lost, nothing counted twice.
TEST(GuardSwitch, ARuleThatIsFlippedUnderTrafficCountsEveryPacketOnce)
{
	Program program = load();
	Dataplane &maps = program.dataplane();
	auto flip = [&, ids = Ids{}](ax_action action) mutable {
		Config config = guard_only();
		config.rules["tcp_no_flags"] = action;
		config.rules["tcp_no_ack"] = AX_ACTION_OFF; // the packet breaks it too
		const Image image = image_of(config, ids);
		ids = image.ids;
		return maps.apply(image);
	};
	ASSERT_TRUE(flip(AX_ACTION_DROP));
	const Packet bad = Eth{} / Ip4{} / Tcp{.flags = 0};
	constexpr std::uint64_t kFlips = 12, kBetween = 100;
	std::atomic<std::uint64_t> dropped = 0, passed = 0;
	std::jthread sender([&](const std::stop_token &stop) {
		while (!stop.stop_requested())
			++(program.run(bad)->verdict == XDP_DROP ? dropped : passed);
	});
	for (std::uint64_t flips = 0; flips < kFlips; ++flips) {
		ASSERT_TRUE(flip(
			std::array{AX_ACTION_COUNT, AX_ACTION_OFF, AX_ACTION_DROP}[flips % 3]));
		for (const std::uint64_t before = dropped + passed;
		     dropped + passed < before + kBetween;)
			// Not a busy loop: both CPUs of an emulated guest have one thread.
			std::this_thread::sleep_for(std::chrono::milliseconds(1));
	}
	sender.request_stop();
	sender.join();
	const auto count = [&](const char *map, ax_reason reason) {
		return (*maps.map(map).sum(static_cast<std::uint32_t>(reason)))[0];
	};
	EXPECT_EQ(count("ax_reason", AX_R_TCP_NO_FLAGS), dropped);
	EXPECT_EQ(count("ax_reason", AX_R_NOT_VIP), passed);
	const std::uint64_t noted = count("ax_note", AX_R_TCP_NO_FLAGS);
	EXPECT_LE(noted, passed);
	// All three actions acted.
	EXPECT_GE(dropped, kBetween);
	EXPECT_GE(noted, kBetween);
	EXPECT_GE(passed - noted, kBetween);
	std::cout << kFlips << " flips: " << dropped << " dropped, " << noted << " counted, "
		  << passed - noted << " ignored\n";
}

} // namespace
} // namespace anycast::test
