// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `explain` and `plan`: what they say is what then happens.
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "support/attached_lab.h"
#include "support/in_lab.h"

namespace anycast::test {

namespace {

using nlohmann::json;
using testing::HasSubstr;

json explained(const AttachedLab &lab, Argv arguments)
{
	arguments.insert(arguments.begin(), "explain");
	return lab.cli.ask(lab.edge(), arguments).at("interfaces").at(0);
}

json explained_flow(const AttachedLab &lab, const Endpoint &to, std::uint16_t port)
{
	const bool six = to.address.find(':') != to.address.npos;
	const std::string from = six ? fmt::format("[2001:db8:203::10]:{}", port)
				     : fmt::format("{}:{}", kClientAddress, port);
	const std::string destination = six ? fmt::format("[{}]:{}", to.address, to.port)
					    : fmt::format("{}:{}", to.address, to.port);
	return explained(lab, {from, ">", destination, "tcp"});
}

// The edge's configuration with a word of it replaced.
std::string changed_file(const Lab &lab, const std::string &from, const std::string &to)
{
	std::string text = edge_config(lab, *lab.edges[0]);
	const std::size_t at = text.find(from);
	if (at == text.npos)
		throw LabError("no " + from + " in the configuration");
	const std::string path = std::string(kLabDir) + "/changed.toml";
	std::ofstream(path) << text.replace(at, from.size(), to);
	return path;
}

} // namespace

TEST(Explain, SaysWhoAnswers)
{
	in_lab([] {
		const AttachedLab lab({.six = true});
		lab.resolve_neighbours();
		for (const Endpoint &www : {kWww, kWww6})
			for (std::uint16_t port = 42000; port < 42010; port++) {
				const json before = explained_flow(lab, www, port);
				EXPECT_TRUE(before.at("known").is_null());
				EXPECT_EQ(before.at("reason"), "steered");
				EXPECT_EQ(before.at("pool"), www.address == kVip ? "web" : "web6");
				EXPECT_EQ(before.at("reserve"), www.address == kVip ? 20 : 40);
				EXPECT_EQ(before.at("next_hop").at("interface"), "eth0");
				EXPECT_TRUE(before.at("next_hop").at("error").is_null()) << before;
				EXPECT_EQ(before.at("next_hop").at("mtu"), 1600);
				EXPECT_FALSE(before.at("hash").is_null());
				EXPECT_EQ(before.at("candidates").at(0),
					  before.at("backend").at("backend"));
				EXPECT_EQ(before.at("frame_out").get<std::string>().size(),
					  before.at("frame_in").get<std::string>().size() +
						  2 * before.at("reserve").get<std::size_t>());
				const Reply reply =
					http_get(lab.client, www, "/", {.source_port = port});
				ASSERT_TRUE(reply.ok) << reply.error;
				EXPECT_THAT(reply.body,
					    HasSubstr(before.at("backend").at("backend")));
				const json after = explained_flow(lab, www, port);
				EXPECT_EQ(after.at("known").at("backend"),
					  before.at("backend").at("backend"));
			}
		EXPECT_EQ(lab.cli.stats(lab.edge()).of("no_neighbour"), 0U);

		const Output text =
			lab.cli.run(lab.edge(), {"explain", "203.0.113.10:1", "198.51.100.80:80"});
		EXPECT_EQ(text.status, 0) << text.err;
		for (const char *step : {"vip", "flow table", "pool", "hash", "slot", "backend",
					 "next hop", "mtu", "verdict", "arrives", "leaves"})
			EXPECT_THAT(text.out, HasSubstr(step));
		EXPECT_EQ(lab.cli.run(lab.edge(), {"explain", "nonsense"}).status, 2);
		EXPECT_EQ(lab.cli.run(lab.edge(), {"explain"}).status, 2);
		EXPECT_EQ(lab.cli.run(lab.edge(), {"explain", "--packet", "00"}).status, 2);
		const json arp =
			explained(lab, {"--packet", "ffffffffffff 020000000001 0806 0001"});
		EXPECT_EQ(arp.at("reason"), "not_ip");
		EXPECT_EQ(arp.at("verdict"), "pass");
		EXPECT_TRUE(arp.at("vip").is_null());
	});
}

TEST(Explain, AKnownFlowGoesWhereItsEntrySays)
{
	in_lab([] {
		const AttachedLab lab;
		const Reply reply = http_get(lab.client, kWww, "/", {.source_port = 42000});
		ASSERT_TRUE(reply.ok) << reply.error;
		const std::string owner =
			explained_flow(lab, kWww, 42000).at("backend").at("backend");
		lab.cli.expect(lab.edge(), {"backend", "drain", owner});
		const json known = explained_flow(lab, kWww, 42000);
		EXPECT_EQ(known.at("backend").at("backend"), owner);
		EXPECT_EQ(known.at("backend").at("state"), "draining");
		EXPECT_NE(known.at("candidates").at(0), owner) << "the slot has another owner now";
	});
}

TEST(Plan, SaysWhatApplyThenDoes)
{
	in_lab([] {
		const AttachedLab lab;
		for (int i = 0; i < 40; i++)
			ASSERT_TRUE(http_get(lab.client, kWww, "/").ok);

		const auto plan = [&](const std::string &file) {
			return lab.cli.ask(lab.edge(), {"plan", file}).at("interfaces").at(0);
		};
		const json same = plan(changed_file(lab, "weight = 200", "weight = 200"));
		EXPECT_TRUE(same.at("changes").empty());
		EXPECT_EQ(same.at("sessions_at_risk"), 0);
		EXPECT_GE(same.at("flows").at("known"), 40);

		const std::string down =
			changed_file(lab, "weight = 200", "weight = 200\nstate = \"down\"");
		const json planned = plan(down);
		EXPECT_FALSE(planned.at("changes").empty());
		const json &pool = planned.at("pools").at(0);
		EXPECT_NEAR(pool.at("moved").get<double>(), 0.5, 0.01);
		const json &first = pool.at("backends").at(0);
		EXPECT_EQ(first.at("state_after"), "down");
		EXPECT_EQ(first.at("share_after"), 0.0);
		EXPECT_EQ(planned.at("flows").at("broken"), first.at("flows_before"));
		EXPECT_GT(planned.at("sessions_at_risk"), 0);

		EXPECT_EQ(lab.cli.ask(lab.edge(), {"apply", down, "--dry-run"}).at("changed"), true)
			<< "plan has changed nothing";
		lab.cli.expect(lab.edge(), {"apply", down});
		for (const BackendStats &backend : lab.cli.stats(lab.edge()).backends)
			for (const json &row : pool.at("backends"))
				if (row.at("backend") == backend.name) {
					EXPECT_NEAR(row.at("share_after").get<double>(),
						    backend.share, 1e-9);
				}
		const Output text = lab.cli.run(lab.edge(), {"plan", down});
		EXPECT_EQ(text.status, 0) << text.err;
		EXPECT_THAT(text.out, HasSubstr("no difference"));
		EXPECT_THAT(text.out, HasSubstr("sessions at risk"));
	});
}

} // namespace anycast::test
