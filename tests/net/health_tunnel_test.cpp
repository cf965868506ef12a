// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Checks by the clients' way: an edge that has the VIP itself, backends that serve on it alone.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <anycast_xdp/gue.h>

#include "health/engine.h"
#include "support/cli.h"
#include "support/in_lab.h"
#include "support/lab.h"

namespace anycast::test {

namespace {

using health::Target;
using testing::HasSubstr;

struct World {
	World()
	{
		lab.resolve_neighbours();
		for (const auto &one : lab.backends)
			cli.attach_backend(lab, *one);
		cli.attach_edge(lab, edge, {});
		lab.start_servers(backend);
	}
	void add(const std::string &id, const char *vip, const std::string &through,
		 std::uint16_t port = 80)
	{
		Target target{.id = id, .spec = {}, .address = *Address::parse(vip), .port = port};
		target.spec.interval = milliseconds(200);
		target.spec.timeout = milliseconds(180);
		target.spec.rise = target.spec.fall = 2;
		const bool v4 = through.find(':') == through.npos;
		target.tunnel = {*Address::parse(through),
				 {},
				 *Address::parse(v4 ? edge.address6 : edge.address)};
		targets.push_back(target);
	}
	bool until(const std::string &id, Health health)
	{
		const auto end = Loop::Clock::now() + milliseconds(15000) * slowness();
		return edge.netns.run([&] {
			while (engine.find(id)->rise_fall.health() != health &&
			       Loop::Clock::now() < end)
				(void)loop.turn(milliseconds(20));
			return engine.find(id)->rise_fall.health() == health;
		});
	}

	Lab lab{1024};
	Cli cli;
	Node &edge = *lab.edges[0], &backend = *lab.backends[0];
	std::vector<Target> targets;
	Loop loop = *Loop::make();
	health::Engine engine{loop, {}, [](const health::CheckState &) {}};
};

} // namespace

TEST(HealthTunnel, ReachesTheServiceAsClientsDo)
{
	in_lab([] {
		World world;
		world.add("4 in 4", kVip, world.backend.address);
		world.add("6 in 6", kVip6, world.backend.address6);
		world.add("6 in 4", kVip6, world.backend.address);
		world.add("4 in 6", kVip, world.backend.address6);
		world.add("gue", kVip, world.backend.address);
		world.add("gue 6 in 6", kVip6, world.backend.address6);
		for (auto target = world.targets.end() - 2; target != world.targets.end(); ++target)
			target->tunnel->gue_port = AX_GUE_PORT;
		world.add("closed", kVip, world.backend.address, 81);
		world.add("no service", kVip, world.lab.backends[1]->address);
		world.engine.set(world.targets, {});
		for (const char *id : {"4 in 4", "6 in 6", "6 in 4", "4 in 6", "gue", "gue 6 in 6"})
			EXPECT_TRUE(world.until(id, Health::kUp))
				<< id << ": " << world.engine.find(id)->detail;
		for (const char *id : {"closed", "no service"}) {
			EXPECT_TRUE(world.until(id, Health::kDown)) << id;
			EXPECT_THAT(world.engine.find(id)->detail, HasSubstr("refused"));
		}
		EXPECT_THAT(run(world.backend.netns, {"ss", "-Htn", "state", "syn-recv"}).out, "")
			<< "no half connections are left";

		// The service lives, and the way to it does not: its own address would say all is
		// well.
		world.cli.expect(world.backend.netns, {"detach", "eth0"});
		EXPECT_TRUE(world.until("4 in 4", Health::kDown));
		EXPECT_THAT(world.engine.find("4 in 4")->detail, HasSubstr("through the tunnel"));
		world.cli.attach_backend(world.lab, world.backend);
		EXPECT_TRUE(world.until("4 in 4", Health::kUp))
			<< world.engine.find("4 in 4")->detail;
		world.backend.servers.clear();
		EXPECT_TRUE(world.until("6 in 4", Health::kDown));
	});
}

} // namespace anycast::test
