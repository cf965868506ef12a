// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Loss between server and client from scripted acknowledgements. Definitions: docs/loss.md.
#include <optional>
#include <utility>
#include <vector>

#include "support/program_fixture.h"

namespace anycast::test {
namespace {

constexpr std::uint32_t kMss = 1000;
constexpr std::uint32_t kServer = 0xfffff000; // its numbers wrap soon
constexpr std::uint64_t kRttUs = 20'000;

class Sack : public ProgramTest {
protected:
	using Blocks = std::vector<std::pair<unsigned, unsigned>>; // in segments, from the first on

	void SetUp() override
	{
		ProgramTest::SetUp();
		apply(two_families(), {}, 9000);
		notes();
	}

	static std::uint32_t number(unsigned segments) { return kServer + segments * kMss; }

	static Bytes sack_option(const Blocks &blocks)
	{
		Bytes option{1, 1, 5, static_cast<std::uint8_t>(2 + 8 * blocks.size())};
		for (const auto &[first, end] : blocks)
			for (const std::uint32_t word : {number(first), number(end)})
				for (const int shift : {24, 16, 8, 0})
					option.push_back(static_cast<std::uint8_t>(word >> shift));
		return option;
	}

	void transmit(std::uint32_t ack, std::uint8_t flags, const Bytes &options)
	{
		Tcp tcp{.seq = flags == kSyn ? 1000U : 1001U, .ack = ack, .flags = flags};
		tcp.options = options;
		if (echo_ && flags != kSyn)
			tcp.options = join({Bytes(2, 1), timestamps(7, *echo_), options});
		const Outcome outcome = v6_ ? send(Eth{} / Ip6{} / tcp)
					    : send(Eth{} / Ip4{.tos = tos_, .df = true} / tcp);
		EXPECT_EQ(outcome.verdict, static_cast<std::uint32_t>(XDP_TX)) << outcome;
	}

	void open()
	{
		transmit(0, kSyn, mss(kMss + (echo_ ? 12 : 0))); // less a timestamp
		advance_us(kRttUs);
		transmit(number(0), kAck, {});
	}

	// Everything below `segments` has arrived, and the blocks.
	void ack(unsigned segments, const Blocks &blocks = {}, std::uint8_t flags = kAck)
	{
		advance_us(1000);
		transmit(number(segments), flags, blocks.empty() ? Bytes{} : sack_option(blocks));
	}

	LossFigure figure() { return loss_report(only_flow()).s2c_lost_sack; }

	// The server's clock at that time.
	[[nodiscard]] std::uint32_t server_clock(std::uint64_t at_us) const
	{
		return 77'000 + static_cast<std::uint32_t>(at_us / tick_us_);
	}
	// What acknowledges a segment that was sent a round trip ago says so.
	void ack_new(unsigned segments, const Blocks &blocks = {})
	{
		echo_ = server_clock(clock_us() + 1000 - kRttUs);
		ack(segments, blocks);
	}

