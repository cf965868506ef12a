// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Checks by the clients' way: an edge that has the VIP itself, backends that serve on it alone.
#include <tuple>

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
	Target &add(const std::string &id, const char *vip, const std::string &through,
		    std::uint16_t port = 80, CheckType type = CheckType::kTcp)
	{
		Target target{.id = id, .spec = {}, .address = *Address::parse(vip), .port = port};
		target.spec.interval = milliseconds(200);
		target.spec.timeout = milliseconds(180);
		target.spec.rise = target.spec.fall = 2;
		target.spec.type = type;
		const bool v4 = through.find(':') == through.npos;
		target.tunnel = {*Address::parse(through),
				 {},
				 *Address::parse(v4 ? edge.address6 : edge.address)};
		targets.push_back(target);
		return targets.back();
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

	Lab lab{60000};
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

// A request and its answer, many segments long, in every combination of families and tunnels.
TEST(HealthTunnel, HttpAndEchoGoTheClientsWay)
{
	in_lab([] {
		World world;
		const std::string own = world.backend.netns.name();
		const auto slow = [](Target &target) -> Target & {
			target.spec.interval = target.spec.timeout = milliseconds(900);
			return target;
		};
		for (const auto &[id, vip, through] :
		     {std::tuple{"4 in 4", kVip, world.backend.address},
		      {"6 in 6", kVip6, world.backend.address6},
		      {"6 in 4", kVip6, world.backend.address},
		      {"4 in 6", kVip, world.backend.address6}}) {
			slow(world.add(id, vip, through, 80, CheckType::kHttp)).spec.body = own;
			slow(world.add(std::string("echo ") + id, vip, through, 0,
				       CheckType::kIcmp));
		}
		Target &gue =
			slow(world.add("gue", kVip, world.backend.address, 80, CheckType::kHttp));
		gue.spec.body = own;
		gue.tunnel->gue_port = AX_GUE_PORT;
		Target &big =
			slow(world.add("big", kVip, world.backend.address, 80, CheckType::kHttp));
		big.spec.path = "/big";
		slow(world.add("wrong", kVip, world.backend.address, 80, CheckType::kHttp))
			.spec.body = "another node";
		slow(world.add("none", kVip, world.lab.backends[1]->address, 80, CheckType::kHttp));

		const std::string key = "/run/lab/key.pem", cert = "/run/lab/cert.pem";
		ASSERT_EQ(run(world.backend.netns,
			      {"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
			       "1", "-subj", "/CN=www.example.net", "-keyout", key, "-out", cert})
				  .status,
			  0);
		const Process tls = Process::spawn(world.backend.netns,
						   {"openssl", "s_server", "-accept", "443", "-key",
						    key, "-cert", cert, "-www"},
						   "/run/lab/tls.log");
		Target &lax = slow(
			world.add("https", kVip, world.backend.address, 443, CheckType::kHttps));
		lax.spec.verify = false;
		Target strict = lax;
		strict.id = "strict", strict.spec.verify = true,
		strict.spec.host = "www.example.net";
		world.targets.push_back(strict);

		world.engine.set(world.targets, {});
		for (const char *id :
		     {"4 in 4", "6 in 6", "6 in 4", "4 in 6", "echo 4 in 4", "echo 6 in 6",
		      "echo 6 in 4", "echo 4 in 6", "gue", "big", "https"})
			EXPECT_TRUE(world.until(id, Health::kUp))
				<< id << ": " << world.engine.find(id)->detail;
		for (const auto &[id, why] : {std::pair{"wrong", "is not in the body"},
					      {"none", "refused, through the tunnel"},
					      {"strict", "certificate"}}) {
			EXPECT_TRUE(world.until(id, Health::kDown)) << id;
			EXPECT_THAT(world.engine.find(id)->detail, HasSubstr(why));
		}
		world.engine.set({}, {}); // a check that is under way ends too
		EXPECT_TRUE(wait_until(milliseconds(5000) * slowness(),
				       [&] {
					       return run(world.backend.netns,
							  {"ss", "-Htn", "sport", "=", ":80"})
							      .out == "";
				       }))
			<< "nothing is left at the server: "
			<< run(world.backend.netns, {"ss", "-Htn"}).out;

		// A node without the VIP of its own: its kernel would reset such connections.
		world.edge.netns.ip(fmt::format("addr del {}/32 dev anycast0", kVip));
		for (Target &target : world.targets)
			target.id += " again";
		world.engine.set(world.targets, {});
		for (const char *id : {"4 in 4 again", "big again", "https again"})
			EXPECT_TRUE(world.until(id, Health::kUp))
				<< id << ": " << world.engine.find(id)->detail;

		// A fifth of what carries data is lost on the way back: it is sent again.
		world.lab.programs.attach_dropper({world.backend.netns, "eth0"});
		world.lab.programs.drop(20260101, 2000, world.edge.address, 0);
		const auto runs = world.engine.find("4 in 4 again")->runs;
		world.edge.netns.run([&] {
			while (world.engine.find("4 in 4 again")->runs < runs + 8)
				ASSERT_TRUE(world.loop.turn(milliseconds(20)));
		});
		EXPECT_GT(world.lab.programs.dropped().first_lost, 0U);
		EXPECT_EQ(world.engine.find("4 in 4 again")->rise_fall.health(), Health::kUp)
			<< world.engine.find("4 in 4 again")->detail;
		world.lab.programs.stop_dropping();

		world.cli.expect(world.backend.netns, {"detach", "eth0"});
		for (const char *id : {"4 in 4 again", "echo 4 in 4 again"}) {
			EXPECT_TRUE(world.until(id, Health::kDown)) << id;
			EXPECT_THAT(world.engine.find(id)->detail, HasSubstr("through the tunnel"));
		}
	});
}

} // namespace anycast::test
