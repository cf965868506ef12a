// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The edge's agent asks the backend's: its sums beside what the line between both has really lost.
#include <csignal>
#include <sstream>

#include <gmock/gmock.h>

#include "support/in_lab.h"
#include "support/mark_lab.h"

namespace anycast::test {

namespace {

using nlohmann::json;
using testing::HasSubstr;

MarkConditions with_agents()
{
	MarkConditions conditions;
	conditions.line.lose_per_10000 = 100;
	conditions.agents = true;
	return conditions;
}

struct PullLab {
	explicit PullLab(const MarkConditions &conditions = with_agents()) : lab(conditions)
	{
		lab.line->impair(Line::kBack, conditions.line);
	}
	[[nodiscard]] json pulled() const
	{
		return lab.ask_on(lab.edge, {"loss"}).at("lb_backend_lost");
	}
	[[nodiscard]] json row() const // of the service that has traffic; null: there is none
	{
		const json all = pulled();
		for (const json &one : all.at("services"))
			if (one.at("vip") == "sink")
				return one;
		return {};
	}
	void transfer()
	{
		std::vector<std::string> errors;
		lab.transfer(errors);
		for (const std::string &error : errors)
			ADD_FAILURE() << error;
	}
	[[nodiscard]] std::uint64_t lost() const
	{
		const LineCounts truth = lab.line->counts(Line::kBack);
		return truth.first_lost + truth.again_lost;
	}
	[[nodiscard]] std::uint64_t sent() const { return lab.line->counts(Line::kBack).segments; }
	// Once all that was sent is in the sums.
	void expect_exact() const
	{
		json last;
		EXPECT_TRUE(wait_until(milliseconds(20000) * slowness(),
				       [&] {
					       last = row();
					       return !last.is_null() &&
						      last.at("lb_backend_lost").at("of") == sent();
				       }))
			<< last.dump(1) << "\nsent: " << sent() << "\n"
			<< lab.agent_log(lab.edge) << lab.agent_log(lab.backend);
		ASSERT_FALSE(last.is_null());
		const json &figure = last.at("lb_backend_lost");
		EXPECT_EQ(figure.at("value"), lost());
		EXPECT_EQ(figure.at("kind"), "exact");
		EXPECT_EQ(figure.at("basis"), "altmark");
		EXPECT_TRUE(figure.at("since").is_number());
		EXPECT_TRUE(figure.at("why").is_null());
		EXPECT_EQ(last.at("backend_name"), "web/b1");
		std::printf("of %llu packets %llu lost, pulled %s of %s\n",
			    static_cast<unsigned long long>(sent()),
			    static_cast<unsigned long long>(lost()),
			    figure.at("value").dump().c_str(), figure.at("of").dump().c_str());
	}
	json await_why(const char *why) const
	{
		json last;
		EXPECT_TRUE(wait_until(milliseconds(10000) * slowness(),
				       [&] {
					       last = row();
					       if (last.is_null())
						       return false;
					       const json &found =
						       last.at("lb_backend_lost").at("why");
					       return found.is_string() &&
						      found.get<std::string>().find(why) !=
							      std::string::npos;
				       }))
			<< why << "\n"
			<< last.dump(1);
		return last;
	}
	MarkLab lab;
};

} // namespace

TEST(MarksPulled, AreTheTruthAndGoOnWhenTheBackendsAgentIsBack)
{
	in_lab([] {
		PullLab world;
		MarkLab &lab = world.lab;
		world.transfer();
		world.expect_exact();
		EXPECT_GE(world.lost(), 50U);
		const std::string metrics = lab.run_on(lab.edge, {"metrics"}).out;
		const std::string labels = "{vip=\"sink\",pool=\"web\",backend=\"b1\"} ";
		EXPECT_THAT(metrics, HasSubstr("anycast_lb_backend_lost_total" + labels +
					       std::to_string(world.lost()) + "\n"));
		EXPECT_THAT(metrics, HasSubstr("anycast_lb_backend_compared_total" + labels +
					       std::to_string(world.sent()) + "\n"));
		EXPECT_THAT(metrics, HasSubstr("anycast_lb_backend_measured" + labels + "1\n"));
		const std::string text = lab.run_on(lab.edge, {"loss"}).out;
		EXPECT_THAT(text, testing::ContainsRegex(
					  "between this node and its backends\n.*\nsink +web/b1 +" +
					  std::to_string(world.lost()) + " +" +
					  std::to_string(world.sent()) + " .*exact/altmark"));

		const json kept = world.row().at("so_far");
		lab.backend_agent->stop();
		const json silent = world.await_why("10.1.0.11:9556 does not answer");
		EXPECT_TRUE(silent.at("lb_backend_lost").at("value").is_null());
		EXPECT_EQ(silent.at("lb_backend_lost").at("kind"), "unsupported");
		EXPECT_EQ(silent.at("so_far"), kept);
		EXPECT_FALSE(world.pulled().at("from")[0].at("answers").get<bool>());
		EXPECT_THAT(lab.run_on(lab.edge, {"loss"}).out,
			    HasSubstr("(until then " + std::to_string(world.lost()) + " of "));
		EXPECT_TRUE(wait_until(milliseconds(15000) * slowness(), [&] {
			return lab.agent_log(lab.edge).find(
				       "marks_from: 10.1.0.11:9556 does not") != std::string::npos;
		})) << lab.agent_log(lab.edge);

		world.transfer();
		EXPECT_EQ(world.row().at("so_far"), kept);
		lab.start_agent(lab.backend);
		world.expect_exact(); // with what came in between
		EXPECT_GT(world.lost(), kept.at("lost").get<std::uint64_t>());
	});
}

TEST(MarksPulled, ABackendThatHangsHoldsUpNoCheck)
{
	in_lab([] {
		PullLab world;
		MarkLab &lab = world.lab;
		world.transfer();
		world.expect_exact();
		const auto checks = [&] {
			std::ostringstream metrics(lab.run_on(lab.edge, {"metrics"}).out);
			const std::string name = "\nanycast_check_runs_total ";
			const std::size_t at = metrics.str().find(name);
			return at == std::string::npos
				       ? -1
				       : std::stol(metrics.str().substr(at + name.size()));
		};
		kill(lab.backend_agent->pid(), SIGSTOP); // accepts, and says nothing
		world.await_why("does not answer within 1000 ms");
		const long before = checks();
		const auto began = std::chrono::steady_clock::now();
		std::this_thread::sleep_for(milliseconds(5000));
		const long after = checks();
		const auto took = std::chrono::duration_cast<milliseconds>(
			std::chrono::steady_clock::now() - began);
		kill(lab.backend_agent->pid(), SIGCONT);
		// One each 200 ms; if the agent waited for an answer, half of them were missing.
		EXPECT_GE(after - before, took.count() / 200 * 8 / 10);
		std::printf("%ld checks in %ld ms\n", after - before,
			    static_cast<long>(took.count()));
		world.expect_exact();
	});
}

TEST(MarksPulled, OnlyWhoIsAllowedMayAsk)
{
	in_lab([] {
		PullLab world;
		const MarkLab &lab = world.lab;
		const auto get = [](const Netns &from, const char *path) {
			return run(from, {"curl", "-s", "-i", "-m", "5",
					  std::string("http://10.1.0.11:9556") + path});
		};
		const Output allowed = get(lab.edge.netns, "/marks");
		EXPECT_EQ(allowed.status, 0);
		EXPECT_THAT(allowed.out,
			    testing::AllOf(HasSubstr("200 OK"), HasSubstr("\"node\":\"b1\""),
					   HasSubstr("\"flows\":[]")));
		for (const char *path : {"/", "/metrics"})
			EXPECT_THAT(get(lab.edge.netns, path).out, HasSubstr("404")) << path;
		const Output refused = get(lab.client, "/marks");
		EXPECT_NE(refused.status, 0);
		EXPECT_EQ(refused.out, "");
		EXPECT_EQ(run(lab.client, {"busybox", "ping", "-c1", "-W2", "10.1.0.11"}).status, 0)
			<< "it can reach the node";
		EXPECT_THAT(get(lab.edge.netns, "/marks").out, HasSubstr("200 OK"));
	});
}

TEST(MarksPulled, WithoutAnAgentTheReportSaysSo)
{
	in_lab([] {
		PullLab world;
		world.lab.edge_agent->stop();
		const Output loss = world.lab.run_on(world.lab.edge, {"loss"});
		EXPECT_EQ(loss.status, 0);
		EXPECT_THAT(loss.out, HasSubstr("its backends: no agent runs"));
		EXPECT_THAT(world.pulled().at("why").get<std::string>(),
			    HasSubstr("no agent runs"));
	});
}

} // namespace anycast::test