	bool v6_ = false;
	std::uint8_t tos_ = 0;
	std::optional<std::uint32_t> echo_; // timestamps, from the handshake's ACK on
	std::uint64_t tick_us_ = 1000;
};

TEST_F(Sack, WithoutAHoleNothingTellsWhetherTheClientWouldSaySo)
{
	open();
	for (unsigned i = 1; i < 20; i++)
		ack(i);
	EXPECT_EQ(figure().value, std::nullopt);
	EXPECT_EQ(figure().kind, "unsupported");
	EXPECT_EQ(loss_report(only_flow()).c2s_up_lost.value, 0U);
}

TEST_F(Sack, AHoleFilledAfterTheRttWasLost)
{
	for (const bool six : {false, true}) {
		v6_ = six;
		reset_flows();
		open();
		ack(3);
		ack(3, {{4, 5}});
		EXPECT_EQ(figure().unrepaired, 1U);
		ack(3, {{4, 6}});
		advance_us(kRttUs);
		ack(6); // without blocks: none are left
		EXPECT_EQ(figure().value, 1U);
		EXPECT_EQ(figure().unrepaired, 0U);
		EXPECT_EQ(figure().kind, "estimate");
		EXPECT_EQ(figure().basis, "sack");
		EXPECT_EQ(figure().of, 3U); // acknowledged since
		ack(7);
		EXPECT_EQ(figure().value, 1U);
	}
}

TEST_F(Sack, AHoleFilledSoonWasReordered)
{
	open();
	ack(3);
	ack(3, {{4, 5}});
	advance_us(kRttUs / 4);
	ack(5);
	EXPECT_EQ(figure().value, 0U);
	EXPECT_EQ(only_flow().sack.reordered, 1U);
}

// However long it took: what the hole's end echoes was sent before the hole was seen.
TEST_F(Sack, AnEchoTellsALateOriginal)
{
	echo_ = server_clock(clock_us());
	open();
	unsigned next = 3, late = 0;
	for (const std::uint64_t pause_us : {UINT64_C(0), UINT64_C(700'000)}) {
		ack_new(next);
		advance_us(pause_us);
		ack(next, {{next + 1, next + 2}}); // echoes as before (RFC 7323 section 4.3)
		const std::uint32_t original = server_clock(clock_us() - kRttUs);
		advance_us(3 * kRttUs);
		echo_ = original;
		ack(next + 2);
		EXPECT_EQ(figure().value, late) << pause_us;
		EXPECT_EQ(only_flow().sack.reordered, ++late);
		// and another one, whose repetition comes as soon as can be
		ack_new(next + 4);
		ack(next + 4, {{next + 5, next + 6}});
		const std::uint32_t again = server_clock(clock_us());
		advance_us(kRttUs - 1000);
		echo_ = again;
		ack(next + 6);
		EXPECT_EQ(figure().value, late) << pause_us;
		EXPECT_EQ(only_flow().sack.reordered, late);
		next += 10;
	}
}

TEST_F(Sack, AHoleAboveAnotherIsToldByTime)
{
	echo_ = server_clock(clock_us());
	open();
	ack_new(3);
	ack(3, {{4, 5}});
	ack(3, {{6, 7}, {4, 5}});
	advance_us(kRttUs / 4);
	ack(3, {{4, 7}}); // nothing new is acknowledged, so the echo is of 3
	EXPECT_EQ(only_flow().sack.reordered, 1U);
	advance_us(kRttUs);
	ack_new(7);
	EXPECT_EQ(figure().value, 1U);
}

TEST_F(Sack, AServerWithASlowClockIsToldByTime)
{
	tick_us_ = 10'000;
	echo_ = server_clock(clock_us());
	open();
	unsigned next = 1;
	for (int i = 0; i < 20; i++, next += 3) { // 440 ms: it shows
		ack_new(next);
		ack(next, {{next + 1, next + 2}});
		advance_us(kRttUs);
		ack_new(next + 2);
	}
	const std::uint64_t before = figure().value.value();
	ack_new(next);
	ack(next, {{next + 1, next + 2}});
	const std::uint32_t old = *echo_;
	advance_us(kRttUs);
	echo_ = old;
	ack(next + 2);
	EXPECT_EQ(figure().value, before + 1);
}

TEST_F(Sack, EveryHoleOfABurstIsCountedAndMayBeFilledInAnyOrder)
{
	open();
	ack(3);
	ack(3, {{8, 9}}); // five are missing
	advance_us(kRttUs);
	ack(3, {{5, 6}, {8, 10}}); // from the middle
	EXPECT_EQ(figure().unrepaired, 2U);
	ack(4, {{5, 6}, {8, 11}});
	ack(11);
	EXPECT_EQ(figure().value, 5U);
	EXPECT_EQ(figure().unrepaired, 0U);
}

TEST_F(Sack, BlocksComeInAnyOrder)
{
	open();
	ack(3, {{10, 11}, {4, 5}, {7, 8}}); // the ACKs before it were lost
	advance_us(kRttUs);
	ack(11);
	EXPECT_EQ(figure().value, 1U + 2U + 2U);
	EXPECT_EQ(only_flow().sack.reordered, 0U);
}

TEST_F(Sack, ADuplicateTakesTheLossBack)
{
	open();
	ack(3, {{4, 5}});
	advance_us(kRttUs);
	ack(5);
	EXPECT_EQ(figure().value, 1U);
	ack(5, {{3, 4}}); // RFC 2883: it has come twice, so it had only been late
	EXPECT_EQ(figure().value, 0U);
	EXPECT_EQ(only_flow().sack.duplicates, 1U);
	ack(6, {{3, 4}});
	EXPECT_EQ(figure().value, 0U); // never below
	EXPECT_EQ(only_flow().sack.duplicates, 2U);
}

TEST_F(Sack, ADuplicateAboveTheAcknowledgementStandsInTheSecondBlock)
{
	open();
	ack(3, {{5, 6}});
	ack(3, {{5, 6}, {4, 8}});
	EXPECT_EQ(only_flow().sack.duplicates, 1U);
	EXPECT_EQ(figure().unrepaired, 1U); // 3 is still missing; 4 came soon
}

TEST_F(Sack, TheNinthHoleEvictsTheOldest)
{
	open();
	ack(1);
	for (unsigned i = 0; i <= AX_HOLES; i++)
		ack(1, {{2 * i + 2, 2 * i + 3}});
	EXPECT_EQ(figure().evicted, 1U);
	EXPECT_EQ(figure().unrepaired, std::uint32_t{AX_HOLES});
	advance_us(kRttUs);
	ack(30);
	EXPECT_EQ(figure().value, std::uint32_t{AX_HOLES});
}

TEST_F(Sack, NonsenseBlocksAreIgnored)
{
	open();
	ack(3, {{9'000'000, 9'000'001}}); // far beyond any window
	ack(3, {{6, 5}});
	EXPECT_EQ(figure().unrepaired, 0U);
	EXPECT_EQ(figure().value, 0U);
}

TEST_F(Sack, CongestionIsCountedApart)
{
	open();
	ack(1, {}, kAck | kEce);
	ack(2, {}, kAck | kEce);
	tos_ = 3;
	ack(3);
	EXPECT_EQ(only_flow().sack.ece, 2U);
	EXPECT_EQ(only_flow().sack.ce, 1U);
	EXPECT_EQ(loss_report(only_flow()).c2s_up_lost.value, 0U);
	EXPECT_EQ(figure().value, std::nullopt);
}

} // namespace
} // namespace anycast::test
