// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "health/tunnel_tcp.h"

#include <algorithm>

#include <gmock/gmock.h>

namespace anycast::health {
namespace {

using State = TunnelTcp::State;

constexpr std::uint32_t kOurs = 0xfffffffe, kTheirs = 0xfffffff0; // both wrap around

// The client's end, and what it has sent and passed on.
struct End {
	struct Sent {
		std::uint32_t sequence, acknowledged;
		std::uint8_t flags;
		std::string text;
	};
	TunnelAnswer made(std::uint32_t sequence, std::uint32_t acknowledged, std::uint8_t flags,
			  const std::string &text = "")
	{
		last = text;
		TunnelAnswer answer;
		answer.sequence = sequence, answer.acknowledged = acknowledged;
		answer.flags = flags, answer.mss = 100;
		answer.payload = {reinterpret_cast<const std::uint8_t *>(last.data()), last.size()};
		return answer;
	}
	void hears(std::uint32_t sequence, std::uint32_t acknowledged, std::uint8_t flags,
		   const std::string &text = "")
	{
		tcp.answer(made(sequence, acknowledged, flags, text));
	}
	void connect()
	{
		tcp.open();
		hears(kTheirs, kOurs + 1, kTcpSyn | kTcpAck);
		sent.clear();
	}
	void writes(const std::string &text)
	{
		tcp.write({reinterpret_cast<const std::uint8_t *>(text.data()), text.size()});
	}

