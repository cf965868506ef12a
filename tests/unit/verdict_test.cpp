// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The one line that `loss` ends with, and where the evidence allows none.
#include "render/verdict.h"

#include <gtest/gtest.h>

namespace anycast {
namespace {

FlowRecord flow_from(const char *source, std::uint32_t segments)
{
	FlowRecord flow;
	flow.source = *Address::parse(source);
	flow.destination = *Address::parse("198.51.100.80");
	flow.family = flow.source.is_v4() ? 4 : 6;
	flow.source_port = 40000;
	flow.destination_port = 80;
	flow.protocol = 6;
	flow.flags = AX_FLOW_SYNCED | AX_FLOW_TS | AX_FLOW_SYN;
	flow.packets = flow.segments = segments;
	return flow;
}

render::LossVerdict judge(const std::vector<FlowRecord> &flows, bool merged = false)
{
	std::vector<render::NamedFlow> named(flows.size());
	for (std::size_t i = 0; i < flows.size(); i++) {
		named[i].flow = &flows[i];
		named[i].merged = merged;
	}
	return render::loss_verdict(named);
}

std::string text(const std::vector<FlowRecord> &flows)
{
	return judge(flows).text;
}

TEST(Verdict, NamesTheNetworkAndWhatIsKnownBeyond)
{
	FlowRecord flow = flow_from("203.0.113.10", 1000);
	flow.loss.lost = 10;
	EXPECT_EQ(text({flow}), "1.0 % lost between 203.0.113.0/24 and this node, unknown beyond");
	flow.egress = EgressCounters{.whole = true, .segments = 20};
	EXPECT_EQ(text({flow}), "1.0 % lost between 203.0.113.0/24 and this node, 0 beyond");
	flow.loss.rtx_seen = 25;
	flow.egress->duplicates = 5;
	flow.egress->segments = 200;
	flow.egress->rtx = 3;
	flow.sack.started = true;
	EXPECT_EQ(text({flow}), "1.0 % lost between 203.0.113.0/24 and this node, 2.0 % beyond; "
				"3 of 200 on the way back to the client");
	flow.egress->whole = false; // it may have missed reports of duplicates
	EXPECT_EQ(text({flow}),
		  "1.0 % lost between 203.0.113.0/24 and this node, at most 2.0 % beyond");
}

TEST(Verdict, OneNetworkIsNamedOnlyIfItHasTheLoss)
{
	FlowRecord bad = flow_from("203.0.113.10", 1000), good = flow_from("192.0.2.7", 9000);
	bad.loss.lost = 100;
	EXPECT_EQ(text({good, bad}),
		  "10.0 % lost between 203.0.113.0/24 and this node, unknown beyond");
	good.loss.lost = 100;
	EXPECT_EQ(text({good, bad}), "2.0 % lost between clients and this node, unknown beyond");
	FlowRecord six = flow_from("2001:db8:1:2::3", 100);
	EXPECT_EQ(text({six}), "0 lost between 2001:db8:1::/48 and this node, unknown beyond");
}

TEST(Verdict, NoRateFromAFewLosses)
{
	FlowRecord flow = flow_from("203.0.113.10", 200);
	flow.loss.lost = 2;
	EXPECT_EQ(text({flow}),
		  "2 of 200 lost between 203.0.113.0/24 and this node, unknown beyond");
}

TEST(Verdict, BeyondIsUnknownUntilHalfOfItWasSeen)
{
	FlowRecord seen = flow_from("203.0.113.10", 400), unseen = flow_from("203.0.113.11", 500);
	seen.egress = EgressCounters{.whole = true, .segments = 20};
	EXPECT_EQ(text({seen, unseen}),
		  "0 lost between 203.0.113.0/24 and this node, unknown beyond");
	seen.segments = 600;
	EXPECT_EQ(text({seen, unseen}), "0 lost between 203.0.113.0/24 and this node, 0 beyond");
}

TEST(Verdict, ClientsThatOnlyAcknowledgeTellOfTheWayBack)
{
	FlowRecord flow = flow_from("203.0.113.10", 20), other = flow_from("192.0.2.7", 20);
	for (FlowRecord *each : {&flow, &other})
		each->egress = EgressCounters{.whole = true, .segments = 1000};
	EXPECT_EQ(text({flow, other}), "0 lost on the way back to clients");
	flow.egress->rtx = 15;
	flow.sack.started = true;
	flow.sack.duplicates = 5;
	EXPECT_EQ(text({flow, other}), "1.0 % lost on the way back to 203.0.113.0/24");
}

TEST(Verdict, LittleEvidenceGivesNone)
{
	EXPECT_EQ(judge({}).why_not, "no_flows");
	EXPECT_EQ(judge({flow_from("203.0.113.10", 99)}).why_not, "too_few_segments");
	FlowRecord udp = flow_from("203.0.113.10", 1000);
	udp.protocol = 17;
	EXPECT_EQ(judge({udp}).why_not, "no_flows");
	FlowRecord known = flow_from("203.0.113.10", 1000), split = known;
	split.multi_cpu = true;
	split.packets = 1001;
	EXPECT_EQ(judge({known, split}).why_not, "mostly_unmeasured");
	split.packets = 1000;
	EXPECT_EQ(judge({known, split}).why_not, "");
	EXPECT_EQ(judge({known}, true).why_not, "generic_mode");
}

TEST(Verdict, GapsThatNobodyFilledAreNoLoss)
{
	FlowRecord flow = flow_from("203.0.113.10", 1000);
	flow.loss.lost = 5;
	flow.loss.unrepaired = 11;
	EXPECT_EQ(judge({flow}).why_not, "other_way");
	EXPECT_EQ(judge({flow}).text, "");
	flow.loss.lost = 12;
	EXPECT_EQ(text({flow}), "1.2 % lost between 203.0.113.0/24 and this node, unknown beyond");
}

TEST(Verdict, TheLineSaysWhyThereIsNone)
{
	EXPECT_EQ(render::verdict_line({"x", ""}), "x\n");
	EXPECT_EQ(render::verdict_line({"", "no_flows"}), "");
	EXPECT_EQ(render::verdict_line({"", "too_few_segments"}),
		  "no verdict: fewer than 100 segments were measured\n");
}

} // namespace
} // namespace anycast
