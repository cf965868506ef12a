// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What `loss` says beside what a dropper before the edge has really dropped.
#include <cmath>
#include <sstream>

#include <gmock/gmock.h>

#include "support/cli.h"
#include "support/in_lab.h"

namespace anycast::test {

namespace {

struct Measured {
	DropperCounts truth;
	LossTotals reported;
	[[nodiscard]] double error() const // relative
	{
		const auto lost = static_cast<double>(truth.first_lost);
		return lost > 0 ? static_cast<double>(reported.lost) / lost - 1 : 0;
	}
};

// The client's line: round trips under load take more than a tick of the timestamps' clock, 1 ms.
constexpr unsigned kLine = 100; // Mbit/s
// What it has in flight fits into the queues on the way: nothing but the dropper loses anything.
constexpr int kSendBuffer = 128 << 10;

Measured lose(unsigned per_10000, const Endpoint &to, const std::string &vip, int uploads,
	      std::uint64_t bytes)
{
	Lab lab(1 << 20);
	const Cli cli;
	lab.start_servers();
	cli.attach_all(lab, {.six = true});
	lab.route_to(*lab.edges[0]);
	shape({lab.client, "eth0"}, kLine);
	lab.programs.drop(20260101, per_10000, to.address, to.port);
	for (int i = 0; i < uploads; i++) {
		const Upload sent =
			upload(lab.client, to, bytes,
			       {.limit = milliseconds(30000), .send_buffer = kSendBuffer});
		EXPECT_TRUE(sent.ok) << sent.error;
	}
	lab.programs.stop_dropping();
	const Measured measured{lab.programs.dropped(), cli.loss(lab.edges[0]->netns, vip)};
	const LossTotals &reported = measured.reported;
	std::printf("%llu of %llu lost, reported %llu (%+.1f %%) of %llu; reordered %llu, "
		    "retransmissions %llu, evicted %llu, unrepaired %llu\n",
		    static_cast<unsigned long long>(measured.truth.first_lost),
		    static_cast<unsigned long long>(measured.truth.segments),
		    static_cast<unsigned long long>(reported.lost), 100 * measured.error(),
		    static_cast<unsigned long long>(reported.of),
		    static_cast<unsigned long long>(reported.reordered),
		    static_cast<unsigned long long>(reported.rtx_seen),
		    static_cast<unsigned long long>(reported.evicted),
		    static_cast<unsigned long long>(reported.unrepaired));
	EXPECT_EQ(reported.flows, static_cast<std::size_t>(uploads));
	EXPECT_EQ(reported.unmeasured, 0U);
	EXPECT_EQ(reported.resync, 0U);
	return measured;
}

} // namespace

TEST(Loss, NothingLostNothingReported)
{
	in_lab([] {
		const Measured measured = lose(0, kSink, "sink", 2, 16 << 20);
		EXPECT_GT(measured.truth.segments, 20000U);
		EXPECT_EQ(measured.reported.lost, 0U);
		EXPECT_EQ(measured.reported.unrepaired, 0U);
	});
}

TEST(Loss, OnePercent)
{
	in_lab([] {
		const Measured measured = lose(100, kSink, "sink", 3, 16 << 20);
		EXPECT_GT(measured.truth.first_lost, 250U);
		EXPECT_LE(std::abs(measured.error()), 0.02);
	});
}

TEST(Loss, FivePercent)
{
	in_lab([] {
		const Measured measured = lose(500, kSink, "sink", 3, 10 << 20);
		EXPECT_GT(measured.truth.first_lost, 1000U);
		EXPECT_LE(std::abs(measured.error()), 0.07);
	});
}

TEST(Loss, OnePercentOfIp6)
{
	in_lab([] {
		const Measured measured = lose(100, kSink6, "sink6", 3, 16 << 20);
		EXPECT_GT(measured.truth.first_lost, 250U);
		EXPECT_LE(std::abs(measured.error()), 0.02);
	});
}

// What the commands say of sums: the flow's figures, and once more since attach.
TEST(Loss, SumsByVipBackendAndPrefix)
{
	in_lab([] {
		Lab lab(1 << 20);
		const Cli cli;
		lab.start_servers();
		cli.attach_all(lab, {.six = true});
		const Netns &edge = lab.edges[0]->netns;
		lab.route_to(*lab.edges[0]);
		shape({lab.client, "eth0"}, kLine);
		lab.programs.drop(20260101, 100, kSink.address, kSink.port);
		const Upload sent =
			upload(lab.client, kSink, 8 << 20,
			       {.limit = milliseconds(30000), .send_buffer = kSendBuffer});
		ASSERT_TRUE(sent.ok) << sent.error;
		lab.programs.stop_dropping();

		const std::uint64_t lost = cli.loss(edge, "sink").lost;
		ASSERT_GT(lost, 20U);
		for (const auto &[by, key] :
		     {std::pair{"vip", "vips"}, {"backend", "backends"}, {"prefix", "prefixes"}}) {
			const auto worst = cli.ask(edge, {"loss", "--by", by}).at(key).at(0);
			EXPECT_EQ(worst["c2s_up_lost"]["value"], lost) << worst.dump();
			EXPECT_EQ(worst["since_attach"]["c2s_up_lost"]["value"], lost);
			EXPECT_GE(worst["since_attach"]["c2s_up_lost"]["of"],
				  worst["c2s_up_lost"]["of"]);
			if (by == std::string("prefix")) {
				EXPECT_THAT(worst["prefix"].get<std::string>(),
					    testing::EndsWith("/24"));
			}
		}
		EXPECT_THAT(cli.expect(edge, {"loss", "--by", "vip"}).out,
			    testing::HasSubstr("EVER LOST"));
		// A filter that the sums do not know leaves them out.
		const auto filtered =
			cli.ask(edge, {"loss", "--by", "vip", "--source", "0.0.0.0/0"});
		EXPECT_EQ(filtered["vips"][0]["c2s_up_lost"]["value"], lost);
		EXPECT_TRUE(filtered["vips"][0]["since_attach"].is_null());
		EXPECT_EQ(cli.run(edge, {"loss", "--source", "10.0.0.1/8"}).status, 2);

		const Output watched = cli.expect(
			edge, {"loss", "--by", "vip", "--watch", "0.1", "--count", "2", "--json"});
		std::istringstream lines(watched.out);
		int reports = 0;
		for (std::string line; std::getline(lines, line); reports++)
			EXPECT_EQ(nlohmann::json::parse(line)["vips"][0]["vip"], "sink");
		EXPECT_EQ(reports, 2);

		EXPECT_THAT(cli.expect(edge, {"metrics"}).out,
			    testing::ContainsRegex("anycast_vip_loss_total[{][^}]*vip=\"sink\","
						   "metric=\"c2s_up_lost\",direction=\"c2s\","
						   "kind=\"estimate\"[}] " +
						   std::to_string(lost)));
	});
}

} // namespace anycast::test
