// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Loss from the payload of UDP services that declare it: RTP, DNS, QUIC.
#include "core/loss_totals.h"
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

class Measure : public ProgramTest {
protected:
	// The UDP VIPs of both families measure that.
	void declare(ax_measure measure)
	{
		Config config = two_families();
		for (Vip &vip : config.vips)
			if (vip.protocol == 17)
				vip.measure = measure;
		apply(config, {}, 9000);
	}
	void datagram(Bytes payload, std::uint16_t port = 40000, bool v6 = false)
	{
		payload.resize(std::max<std::size_t>(payload.size(), 40));
		const Udp udp{.sport = port};
		const Outcome outcome = v6 ? send(Eth{} / Ip6{} / udp / Raw{payload})
					   : send(Eth{} / Ip4{} / udp / Raw{payload});
		EXPECT_EQ(outcome.verdict, static_cast<std::uint32_t>(XDP_TX)) << outcome;
	}
	void rtp(std::uint16_t seq, std::uint32_t ssrc = 0x1234, std::uint8_t type = 96,
		 bool v6 = false)
	{
		const auto byte = [](std::uint32_t value, int shift) {
			return static_cast<std::uint8_t>(value >> shift);
		};
		datagram({0x80, type, byte(seq, 8), byte(seq, 0), 0, 0, 0, 0, byte(ssrc, 24),
			  byte(ssrc, 16), byte(ssrc, 8), byte(ssrc, 0)},
			 40000, v6);
	}
	void dns(std::uint16_t id, std::uint16_t port = 40000, bool answer = false)
	{
		datagram({static_cast<std::uint8_t>(id >> 8), static_cast<std::uint8_t>(id),
			  static_cast<std::uint8_t>(answer ? 0x81 : 0x01), 0, 0, 1, 0, 0, 0, 0, 0,
			  0},
			 port);
	}
	void quic(bool q, bool l = false)
	{
		datagram({static_cast<std::uint8_t>(0x40 | (q ? 0x10 : 0) | (l ? 8 : 0)), 1, 2, 3});
	}
	anycast::LossTotals backends()
	{
		anycast::LossTotals all;
		const auto sums = *dataplane().backend_loss();
		for (const ax_loss_sum &sum : sums)
			all.add({sum, 0});
		return all;
	}
};

TEST_F(Measure, RtpLossIsExactAcrossReorderingAndWrap)
{
	for (const bool v6 : {false, true}) {
		reset_flows();
		declare(AX_MEASURE_RTP);
		const std::uint64_t before = backends().rtp_lost - backends().rtp_undone;
		std::uint64_t random = 7, truth = 0;
		std::uint32_t sent = 0;
		std::vector<std::uint16_t> held; // at most one
		for (std::uint32_t i = 0; i < 3000; i++) {
			const auto seq = static_cast<std::uint16_t>(64000 + i);
			random = random * 6364136223846793005ULL + 1442695040888963407ULL;
			sent++;
			const bool last = i >= 2990;
			if (i > 0 && !last && (random >> 33) % 100 < 3) {
				truth++;
				continue;
			}
			if (i > 0 && !last && held.empty() && (random >> 43) % 50 == 0) {
				held.push_back(seq);
				continue;
			}
			rtp(seq, 0x1234, 96, v6);
			if (!held.empty() && seq - held.front() >= 3) {
				rtp(held.front(), 0x1234, 96, v6);
				held.clear();
			}
		}
		ASSERT_TRUE(held.empty());
		const FlowRecord flow = only_flow();
		const LossFigure lost = loss_report(flow).rtp_lost;
		EXPECT_GT(truth, 50U);
		EXPECT_EQ(lost.value, truth);
		EXPECT_EQ(lost.of, sent);
		EXPECT_EQ(lost.kind, "exact");
		EXPECT_EQ(lost.basis, "rtp");
		EXPECT_EQ(loss_report(flow).c2s_up_lost.value, std::nullopt);
		EXPECT_EQ(backends().rtp_lost - backends().rtp_undone - before, truth);
	}
}

TEST_F(Measure, RtpLooksAtOneSourceAndNotAtRtcp)
{
	declare(AX_MEASURE_RTP);
	for (std::uint16_t i = 0; i < 20; i++) {
		rtp(static_cast<std::uint16_t>(100 + i));
		rtp(static_cast<std::uint16_t>(9000 + 7 * i), 0x99);   // multiplexed, RFC 8843
		rtp(static_cast<std::uint16_t>(i * 1000), 0x1234, 72); // RTCP sender report
		datagram(Bytes{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42});   // STUN
	}
	EXPECT_EQ(loss_report(only_flow()).rtp_lost.value, 0U);
	EXPECT_EQ(loss_report(only_flow()).rtp_lost.of, 20U);
	for (std::uint16_t i = 0; i < 40; i++) // the first one has gone
		rtp(static_cast<std::uint16_t>(500 + i), 0x99);
	EXPECT_EQ(loss_report(only_flow()).rtp_lost.value, 0U);
	// 14 were refused: one of it came right before.
	EXPECT_EQ(loss_report(only_flow()).rtp_lost.of, 20U + 26U);
}

