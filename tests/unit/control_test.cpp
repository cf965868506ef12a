// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What commands and the agent say to each other, and a client whose agent misbehaves.
#include "core/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/control_client.h"
#include "support/fake_daemon.h"

namespace anycast {
namespace {

using std::chrono::milliseconds;
using test::Caller;
using test::FakeDaemon;
using testing::HasSubstr;

TEST(Control, RequestsComeBackAsTheyWent)
{
	for (const ControlRequest &request :
	     {ControlRequest{.command = "status"},
	      ControlRequest{.command = "drain",
	      .vip = "www",
	      .reason = "a \"new\"\nkernel",
	      .seconds = 3600},
	      ControlRequest{.command = "announce", .force = true, .all = true}}) {
		const std::string line = to_line(request);
		EXPECT_EQ(line.find('\n'), line.size() - 1);
		const auto back = request_from_line(line);
		ASSERT_TRUE(back) << back.error().what;
		EXPECT_EQ(*back, request);
	}
}

TEST(Control, RequestsThatAreNoneAreRefused)
{
	for (const char *line :
	     {"", "{", "[]", "{}", "{\"version\":2,\"command\":\"status\"}", "{\"version\":1}",
	      "{\"version\":1,\"command\":1}", "{\"version\":1,\"command\":\"drain\",\"vip\":7}",
	      "{\"version\":1,\"command\":\"drain\",\"seconds\":0}",
	      "{\"version\":1,\"command\":\"drain\",\"seconds\":-1}",
	      "{\"version\":1,\"command\":\"drain\",\"seconds\":1e300}",
	      "{\"version\":1,\"command\":\"drain\",\"seconds\":\"10\"}"})
		EXPECT_FALSE(request_from_line(line)) << line;
}

TEST(Control, RepliesComeBackAsTheyWent)
{
	const auto fine = reply_from_line(to_line(ControlReply{{}, {{"a", 1}}}));
	ASSERT_TRUE(fine && fine->status);
	EXPECT_EQ(fine->result["a"], 1);
	const auto failed =
		reply_from_line(to_line(ControlReply{fail(Exit::kUsage, "what", "hint"), {}}));
	ASSERT_TRUE(failed);
	ASSERT_FALSE(failed->status);
	EXPECT_EQ(failed->status.error().kind, Exit::kUsage);
	EXPECT_EQ(failed->status.error().message(), "what\n  -> hint");
	for (const char *line : {"", "{\"version\":1}", "{\"version\":1,\"ok\":true}",
				 "{\"version\":1,\"ok\":true,\"result\":[]}",
				 "{\"version\":1,\"ok\":false,\"exit\":0,\"error\":\"x\"}",
				 "{\"version\":1,\"ok\":false,\"exit\":99,\"error\":\"x\"}"})
		EXPECT_FALSE(reply_from_line(line)) << line;
}

TEST(Control, OrdersAndResultsComeBackAsTheyWent)
{
	for (const Order &order : {Order{}, Order{OrderKind::kDrain, "why", 100, 200}}) {
		const auto back = order_from_json(order_to_json(order));
		ASSERT_TRUE(back);
		EXPECT_EQ(*back, order);
	}
	EXPECT_FALSE(order_from_json({{"kind", "explode"}}));
	const Order brief{OrderKind::kWithdraw, "", 100, 200};
	EXPECT_TRUE(brief.active(199));
	EXPECT_FALSE(brief.active(200));
	EXPECT_FALSE(Order{}.active(0));

	const std::vector<OrderResult> results{
		{"www,quic", *Address::parse("198.51.100.80"), "waiting", true, false, 12.5, "w"}};
	EXPECT_EQ(*results_from_json(results_to_json(results)), results);
	EXPECT_FALSE(results_from_json({{"vips", {{{"vip", "x"}}}}}));
}

TEST(ControlClient, NoAgentIsNoError)
{
	const auto reply =
		ask_agent("/nonexistent/agent.sock", {.command = "status"}, milliseconds(1000));
	ASSERT_TRUE(reply) << reply.error().what;
	EXPECT_FALSE(*reply);
}

TEST(ControlClient, AsksOnce)
{
	const FakeDaemon agent([](Caller &caller) {
		const auto request = request_from_line(caller.line());
		ASSERT_TRUE(request);
		EXPECT_EQ(request->vip, "www");
		caller.say(to_line(ControlReply{{}, {{"vips", nlohmann::ordered_json::array()}}}));
	});
	const auto reply =
		ask_agent(agent.path(), {.command = "drain", .vip = "www"}, milliseconds(5000));
	ASSERT_TRUE(reply && *reply);
	EXPECT_TRUE((*reply)->status);
}

TEST(ControlClient, AnAgentThatMisbehavesIsAnError)
{
	const auto failure = [](const std::function<void(Caller &)> &serve) {
		const FakeDaemon agent(serve);
		const auto reply =
			ask_agent(agent.path(), {.command = "status"}, milliseconds(150));
		return reply ? "accepted" : reply.error().message();
	};
	EXPECT_THAT(failure([](Caller &caller) { caller.wait_for_end(); }),
		    HasSubstr("does not answer"));
	EXPECT_THAT(failure([](Caller &caller) { caller.line(); }), HasSubstr("without an answer"));
	EXPECT_THAT(failure([](Caller &caller) {
			    caller.line();
			    caller.say("hello\n");
		    }),
		    HasSubstr("not a line with a JSON object"));
	EXPECT_THAT(failure([](Caller &caller) {
			    while (caller.say("xxxxxxxxxxxxxxxx"))
				    std::this_thread::sleep_for(milliseconds(5));
		    }),
		    HasSubstr("does not answer"));
}

} // namespace
} // namespace anycast
