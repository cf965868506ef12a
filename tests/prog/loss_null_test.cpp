// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Flows that cannot be measured say null, never 0.
#include <sched.h>

#include "prog/loss_client.h"

namespace anycast::test {
namespace {

class LossNull : public LossTest {
protected:
	// False if the machine has no other CPU for us.
	bool move_to_another_cpu()
	{
		for (std::uint32_t i = 0; i < dataplane().sizes().cpus; i++) {
			cpu_set_t one;
			CPU_ZERO(&one);
			CPU_SET(i, &one);
			if (i != cpu() && ::sched_setaffinity(0, sizeof(one), &one) == 0)
				return true;
		}
		return false;
	}
};

TEST_F(LossNull, AFlowThatMovedBetweenCpus)
{
	Client client = open();
	for (int i = 0; i < 10; i++)
		client.send_next();
	ASSERT_EQ(loss_report(only_flow()).c2s_up_lost.value, 0U);
	if (!move_to_another_cpu())
		GTEST_SKIP() << "needs two CPUs";
	const Segment lost = client.skip();
	client.send_next();
	client.wait_ms(40);
	client.again(lost);
	const FlowRecord flow = only_flow();
	EXPECT_TRUE(flow.multi_cpu);
	EXPECT_EQ(loss_unknown_because(flow), "multi_cpu");
	const LossReport report = loss_report(flow);
	for (const LossFigure *figure :
	     {&report.c2s_up_lost, &report.c2s_up_reordered, &report.c2s_rtx_seen}) {
		EXPECT_EQ(figure->value, std::nullopt);
		EXPECT_EQ(figure->kind, "unsupported");
		EXPECT_EQ(figure->rate(), std::nullopt);
	}
	EXPECT_EQ(flow.packets, 13U) << "what can be added up is: an ACK, ten and two";
}

TEST_F(LossNull, AFlowWithoutASegment)
{
	Client client = make({});
	client.syn();
	EXPECT_TRUE(flows().empty());
	client.ack();
	const LossFigure lost = loss_report(only_flow()).c2s_up_lost;
	EXPECT_EQ(lost.value, 0U) << "the SYN came";
	EXPECT_EQ(lost.of, 1U);
}

} // namespace
} // namespace anycast::test
