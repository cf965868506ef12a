// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The flow table while another CPU, or a reader in user space, looks at it too.
#include <sched.h>
#include <unistd.h>

#include <map>
#include <vector>

#include "support/program_fixture.h"

namespace anycast::test {
namespace {

using Notes = std::map<ax_reason, std::uint64_t>;

bool move_to(std::uint32_t cpu)
{
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one) == 0;
}

class FlowStress : public ProgramTest {
protected:
	void SetUp() override
	{
		ProgramTest::SetUp();
		apply(two_families());
		notes();
	}
	static Packet segment(std::uint16_t port, std::uint32_t seq = 1)
	{
		return Eth{} / Ip4{} / Tcp{.sport = port, .seq = seq, .flags = kAck} /
		       Packet(Payload(10));
	}
	// To another CPU for as long as this lives.
	class Elsewhere {
	public:
		explicit Elsewhere(std::uint32_t home) : home_(home)
		{
			const auto cpus = static_cast<std::uint32_t>(sysconf(_SC_NPROCESSORS_CONF));
			for (std::uint32_t cpu = 0; cpu < cpus && !moved_; ++cpu)
				moved_ = cpu != home && move_to(cpu);
		}
		~Elsewhere() { move_to(home_); }
		Elsewhere(const Elsewhere &) = delete;
		Elsewhere &operator=(const Elsewhere &) = delete;
		[[nodiscard]] bool moved() const { return moved_; }

	private:
		std::uint32_t home_;
		bool moved_ = false;
	};
};

TEST_F(FlowStress, TwoCpusGiveAFlowOneBackendAndOneRecordWithoutALossFigure)
{
	std::map<std::uint16_t, std::string> backends;
	for (std::uint16_t port = 1; port <= 40; ++port)
		backends[port] = expect(AX_R_STEERED, segment(port)).backend;
	{
		const Elsewhere elsewhere(cpu());
		if (!elsewhere.moved())
			GTEST_SKIP() << "one CPU only: no flow can be seen on two";
		for (std::uint16_t port = 1; port <= 40; ++port) {
			const Outcome outcome = expect(AX_R_STEERED, segment(port, 11));
			EXPECT_EQ(outcome.backend, backends[port]);
			EXPECT_TRUE(outcome.slot.has_value()) << "no entry of its own here";
		}
	}
	EXPECT_EQ(notes(), (Notes{{AX_R_FLOW_INSERTED, 80}}));
	const auto found = flows();
	EXPECT_EQ(found.size(), 40U);
	for (const FlowRecord &flow : found) {
		EXPECT_TRUE(flow.multi_cpu);
		EXPECT_EQ(flow.packets, 2U);
		EXPECT_EQ(loss_unknown_because(flow), "multi_cpu");
		EXPECT_FALSE(loss_report(flow).c2s_up_lost.value.has_value());
	}
}

// The pool changes between the two CPUs' first packets: each entry pins what it saw, the reader
// says that there is more than one.
TEST_F(FlowStress, AnEntryOfBeforeAPoolChangeStaysOnItsCpu)
{
	std::uint16_t port = 1;
	while (expect(AX_R_STEERED, segment(port)).backend != "10.1.0.11")
		++port;
	Config config = two_families();
	config.pools[0].backends[0].state = AX_BACKEND_DRAINING;
	apply(config);
	std::string other;
	{
		const Elsewhere elsewhere(cpu());
		if (!elsewhere.moved())
			GTEST_SKIP() << "one CPU only: no flow can be seen on two";
		other = expect(AX_R_STEERED, segment(port, 11)).backend;
	}
	EXPECT_NE(other, "10.1.0.11") << "a draining backend takes no new flows";
	EXPECT_EQ(expect(AX_R_STEERED, segment(port, 21)).backend, "10.1.0.11");
}

// What lets a reader notice (tests/unit/flow_race_test.cpp): whoever replaces an entry leaves it
// with another version, an even one.
TEST_F(FlowStress, AReplacedEntryHasAnotherVersion)
{
	const auto *entries =
		reinterpret_cast<const ax_flow4 *>(dataplane().map("ax_flow4").mapped());
	if (!entries)
		GTEST_SKIP() << "this kernel maps no arrays: entries are read by system calls";
	const std::uint32_t each = dataplane().sizes().buckets4 * AX_WAYS;
	const auto from = [](unsigned flow) {
		return Eth{} / Ip4{.src = Address::v4(0xcb007100 + flow % 64).text()} /
		       Tcp{.sport = static_cast<std::uint16_t>(1 + flow / 64), .flags = kAck};
	};
	std::vector<ax_flow4> before;
	unsigned replaced = 0, same = 0;
	for (unsigned flow = 0; flow < 3 * each; ++flow) {
		if (flow == 2 * each) {
			before.assign(entries + cpu() * each, entries + (cpu() + 1) * each);
			notes();
		}
		send(from(flow));
	}
	for (std::uint32_t i = 0; i < each; ++i) {
		const ax_flow4 &now = entries[cpu() * each + i];
		EXPECT_EQ(now.flow.version % 2, 0);
		if (now.saddr == before[i].saddr && now.flow.sport == before[i].flow.sport)
			continue;
		++replaced;
		same += now.flow.version == before[i].flow.version;
	}
	EXPECT_GT(replaced, each / 4);
	EXPECT_LT(same * 32, replaced);
}

} // namespace
} // namespace anycast::test
