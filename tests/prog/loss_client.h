// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A TCP client by hand: it knows what it has sent and what was lost on the way.
#pragma once

#include <algorithm>
#include <cstdint>

#include "support/program_fixture.h"

namespace anycast::test {

inline constexpr std::uint32_t kMss = 1000; // small, so that runs are quick

struct Segment {
	std::uint32_t seq = 0, length = 0;
	std::uint32_t ts = 0; // of its first transmission
	std::uint16_t ip_id = 0;
};

struct ClientOptions {
	bool timestamps = true;
	bool v6 = false;
	std::uint16_t port = 40000;
	std::uint32_t isn = 1'000'000;
	std::uint32_t first_ts = 5'000;
	std::uint32_t rtt_ms = 30;
	std::uint32_t tick_ms = 1;	// of its timestamps, as Linux has it
	std::size_t option_padding = 2; // NOPs before the timestamp; 2 is what all stacks send
};

class LossTest : public ProgramTest {
protected:
	class Client {
	public:
		Client(LossTest &test, const ClientOptions &options)
			: test_(test), options_(options), next_(options.isn)
		{
		}

		void syn(std::uint32_t data = 0)
		{
			next_ = options_.isn + 1 + data;
			transmit({.seq = options_.isn, .length = data, .ts = ts(), .ip_id = ++id_},
				 kSyn);
		}
		void established() { ack(); }
		void ack() { transmit({.seq = next_, .ts = ts(), .ip_id = ++id_}, kAck); }
		Segment skip() // sent, and lost before the node
		{
			const Segment segment{
				.seq = next_, .length = kMss, .ts = ts(), .ip_id = ++id_};
			next_ += kMss;
			return segment;
		}
		Segment send_next()
		{
			const Segment segment = skip();
			transmit(segment, kAck);
			return segment;
		}
		void original(const Segment &segment) { transmit(segment, kAck); }
		void again(Segment segment)
		{
			segment.ts = ts();
			segment.ip_id = ++id_;
			transmit(segment, kAck);
		}
		void keepalive(std::size_t bytes)
		{
			transmit({.seq = next_ - 1,
				  .length = static_cast<std::uint32_t>(bytes),
				  .ts = ts(),
				  .ip_id = ++id_},
				 kAck);
		}
		void fin() { transmit({.seq = next_++, .ts = ts(), .ip_id = ++id_}, kFin | kAck); }
		void reset(std::uint32_t ahead)
		{
			transmit({.seq = next_ + ahead, .ts = ts(), .ip_id = ++id_}, kRst);
		}
		void jump(std::uint32_t bytes) { next_ += bytes; }

		void wait_ms(std::uint64_t ms) { test_.advance_us(ms * 1000); }
		[[nodiscard]] std::uint64_t now_us() const { return test_.clock_us(); }

	private:
		[[nodiscard]] std::uint32_t ts() const
		{
			return options_.first_ts +
			       static_cast<std::uint32_t>(test_.clock_us() / 1000 /
							  options_.tick_ms);
		}
		void transmit(const Segment &segment, std::uint8_t flags)
		{
			Tcp tcp{.sport = options_.port, .seq = segment.seq, .flags = flags};
			if ((flags & kSyn) != 0)
				tcp.options = mss(kMss);
			if (options_.timestamps)
				tcp.options = join({tcp.options,
						    (flags & kSyn) != 0
							    ? Bytes(2, 1)
							    : Bytes(options_.option_padding, 1),
						    timestamps(segment.ts, 1)});
			const Payload data(segment.length);
			const Outcome outcome =
				options_.v6
					? test_.send(Eth{} / Ip6{} / tcp / data)
					: test_.send(Eth{} / Ip4{.id = segment.ip_id, .df = true} /
						     tcp / data);
			EXPECT_EQ(outcome.verdict, static_cast<std::uint32_t>(XDP_TX)) << outcome;
		}

		LossTest &test_;
		ClientOptions options_;
		std::uint32_t next_;
		std::uint16_t id_ = 100;
	};

	void SetUp() override
	{
		ProgramTest::SetUp();
		apply(two_families(), {}, 9000);
		notes();
	}
	Client make(const ClientOptions &options) { return {*this, options}; }
	// After its handshake.
	Client open(const ClientOptions &options = {})
	{
		Client client = make(options);
		client.syn();
		client.wait_ms(options.rtt_ms);
		client.established();
		return client;
	}
	// Joined in the middle, its handshake unseen.
	Client middle(const ClientOptions &options) { return make(options); }
};

} // namespace anycast::test
