// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The agent's part of `status`: what is wrong stands first, and in words.
#include "render/agent.h"

#include <gmock/gmock.h>

namespace anycast {
namespace {

using nlohmann::ordered_json;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

ordered_json healthy()
{
	return ordered_json::parse(R"({"pid":7,"problems":[],
		"bird":{"state":"running","established":1,"configured":2},
		"load":{"overloaded":false,"reason":""},
		"vips":[{"vip":"www","address":"198.51.100.80","state":"announced","health":"up",
			 "reason":"health: up","wait_s":0.0,"order":null,
			 "checks":[{"check":"tcp 80","address":"198.51.100.80","health":"up",
				    "good":true,"detail":"ok","through":null}]}],
		"pools":[{"pool":"web","backends":[{"backend":"b1","checks":[
			 {"check":"tcp 80","address":"198.51.100.80","through":"10.1.0.11",
			  "health":"up","good":true,"detail":"ok"}]}]}]})");
}

TEST(AgentText, SaysThatAllIsWell)
{
	const std::string text = render::agent_text(healthy());
	EXPECT_THAT(text, HasSubstr("agent: ok, process 7\n  bird        running, 1 of 2 sessions "
				    "established\n\n"));
	EXPECT_THAT(text, ContainsRegex("  www  198.51.100.80  announced  up +- +health: up\n"));
	EXPECT_THAT(text, Not(HasSubstr("FAILING")));
	EXPECT_THAT(text, Not(HasSubstr("problem")));
	EXPECT_THAT(text, Not(HasSubstr("overload")));
}

TEST(AgentText, SaysWhatIsWrong)
{
	ordered_json status = healthy();
	status["problems"] = {"the disk is full\n  -> make room"};
	status["load"]["reason"] = "cpu 97 above 90";
	ordered_json &vip = status["vips"][0];
	vip["state"] = "withdrawn";
	vip["health"] = "down";
	vip["wait_s"] = 6.2;
	vip["order"] = {{"reason", "kernel update"}};
	// Up still, but the last run failed: the next one may take it down.
	status["pools"][0]["backends"][0]["checks"][0]["good"] = false;
	status["pools"][0]["backends"][0]["checks"][0]["detail"] = "Connection refused";
	const std::string text = render::agent_text(status);
	EXPECT_THAT(text, HasSubstr("agent: degraded: 1 problem, process 7\n"
				    "  problem     the disk is full -> make room\n"));
	EXPECT_THAT(text, HasSubstr("  overload    cpu 97 above 90\n"));
	EXPECT_THAT(text, ContainsRegex("withdrawn +down +7 s +health: up; order: kernel update"));
	EXPECT_THAT(text, ContainsRegex("web/b1 +tcp 80 +198.51.100.80 through 10.1.0.11 +up "
					"+Connection refused\n"));
	EXPECT_THAT(render::agent_text(ordered_json::object()), HasSubstr("process unknown"));
}

} // namespace
} // namespace anycast
