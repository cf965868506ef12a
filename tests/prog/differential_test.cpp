// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The program against a second implementation of the guard, on frames nobody thought of.
// AX_FUZZ_SEED and AX_FUZZ_FRAMES choose which and how many.
#include <iostream>
#include <map>

#include "prog/frame_generator.h"
#include "prog/guard_comparison.h"

namespace anycast::test {
namespace {

constexpr std::uint64_t kBatch = 64;   // frames between two readings of the counters
constexpr std::uint64_t kRules = 1024; // frames between two sets of rules

std::uint64_t frames_wanted()
{
	return setting("AX_FUZZ_FRAMES", in_vm() ? 5000 : 100000);
}

std::uint64_t seed_wanted()
{
	return setting("AX_FUZZ_SEED", 1);
}

GuardRules rules_of(std::uint64_t n)
{
	Random random(ax_mix(n + 99));
	switch (n % 8) {
	case 0:
	case 1:
		return {};
	case 2:
		return GuardRules::all(AX_ACTION_COUNT);
	case 3:
		return GuardRules::all(AX_ACTION_OFF);
	case 4:
		return GuardRules::all(AX_ACTION_DROP);
	default: {
		GuardRules rules;
		for (ax_action &action : rules.action)
			action = random.pick(
				{AX_ACTION_DROP, AX_ACTION_COUNT, AX_ACTION_COUNT, AX_ACTION_OFF});
		return rules;
	}
	}
}

class Differential : public GuardComparison {};

TEST_F(Differential, TheGuardDoesWhatTheOracleSays)
{
	const FrameGenerator generator(seed_wanted());
	const std::uint64_t frames = frames_wanted();
	std::map<std::string, std::uint64_t> repeated; // rules counted twice for one frame
	std::vector<Bytes> batch;
	for (std::uint64_t n = 0; n < frames && !HasFailure(); ++n) {
		if (n % kRules == 0)
			use(rules_of(n / kRules));
		batch.push_back(generator.frame(n));
		if (!same_reason(batch.back()))
			report(batch.back(), "frame " + std::to_string(n));
		if (batch.size() < kBatch && n + 1 < frames)
			continue;
		if (!same_notes()) { // which one?
			for (const ax_reason rule : counted_too_often())
				++repeated[std::string(reason_label(rule))];
			for (std::size_t i = 0; i < batch.size(); ++i)
				if (!difference(batch[i]).empty())
					report(batch[i],
					       "frame " + std::to_string(n + 1 - batch.size() + i));
			use(rules());
		}
		batch.clear();
	}
	std::cout << frames << " frames of seed " << seed_wanted() << "\n";
	for (const auto &[rule, batches] : repeated)
		ADD_FAILURE() << rule << " was counted more than once for one frame in " << batches
			      << " batches of " << kBatch;
}

class DifferentialWithVips : public GuardComparison {
protected:
	void SetUp() override
	{
		GuardComparison::SetUp();
		Config config = two_families();
		config.rules["ip4_zero_length"] = AX_ACTION_DROP; // its length is not its own
		config.rules["ip6_zero_length"] = AX_ACTION_DROP;
		apply(config, {}, 9000);
		rules_ = GuardRules{}
				 .with(AX_R_IP4_ZERO_LENGTH, AX_ACTION_DROP)
				 .with(AX_R_IP6_ZERO_LENGTH, AX_ACTION_DROP);
	}
	GuardRules rules_;

	void look_at(const Bytes &frame)
	{
		const GuardVerdict said = guard_oracle(frame, rules_);
		std::uint32_t verdict = 0;
		ax_trace trace{};
		ASSERT_TRUE(run(frame, verdict, trace));
		const auto reason = static_cast<ax_reason>(trace.reason);
		const Packet packet = Raw{frame};
		if (said.verdict != AX_CONTINUE) {
			ASSERT_EQ(reason_label(reason), reason_label(said.verdict)) << packet.hex();
			return;
		}
		ASSERT_NE(reason, AX_R_INTERNAL) << packet.hex();
		if (verdict == XDP_DROP) {
			const bool checksum = reason == AX_R_IP4_CHECKSUM && said.bad_checksum;
			const bool ttl =
				(reason == AX_R_IP4_TTL_ZERO || reason == AX_R_IP6_HOP_ZERO) &&
				said.ttl_zero;
			ASSERT_TRUE(checksum || ttl) << reason_label(reason) << packet.hex();
			return;
		}
		if (verdict == XDP_PASS) {
			ASSERT_TRUE(std::ranges::equal(out(), frame)) << packet.hex();
			return;
		}
		ASSERT_EQ(verdict, static_cast<std::uint32_t>(XDP_TX));
		ASSERT_EQ(said.seen, Seen::kIp) << packet.hex();
		ASSERT_FALSE(said.bad_checksum || said.ttl_zero) << packet.hex();
		++steered_;
		// The packet is inside, byte by byte; the outer header is right.
		const bool v4 = out()[12] == 0x08;
		const std::size_t header = 14 + (v4 ? 20 : 40);
		const std::size_t l2 = frame.size() + header - out().size();
		ASSERT_TRUE(std::ranges::equal(out().subspan(header), Frame(frame).subspan(l2)))
			<< packet.hex();
		if (v4) {
			ASSERT_EQ(internet_checksum(out().subspan(14, 20)), 0) << packet.hex();
		}
	}
	std::uint64_t steered_ = 0;
};

TEST_F(DifferentialWithVips, NothingIsSteeredThatTheOracleWouldNotLetBy)
{
	const FrameGenerator generator(seed_wanted() + 1000);
	const std::uint64_t frames = frames_wanted() / 2;
	for (std::uint64_t n = 0; n < frames && !HasFatalFailure(); ++n) {
		Bytes frame = generator.frame(n);
		// Half of them with a checksum that is right, so that they get further.
		const std::size_t at = frame[12] == 8 && frame[13] == 0 ? 14 : 0;
		const std::size_t header = at != 0 && frame.size() > 14 ? (frame[14] & 15U) * 4 : 0;
		if (n % 2 == 0 && header >= 20 && frame.size() >= at + header) {
			frame[24] = frame[25] = 0;
			const std::uint16_t sum =
				internet_checksum(Frame(frame).subspan(at, header));
			frame[24] = static_cast<std::uint8_t>(sum >> 8);
			frame[25] = static_cast<std::uint8_t>(sum);
		}
		look_at(frame);
	}
	std::cout << frames << " frames, " << steered_ << " steered\n";
	EXPECT_GT(steered_, frames / 100);
}

} // namespace
} // namespace anycast::test
