// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The one exit: every packet is counted once, and its reason decides its fate.
#include <algorithm>
#include <random>
#include <span>
#include <vector>

#include "core/reasons.h"
#include "support/program_fixture.h"
#include "support/rule_rows.h"

namespace anycast::test {
namespace {

class Conclude : public ProgramTest {
protected:
	struct Totals {
		std::uint64_t packets = 0, bytes = 0;
		bool operator==(const Totals &) const = default;
	};
	Totals totals()
	{
		Totals all;
		const auto counts = *dataplane().reasons();
		for (const ReasonCount &count : counts) {
			all.packets += count.packets;
			all.bytes += count.bytes;
		}
		return all;
	}
};

TEST_F(Conclude, TotalsBalanceOverAMixedRun)
{
	Config config = two_families();
	config.gtsm_local = {*Address::parse("192.0.2.1")};
	apply(config);
	std::vector<Packet> mix;
	for (const RuleRow &row : rule_rows()) {
		mix.push_back(row.hit);
		mix.push_back(row.near_miss);
	}
	mix.push_back(Eth{} / Ip4{.src = "192.0.2.9", .dst = "192.0.2.1"} / Tcp{.dport = 179});
	mix.push_back(Eth{} / Ip4{} / Tcp{.flags = kSyn});
	mix.push_back(Eth{} / Ip6{} / Tcp{});
	mix.push_back(Eth{} / Arp{});
	mix.push_back(Eth{} / Ip4{} / Icmp4{});
	std::mt19937 random(7);
	Totals expected;
	for (unsigned i = 0; i < (in_vm() ? 300U : 5000U); ++i) {
		const Packet &packet = mix[random() % mix.size()];
		const Outcome outcome = send(packet);
		++expected.packets;
		expected.bytes += packet.size();
		const ReasonInfo *info = find_reason(static_cast<int>(outcome.reason));
		ASSERT_NE(info, nullptr) << outcome;
		EXPECT_TRUE(is_final(*info)) << outcome;
		const std::uint32_t verdict = info->cls == AX_CLASS_PASS    ? XDP_PASS
					      : info->cls == AX_CLASS_STEER ? XDP_TX
									    : XDP_DROP;
		EXPECT_EQ(outcome.verdict, verdict) << outcome;
	}
	EXPECT_EQ(totals(), expected);
}

TEST_F(Conclude, VipAndBackendCountersAreTheSteeredPackets)
{
	apply(two_families());
	const unsigned frames = 60;
	for (unsigned i = 0; i < frames; ++i) {
		expect(AX_R_STEERED,
		       Eth{} / Ip4{} / Tcp{.sport = static_cast<std::uint16_t>(1 + i / 3)});
		expect(AX_R_TCP_SYN_FIN, Eth{} / Ip4{} / Tcp{.flags = kSyn | kFin});
	}
	const std::uint64_t bytes = frames * (Eth{} / Ip4{} / Tcp{}).size();
	std::uint64_t packets = 0, by_backend = 0;
	const auto backends = *dataplane().backend_counters();
	for (const ax_traffic &counter : backends) {
		packets += counter.packets;
		by_backend += counter.bytes;
	}
	EXPECT_EQ(packets, frames);
	EXPECT_EQ(by_backend, bytes);
	const auto www = std::ranges::find(image().ids.vips, "www", &Named::name);
	const auto vips = *dataplane().vip_counters();
	const auto id = static_cast<std::size_t>(www - image().ids.vips.begin());
	EXPECT_EQ(vips[id].packets, frames);
	EXPECT_EQ(vips[id].bytes, bytes);
}

TEST_F(Conclude, ANewConfigurationActsFromTheNextPacketOn)
{
	const Packet packet = Eth{} / Ip4{} / Tcp{.flags = kSyn | kFin};
	for (int i = 0; i < 6; ++i) { // both halves, several times
		Config config = two_families();
		config.rules["tcp_syn_fin"] = i % 2 != 0 ? AX_ACTION_OFF : AX_ACTION_DROP;
		apply(config);
		expect(i % 2 != 0 ? AX_R_STEERED : AX_R_TCP_SYN_FIN, packet);
	}
}

TEST_F(Conclude, AnOpaquePacketIsPassedAndNeverSteered)
{
	Config config = two_families();
	config.rules = every_rule(AX_ACTION_COUNT);
	apply(config);
	expect(AX_R_OPAQUE, Eth{} / Ip4{.ihl = 4} / Tcp{});
	expect(AX_R_OPAQUE, Eth{} / Ip4{.total_length = 2000} / Tcp{});
	expect(AX_R_OPAQUE, (Eth{} / Ip4{} / Tcp{}).truncate(14 + 10));
	expect(AX_R_OPAQUE, Eth{} / Ip4{} / Tcp{.data_offset = 4});
	expect(AX_R_OPAQUE, Eth{} / Ip6{.version = 5} / Tcp{});
	EXPECT_TRUE(flows().empty());
}

// Where they cost least; who reads adds both up.
TEST_F(Conclude, TheUsualReasonsAreCountedBesideTheOthers)
{
	std::vector<ax_usual> cpus(AX_USUAL_CPUS);
	std::uint64_t steered = 0, foreign = 0;
	const Packet packet = Eth{} / Ip4{.src = "11.2.3.5"} / Tcp{};

	apply(two_families());
	for (int i = 0; i < 3; ++i) // the first of a flow goes the long way
		expect(AX_R_STEERED, packet);
	expect(AX_R_NOT_IP, Eth{} / Arp{});
	ASSERT_TRUE(dataplane().map("ax_usual").read(0, std::as_writable_bytes(std::span(cpus))));
	for (const ax_usual &cpu : cpus) {
		steered += cpu.steered.packets;
		foreign += cpu.not_ip.packets;
	}
	EXPECT_EQ(steered, 2U);
	EXPECT_EQ(foreign, 1U);
	EXPECT_EQ((*dataplane().map("ax_reason").sum(AX_R_STEERED))[0], 1U);
	EXPECT_EQ((*dataplane().map("ax_reason").sum(AX_R_NOT_IP))[0], 0U);
	EXPECT_EQ(dataplane().reason(AX_R_STEERED)->bytes, 3 * packet.size());
}

class Inactive : public testing::Test {};

TEST_F(Inactive, AnInactiveInstancePassesWithoutCounting)
{
	LoadOptions options;
	options.instance = 2;
	options.limits.flows_v4 = options.limits.flows_v6 = 4096;
	auto program = Program::load(options);
	ASSERT_TRUE(program);
	Config config = two_families();
	config.limits = options.limits;
	const auto image = compile(config, NodeFacts{}, Ids{});
	ASSERT_TRUE(program->dataplane().apply(*image));
	const Packet bad = Eth{} / Ip4{} / Tcp{.flags = kSyn | kFin};
	const auto total = [&] {
		std::uint64_t sum = 0;
		const auto counts = *program->dataplane().reasons();
		for (const ReasonCount &count : counts)
			sum += count.packets;
		return sum;
	};
	ASSERT_TRUE(program->dataplane().set_active(1));
	EXPECT_EQ(program->run(bad)->verdict, static_cast<std::uint32_t>(XDP_PASS));
	EXPECT_EQ(total(), 0U);
	ASSERT_TRUE(program->dataplane().set_active(2));
	EXPECT_EQ(program->run(bad)->verdict, static_cast<std::uint32_t>(XDP_DROP));
	EXPECT_EQ(total(), 1U);
	ASSERT_TRUE(program->dataplane().set_active(0)); // while one hands over to another
	EXPECT_EQ(program->run(bad)->verdict, static_cast<std::uint32_t>(XDP_DROP));
	EXPECT_EQ(total(), 2U);
}

} // namespace
} // namespace anycast::test
