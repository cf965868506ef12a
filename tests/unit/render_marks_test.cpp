// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What `loss` says of the agent's sums between edge and backends.
#include "render/marks.h"

#include <gmock/gmock.h>

namespace anycast {
namespace {

using testing::HasSubstr;
using testing::Not;

MarkSum pulled(const char *name, const char *backend, std::uint64_t lost, const char *why)
{
	MarkSum sum;
	sum.key = {.edge = *Address::parse("10.0.0.1"),
		   .backend = *Address::parse("10.1.0.11"),
		   .vip = *Address::parse("198.51.100.80"),
		   .port = 80,
		   .protocol = 6,
		   .client = {}};
	sum.vip = name;
	sum.backend = backend;
	sum.lost = lost;
	sum.of = lost * 100;
	sum.since = 1'795'000'000'000;
	sum.why = why;
	return sum;
}

TEST(MarkText, SaysWhatTheAgentHasPulled)
{
	const auto json = render::pulled_json(
		{pulled("www", "web/b1", 5, ""), pulled("", "", 7, "10.1.0.11:9556 is silent"),
		 pulled("dns", "dns/b1", 0, "nothing was sent")},
		{{*Endpoint::parse("10.1.0.11:9556"), "b1", "is silent"}},
		{{"local", "no second observer"}}, "");
	const auto &figure = json["services"][0]["lb_backend_lost"];
	EXPECT_EQ(figure.dump(), R"({"value":5,"kind":"exact","basis":"altmark","of":500,)"
				 R"("rate":0.01,"since":1795000000000,"why":null})");
	const auto &silent = json["services"][1];
	EXPECT_TRUE(silent["lb_backend_lost"]["value"].is_null());
	EXPECT_EQ(silent["so_far"].dump(), R"({"lost":7,"of":700})");
	EXPECT_EQ(json["from"][0].dump(), R"({"from":"10.1.0.11:9556","node":"b1",)"
					  R"("answers":false,"why":"is silent"})");
	EXPECT_EQ(json["not_marked"][0]["vip"], "local");

	const std::string text = render::pulled_text(json, "", "", 0);
	EXPECT_THAT(text, testing::ContainsRegex("www +web/b1 +5 +500 +1.0 % +exact/altmark\n"));
	EXPECT_THAT(text,
		    testing::ContainsRegex(
			    "198.51.100.80:80 tcp +10.1.0.11 .*silent .until then 7 of 700.\n"));
	EXPECT_THAT(text, testing::ContainsRegex("dns +dns/b1 .*nothing was sent\n"));
	EXPECT_THAT(render::pulled_text(json, "www", "b1", 0), Not(HasSubstr("silent")));
	EXPECT_THAT(render::pulled_text(json, "nowhere", "", 0), HasSubstr("nothing was sent"));
	EXPECT_THAT(render::pulled_text(json, "", "", 1), HasSubstr("2 more"));
	// Of this node's own half nothing is known: no figure is one.
	const auto none = render::pulled_json({pulled("www", "web/b1", 5, "")}, {}, {}, "broken");
	EXPECT_TRUE(none["services"][0]["lb_backend_lost"]["value"].is_null());
	EXPECT_THAT(render::pulled_text(none, "", "", 0), HasSubstr("its backends: broken"));
}

} // namespace
} // namespace anycast
