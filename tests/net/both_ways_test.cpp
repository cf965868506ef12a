// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Sums of both directions since attach, wherever they are shown, beside what was lost; and the
// agent, which forgets flows and what leaves of them, but not what they lost.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>

#include "net/datagram_sender.h"
#include "support/connection.h"
#include "support/http.h"
#include "support/in_lab.h"
#include "support/loss_lab.h"

namespace anycast::test {

namespace {

using nlohmann::json;
using testing::HasSubstr;

// A row of `loss --by`, by its name.
json row_of(const LossLab &lab, const std::string &by, const std::string &name)
{
	const json report = lab.cli.ask(lab.node.netns, {"loss", "--by", by});
	for (const json &row : report.at(by == "prefix" ? "prefixes" : by + "s"))
		if (row.at(by) == name)
			return row;
	throw LabError("no " + by + " " + name + ": " + report.dump(1));
}

std::uint64_t since_attach(const LossLab &lab, const std::string &by, const std::string &name,
			   const std::string &metric)
{
	const json figure = row_of(lab, by, name).at("since_attach").at(metric);
	EXPECT_EQ(figure.at("kind"), "estimate");
	EXPECT_EQ(figure.at("basis"), "dsack");
	EXPECT_GT(figure.at("of"), figure.at("value"));
	return figure.at("value").get<std::uint64_t>();
}

json stats_row(const LossLab &lab, const char *list, const char *key, const std::string &name)
{
	const json stats = lab.cli.ask(lab.node.netns, {"stats"});
	for (const json &row : stats.at("interfaces").at(0).at(list))
		if (row.at(key) == name)
			return row.at("loss");
	throw LabError("no " + name + " in " + stats.dump(1));
}

// The agent of the lab's node: no BIRD, no checks.
class LabAgent {
public:
	explicit LabAgent(const LossLab &lab)
		: process_(Process::spawn(lab.node.netns,
					  {lab.cli.binary(), "agent", "--config",
					   std::string(kLabDir) + "/node.toml"},
					  kLog))
	{
		if (!wait_until(milliseconds(10000) * slowness(), [&] {
			    return lab.cli.run(lab.node.netns, {"metrics"}).status == 0;
		    }))
			throw LabError("the agent does not start:\n" + log());
	}
	[[nodiscard]] static std::string log()
	{
		std::ostringstream text;
		text << std::ifstream(kLog).rdbuf();
		return text.str();
	}

private:
	static constexpr const char *kLog = "/run/lab/agent.log";
	Process process_;
};

// From Prometheus' text: the one line with all of these parts.
std::uint64_t metric_of(const std::string &text, const std::vector<std::string> &parts)
{
	std::istringstream lines(text);
	std::optional<std::uint64_t> value;
	for (std::string line; std::getline(lines, line);) {
		bool all = true;
		for (const std::string &part : parts)
			all = all && line.find(part) != line.npos;
		if (!all)
			continue;
		EXPECT_FALSE(value) << line;
		value = std::stoull(line.substr(line.rfind(' ') + 1));
	}
	EXPECT_TRUE(value) << testing::PrintToString(parts) << " in " << text;
	return value.value_or(0);
}

struct Sums {
	const char *metric;		      // of `loss`
	const char *again, *twice, *segments; // of `stats` and the agent's metrics
};
constexpr Sums kBeyond{"c2s_down_lost", "c2s_down_rtx", "c2s_down_duplicates", "c2s_down_segments"};
constexpr Sums kBack{"s2c_lost", "s2c_sent_again", "s2c_duplicates", "s2c_segments"};

void expect_sums(const LossLab &lab, const Sums &sums, const std::string &vip, std::uint64_t truth)
{
	EXPECT_GE(truth, 30U);
	const auto near = [&](std::uint64_t value, const char *what) {
		EXPECT_LE(std::max(value, truth) - std::min(value, truth), 1U)
			<< what << ": " << value << ", lost " << truth;
	};
	near(since_attach(lab, "vip", vip, sums.metric), "vip");
	near(since_attach(lab, "backend", "self", sums.metric), "backend");
	near(since_attach(lab, "prefix", "203.0.113.0/24", sums.metric), "prefix");

	const LabAgent agent(lab);
	const std::string metrics = lab.cli.expect(lab.node.netns, {"metrics"}).out;
	for (const auto &[list, key, name] :
	     {std::tuple{"vips", "vip", vip}, {"backends", "backend", std::string("self")}}) {
		const json row = stats_row(lab, list, key, name);
		const auto count = [&](const char *what) {
			return row.at(what).get<std::uint64_t>();
		};
		EXPECT_TRUE(row.at("both_ways_unknown").is_null());
		near(count(sums.again) - count(sums.twice), "stats");
		EXPECT_GT(count(sums.segments), 1000U);
		for (const char *what : {sums.again, sums.twice, sums.segments}) {
			std::vector<std::string> parts{std::string("anycast_") + key +
							       "_loss_total{",
						       std::string("metric=\"") + what + "\"",
						       std::string(key) + "=\"" + name + "\""};
			if (key == std::string("backend"))
				parts.emplace_back("pool=\"own\"");
			EXPECT_EQ(metric_of(metrics, parts), count(what)) << what;
		}
	}
}

// One a line.
std::string egress_entries(const LossLab &lab)
{
	return lab.cli.expect(lab.node.netns, {"--json", "map", "dump", "ax_egress"}).out;
}

} // namespace

TEST(BothWays, SumsOfWhatWasLostBeyondTheNode)
{
	in_lab([] {
		LossConditions conditions;
		conditions.forth.lose_per_10000 = 50;
		conditions.beyond_per_10000 = 100;
		conditions.bytes = 2 << 20;
		LossLab lab(conditions);
		const LossOutcome outcome = lab.run();
		EXPECT_THAT(outcome.errors, testing::IsEmpty());
		for (const auto &[option, name, names] :
		     {std::tuple{"--vip", "snik", "www"}, {"--backend", "own/b7", "own6/self"}}) {
			const Output wrong = lab.cli.run(lab.node.netns, {"loss", option, name});
			EXPECT_EQ(wrong.status, 2);
			EXPECT_THAT(wrong.err, testing::AllOf(HasSubstr(name), HasSubstr(names)));
		}
		const std::uint64_t truth = outcome.beyond.first_lost + outcome.beyond.again_lost;
		expect_sums(lab, kBeyond, "sink", truth);
		// Another program in the place of this one, and another agent: no sum goes back.
		lab.cli.expect(lab.node.netns,
			       {"attach", "eth0", "--config", std::string(kLabDir) + "/node.toml"});
		expect_sums(lab, kBeyond, "sink", truth);
	});
}

TEST(BothWays, SumsOfWhatWasLostOnTheWayBack)
{
	in_lab([] {
		LossConditions conditions;
		conditions.back.lose_per_10000 = 100;
		conditions.download = true;
		conditions.bytes = 2 << 20;
		LossLab lab(conditions);
		const LossOutcome outcome = lab.run();
		EXPECT_THAT(outcome.errors, testing::IsEmpty());
		expect_sums(lab, kBack, "www", outcome.back.first_lost + outcome.back.again_lost);
	});
}

// Which of two backends here has answered is not known: null, in words, and what the VIP's sums
// know is untouched.
TEST(BothWays, TwoBackendsOfThisNodeAreNull)
{
	in_lab([] {
		LossConditions conditions;
		conditions.beyond_per_10000 = 200;
		conditions.flows = 16; // to one of the two only: once in 32,768
		conditions.bytes = 1 << 18;
		LossLab lab(conditions);
		const std::string path = std::string(kLabDir) + "/node.toml";
		std::ostringstream text;
		text << std::ifstream(path).rdbuf();
		std::string config = text.str();
		const std::string one = "name = \"self\"\naddress = \"203.0.113.1\"\n";
		ASSERT_NE(config.find(one), config.npos);
		config.insert(config.find(one) + one.size(), "[[pools.backends]]\nname = "
							     "\"twin\"\naddress = \"10.9.9.9\"\n");
		lab.node.netns.ip("addr add 10.9.9.9/32 dev anycast0");
		std::ofstream(path) << config;
		lab.cli.expect(lab.node.netns, {"apply", path});

		const LossOutcome outcome = lab.run();
		const std::uint64_t truth = outcome.beyond.first_lost + outcome.beyond.again_lost;
		EXPECT_GE(truth, 20U);
		EXPECT_EQ(since_attach(lab, "vip", "sink", "c2s_down_lost"), truth);
		for (const char *name : {"self", "twin"}) {
			const json row = row_of(lab, "backend", name),
				   ever = row.at("since_attach");
			EXPECT_EQ(ever.at("both_ways_unknown"), "several_own_backends");
			for (const char *metric : {"c2s_down_lost", "s2c_lost"})
				EXPECT_TRUE(ever.at(metric).at("value").is_null()) << ever.dump(1);
			EXPECT_TRUE(row.at("c2s_down_lost").at("value").is_number())
				<< "a flow knows its backend";
			EXPECT_TRUE(stats_row(lab, "backends", "backend", name)
					    .at("c2s_down_rtx")
					    .is_null());
		}
		EXPECT_THAT(lab.cli.expect(lab.node.netns, {"loss", "--by", "backend"}).err,
			    HasSubstr("several backends of pool own are this node"));
		const LabAgent agent(lab);
		const std::string metrics = lab.cli.expect(lab.node.netns, {"metrics"}).out;
		EXPECT_THAT(metrics, HasSubstr("backend=\"twin\",metric=\"c2s_rtx_seen\""));
		EXPECT_THAT(metrics,
			    testing::Not(HasSubstr("backend=\"twin\",metric=\"c2s_down_rtx\"")));
	});
}

// The one that is used stays, on both sides of the node.
TEST(BothWays, TheAgentForgetsIdleFlowsAndNoSum)
{
	in_lab([] {
		LossConditions conditions;
		conditions.beyond_per_10000 = 200;
		conditions.bytes = 1 << 20;
		conditions.extra = "[limits]\nflow_idle = 10\n[[vips]]\nname = \"dns\"\naddress = "
				   "\"198.51.100.80\"\nport = 5300\nprotocol = \"udp\"\npool = "
				   "\"own\"\nmeasure = \"dns\"\n";
		LossLab lab(conditions);
		const LossOutcome outcome = lab.run();
		const json before = row_of(lab, "vip", "sink");
		EXPECT_EQ(before.at("flows"), conditions.flows);

		Connection kept(lab.client, lab.sink(), {.source_port = 40123, .keepalive_s = 1});
		ASSERT_EQ(kept.send_some("hello", 5), 5U);
		// Answers were sent once, then queries in vain only.
		Process server = Process::call(lab.node.netns, answer_queries,
					       std::string(kLabDir) + "/dns.log");
		std::this_thread::sleep_for(milliseconds(300) * slowness());
		DatagramSender resolver(lab.client, kDns);
		for (std::uint8_t id = 1; id < kUnanswered; id++)
			resolver.send(dns_query(id));
		std::this_thread::sleep_for(milliseconds(200) * slowness());
		server.kill_now();

		const LabAgent agent(lab);
		std::uint64_t in_vain = 0;
		const auto forgotten = [&] {
			resolver.send(dns_query(static_cast<std::uint8_t>(100 + in_vain++)));
			std::this_thread::sleep_for(milliseconds(1000));
			const json report = lab.cli.ask(lab.node.netns, {"flows"});
			const std::string entries = egress_entries(lab);
			return in_vain >= 23 && // the agent has looked twice
			       report.at("total") == 2 && std::ranges::count(entries, '\n') == 2;
		};
		EXPECT_TRUE(wait_until(milliseconds(60000) * slowness(), forgotten))
			<< lab.cli.ask(lab.node.netns, {"flows"}).dump(1) << egress_entries(lab)
			<< LabAgent::log();
		const json kept_flow =
			lab.cli.ask(lab.node.netns, {"loss", "--vip", "sink"}).at("flows").at(0);
		EXPECT_EQ(kept_flow.at("flow").at("source_port"), 40123);
		EXPECT_TRUE(kept_flow.at("s2c_lost").at("value").is_number()) << kept_flow.dump(1);
		const json asked =
			lab.cli.ask(lab.node.netns, {"loss", "--vip", "dns"}).at("flows").at(0);
		EXPECT_EQ(asked.at("dns_unanswered").at("value"), in_vain) << asked.dump(1);
		EXPECT_EQ(asked.at("dns_unanswered").at("of"), in_vain + kUnanswered - 1);
		const json after = row_of(lab, "vip", "sink");
		EXPECT_EQ(after.at("since_attach").at("c2s_down_lost"),
			  before.at("since_attach").at("c2s_down_lost"));
		EXPECT_GE(before.at("since_attach").at("c2s_down_lost").at("value"), 10);
	});
}

} // namespace anycast::test
