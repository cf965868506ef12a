// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/loss_totals.h"

#include <gtest/gtest.h>

namespace anycast {
namespace {

TEST(Prefix, IsParsedAndMasked)
{
	EXPECT_EQ(parse_prefix("203.0.113.0/24")->text(), "203.0.113.0/24");
	EXPECT_EQ(parse_prefix("203.0.113.7")->bits, 32);
	EXPECT_EQ(parse_prefix("2001:db8::/48")->text(), "2001:db8::/48");
	EXPECT_EQ(parse_prefix("::/0")->bits, 0);
	for (const char *wrong : {"203.0.113.7/24", "203.0.113.0/33", "203.0.113.0/", "10/8", "",
				  "2001:db8::/129", "203.0.113.0/-1", "203.0.113.0/24 "})
		EXPECT_FALSE(parse_prefix(wrong)) << wrong;
	EXPECT_EQ(prefix_of(*Address::parse("203.0.113.77"), 26).text(), "203.0.113.64/26");
	EXPECT_EQ(prefix_of(*Address::parse("2001:db8:1:ffff::1"), 49).text(),
		  "2001:db8:1:8000::/49");
}

TEST(PrefixRows, AreSummedOverCpusAndHalfWrittenOnesLeftOut)
{
	std::vector<ax_prefix_loss> rows(2 * 4); // two CPUs
	const auto set = [&](std::size_t at, const char *prefix, std::uint64_t lost) {
		rows[at].addr = Address::parse(prefix)->raw();
		rows[at].bits = 96 + 24;
		rows[at].segments = 100;
		rows[at].sum.count[AX_LOSS_LOST] = lost;
	};
	set(1, "203.0.113.0", 3);
	set(6, "203.0.113.0", 4);
	set(7, "192.0.2.0", 9);
	rows[7].version = 1; // is being given away
	rows[4].sum.count[AX_LOSS_REORDERED] = 5;

	const auto all = decode_prefixes(rows, 2);
	ASSERT_EQ(all.size(), 2U);
	EXPECT_FALSE(all[0].prefix);
	EXPECT_EQ(all[0].totals.reordered, 5U);
	EXPECT_EQ(all[1].prefix->text(), "203.0.113.0/24");
	EXPECT_EQ(all[1].totals.lost, 7U);
	EXPECT_EQ(all[1].totals.segments, 200U);
}

TEST(LossTotals, NoSegmentNoFigure)
{
	EXPECT_FALSE(LossTotals().report().c2s_up_lost.value);
	LossTotals totals;
	totals.segments = 10;
	totals.lost = 3;
	totals.undone = 1;
	EXPECT_EQ(totals.report().c2s_up_lost.value, 2U);
	EXPECT_EQ(totals.report().c2s_up_lost.rate(), 0.2);
	EXPECT_EQ(totals.report().c2s_rtx_seen.kind, "upper_bound");
}

// Zero of what was not looked at is null; a rate has one kind of packet above and below.
TEST(LossTotals, OfWhatVipsDeclare)
{
	LossTotals rtp;
	rtp.measure = AX_MEASURE_RTP;
	rtp.segments = 90;
	rtp.rtp_lost = 11;
	rtp.rtp_undone = 1;
	EXPECT_FALSE(rtp.report().c2s_up_lost.value);
	EXPECT_EQ(rtp.report().rtp_lost.value, 10U);
	EXPECT_EQ(rtp.report().rtp_lost.rate(), 0.1);
	EXPECT_EQ(rtp.report().rtp_lost.kind, "exact");
	EXPECT_FALSE(rtp.report().dns_repeat.value);

	LossTotals dns;
	dns.measure = AX_MEASURE_DNS;
	dns.segments = 5;
	EXPECT_EQ(dns.report().dns_repeat.value, 0U);
	EXPECT_EQ(dns.report().dns_repeat.of, 5U);

	LossTotals quic;
	quic.measure = AX_MEASURE_QUIC;
	quic.segments = 1000;
	EXPECT_FALSE(quic.report().quic_lost.value) << "perhaps nobody sets the bits";
	quic.quic_l = 4;
	EXPECT_EQ(quic.report().quic_lost.value, 0U);
	EXPECT_EQ(quic.report().quic_lost_end_to_end.value, 4U);

	LossTotals pool = rtp; // of a VIP with TCP, too
	pool.mixed = true;
	pool.lost = 3;
	EXPECT_EQ(pool.report().c2s_up_lost.value, 3U);
	EXPECT_EQ(pool.report().rtp_lost.value, 10U);
	EXPECT_FALSE(pool.report().c2s_up_lost.rate());
	EXPECT_FALSE(pool.report().rtp_lost.rate());
}

TEST(LossTotals, BothWaysOrWhyNot)
{
	LossTotals totals;
	totals.segments = totals.own_segments = totals.sent = totals.queries = 100;
	totals.own_rtx = totals.sent_again = 5;
	totals.answers = 98;
	EXPECT_EQ(totals.one_way_because(), "not_watched");
	EXPECT_FALSE(totals.report().c2s_down_lost.value || totals.report().s2c_lost.value ||
		     totals.report().dns_unanswered.value);
	totals.both_ways = true;
	EXPECT_EQ(totals.one_way_because(), "");
	EXPECT_EQ(totals.report().c2s_down_lost.value, 5U);
	EXPECT_EQ(totals.report().dns_unanswered.value, 2U);
	LossTotals twin = totals;
	twin.twins = true;
	totals.add(twin);
	EXPECT_EQ(totals.one_way_because(), "several_own_backends");
	EXPECT_FALSE(totals.report().s2c_lost.value);
}

} // namespace
} // namespace anycast
