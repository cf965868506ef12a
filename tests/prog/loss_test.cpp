// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The loss tracker against scripted clients whose truth is known. Definitions: docs/loss.md.
#include "prog/loss_client.h"

namespace anycast::test {
namespace {

class Loss : public LossTest {};

TEST_F(Loss, InOrderNothingIsLost)
{
	Client client = open();
	for (int i = 0; i < 100; ++i)
		client.send_next();
	const FlowRecord flow = only_flow();
	EXPECT_EQ(flow.loss, LossCounters{});
	EXPECT_EQ(flow.segments, 101U); // the SYN's number, too
	EXPECT_EQ(loss_report(flow).c2s_up_lost.value, 0U);
	EXPECT_EQ(loss_report(flow).c2s_up_lost.kind, "estimate");
}

TEST_F(Loss, ARetransmissionWithANewerTimestampFillsAHole)
{
	Client client = open();
	client.send_next();
	const Segment lost = client.skip();
	client.send_next();
	EXPECT_EQ(only_flow().loss.unrepaired, 1U);
	client.wait_ms(40);
	client.again(lost);
	const FlowRecord flow = only_flow();
	EXPECT_EQ(flow.loss.lost, 1U);
	EXPECT_EQ(flow.loss.reordered, 0U);
	EXPECT_EQ(flow.loss.unrepaired, 0U);
	EXPECT_EQ(loss_report(flow).c2s_up_lost.basis, "ts");
}

TEST_F(Loss, ALateOriginalIsReorderedNotLost)
{
	Client client = open();
	client.send_next();
	const Segment late = client.skip();
	client.wait_ms(2);
	client.send_next();
	client.wait_ms(100); // later than any patience: the timestamp tells
	client.original(late);
	const FlowRecord flow = only_flow();
	EXPECT_EQ(flow.loss.lost, 0U);
	EXPECT_EQ(flow.loss.reordered, 1U);
}

TEST_F(Loss, EqualTimestampsAreToldByTime)
{
	for (const bool soon : {true, false}) {
		reset_flows();
		Client client = open({.rtt_ms = 3}); // too short for a clock of a millisecond
		client.send_next();
		const Segment missing = client.skip();
		client.send_next(); // in the same tick of the sender's clock
		set_clock_us(client.now_us() + (soon ? 2'000 : 2'900)); // 0.9 RTT is 2.7 ms
		client.original(missing);
		EXPECT_EQ(only_flow().loss.lost, soon ? 0U : 1U);
		EXPECT_EQ(only_flow().loss.reordered, soon ? 1U : 0U);
	}
}

// A retransmission takes a round trip at least, in which a fine clock ticks: a quiet line or a busy
// machine may hold up an original for as long as it likes.
TEST_F(Loss, EqualTimestampsOfAFineClockAreLateOriginals)
{
	for (const std::uint32_t rtt_ms : {20U, 2U}) { // 2 ms: too close to the ticks
		reset_flows();
		Client client = open({.v6 = true, .rtt_ms = rtt_ms});
		for (int i = 0; i < 4; i++) {
			const Segment late = client.skip();
			client.send_next();
			client.wait_ms(30);
			client.original(late);
		}
		EXPECT_EQ(only_flow().loss.lost, rtt_ms == 20 ? 0U : 4U);
		EXPECT_EQ(only_flow().loss.reordered, rtt_ms == 20 ? 4U : 0U);
		const Segment lost = client.skip();
		client.send_next();
		client.wait_ms(30);
		client.again(lost);
		EXPECT_EQ(only_flow().loss.lost, rtt_ms == 20 ? 1U : 5U);
	}
}

TEST_F(Loss, EqualTimestampsOfASlowClockAreToldByTime)
{
	Client client = open({.v6 = true, .tick_ms = 100});
	Segment lost = client.skip();
	client.send_next();
	client.wait_ms(30);
	client.again(lost); // so far it may be a fine one
	EXPECT_EQ(only_flow().loss.lost, 0U);
	client.wait_ms(170);
	lost = client.skip();
	client.send_next();
	client.wait_ms(30);
	client.again(lost);
	EXPECT_EQ(only_flow().loss.lost, 1U);
}

TEST_F(Loss, EqualTimestampsWhenTheClockHasTickedAreLateOriginals)
{
	Client client = open({.rtt_ms = 20});
	client.send_next();
	const Segment late = client.skip();
	client.send_next();
	client.wait_ms(30);
	client.send_next(); // the sender's clock has gone on
	client.original(late);
	EXPECT_EQ(only_flow().loss.lost, 0U);
	EXPECT_EQ(only_flow().loss.reordered, 1U);
}

TEST_F(Loss, WithoutTimestampsTimeTells)
{
	for (const bool soon : {true, false}) {
		reset_flows();
		Client client = open({.timestamps = false, .rtt_ms = 20});
		client.send_next();
		const Segment missing = client.skip();
		client.send_next();
		client.wait_ms(soon ? 5 : 25);
		client.again(missing);
		EXPECT_EQ(only_flow().loss.lost, soon ? 0U : 1U);
		EXPECT_EQ(only_flow().loss.reordered, soon ? 1U : 0U);
	}
}

TEST_F(Loss, WithoutAHandshakeThreeMillisecondsArePatience)
{
	for (const bool soon : {true, false}) {
		reset_flows();
		Client client = middle({.timestamps = false});
		client.send_next();
		const Segment missing = client.skip();
		client.send_next();
		advance_us(soon ? 2900 : 3100);
		client.again(missing);
		EXPECT_EQ(only_flow().rtt_us, std::nullopt);
		EXPECT_EQ(only_flow().loss.lost, soon ? 0U : 1U);
	}
}

TEST_F(Loss, TheOriginalAfterItsRetransmissionTakesTheLossBack)
{
	Client client = open();
	client.send_next();
	const Segment late = client.skip();
	client.send_next();
	client.wait_ms(40);
	client.again(late); // called lost
	EXPECT_EQ(only_flow().loss.lost, 1U);
	client.wait_ms(1);
	client.original(late);
	const FlowRecord flow = only_flow();
	EXPECT_EQ(flow.loss.undone, 1U);
	EXPECT_EQ(flow.loss.reordered, 1U);
	EXPECT_EQ(loss_report(flow).c2s_up_lost.value, 0U);
}

TEST_F(Loss, BytesSeenBeforeAreRetransmissionsOrCopies)
{
	Client client = open();
	const Segment first = client.send_next();
	client.send_next();
	client.wait_ms(40);
	client.again(first); // lost beyond this node, or spurious
	EXPECT_EQ(only_flow().loss.rtx_seen, 1U);
	EXPECT_EQ(only_flow().loss.rtx_bytes, kMss);
	client.send_next();
	client.original(first); // the network's copy: an older timestamp than the newest
	EXPECT_EQ(only_flow().loss.duplicated, 1U);
	EXPECT_EQ(only_flow().loss.rtx_seen, 1U);
	EXPECT_EQ(only_flow().loss.lost, 0U);
}

TEST_F(Loss, IpIdsTellCopiesWhereThereAreNoTimestamps)
{
	Client client = open({.timestamps = false});
	std::vector<Segment> sent;
	for (int i = 0; i < 30; ++i)
		sent.push_back(client.send_next());
	EXPECT_EQ(only_flow().flags & AX_FLOW_IPID, AX_FLOW_IPID);
	EXPECT_EQ(loss_report(only_flow()).c2s_up_lost.basis, "ipid");
	client.original(sent[20]);
	EXPECT_EQ(only_flow().loss.duplicated, 1U);
	client.again(sent[20]);
	EXPECT_EQ(only_flow().loss.rtx_seen, 1U);
}

TEST_F(Loss, KeepAlivesAndPureAcksAreNoRetransmissions)
{
	for (const std::size_t bytes : {0U, 1U}) {
		reset_flows();
		Client client = open();
		client.send_next();
		for (int i = 0; i < 3; ++i) {
			client.wait_ms(1000);
			client.keepalive(bytes);
			client.ack();
		}
		client.send_next();
		const FlowRecord flow = only_flow();
		if (bytes == 1) { // without data it is a pure ACK
			EXPECT_EQ(flow.loss.keepalives, 3U);
		}
		EXPECT_EQ(flow.loss.rtx_seen, 0U);
		EXPECT_EQ(flow.loss.lost + flow.loss.unrepaired, 0U);
	}
}

TEST_F(Loss, TheNinthHoleEvictsTheOldest)
{
	Client client = open();
	client.send_next();
	std::vector<Segment> holes;
	for (int i = 0; i < AX_HOLES; ++i) {
		holes.push_back(client.skip());
		client.wait_ms(1);
		client.send_next();
	}
	EXPECT_EQ(only_flow().loss.evicted, 0U);
	EXPECT_EQ(only_flow().loss.unrepaired, std::uint32_t{AX_HOLES});
	holes.push_back(client.skip());
	client.wait_ms(1);
	client.send_next();
	EXPECT_EQ(only_flow().loss.evicted, 1U);
	client.wait_ms(40);
	for (const Segment &hole : holes)
		client.again(hole);
	const FlowRecord flow = only_flow();
	EXPECT_EQ(flow.loss.lost, std::uint32_t{AX_HOLES}); // all but the evicted one
	EXPECT_EQ(flow.loss.unrepaired, 0U);
	EXPECT_EQ(flow.loss.rtx_seen, 1U); // as that one looks
}

TEST_F(Loss, ABurstCountsItsSegmentsAndMayBeRepairedInAnyOrder)
{
	Client client = open();
	client.send_next();
	std::vector<Segment> burst;
	for (int i = 0; i < 6; ++i)
		burst.push_back(client.skip());
	client.send_next();
	EXPECT_EQ(only_flow().loss.unrepaired, 1U);
	client.wait_ms(40);
	for (const int i : {3, 0, 5, 1, 4, 2})
		client.again(burst[static_cast<std::size_t>(i)]);
	const FlowRecord flow = only_flow();
	EXPECT_EQ(flow.loss.lost, 6U);
	EXPECT_EQ(flow.loss.unrepaired, 0U);
	EXPECT_EQ(flow.segments, 1U + 8U);
}

TEST_F(Loss, SequenceNumbersAndTimestampsWrap)
{
	for (const std::uint32_t isn : {0xffffffffU, 0xffffffffU - 5 * kMss, 0x7fffffffU}) {
		reset_flows();
		Client client = open({.isn = isn, .first_ts = 0xfffffff0});
		for (int i = 0; i < 10; ++i) {
			const Segment lost = client.skip();
			client.wait_ms(5);
			client.send_next();
			client.wait_ms(40);
			client.again(lost);
		}
		const FlowRecord flow = only_flow();
		EXPECT_EQ(flow.loss.lost, 10U) << isn;
		EXPECT_EQ(flow.loss.resync + flow.loss.unrepaired + flow.loss.reordered, 0U);
		EXPECT_EQ(flow.segments, 21U);
	}
}

TEST_F(Loss, AJumpBeyondFourMegabytesIsAnotherConnection)
{
	Client client = open();
	client.send_next();
	client.skip();
	client.send_next();
	client.jump(AX_RESYNC_BYTES + 1);
	client.send_next();
	client.send_next();
	EXPECT_EQ(only_flow().loss.resync, 1U);
	EXPECT_EQ(only_flow().loss.unrepaired, 0U);
	client.jump(0U - AX_RESYNC_BYTES - 3 * kMss);
	client.send_next();
	EXPECT_EQ(only_flow().loss.resync, 2U);
	client.jump(AX_RESYNC_BYTES); // just not beyond
	client.send_next();
	EXPECT_EQ(only_flow().loss.resync, 2U);
	EXPECT_EQ(only_flow().loss.unrepaired, 1U);
}

TEST_F(Loss, TheSynTellsRttMssAndItsRepeats)
{
	Client client = make({});
	client.syn();
	client.wait_ms(1000);
	client.syn();
	client.wait_ms(2000);
	client.syn();
	client.wait_ms(25);
	client.established();
	const FlowRecord flow = only_flow();
	EXPECT_EQ(flow.syn_rtx, 2);
	EXPECT_EQ(flow.mss, kMss);
	ASSERT_TRUE(flow.rtt_us);
	EXPECT_NEAR(*flow.rtt_us, 25'000, 64);
	EXPECT_EQ(flow.segments, 1U);
}

TEST_F(Loss, FinAndRst)
{
	Client client = open();
	client.send_next();
	client.fin();
	client.ack();
	EXPECT_EQ(only_flow().flags & (AX_FLOW_FIN | AX_FLOW_RST), AX_FLOW_FIN);
	EXPECT_EQ(only_flow().segments, 3U);
	EXPECT_EQ(only_flow().loss, LossCounters{});
	client.reset(12345); // a reset's number need not be the next one
	EXPECT_EQ(only_flow().flags & AX_FLOW_RST, AX_FLOW_RST);
	EXPECT_EQ(only_flow().loss, LossCounters{});
}

TEST_F(Loss, DataOnTheSynLeavesNoHole)
{
	// TCP Fast Open, RFC 7413.
	Client client = make({});
	client.syn(500);
	client.wait_ms(20);
	client.established();
	client.send_next();
	EXPECT_EQ(only_flow().loss, LossCounters{});
}

TEST_F(Loss, Ip6IsTrackedTheSame)
{
	Client client = open({.v6 = true});
	client.send_next();
	const Segment lost = client.skip();
	client.send_next();
	client.wait_ms(40);
	client.again(lost);
	EXPECT_EQ(only_flow().family, 6);
	EXPECT_EQ(only_flow().loss.lost, 1U);
}

TEST_F(Loss, TimestampsAreFoundWhereverTheyStand)
{
	for (const std::size_t before : {0U, 1U, 2U, 3U, 7U, 20U, 30U}) {
		reset_flows();
		Client client = open({.option_padding = before});
		client.send_next();
		EXPECT_EQ(only_flow().flags & AX_FLOW_TS, AX_FLOW_TS) << before;
	}
}

TEST_F(Loss, AStolenRecordLeavesNoFigure)
{
	// More flows with anomalies than there are records: the first one's is taken.
	const std::uint32_t records = dataplane().sizes().anomalies;
	Client first = open({.port = 1});
	first.send_next();
	first.skip();
	first.send_next();
	for (std::uint32_t i = 0; i < records; ++i) {
		advance_us(10'000);
		Client other = middle({.port = static_cast<std::uint16_t>(1000 + i)});
		other.send_next();
		other.skip();
		other.send_next();
	}
	EXPECT_GE(notes()[AX_R_LOSS_STATE_STOLEN], 1U);
	const auto all = flows();
	const auto found = std::ranges::find(all, 1, &FlowRecord::source_port);
	ASSERT_NE(found, all.end());
	EXPECT_TRUE(found->anomaly_lost);
	EXPECT_EQ(loss_report(*found).c2s_up_lost.value, std::nullopt);
}

} // namespace
} // namespace anycast::test
