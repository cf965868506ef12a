// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Sums of loss by VIP, backend and client prefix: they outlive flows and never go back.
#include "core/loss_totals.h"

#include <algorithm>

#include <fmt/format.h>

#include "kernel/flow_reader.h"
#include "prog/loss_client.h"

namespace anycast::test {
namespace {

class LossTotals : public LossTest {
protected:
	anycast::LossTotals of_vip(const std::string &name)
	{
		const auto &vips = image().ids.vips;
		const auto id = static_cast<std::size_t>(
			std::ranges::find(vips, name, &Named::name) - vips.begin());
		return {(*dataplane().vip_loss())[id], (*dataplane().vip_counters())[id].segments};
	}
	anycast::LossTotals of_backends()
	{
		anycast::LossTotals all;
		const auto loss = *dataplane().backend_loss();
		const auto traffic = *dataplane().backend_counters();
		for (std::size_t i = 0; i < loss.size(); i++)
			all.add({loss[i], traffic[i].segments});
		return all;
	}
	std::vector<PrefixTotals> prefixes() { return *read_prefixes(dataplane()); }

	// One segment of a client of its own arrives: as a flow's end, which its prefix counts.
	void reset_from(const std::string &source)
	{
		for (const std::uint8_t flags : {kAck, kRst})
			send(Eth{} / Ip4{.src = source} /
			     Tcp{.sport = 40000, .seq = 77, .flags = flags} /
			     Payload(flags == kAck ? 10 : 0));
	}
	static void lose_one(Client &client)
	{
		const Segment lost = client.skip();
		client.send_next();
		client.wait_ms(40);
		client.again(lost);
	}
};

TEST_F(LossTotals, OutliveTheFlow)
{
	Client client = open();
	client.send_next();
	lose_one(client);
	const FlowRecord flow = only_flow();
	ASSERT_EQ(flow.loss.lost, 1U);
	ASSERT_EQ(flow.segments, 4U);
	EXPECT_EQ(of_vip("www").lost, 1U);
	EXPECT_EQ(of_vip("www").segments, 4U);

	forget_entries();
	EXPECT_TRUE(flows().empty());
	EXPECT_EQ(of_vip("www").lost, 1U);
	EXPECT_EQ(of_vip("www").segments, 4U);
	EXPECT_EQ(of_backends(), of_vip("www")) << "each is counted for one backend, too";
	EXPECT_EQ(of_vip("www").report().c2s_up_lost.value, 1U);
	EXPECT_EQ(of_vip("www").report().c2s_up_lost.of, 4U);
}

TEST_F(LossTotals, AreTheSumOfTheFlowsAndNeverGoBack)
{
	anycast::LossTotals before;
	std::uint64_t random = 1;
	std::vector<Client> clients;
	for (std::uint16_t i = 0; i < 8; i++)
		clients.push_back(
			open({.v6 = i % 2 == 0, .port = static_cast<std::uint16_t>(100 + i)}));
	for (int step = 0; step < 400; step++) {
		random = random * 6364136223846793005ULL + 1442695040888963407ULL;
		Client &client = clients[random >> 61];
		client.wait_ms(1);
		switch (random >> 40 & 7) {
		case 0: {
			const Segment late = client.skip();
			client.send_next();
			client.wait_ms(2);
			client.original(late);
			break;
		}
		case 1:
			lose_one(client);
			break;
		case 2:
			client.again(client.send_next());
			break;
		case 3:
			client.ack();
			break;
		default:
			client.send_next();
		}
		const anycast::LossTotals now = of_vip("www");
		ASSERT_GE(now.segments, before.segments);
		ASSERT_GE(now.lost, before.lost);
		ASSERT_GE(now.reordered, before.reordered);
		before = now;
	}
	anycast::LossTotals sum;
	for (const FlowRecord &flow : flows()) {
		sum.segments += flow.segments;
		sum.lost += flow.loss.lost;
		sum.undone += flow.loss.undone;
		sum.reordered += flow.loss.reordered;
		sum.rtx_seen += flow.loss.rtx_seen;
		sum.duplicated += flow.loss.duplicated;
		sum.evicted += flow.loss.evicted;
		sum.resync += flow.loss.resync;
	}
	EXPECT_GT(sum.lost, 20U);
	EXPECT_GT(sum.reordered, 20U);
	EXPECT_GT(sum.rtx_seen, 20U);
	// www serves IPv4, the IPv6 VIP is another: the backends are all of them.
	EXPECT_EQ(of_backends(), sum);
}

TEST_F(LossTotals, ByClientPrefix)
{
	Client four = open(), six = open({.v6 = true, .port = 7});
	four.send_next();
	six.send_next();
	EXPECT_TRUE(prefixes().empty()) << "in order: no row yet";
	lose_one(six);
	four.fin();
	const auto all = prefixes();
	ASSERT_EQ(all.size(), 2U);
	const auto by_text = [&](const std::string &text) {
		return std::ranges::find_if(
			       all, [&](const auto &row) { return row.prefix->text() == text; })
			->totals;
	};
	EXPECT_EQ(by_text("203.0.113.0/24").segments, 3U) << "SYN, segment, FIN";
	EXPECT_EQ(by_text("203.0.113.0/24").lost, 0U);
	EXPECT_EQ(by_text("2001:db8::/48").segments, 4U);
	EXPECT_EQ(by_text("2001:db8::/48").lost, 1U);
	// What comes behind the FIN is not counted twice.
	four.again({.seq = 1'000'001, .length = kMss, .ts = 0, .ip_id = 0});
	EXPECT_EQ(prefixes()[0].totals.segments + prefixes()[1].totals.segments, 7U);
}

TEST_F(LossTotals, PrefixesAreBoundedAndTheirSumStays)
{
	constexpr std::uint64_t kClients = AX_PREFIXES * 2;
	for (std::uint64_t i = 0; i < kClients; i++) {
		if (i % 64 == 0) {
			forget_entries();
			advance_us(2'000'000);
		}
		reset_from(fmt::format("10.{}.{}.9", i >> 8, i & 0xff));
	}
	const auto all = prefixes();
	EXPECT_LE(all.size(), AX_PREFIXES + 1U);
	EXPECT_GT(all.size(), AX_PREFIXES / 2U);
	ASSERT_FALSE(all[0].prefix) << "some had to give up their rows";
	std::uint64_t segments = 0;
	for (const PrefixTotals &row : all)
		segments += row.totals.segments;
	EXPECT_EQ(segments, kClients);
	// The oldest goes first: the last clients are all there.
	for (std::uint64_t i = kClients - 64; i < kClients; i++) {
		const std::string text = fmt::format("10.{}.{}.0/24", i >> 8, i & 0xff);
		EXPECT_TRUE(std::ranges::any_of(all, [&](const auto &row) {
			return row.prefix && row.prefix->text() == text;
		})) << text;
	}
}

TEST_F(LossTotals, OpenHolesCountWhenTheirRecordIsTaken)
{
	const std::uint32_t records = dataplane().sizes().anomalies;
	for (std::uint32_t i = 0; i <= records; i++) {
		advance_us(30'000);
		Client client = middle({.port = static_cast<std::uint16_t>(1000 + i)});
		client.send_next();
		client.skip();
		client.send_next();
	}
	EXPECT_EQ(notes()[AX_R_LOSS_STATE_STOLEN], 1U);
	EXPECT_EQ(of_vip("www").unrepaired, 1U);
}

TEST_F(LossTotals, TheRecordOfAFlowThatEndedIsNobodysLoss)
{
	const std::uint32_t records = dataplane().sizes().anomalies;
	for (std::uint32_t i = 0; i <= records; i++) {
		advance_us(30'000);
		Client client = middle({.port = static_cast<std::uint16_t>(1000 + i)});
		client.send_next();
		client.skip();
		client.send_next();
		if (i == 0)
			client.fin();
	}
	EXPECT_EQ(notes()[AX_R_LOSS_STATE_STOLEN], 0U);
	EXPECT_EQ(of_vip("www").unrepaired, 1U);
}

TEST_F(LossTotals, WhenAllRecordsAreInUseTheHashAdmits)
{
	const std::uint32_t records = dataplane().sizes().anomalies;
	const std::uint32_t flows_made = records * 3 / 2; // the table is not full
	std::vector<Client> clients;
	for (std::uint32_t i = 0; i < flows_made; i++) {
		clients.push_back(middle({.port = static_cast<std::uint16_t>(1000 + i)}));
		clients.back().send_next();
	}
	for (int round = 0; round < 3; round++) // all within a second
		for (Client &client : clients) {
			client.skip();
			client.send_next();
		}
	const auto counted = notes();
	const std::uint64_t refused = counted.at(AX_R_LOSS_NOT_ADMITTED);
	EXPECT_GT(refused, (flows_made - records) / 2);
	std::size_t measured = 0;
	for (const FlowRecord &flow : flows()) {
		if (loss_unknown_because(flow).empty())
			measured++;
		EXPECT_EQ(flow.segments, 4U) << "goes on without a record";
	}
	EXPECT_GT(measured, records / 2) << "few may take from others";
	EXPECT_LE(measured, records);
}

TEST_F(LossTotals, RepeatedSynsAreCounted)
{
	Client client = make({});
	client.syn();
	client.syn();
	client.syn();
	client.established();
	EXPECT_EQ(of_vip("www").syn_rtx, 2U);
	EXPECT_EQ(of_backends().syn_rtx, 2U);
}

} // namespace
} // namespace anycast::test
