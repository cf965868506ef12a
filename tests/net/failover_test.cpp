// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What clients notice when something dies, drains or restarts: two edges with agents, real BIRDs, a
// router with layer-4 ECMP, three backends. AX_FAILOVER_DOC=FILE writes the table, each figure the
// median of AX_FAILOVER_ROUNDS rounds.

#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>

#include "net/failover_lab.h"

namespace anycast::test {

namespace {

using testing::HasSubstr;
using Loss = Prober::Loss;

int rounds()
{
	const char *text = std::getenv("AX_FAILOVER_ROUNDS");
	return text ? std::max(std::atoi(text), 1) : 1;
}

// Median by outage; every round's losses are printed.
Loss median(const char *what, const std::function<Loss()> &round)
{
	std::vector<Loss> all;
	for (int i = 0; i < rounds(); i++) {
		all.push_back(round());
		std::printf("%s: %d of %d requests lost, outage %.2f s\n", what, all.back().lost,
			    all.back().sent, all.back().outage);
	}
	std::ranges::sort(all, {},
			  [](const Loss &loss) { return std::pair(loss.outage, loss.lost); });
	const Loss middle = all[all.size() / 2];
	if (const char *doc = std::getenv("AX_FAILOVER_DOC"))
		std::ofstream(doc, std::ios::app)
			<< fmt::format("| {} | {} | {} | {:.2f} s | {:.2f} s |\n", what, all.size(),
				       middle.lost, middle.outage, all.back().outage);
	return middle;
}

bool healthy(const FailoverLab &lab, std::size_t edge, bool all)
{
	const nlohmann::json status = lab.agent_status(edge);
	if (!status.is_object())
		return false;
	int up = 0;
	for (const auto &backend : status.at("pools").at(0).at("backends"))
		up += backend.at("health") == "up" && !backend.at("taken_out").get<bool>() ? 1 : 0;
	return (up == 3) == all;
}

void await_backends(const FailoverLab &lab, bool all)
{
	for (const std::size_t edge : {0U, 1U})
		EXPECT_TRUE(wait_until(milliseconds(20000) * slowness(), [&] {
			return healthy(lab, edge, all);
		})) << lab.log(edge);
}

void await_state(const FailoverLab &lab, std::size_t edge, const std::string &state)
{
	EXPECT_TRUE(wait_until(milliseconds(30000) * slowness(), [&] {
		const nlohmann::json status = lab.agent_status(edge);
		return status.is_object() && status.at("vips").at(0).at("state") == state;
	})) << lab.log(edge);
}

void await_agent(const FailoverLab &lab, std::size_t edge)
{
	EXPECT_TRUE(wait_until(milliseconds(20000) * slowness(), [&] {
		return lab.next_hops_known(edge);
	})) << lab.log(edge);
}

} // namespace

TEST(Failover, DeadBackendIsTakenOutAndItsReturnLosesNothing)
{
	in_lab([] {
		FailoverLab lab({});
		await_backends(lab, true);
		const std::string before = lab.heard(0) + lab.heard(1);
		const Loss death = median("a backend's service dies (check 1 s, fall 2)", [&] {
			const Loss loss = lab.measure(
				[&] {
					lab.services[1].kill_now();
					await_backends(lab, false);
				},
				milliseconds(1500));
			lab.start_service(1);
			await_backends(lab, true);
			return loss;
		});
		EXPECT_GT(death.lost, 0)
			<< "its flows, until both edges know: else nothing was tested";
		EXPECT_LT(death.lost, death.sent / 2) << "a third of the flows";
		EXPECT_LT(death.outage, 6.0 * slowness());

		lab.services[2].kill_now();
		await_backends(lab, false);
		const Loss back = lab.measure(
			[&] {
				lab.start_service(2);
				await_backends(lab, true);
			},
			milliseconds(1500));
		EXPECT_EQ(back.lost, 0) << "its return";
		EXPECT_GE(lab.steered(0) + lab.steered(1),
			  static_cast<std::uint64_t>(death.sent - death.lost + back.sent))
			<< "by the program, not around it";
		EXPECT_EQ(lab.heard(0) + lab.heard(1), before) << "no word of it to the router";
	});
}

TEST(Failover, PlannedWorkLosesNothing)
{
	in_lab([] {
		FailoverLab lab({});
		await_backends(lab, true);
		const auto withdrawn = median("planned withdrawal of an edge, and back", [&] {
			return lab.measure(
				[&] {
					EXPECT_EQ(lab.order(0, {"withdraw", "echo"}).status, 0);
					EXPECT_TRUE(lab.lab.await_next_hops(1, milliseconds(10000) *
										       slowness()));
					EXPECT_EQ(lab.order(0, {"announce", "echo", "--force"})
							  .status,
						  0);
					EXPECT_TRUE(lab.lab.await_next_hops(2, milliseconds(10000) *
										       slowness()));
				},
				milliseconds(1000));
		});
		EXPECT_EQ(withdrawn.lost, 0) << lab.log(0);
		EXPECT_EQ(withdrawn.outage, 0);

		const auto drained = median("drain of an edge, until it is withdrawn", [&] {
			const Loss loss = lab.measure(
				[&] {
					EXPECT_EQ(lab.order(1, {"drain", "echo"}).status, 0);
					EXPECT_TRUE(lab.lab.await_next_hops(1, milliseconds(10000) *
										       slowness()));
					await_state(lab, 1, "withdrawn");
				},
				milliseconds(1000));
			EXPECT_EQ(lab.order(1, {"announce", "echo", "--force"}).status, 0);
			EXPECT_TRUE(lab.lab.await_next_hops(2, milliseconds(10000) * slowness()));
			return loss;
		});
		EXPECT_EQ(drained.lost, 0) << lab.log(1);
	});
}

TEST(Failover, RestartsChangeNothingOnTheWire)
{
	in_lab([] {
		FailoverLab lab({});
		await_backends(lab, true);
		await_agent(lab, 0);
		const std::string before = lab.heard(0);
		const auto generation = [&] {
			const Output status = lab.order(0, {"--json", "status"});
			return nlohmann::json::parse(status.out)
				.at("interfaces")
				.at(0)
				.at("generation")
				.get<int>();
		};
		const int generation_before = generation();

		const auto restart = median("restart of an agent (on_stop = \"leave\")", [&] {
			return lab.measure(
				[&] {
					lab.agents[0].stop(milliseconds(20000));
					lab.start_agent(0);
					await_agent(lab, 0);
				},
				milliseconds(3000));
		});
		EXPECT_EQ(restart.lost, 0) << lab.log(0);
		const auto killed = median("kill -9 of an agent, and its restart", [&] {
			return lab.measure(
				[&] {
					lab.agents[0].kill_now();
					std::this_thread::sleep_for(milliseconds(1000));
					lab.start_agent(0);
					await_agent(lab, 0);
				},
				milliseconds(3000));
		});
		EXPECT_EQ(killed.lost, 0) << lab.log(0);
		const auto reload = median("`birdc configure` on an edge", [&] {
			return lab.measure(
				[&] {
					EXPECT_THAT(lab.lab.edges[0]->bird->ask("configure"),
						    HasSubstr("Reconfigur"));
				},
				milliseconds(2000));
		});
		EXPECT_EQ(reload.lost, 0);
		EXPECT_EQ(lab.heard(0), before) << "not one UPDATE:\n" << lab.log(0);
		EXPECT_EQ(generation(), generation_before) << "nothing was applied anew";
	});
}

TEST(Failover, SilentDeathOfAnEdgeIsNoticedByBfd)
{
	in_lab([] {
		FailoverLab lab({.bfd = true, .own_ports = false, .vip_checks = {}});
		const auto bfd_up = [&] {
			const auto sessions = lab.lab.router_bird->bfd_sessions();
			return std::ranges::count_if(sessions, [](const auto &one) {
				       return one.second == "Up";
			       }) == 2;
		};
		await_backends(lab, true);
		// The edge without a link loses its backends too, and damping makes the third
		// announcement wait: this is about BFD.
		EXPECT_EQ(lab.order(1, {"announce", "echo", "--force"}).status, 0) << lab.log(1);
		const auto once = [&] {
			// BIRD waits longer after each error, up to 30 s.
			EXPECT_TRUE(wait_until(milliseconds(90000) * slowness(), bfd_up));
			EXPECT_TRUE(lab.lab.await_next_hops(2, milliseconds(90000) * slowness()));
			const Loss loss =
				lab.measure([&] { lab.lab.fabric.ip("link set edge2 down"); },
					    milliseconds(4000) * slowness());
			lab.lab.fabric.ip("link set edge2 up");
			return loss;
		};
		const auto died = median("silent death of an edge (BFD 300 ms x 3)", [&] {
			for (int tries = 0; tries < 5; tries++) {
				const std::string other = lab.heard(0);
				const Loss loss = once();
				if (lab.heard(0) == other)
					return loss;
				std::printf("the other edge's session broke too, the machine is "
					    "busy: once more\n");
			}
			throw LabError("no round without a false alarm of BFD");
		});
		EXPECT_GT(died.lost, 0) << "else it was not silent";
		EXPECT_LT(died.lost, died.sent / 2) << "the other edge's flows go on";
		EXPECT_LT(died.outage, 4.0 * slowness());
	});
}

// The router's port loses its carrier: BIRD there closes the session at once.
TEST(Failover, LostLinkOfAnEdgeIsNoticedAtOnce)
{
	in_lab([] {
		FailoverLab lab({.bfd = false, .own_ports = true, .vip_checks = {}});
		await_backends(lab, true);
		const auto lost = median("the edge's link is lost (its port at the router)", [&] {
			EXPECT_TRUE(lab.lab.await_next_hops(2, milliseconds(60000) * slowness()));
			const std::uint64_t before = lab.steered(1);
			const Loss loss = lab.measure(
				[&] {
					EXPECT_GT(lab.steered(1), before) << "it had its share";
					lab.lab.edges[1]->netns.ip("link set eth1 down");
					EXPECT_TRUE(lab.lab.await_next_hops(1, milliseconds(2000) *
										       slowness()));
				},
				milliseconds(1500));
			lab.lab.edges[1]->netns.ip("link set eth1 up");
			return loss;
		});
		EXPECT_LT(lost.lost, lost.sent / 4);
		EXPECT_LT(lost.outage, 1.0 * slowness()) << "no timer has to run out";
	});
}

// A service that comes and goes every two seconds, ten times.
TEST(Failover, FlappingServiceDoesNotFlapTheRoute)
{
	in_lab([] {
		FailoverLab lab({.bfd = false,
				 .own_ports = false,
				 .vip_checks = "[[vips.checks]]\ntype = \"exec\"\ncommand = "
					       "[\"/bin/test\", \"!\", \"-e\", \"/run/lab/dead\"]\n"
					       "interval = \"200ms\"\ntimeout = \"150ms\"\n"
					       "rise = 1\nfall = 2\n"});
		chmod(kLabDir, 0755);
		const auto withdraws = [&] {
			std::istringstream words(
				lab.heard(0).substr(lab.heard(0).find("Import withdraws:") + 17));
			int received = -1;
			words >> received;
			return received;
		};
		const int before = withdraws();
		ASSERT_GE(before, 0);
		for (int flap = 0; flap < 10; flap++) {
			std::ofstream("/run/lab/dead") << "";
			std::this_thread::sleep_for(milliseconds(1000));
			std::filesystem::remove("/run/lab/dead");
			std::this_thread::sleep_for(milliseconds(1000));
		}
		const int flaps = withdraws() - before;
		std::printf("ten deaths in 20 s: the router heard %d withdrawals\n", flaps);
		EXPECT_GE(flaps, 1);
		EXPECT_LE(flaps, 2) << "a third one and RFC 2439's defaults suppress us";
		EXPECT_THAT(lab.agent_status(0).at("vips").at(0).at("reason").dump(),
			    HasSubstr("damping"));
	});
}

} // namespace anycast::test
