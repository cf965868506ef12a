// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "agent/backends.h"
#include "agent/pressure.h"
#include "agent/state_file.h"
#include "core/finding.h"
#include "core/quiet.h"
#include "net/counters.h"
#include "render/metrics.h"
#include "render/page.h"

namespace anycast {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Config two_backends(ax_backend_state b1, ax_backend_state b2)
{
	Pool pool;
	pool.name = "web";
	pool.backends = {{"b1", *Address::parse("10.1.0.11"), 100, b1},
			 {"b2", *Address::parse("10.1.0.12"), 100, b2}};
	Config config;
	config.pools = {pool};
	return config;
}

TEST(FollowHealth, TakesOutAndBringsBackItsOwnOnly)
{
	Config config = two_backends(AX_BACKEND_ACTIVE, AX_BACKEND_DOWN);
	std::set<std::string> downed;
	EXPECT_THAT(agent::follow_health(
			    config, {{"web/b1", Health::kDown}, {"web/b2", Health::kUp}}, downed),
		    ElementsAre("backend web/b1 down"));
	EXPECT_THAT(downed, ElementsAre("web/b1")) << "b2 was taken down by an operator";
	EXPECT_THAT(agent::follow_health(config, {{"web/b1", Health::kUnknown}}, downed), IsEmpty())
		<< "b2 has no check, and is not ours all the same";
	EXPECT_THAT(agent::follow_health(config, {{"web/b1", Health::kUp}}, downed),
		    ElementsAre("backend web/b1 active"));
	EXPECT_THAT(downed, IsEmpty());
	EXPECT_EQ(config, two_backends(AX_BACKEND_ACTIVE, AX_BACKEND_DOWN));
}

TEST(FollowHealth, LeavesDrainingAndMaintenanceAlone)
{
	Config config = two_backends(AX_BACKEND_DRAINING, AX_BACKEND_MAINTENANCE);
	std::set<std::string> downed;
	EXPECT_THAT(agent::follow_health(
			    config, {{"web/b1", Health::kDown}, {"web/b2", Health::kDown}}, downed),
		    IsEmpty());
	EXPECT_THAT(downed, IsEmpty());
}

TEST(FollowHealth, ApplyOfTheFileDoesNotReviveTheDead)
{
	Config file = two_backends(AX_BACKEND_ACTIVE, AX_BACKEND_ACTIVE);
	std::set<std::string> downed{"web/b1"};
	EXPECT_THAT(agent::follow_health(file, {{"web/b1", Health::kDown}}, downed),
		    ElementsAre("backend web/b1 down"));
	EXPECT_THAT(downed, ElementsAre("web/b1"));
}

TEST(SavedState, RoundTrips)
{
	agent::Saved saved;
	const Address vip = *Address::parse("198.51.100.80");
	saved.announcer.decisions[vip] = {Reach::kDraining, "over\"load\n", 0, 1700000000.5};
	saved.announcer.orders[vip] = {OrderKind::kDrain, "update", 5, 17.25};
	saved.announcer.canaries_up_since = 12.5;
	saved.health = {{"vip/www/0", Health::kDown}, {"pool/web/b1/0", Health::kUp}};
	saved.downed = {"eth0/web/b1"};
	const auto read = agent::saved_from_text(agent::saved_to_text(saved));
	ASSERT_TRUE(read) << read.error().message();
	EXPECT_EQ(*read, saved);
}

TEST(SavedState, HostileTextIsAnErrorNotACrash)
{
	const std::string good = agent::saved_to_text({});
	for (std::size_t length = 0; length + 2 < good.size(); length++)
		EXPECT_FALSE(agent::saved_from_text(good.substr(0, length))) << length;
	for (const char *text :
	     {"[]", "{\"version\":2}", "null", "{\"version\":1,\"decisions\":7}"})
		EXPECT_FALSE(agent::saved_from_text(text)) << text;
}

TEST(Quiet, ComesWhenTrafficHasStopped)
{
	QuietWatch watch;
	std::uint64_t packets = 0;
	double now = 0;
	const auto run = [&](int seconds, std::uint64_t rate) {
		for (int i = 0; i < seconds; i++)
			watch.sample(packets += rate, ++now);
	};
	run(20, 1000);
	EXPECT_FALSE(watch.quiet()) << "nothing drains";
	watch.drain(now);
	run(10, 1000);
	EXPECT_FALSE(watch.quiet());
	run(6, 30);
	EXPECT_FALSE(watch.quiet()) << "3 % are left";
	run(6, 10);
	EXPECT_TRUE(watch.quiet());
	watch.stop();
	EXPECT_FALSE(watch.quiet());
}

TEST(Quiet, NeverBeforeAWindowHasPassed)
{
	QuietWatch watch;
	watch.sample(0, 0);
	watch.drain(0);
	for (double t = 1; t < QuietWatch::kWindow; t++) {
		watch.sample(0, t);
		EXPECT_FALSE(watch.quiet());
	}
	watch.sample(0, QuietWatch::kWindow);
	EXPECT_TRUE(watch.quiet()) << "a VIP that nobody used";
}

TEST(FlowWatch, LongFlowsDoNotHoldADrainOpenAndNewOnesDo)
{
	std::vector<std::uint64_t> flows(100);
	for (std::size_t i = 0; i < flows.size(); i++)
		flows[i] = 1000 - i;
	FlowWatch watch;
	watch.sample(flows, 100);
	EXPECT_FALSE(watch.quiet()) << "the drain begins";
	EXPECT_FALSE(watch.due(104));
	for (const std::uint64_t fresh : {1, 2, 3}) // three new ones
		flows.push_back(fresh);
	watch.sample(flows, 105);
	EXPECT_FALSE(watch.quiet());
	flows.push_back(4);
	flows.push_back(5);
	watch.sample(flows, 107);
	EXPECT_FALSE(watch.quiet()) << "the window is not over";
	watch.sample(flows, 110);
	EXPECT_TRUE(watch.quiet()) << "two of a hundred, while all old ones are still there";

	FlowWatch untracked;
	untracked.sample({}, 100);
	untracked.sample({}, 105);
	EXPECT_FALSE(untracked.quiet()) << "nothing is known";
}

TEST(Pressure, ReadsTheKernelsText)
{
	EXPECT_EQ(agent::psi_some_avg10("some avg10=12.34 avg60=1.00 avg300=0.1 total=5\n"), 12.34);
	EXPECT_EQ(agent::psi_some_avg10("full avg10=12.34"), std::nullopt);
	const auto times = agent::cpu_times("cpu  10 1 9 70 10 0 0 0 5 0\ncpu0 1 1 1 1\n");
	ASSERT_TRUE(times);
	EXPECT_EQ(times->all, 100U);
	EXPECT_EQ(times->busy, 20U);
	EXPECT_FALSE(agent::cpu_times("intr 5"));
}

TEST(Pressure, MeasuresThisMachine)
{
	agent::Pressure pressure;
	EXPECT_FALSE(pressure.sample().cpu) << "a first sample has nothing to compare with";
	volatile double work = 1;
	for (int i = 0; i < 50000000; i++)
		work = work * 1.0000001;
	const Load load = pressure.sample();
	ASSERT_TRUE(load.cpu);
	EXPECT_GT(*load.cpu, 0);
	EXPECT_LE(*load.cpu, 100);
}

TEST(Uneven, NeedsEnoughPacketsAndALargeDifference)
{
	EXPECT_THAT(uneven({{"b1", 400, 0.5}, {"b2", 100, 0.5}}), IsEmpty()) << "too few";
	EXPECT_THAT(uneven({{"b1", 5500, 0.5}, {"b2", 4500, 0.5}}), IsEmpty());
	EXPECT_THAT(uneven({{"b1", 8000, 0.5}, {"b2", 2000, 0.5}}),
		    ElementsAre(HasSubstr("b1 gets 80 %"), HasSubstr("b2 gets 20 %")));
	EXPECT_THAT(uneven({{"b1", 9000, 1}, {"old", 100, 0}}), IsEmpty()) << "it drains";
}

TEST(Optics, TenthMicrowattsToDbm)
{
	EXPECT_NEAR(*dbm_from_tenth_microwatts(10000), 0, 1e-9);
	EXPECT_NEAR(*dbm_from_tenth_microwatts(1000), -10, 1e-9);
	EXPECT_FALSE(dbm_from_tenth_microwatts(0));
}

TEST(Snmp, ParsesBothFormats)
{
	const NetCounters counters = parse_snmp("Ip: Forwarding InReceives\nIp: 1 42\n"
						"Icmp: InMsgs InDestUnreachs\nIcmp: 7 3\n");
	EXPECT_EQ(counters.at("Ip.InReceives"), 42U);
	EXPECT_EQ(counters.at("Icmp.InDestUnreachs"), 3U);
	EXPECT_EQ(parse_snmp6("Ip6InReceives  5\nIcmp6InPktTooBigs 6\n").at("Icmp6.InPktTooBigs"),
		  6U);
	EXPECT_TRUE(parse_snmp("nonsense\n").empty());
}

nlohmann::ordered_json a_status()
{
	return nlohmann::ordered_json::parse(R"({"node":"<edge>","version":"1","pid":7,
"problems":["disk <full>"],
"vips":[{"vip":"w\"w","address":"198.51.100.80","port":80,"state":"announced","health":"up",
 "reason":"<b>x</b>","wait_s":0.0,"order":null,
 "checks":[{"check":"tcp","address":"198.51.100.80","health":"up","detail":"<script>","took_ms":1,
  "failures":2,"runs":3}]}],
"pools":[{"pool":"web","backends":[{"backend":"b1","address":"10.1.0.11","health":"down",
 "configured":"active","taken_out":true,"checks":[]}]}],
"load":{"overloaded":false,"reason":"","cpu":12.5,"temperature":null},
"bird":{"state":"running","in_force":true,"sessions":[{"session":"up1","neighbour":"10.1.0.1",
 "neighbour_asn":64500,"state":"Established","bfd":"Up","exported":1,"expected":1,
 "last_error":""}]},
"marks":{"services":[
 {"vip":"www","backend":"10.1.0.11","backend_name":"web/b1","lb_backend_lost":{"value":3},
  "so_far":{"lost":3,"of":40}},
 {"vip":"www","backend":"10.1.0.11","backend_name":"web/b1","lb_backend_lost":{"value":null},
  "so_far":{"lost":2,"of":50}},
 {"vip":"dns","backend":"10.1.0.12","backend_name":null,"lb_backend_lost":{"value":0},
  "so_far":{"lost":0,"of":7}}]},
"checks":{"runs":10,"late_over_10ms":0,"late_longest_ms":1.5},
"interfaces":[{"interface":"eth0","reasons":[{"reason":"steered","class":"steer","packets":5,
 "bytes":9}],"vips":[{"vip":"www","packets":9,"bytes":90,"loss":{"segments":7,"c2s_up_lost":2}}],
 "backends":[]}]})");
}