	std::vector<Sent> sent;
	std::string got, last;
	std::size_t room = 1000;
	TunnelTcp tcp{kOurs,
		      [this](const Segment &s) {
			      sent.push_back({s.sequence,
					      s.acknowledged,
					      s.flags,
					      {s.payload.begin(), s.payload.end()}});
		      },
		      [this](std::span<const std::uint8_t> data) {
			      const std::size_t taken = std::min(room, data.size());
			      got.append(data.begin(),
					 data.begin() + static_cast<std::ptrdiff_t>(taken));
			      room -= taken;
			      return taken;
		      }};
};

TEST(TunnelTcp, OpensAsksAndHears)
{
	End end;
	end.tcp.open();
	ASSERT_EQ(end.sent.size(), 1U);
	EXPECT_EQ(end.sent[0].flags, kTcpSyn);
	EXPECT_FALSE(end.tcp.idle());
	end.hears(kTheirs, kOurs, kTcpSyn | kTcpAck);
	EXPECT_EQ(end.tcp.state(), State::kOpening) << "an answer to something else";
	end.hears(kTheirs, kOurs + 1, kTcpSyn | kTcpAck);
	EXPECT_EQ(end.tcp.state(), State::kOpen);
	EXPECT_TRUE(end.tcp.idle());
	ASSERT_EQ(end.sent.size(), 2U);
	EXPECT_EQ(end.sent[1].flags, kTcpAck);
	EXPECT_EQ(end.sent[1].sequence, kOurs + 1);
	EXPECT_EQ(end.sent[1].acknowledged, kTheirs + 1);

	end.sent.clear();
	end.writes(std::string(150, 'q')); // of their MSS of 100
	ASSERT_EQ(end.sent.size(), 2U);
	EXPECT_EQ(end.sent[0].text.size(), 100U);
	EXPECT_EQ(end.sent[1].sequence, kOurs + 101);
	EXPECT_EQ(end.sent[1].text.size(), 50U);
	EXPECT_FALSE(end.tcp.idle());
	end.hears(kTheirs + 1, kOurs + 101, kTcpAck);
	EXPECT_FALSE(end.tcp.idle());
	end.sent.clear();
	end.tcp.again(); // the second was lost
	ASSERT_EQ(end.sent.size(), 1U);
	EXPECT_EQ(end.sent[0].sequence, kOurs + 101);
	end.hears(kTheirs + 1, kOurs + 151, kTcpAck, "answer");
	EXPECT_TRUE(end.tcp.idle());
	EXPECT_EQ(end.got, "answer");
	end.hears(kTheirs + 7, kOurs + 151, kTcpAck | kTcpFin, "!");
	EXPECT_EQ(end.tcp.state(), State::kEnded);
	EXPECT_EQ(end.got, "answer!");
	EXPECT_EQ(end.sent.back().acknowledged, kTheirs + 9) << "the end counts as one";
	end.tcp.reset();
	EXPECT_EQ(end.sent.back().flags, kTcpReset | kTcpAck);
	EXPECT_EQ(end.sent.back().sequence, kOurs + 151);
}

TEST(TunnelTcp, TakesWhatIsInOrderOnce)
{
	End end;
	end.connect();
	end.hears(kTheirs + 4, kOurs + 1, kTcpAck, "def");
	EXPECT_EQ(end.got, "") << "abc is missing";
	EXPECT_EQ(end.sent.back().acknowledged, kTheirs + 1) << "and asked for";
	end.hears(kTheirs + 1, kOurs + 1, kTcpAck, "abc");
	end.hears(kTheirs + 1, kOurs + 1, kTcpAck, "abc");
	EXPECT_EQ(end.got, "abc");
	end.hears(kTheirs + 1, kOurs + 1, kTcpAck | kTcpFin, "abcdef"); // sent again, with more
	EXPECT_EQ(end.got, "abcdef");
	EXPECT_EQ(end.tcp.state(), State::kEnded);
	end.hears(kTheirs + 1, kOurs + 1, kTcpAck | kTcpFin, "abcdef");
	EXPECT_EQ(end.got, "abcdef");
	EXPECT_EQ(end.sent.back().acknowledged, kTheirs + 8);
}

TEST(TunnelTcp, ASlowReaderGetsItLater)
{
	End end;
	end.connect();
	end.room = 2;
	end.hears(kTheirs + 1, kOurs + 1, kTcpAck | kTcpFin, "abcd");
	EXPECT_EQ(end.tcp.state(), State::kOpen);
	EXPECT_EQ(end.sent.back().acknowledged, kTheirs + 3);
	end.room = 10;
	end.hears(kTheirs + 1, kOurs + 1, kTcpAck | kTcpFin, "abcd");
	EXPECT_EQ(end.got, "abcd");
	EXPECT_EQ(end.tcp.state(), State::kEnded);
}

TEST(TunnelTcp, LostSynsAndAcknowledgements)
{
	End end;
	end.tcp.open();
	end.tcp.again();
	EXPECT_EQ(end.sent.size(), 2U);
	EXPECT_EQ(end.sent[1].sequence, kOurs);
	end.hears(kTheirs, kOurs + 1, kTcpSyn | kTcpAck);
	end.hears(kTheirs, kOurs + 1, kTcpSyn | kTcpAck); // ours was lost
	EXPECT_EQ(end.sent.back().acknowledged, kTheirs + 1);
	EXPECT_EQ(end.sent.size(), 4U);
}

TEST(TunnelTcp, RefusedAndReset)
{
	End refused;
	refused.tcp.open();
	refused.hears(0, kOurs, kTcpReset | kTcpAck);
	EXPECT_EQ(refused.tcp.state(), State::kOpening) << "not an answer to the SYN";
	refused.hears(0, kOurs + 1, kTcpReset | kTcpAck);
	EXPECT_EQ(refused.tcp.state(), State::kRefused);
	refused.sent.clear();
	refused.tcp.reset();
	refused.tcp.again();
	EXPECT_TRUE(refused.sent.empty()) << "there is nobody to say it to";

	End reset;
	reset.connect();
	reset.hears(kTheirs + 2, 0, kTcpReset);
	EXPECT_EQ(reset.tcp.state(), State::kOpen) << "RFC 5961: only the very next number";
	reset.hears(kTheirs + 1, 0, kTcpReset);
	EXPECT_EQ(reset.tcp.state(), State::kReset);
}

// Whatever comes: no byte twice, none that was not sent, no crash.
TEST(TunnelTcp, HostileSegments)
{
	std::uint32_t dice = 1;
	const auto roll = [&dice](std::uint32_t sides) {
		dice = dice * 1664525 + 1013904223;
		return (dice >> 8) % sides;
	};
	for (int round = 0; round < 2000; round++) {
		End end;
		end.room = roll(40);
		end.tcp.open();
		for (int i = 0; i < 30; i++) {
			if (end.tcp.idle() && roll(3) == 0)
				end.writes(std::string(1 + roll(TunnelTcp::kPiece - 1), 'x'));
			const std::uint32_t at = roll(30);
			std::string text;
			for (std::uint32_t j = 0; j < roll(10); j++)
				text += static_cast<char>('a' + (at + j) % 26);
			end.hears(kTheirs + 1 + at - roll(2), kOurs + roll(6000) - 3,
				  static_cast<std::uint8_t>(roll(64)), i == 0 ? "" : text);
			if (roll(5) == 0)
				end.tcp.again();
		}
		EXPECT_LE(end.got.size(), 40U);
	}
}

} // namespace
} // namespace anycast::health
