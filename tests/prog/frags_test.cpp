// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames longer than a page, which arrive in several buffers: lengths are compared with the whole
// frame, not with the first buffer.
#include <memory>

#include "kernel/features.h"
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

constexpr std::uint16_t kMtu = 9200;

class Frags : public testing::Test {
protected:
	void SetUp() override
	{
		if (!has_feature("xdp_frags"))
			GTEST_SKIP() << "this kernel gives no program more than one buffer";
		LoadOptions options;
		options.replay = true;
		options.frags = true;
		options.limits.flows_v4 = options.limits.flows_v6 = 4096;
		auto loaded = Program::load(options);
		ASSERT_TRUE(loaded) << loaded.error().message();
		program_ = std::make_unique<Program>(std::move(*loaded));
		Config config = two_families();
		config.limits = options.limits;
		Image image = *compile(config, NodeFacts{}, Ids{});
		for (ax_backend &backend : image.backends)
			if (backend.state != AX_BACKEND_ABSENT) {
				backend.flags |= AX_BACKEND_RESOLVED;
				backend.ifindex = 1;
				backend.mtu = kMtu;
			}
		ASSERT_TRUE(program_->dataplane().apply(image));
	}

	TestRun run(const Packet &packet)
	{
		auto run = program_->run(packet);
		if (!run)
			throw std::runtime_error(run.error().message());
		reason_ = static_cast<ax_reason>(program_->dataplane().trace()->reason);
		return std::move(*run);
	}
	// Twice: by the way of new flows and by that of known ones.
	void expect_steered(const Packet &packet, std::size_t outer)
	{
		for (int time = 0; time < 3; ++time) {
			const TestRun result = run(packet);
			ASSERT_EQ(reason_, AX_R_STEERED)
				<< reason_label(reason_) << " of " << packet.size() << " bytes";
			EXPECT_EQ(result.verdict, static_cast<std::uint32_t>(XDP_TX));
			ASSERT_EQ(result.frame.size(), packet.size() + outer);
			const auto inner = static_cast<long>(packet.size() - 18);
			EXPECT_TRUE(std::equal(result.frame.end() - inner, result.frame.end(),
					       packet.bytes().end() - inner));
		}
	}
	void expect_dropped(ax_reason reason, const Packet &packet)
	{
		EXPECT_EQ(run(packet).verdict, static_cast<std::uint32_t>(XDP_DROP));
		EXPECT_EQ(reason_, reason) << reason_label(reason_) << " of " << packet.size();
	}

	std::unique_ptr<Program> program_;
	ax_reason reason_ = AX_CONTINUE;
};

TEST_F(Frags, JumboFramesAreSteeredWhole)
{
	for (const std::size_t payload : {2000, 3400, 4096, 8900}) {
		expect_steered(Eth{} / Ip4{} / Tcp{} / Payload(payload), 20);
		expect_steered(Eth{} / Vlan{5} / Ip4{} / Udp{.dport = 53} / Payload(payload), 16);
		expect_steered(Eth{} / Ip6{} / Tcp{} / Payload(payload), 40);
	}
}

TEST_F(Frags, LengthsAreComparedWithTheWholeFrame)
{
	for (std::size_t payload = 3380; payload < 3560; ++payload) { // where the first buffer ends
		const auto length = static_cast<std::uint16_t>(20 + 20 + payload);
		expect_steered(Eth{} / Ip4{.total_length = length} / Tcp{} / Payload(payload), 20);
		expect_dropped(AX_R_IP4_TOTAL_LENGTH,
			       Eth{} / Ip4{.total_length = static_cast<std::uint16_t>(length + 1)} /
				       Tcp{} / Payload(payload));
	}
	const Packet short6 = Eth{} / Ip6{.payload_length = 8021} / Tcp{} / Payload(8000);
	expect_dropped(AX_R_IP6_PAYLOAD_LENGTH, short6);
	const Packet udp = Eth{} / Ip4{} / Udp{.dport = 53, .length = 8009} / Payload(8000);
	expect_dropped(AX_R_UDP_LENGTH, udp);
}

TEST_F(Frags, CountersHoldTheWholeFrame)
{
	const Packet packet = Eth{} / Ip4{} / Tcp{} / Payload(8000);
	run(packet);
	const auto count = program_->dataplane().reason(AX_R_STEERED);
	EXPECT_EQ(count->packets, 1U);
	EXPECT_EQ(count->bytes, packet.size());
}

TEST_F(Frags, EveryLengthUpToNineThousandHasAVerdict)
{
	const Packet whole = Eth{} / Ip4{} / Tcp{} / Payload(9000);
	for (std::size_t length = 14; length <= 9000; length += length < 1600 ? 1 : 37) {
		run(whole.truncate(length));
		EXPECT_NE(reason_, AX_CONTINUE) << length;
		EXPECT_NE(reason_, AX_R_INTERNAL) << length;
		EXPECT_EQ(reason_, length < 34 ? AX_R_IP4_TRUNCATED : AX_R_IP4_TOTAL_LENGTH)
			<< length << reason_label(reason_);
	}
}

} // namespace
} // namespace anycast::test
