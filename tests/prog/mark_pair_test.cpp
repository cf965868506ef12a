// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Alternate marking from end to end in one program, which is first the edge and then the backend:
// what the edge made of a random stream, less what a random way between them loses, late by less
// than half a period.
#include <algorithm>
#include <map>

#include "core/mark_join.h"
#include "support/marking.h"
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

constexpr std::size_t kMarkAt = 14 + 20 + 8 + 7; // Ethernet, IPv4, UDP, within GUE
constexpr const char *kHere = "10.1.0.11";

class MarkPair : public BothRolesTest {
protected:
	struct Sent {
		std::uint64_t due_us;
		Packet frame;
	};
	struct Truth {
		std::uint64_t sent = 0, lost = 0;
	};

	static Config config()
	{
		Config config = marked();
		config.roles = AX_ROLE_EDGE | AX_ROLE_BACKEND;
		config.pools[0].backends = {backend_at(kHere)};
		return config;
	}
	std::uint64_t random(std::uint64_t below)
	{
		state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
		return (state_ >> 33) % below;
	}

	void one_run(std::uint64_t seed)
	{
		state_ = seed;
		apply(config());
		reset_flows();
		std::vector<Sent> on_the_way;
		for (int i = 0; i < 500; i++) {
			advance_us(random(20) == 0 ? random(3 * kPeriodUs) : random(30000));
			const auto port = static_cast<std::uint16_t>(2000 + random(6));
			const bool syn = random(12) == 0, lost = random(10) == 0;
			Truth &flow = by_port_[port];
			const std::uint8_t flags = syn ? kSyn : kAck;
			Outcome out = expect(AX_R_STEERED,
					     Eth{} / Ip4{} / Tcp{.sport = port, .flags = flags});
			const std::uint8_t mark = out.frame[kMarkAt];
			// A SYN alone makes no record, so it counts where there is one.
			const bool of_flow = !syn || flow.sent != 0;
			EXPECT_EQ(mark & kBoth, of_flow ? kBoth : AX_MARK_SUM);
			all_.sent++;
			all_.lost += lost;
			flow.sent += of_flow;
			flow.lost += of_flow && lost;
			if (!lost)
				on_the_way.push_back(
					{clock_us() + random(kPeriodUs / 2), std::move(out.frame)});
		}
		const std::uint64_t end = clock_us() + 4 * kPeriodUs; // 3.5 s: docs/loss.md
		std::ranges::stable_sort(on_the_way, {}, &Sent::due_us);

		Config other = config();
		other.edges = {*Address::parse("192.0.2.1")};
		other.tunnel_addresses = {*Address::parse(kHere)};
		apply(other);
		for (const Sent &sent : on_the_way) {
			set_clock_us(sent.due_us);
			const std::uint64_t before = counted(AX_R_DECAPSULATED);
			send(sent.frame);
			ASSERT_EQ(counted(AX_R_DECAPSULATED), before + 1);
		}
		set_clock_us(end);

		MarkReport report = report_of(dataplane(), end);
		report.received.since = -3600'000; // by the machine's clock, not by the test's
		const MarkJoin join = join_marks({report});
		ASSERT_EQ(join.sums.size(), 1U);
		EXPECT_EQ(join.sums[0].lost, all_.lost) << join.sums[0].why;
		EXPECT_EQ(join.sums[0].of, all_.sent);
		EXPECT_EQ(join.flows.size(), by_port_.size());
		for (const MarkLoss &flow : join.flows) {
			EXPECT_EQ(flow.lost, by_port_[flow.key.client_port].lost) << flow.why;
			EXPECT_EQ(flow.of, by_port_[flow.key.client_port].sent);
		}
	}

private:
	std::uint64_t state_ = 0;
	std::map<std::uint16_t, Truth> by_port_; // since the beginning, as the counters
	Truth all_;
};

TEST_F(MarkPair, RandomLossIsFoundExactly)
{
	for (std::uint64_t seed = 1; seed <= 3; seed++) {
		SCOPED_TRACE(seed);
		one_run(seed);
	}
}

} // namespace
} // namespace anycast::test
