// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The overload guard with what the data path measures: segments that were lost before this node.
#include <atomic>
#include <sstream>
#include <thread>

#include "net/agent_lab.h"
#include "support/http.h"
#include "support/programs.h"

namespace anycast::test {

namespace {

using testing::HasSubstr;

class OverloadLab : public AgentLab {
public:
	explicit OverloadLab(const char *action)
	{
		agent_section = std::string("import = \"vips\"\n[agent.overload]\naction = \"") +
				action +
				"\"\nhold = \"1s\"\n[agent.overload.loss]\nhigh = 30\nlow = 10\n";
		more(default_vip() +
		     "[[vips]]\nname = \"sink\"\naddress = \"198.51.100.80\"\nport = "
		     "9000\npool = \"web\"\n");
		// Its packets are lost on the router, where their sender does not notice.
		connect_veth({client_, "eth0"}, {router, "wan0"}, 1500);
		client_.ip("addr add 203.0.113.10/24 dev eth0\nroute add default via 203.0.113.1");
		router.ip("addr add 203.0.113.1/24 dev wan0");
		router.sysctl("net.ipv4.ip_forward", "1");
		// Traffic comes whatever is announced.
		router.ip("route add 198.51.100.80/32 via 10.1.0.2 metric 1");
		sink_.emplace(serve_sink(node, {kWeb, 9000}));
		programs_.attach_dropper({router, "lan0"});
		for (const LinkEnd &end : {LinkEnd{node, "eth0"}, LinkEnd{router, "wan0"}})
			receive_on_cpu(end, 0); // a flow on several CPUs has no figure
		cli.expect(node, {"attach", "eth0", "--config", config});
		start();
	}
	void lose(unsigned per_10000) { programs_.drop(20260101, per_10000, kWeb, 9000); }
	// Uploads, one after the other, as long as this lives.
	void send()
	{
		traffic_ = std::jthread([this](const std::stop_token &stop) {
			while (!stop.stop_requested())
				upload(client_, {kWeb, 9000}, 256 << 10,
				       {.limit = milliseconds(3000)});
		});
	}
	[[nodiscard]] bool soon(const std::function<bool()> &holds) const
	{
		return wait_until(milliseconds(60000) * slowness(), holds);
	}
	[[nodiscard]] bool drained() const
	{
		return route().find("(65535,0)") != std::string::npos;
	}
	[[nodiscard]] std::string figures() const
	{
		return fmt::format(
			"the dropper: {} of {} segments\n{}{}", programs_.dropped().first_lost,
			programs_.dropped().segments,
			ask("status").at("result").value("load", nlohmann::json()).dump(),
			cli.run(node, {"loss", "--by", "vip"}).out);
	}
	[[nodiscard]] std::string vips() const
	{
		return ask("status").at("result").at("vips").dump();
	}
	// The router has the VIP from elsewhere, and tells this node.
	void others_announce()
	{
		const std::string file = "/run/lab/bird-router.conf", none = "export none; };";
		std::ostringstream text;
		text << std::ifstream(file).rdbuf();
		std::string config_text = text.str();
		const std::size_t at = config_text.find(none);
		ASSERT_NE(at, std::string::npos);
		config_text.replace(at, none.size(), "export where source = RTS_STATIC; };");
		std::ofstream(file) << config_text
				    << "protocol static elsewhere { ipv4; route 198.51.100.80/32 "
				       "blackhole; }\n";
		EXPECT_THAT(router_bird->ask("configure"), HasSubstr("econfigur"));
	}

private:
	Netns client_{"client"};
	LabPrograms programs_;
	std::optional<Process> sink_;
	std::jthread traffic_; // ends first
};

} // namespace

TEST(AgentOverload, LossOnTheWayDrainsAndIsOver)
{
	in_lab([] {
		OverloadLab lab("drain");
		lab.send();
		std::this_thread::sleep_for(milliseconds(12000));
		EXPECT_FALSE(lab.drained()) << "nothing is lost: " << lab.log();
		lab.lose(1500);
		EXPECT_TRUE(lab.soon([&] { return lab.drained(); })) << lab.log() << lab.figures();
		EXPECT_THAT(lab.vips(), HasSubstr("overload: drained"));
		EXPECT_THAT(lab.log(), HasSubstr("per mille (limit 30)"));
		lab.lose(0);
		EXPECT_TRUE(lab.soon([&] {
			return lab.log().find("overload: over") != std::string::npos;
		})) << lab.log();
		EXPECT_TRUE(lab.has_route());
	});
}

TEST(AgentOverload, WithdrawsOnlyWhereSomebodyElseIsSeen)
{
	in_lab([] {
		OverloadLab lab("withdraw");
		lab.lose(1500);
		lab.send();
		EXPECT_TRUE(lab.soon([&] { return lab.drained(); })) << lab.log() << lab.figures();
		EXPECT_THAT(lab.vips(), HasSubstr("no other is seen"));
		EXPECT_TRUE(lab.has_route()) << "it may be the last node";
		lab.others_announce();
		EXPECT_TRUE(lab.soon([&] { return !lab.has_route(); })) << lab.log();
		EXPECT_THAT(lab.vips(), HasSubstr("overload: withdrawn, others announce it"));
	});
}

} // namespace anycast::test