TEST(Metrics, AreWhatPrometheusReads)
{
	const std::string text = render::metrics_text(a_status());
	for (const char *line :
	     {"anycast_agent_up{version=\"1\"} 1\n",
	      "anycast_vip_state{vip=\"w\\\"w\",address=\"198.51.100.80\",state=\"announced\"} 1\n",
	      "anycast_vip_state{vip=\"w\\\"w\",address=\"198.51.100.80\",state=\"withdrawn\"} 0\n",
	      "anycast_vip_healthy{vip=\"w\\\"w\"} 1\n",
	      "anycast_backend_healthy{pool=\"web\",backend=\"b1\"} 0\n",
	      "anycast_bgp_session_established{session=\"up1\",neighbour=\"10.1.0.1\"} 1\n",
	      "anycast_load{of=\"cpu\"} 12.5\n",
	      "anycast_lb_backend_lost_total{vip=\"www\",pool=\"web\",backend=\"b1\"} 5\n",
	      "anycast_lb_backend_compared_total{vip=\"www\",pool=\"web\",backend=\"b1\"} 90\n",
	      "anycast_lb_backend_measured{vip=\"www\",pool=\"web\",backend=\"b1\"} 0\n",
	      "anycast_lb_backend_measured{vip=\"dns\",pool=\"\",backend=\"10.1.0.12\"} 1\n",
	      "anycast_vip_segments_total{interface=\"eth0\",vip=\"www\",direction=\"c2s\"} 7\n",
	      "anycast_vip_loss_total{interface=\"eth0\",vip=\"www\",metric=\"c2s_up_lost\","
	      "direction=\"c2s\",kind=\"estimate\"} 2\n",
	      "anycast_packets_total{interface=\"eth0\",reason=\"steered\",class=\"steer\"} 5\n"})
		EXPECT_THAT(text, HasSubstr(line));
	EXPECT_THAT(text, Not(HasSubstr("temperature"))) << "null is not 0";
	// Each family's head once, and its samples right behind it.
	std::set<std::string> seen;
	std::string family;
	std::istringstream lines(text);
	for (std::string line; std::getline(lines, line);)
		if (line.starts_with("# TYPE ")) {
			family = line.substr(7, line.find(' ', 7) - 7);
			EXPECT_TRUE(seen.insert(family).second) << family;
		} else if (!line.starts_with("#")) {
			EXPECT_EQ(line.substr(0, line.find_first_of("{ ")), family);
		}
}

TEST(Page, EscapesAndLoadsNothing)
{
	const std::string page = render::status_page(a_status());
	for (const char *part : {"disk &lt;full&gt;", "&lt;script&gt;", "&lt;b&gt;x", "Established",
				 "w&quot;w", "&lt;edge&gt;"})
		EXPECT_THAT(page, HasSubstr(part));
	for (const char *part : {"<script", "src=", "href=", "http:", "https:", "url("})
		EXPECT_THAT(page, Not(HasSubstr(part)));
}

} // namespace
} // namespace anycast