TEST_F(Measure, ARtpSourceThatBeginsAnewLosesNothing)
{
	declare(AX_MEASURE_RTP);
	for (std::uint16_t i = 0; i < 10; i++)
		rtp(static_cast<std::uint16_t>(100 + i));
	for (std::uint16_t i = 0; i < 10; i++)
		rtp(static_cast<std::uint16_t>(30000 + i));
	EXPECT_EQ(loss_report(only_flow()).rtp_lost.value, 0U);
	EXPECT_EQ(loss_report(only_flow()).rtp_lost.of, 19U) << "RFC 3550 A.1: the first is unsure";
}

TEST_F(Measure, DnsQueriesRepeatedWithinFiveSeconds)
{
	declare(AX_MEASURE_DNS);
	dns(1);
	dns(2);
	dns(1, 40001); // another flow's
	dns(1, 40000, true);
	advance_us(4'900'000);
	dns(1);
	advance_us(5'100'000);
	dns(1);
	std::uint64_t repeats = 0, queries = 0;
	for (const FlowRecord &flow : flows()) {
		const LossReport report = loss_report(flow);
		repeats += *report.dns_repeat.value;
		queries += report.dns_repeat.of;
		EXPECT_EQ(report.dns_repeat.kind, "upper_bound");
		EXPECT_EQ(report.dns_unanswered.value, std::nullopt);
	}
	EXPECT_EQ(repeats, 1U);
	EXPECT_EQ(queries, 4U);
	EXPECT_EQ(backends().dns_repeat, 1U);
}

TEST_F(Measure, QuicLossBits)
{
	declare(AX_MEASURE_QUIC);
	std::uint64_t lost = 0;
	std::uint32_t number = 0;
	for (int block = 0; block < 12; block++)
		for (int i = 0; i < 64; i++, number++) {
			// Blocks 1 to 8 lose some; the first is counted from its middle on, and
			// the last ones are not over.
			if (block >= 1 && block <= 8 && i % 16 == 5) {
				lost++;
				continue;
			}
			if (block > 0 || i > 30)
				quic(block % 2 != 0, number % 100 == 0);
		}
	const LossReport report = loss_report(only_flow());
	EXPECT_EQ(report.quic_lost.value, lost);
	EXPECT_EQ(report.quic_lost.basis, "q_bit");
	EXPECT_EQ(*report.quic_lost_end_to_end.value, backends().quic_l);
	EXPECT_GT(backends().quic_l, 4U);
	EXPECT_EQ(backends().quic_q, lost);
}

TEST_F(Measure, QuicWithoutLossBitsIsUnsupported)
{
	declare(AX_MEASURE_QUIC);
	std::uint64_t random = 3;
	for (int i = 0; i < 500; i++) { // header protection makes the bits random
		random = random * 6364136223846793005ULL + 1442695040888963407ULL;
		quic((random >> 40 & 1) != 0, (random >> 41 & 1) != 0);
	}
	const FlowRecord flow = only_flow();
	EXPECT_EQ(loss_unknown_because(flow), "no_loss_bits");
	EXPECT_EQ(loss_report(flow).quic_lost.value, std::nullopt);
	EXPECT_EQ(loss_report(flow).quic_lost.kind, "unsupported");
}

TEST_F(Measure, UdpThatDeclaresNothingIsNull)
{
	apply(two_families(), {}, 9000);
	for (std::uint16_t i = 0; i < 10; i++)
		rtp(static_cast<std::uint16_t>(i * 3));
	const FlowRecord flow = only_flow();
	EXPECT_EQ(loss_unknown_because(flow), "protocol");
	const LossReport report = loss_report(flow);
	for (const LossFigure *figure : {&report.c2s_up_lost, &report.rtp_lost, &report.dns_repeat,
					 &report.quic_lost, &report.dns_unanswered})
		EXPECT_EQ(figure->value, std::nullopt);
	EXPECT_EQ(backends(), anycast::LossTotals());
}

TEST_F(Measure, ADatagramTooShortForItsPayloadIsSentAndCountsNothing)
{
	for (const ax_measure measure : {AX_MEASURE_RTP, AX_MEASURE_DNS, AX_MEASURE_QUIC}) {
		reset_flows();
		declare(measure);
		for (int i = 0; i < 3; i++)
			EXPECT_EQ(send(Eth{} / Ip4{} / Udp{} / Payload(3)).reason, AX_R_STEERED);
		EXPECT_EQ(only_flow().segments, 0U);
		EXPECT_EQ(loss_unknown_because(only_flow()), "not_synced");
	}
}

} // namespace
} // namespace anycast::test
