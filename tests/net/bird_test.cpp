// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The speaker and the rendered configuration with real BIRDs on both sides.
#include <csignal>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "net/bird_lab.h"

namespace anycast::test {
namespace {

using bird::Speaker;
using testing::HasSubstr;

constexpr milliseconds kBudget{2000};
constexpr const char *kWwwVip = "198.51.100.80", *kDnsVip = "198.51.100.53",
		     *kWww6Vip = "2001:db8:51::80";

std::string text_of(const BirdStatus &status)
{
	std::string text = fmt::format("{}, in force {}\n{}\n", bird_state_name(status.state),
				       status.in_force, status.problem);
	for (const auto *list : {&status.mended, &status.problems})
		for (const std::string &line : *list)
			text += line + "\n";
	return text;
}

const SessionStatus *session(const BirdStatus &status, const std::string &neighbour)
{
	for (const SessionStatus &each : status.sessions)
		if (each.neighbour == neighbour)
			return &each;
	return nullptr;
}

TEST(BirdNet, RenderedConfigurationAnnouncesWithAllAttributes)
{
	in_lab([] {
		BirdLab lab;
		lab.start();
		if (testing::Test::HasFatalFailure())
			return;
		Speaker speaker(lab.config.bird);
		const Wanted none = lab.wanted({});
		const BirdStatus calm = speaker.reconcile(none, kBudget);
		EXPECT_EQ(calm.state, BirdState::kRunning) << text_of(calm);
		EXPECT_TRUE(calm.in_force);
		EXPECT_TRUE(calm.mended.empty()) << text_of(calm);
		EXPECT_EQ(calm.verdict(), "ok");

		const Wanted all = lab.wanted({{kWwwVip, Reach::kAnnounced},
					       {kDnsVip, Reach::kAnnounced},
					       {kWww6Vip, Reach::kAnnounced}});
		const BirdStatus status = speaker.reconcile(all, kBudget);
		EXPECT_TRUE(status.in_force) << text_of(status);
		EXPECT_TRUE(BirdLab::sees(*lab.upstream_bird, kWwwVip, "(64512,100)"));
		EXPECT_TRUE(BirdLab::sees(*lab.upstream_bird, kDnsVip));
		EXPECT_TRUE(BirdLab::sees(*lab.upstream_bird, kWww6Vip));
		EXPECT_TRUE(BirdLab::sees(*lab.reflector_bird, kWwwVip, "(64512,100)"));
		const std::string external = BirdLab::route(*lab.upstream_bird, kWwwVip);
		EXPECT_THAT(external, HasSubstr("BGP.as_path: 64512 64512 64512\n"));
		EXPECT_THAT(external, HasSubstr("BGP.med: 5\n"));
		EXPECT_THAT(external, HasSubstr("BGP.large_community: (64512, 1, 2)"));
		const std::string internal = BirdLab::route(*lab.reflector_bird, kWwwVip);
		EXPECT_THAT(internal, HasSubstr("BGP.local_pref: 150\n"));
		EXPECT_EQ(internal.find("64512 64512"), std::string::npos) << internal;
		EXPECT_THAT(BirdLab::route(*lab.upstream_bird, kDnsVip),
			    HasSubstr("BGP.as_path: 64512\n"));

		ASSERT_TRUE(wait_until(milliseconds(5000), [&] {
			const BirdStatus now = speaker.reconcile(all, kBudget);
			const auto *up = session(now, "10.9.1.1");
			return up != nullptr && up->bfd == "Up" && now.problems.empty();
		}));
		const BirdStatus settled = speaker.reconcile(all, kBudget);
		EXPECT_TRUE(settled.mended.empty()) << text_of(settled);
		EXPECT_EQ(settled.established(), 3U);
		const auto *up = session(settled, "10.9.1.1");
		ASSERT_NE(up, nullptr);
		EXPECT_EQ(up->expected, 2U);
		EXPECT_EQ(up->exported, 2U);
		EXPECT_EQ(up->local_asn, 64512U);
		EXPECT_EQ(up->neighbour_asn, 64500U);
		EXPECT_EQ(session(settled, "2001:db8:9:1::1")->exported, 1U);
	});
}

TEST(BirdNet, WithdrawsAndDrainsOneVipWithoutTouchingTheOther)
{
	in_lab([] {
		BirdLab lab;
		lab.start();
		if (testing::Test::HasFatalFailure())
			return;
		Speaker speaker(lab.config.bird);
		speaker.reconcile(
			lab.wanted({{kWwwVip, Reach::kAnnounced}, {kDnsVip, Reach::kAnnounced}}),
			kBudget);
		ASSERT_TRUE(BirdLab::sees(*lab.upstream_bird, kWwwVip));
		ASSERT_TRUE(BirdLab::sees(*lab.upstream_bird, kDnsVip));
		const std::string dns = BirdLab::route(*lab.upstream_bird, kDnsVip);

		speaker.reconcile(
			lab.wanted({{kWwwVip, Reach::kDraining}, {kDnsVip, Reach::kAnnounced}}),
			kBudget);
		EXPECT_TRUE(BirdLab::sees(*lab.upstream_bird, kWwwVip, "(65535,0)"));
		EXPECT_TRUE(BirdLab::sees(*lab.reflector_bird, kWwwVip, "(65535,0)"));
		EXPECT_TRUE(BirdLab::sees(*lab.upstream_bird, kWwwVip, "(64512,100)"));

		const BirdStatus status =
			speaker.reconcile(lab.wanted({{kDnsVip, Reach::kAnnounced}}), kBudget);
		EXPECT_TRUE(status.in_force) << text_of(status);
		EXPECT_TRUE(BirdLab::lost(*lab.upstream_bird, kWwwVip));
		EXPECT_TRUE(BirdLab::lost(*lab.reflector_bird, kWwwVip));
		// Its route has the same age: no UPDATE was sent for it.
		EXPECT_EQ(BirdLab::route(*lab.upstream_bird, kDnsVip), dns);

		// A new process continues without a word.
		Speaker next(lab.config.bird);
		const BirdStatus again =
			next.reconcile(lab.wanted({{kDnsVip, Reach::kAnnounced}}), kBudget);
		EXPECT_TRUE(again.in_force);
		EXPECT_TRUE(again.mended.empty()) << text_of(again);
		EXPECT_EQ(BirdLab::route(*lab.upstream_bird, kDnsVip), dns);
	});
}

TEST(BirdNet, ARejectedFileLeavesTheOldAnnouncementsInForce)
{
	in_lab([] {
		BirdLab lab;
		lab.start();
		if (testing::Test::HasFatalFailure())
			return;
		Speaker speaker(lab.config.bird);
		const Wanted good = lab.wanted({{kWwwVip, Reach::kAnnounced}});
		ASSERT_TRUE(speaker.reconcile(good, kBudget).in_force);
		ASSERT_TRUE(BirdLab::sees(*lab.upstream_bird, kWwwVip));
		const std::string before = *bird::read_file(lab.config.bird.include);

		Wanted bad =
			lab.wanted({{kWwwVip, Reach::kAnnounced}, {kDnsVip, Reach::kAnnounced}});
		bad.announcements[0].attributes.communities = {{70000, 1}}; // the file refuses this
		for (int round = 0; round < 3; round++) {
			const BirdStatus status = speaker.reconcile(bad, kBudget);
			EXPECT_EQ(status.state, BirdState::kRejected) << round << text_of(status);
			EXPECT_FALSE(status.in_force);
			EXPECT_THAT(status.problem, HasSubstr("8002"));
			EXPECT_EQ(*bird::read_file(lab.config.bird.include), before);
		}
		EXPECT_FALSE(BirdLab::route(*lab.upstream_bird, kWwwVip).empty());
		EXPECT_TRUE(BirdLab::route(*lab.upstream_bird, kDnsVip).empty());
		// What is right again is tried at once.
		EXPECT_TRUE(speaker.reconcile(lab.wanted({}), kBudget).in_force);
		EXPECT_TRUE(BirdLab::lost(*lab.upstream_bird, kWwwVip));
	});
}

TEST(BirdNet, StoppedDuringAFailureItWithdrawsAsSoonAsItRuns)
{
	in_lab([] {
		BirdLab lab;
		lab.start();
		if (testing::Test::HasFatalFailure())
			return;
		Speaker speaker(lab.config.bird);
		ASSERT_TRUE(speaker.reconcile(lab.wanted({{kWwwVip, Reach::kAnnounced}}), kBudget)
				    .in_force);
		ASSERT_TRUE(BirdLab::sees(*lab.reflector_bird, kWwwVip));

		kill(lab.node_bird->pid(), SIGSTOP);
		for (int round = 0; round < 3; round++) {
			const auto begin = std::chrono::steady_clock::now();
			const BirdStatus status =
				speaker.reconcile(lab.wanted({}), milliseconds(300));
			EXPECT_LT(std::chrono::steady_clock::now() - begin,
				  milliseconds(900) * slowness());
			EXPECT_EQ(status.state, BirdState::kHung) << text_of(status);
			EXPECT_THAT(status.problem, HasSubstr("does not answer"));
			EXPECT_FALSE(status.in_force);
		}
		EXPECT_FALSE(BirdLab::route(*lab.reflector_bird, kWwwVip).empty());
		kill(lab.node_bird->pid(), SIGCONT);
		EXPECT_TRUE(wait_until(milliseconds(3000), [&] {
			return speaker.reconcile(lab.wanted({}), kBudget).in_force;
		}));
		EXPECT_TRUE(BirdLab::lost(*lab.reflector_bird, kWwwVip));
	});
}

TEST(BirdNet, SurvivesARestartAndHandsThatReconfigure)
{
	in_lab([] {
		BirdLab lab;
		lab.start();
		if (testing::Test::HasFatalFailure())
			return;
		Speaker speaker(lab.config.bird);
		const Wanted wanted = lab.wanted({{kWwwVip, Reach::kAnnounced}});
		ASSERT_TRUE(speaker.reconcile(wanted, kBudget).in_force);

		lab.node_bird->kill_now();
		const BirdStatus gone = speaker.reconcile(wanted, kBudget);
		EXPECT_EQ(gone.state, BirdState::kAbsent) << text_of(gone);
		EXPECT_EQ(gone.verdict(), "down");
		const auto text = bird::base_config(lab.config);
		lab.node_bird.reset();
		lab.node_bird.emplace(lab.node, *text);
		EXPECT_TRUE(wait_until(milliseconds(5000), [&] {
			return speaker.reconcile(wanted, kBudget).in_force;
		}));
		ASSERT_TRUE(BirdLab::sees(*lab.upstream_bird, kWwwVip));

		(void)lab.node_bird->ask("disable anycast_xdp4");
		ASSERT_TRUE(BirdLab::lost(*lab.upstream_bird, kWwwVip));
		EXPECT_TRUE(wait_until(milliseconds(5000), [&] {
			return speaker.reconcile(wanted, kBudget).in_force;
		}));
		EXPECT_TRUE(BirdLab::sees(*lab.upstream_bird, kWwwVip));

		std::ofstream(lab.config.bird.include, std::ios::app) << "# somebody was here\n";
		const BirdStatus edited = speaker.reconcile(wanted, kBudget);
		EXPECT_TRUE(edited.in_force);
		EXPECT_FALSE(edited.mended.empty());
		EXPECT_EQ(*bird::read_file(lab.config.bird.include), bird::include_text(wanted));

		std::ofstream("/run/lab/other.conf") << "router id 10.9.0.1;\nprotocol device {}\n";
		(void)lab.node_bird->ask("configure \"/run/lab/other.conf\"");
		const BirdStatus foreign = speaker.reconcile(wanted, kBudget);
		EXPECT_EQ(foreign.state, BirdState::kNotOurs) << text_of(foreign);
		EXPECT_THAT(foreign.problem, HasSubstr("does not include"));
		ASSERT_EQ(foreign.sessions.size(), 3U);
		EXPECT_FALSE(foreign.sessions[0].exists);
	});
}

TEST(BirdNet, ABaseConfigurationThatIsBrokenDoesNotStopTheLastWithdrawal)
{
	in_lab([] {
		BirdLab lab;
		lab.start();
		if (testing::Test::HasFatalFailure())
			return;
		Speaker speaker(lab.config.bird);
		ASSERT_TRUE(speaker.reconcile(lab.wanted({{kWwwVip, Reach::kAnnounced}}), kBudget)
				    .in_force);
		ASSERT_TRUE(BirdLab::sees(*lab.upstream_bird, kWwwVip));
		std::ofstream("/run/lab/bird-node.conf", std::ios::app) << "half a line";
		const BirdStatus status = speaker.reconcile(lab.wanted({}), kBudget);
		EXPECT_EQ(status.state, BirdState::kRejected) << text_of(status);
		EXPECT_THAT(text_of(status), HasSubstr("disabled anycast_xdp4"));
		EXPECT_TRUE(BirdLab::lost(*lab.upstream_bird, kWwwVip));
		// Nothing of the wanted text was at fault: it waits in its place.
		EXPECT_EQ(*bird::read_file(lab.config.bird.include),
			  bird::include_text(lab.wanted({})));
	});
}

TEST(BirdNet, AFullDiskDoesNotStopAWithdrawal)
{
	in_lab([] {
		BirdLab lab;
		const std::string directory = "/run/lab/include";
		ASSERT_EQ(run(lab.node, {"mkdir", "-p", directory}).status, 0);
		ASSERT_EQ(
			run(lab.node, {"mount", "-t", "tmpfs", "-o", "size=64k", "none", directory})
				.status,
			0);
		lab.start();
		if (testing::Test::HasFatalFailure())
			return;
		Speaker speaker(lab.config.bird);
		ASSERT_TRUE(speaker.reconcile(lab.wanted({{kWwwVip, Reach::kAnnounced}}), kBudget)
				    .in_force);
		ASSERT_TRUE(BirdLab::sees(*lab.upstream_bird, kWwwVip));
		ASSERT_NE(
			run(lab.node, {"dd", "if=/dev/zero", "of=" + directory + "/full", "bs=4k"})
				.status,
			0);
		// More does not fit, and the old text stays.
		const BirdStatus more = speaker.reconcile(
			lab.wanted({{kWwwVip, Reach::kAnnounced}, {kDnsVip, Reach::kAnnounced}}),
			kBudget);
		EXPECT_FALSE(more.in_force);
		EXPECT_THAT(text_of(more), HasSubstr("No space left on device"));
		EXPECT_FALSE(BirdLab::route(*lab.upstream_bird, kWwwVip).empty());
		const BirdStatus less = speaker.reconcile(lab.wanted({}), kBudget);
		EXPECT_TRUE(less.in_force) << text_of(less);
		EXPECT_TRUE(BirdLab::lost(*lab.upstream_bird, kWwwVip));
	});
}

TEST(BirdNet, DegradedSaysWhichSessionAndWhy)
{
	in_lab([] {
		BirdLab lab;
		lab.start();
		if (testing::Test::HasFatalFailure())
			return;
		Speaker speaker(lab.config.bird);
		const Wanted wanted = lab.wanted({{kWwwVip, Reach::kAnnounced}});
		speaker.reconcile(wanted, kBudget);
		lab.reflector_bird->stop();
		ASSERT_TRUE(wait_until(milliseconds(5000), [&] { return lab.established() == 2; }));
		const BirdStatus status = speaker.reconcile(wanted, kBudget);
		EXPECT_TRUE(status.degraded());
		EXPECT_EQ(status.verdict(), "degraded");
		EXPECT_EQ(status.established(), 2U);
		EXPECT_EQ(status.configured(), 3U);
		const auto *reflector = session(status, "10.9.2.1");
		ASSERT_NE(reflector, nullptr);
		EXPECT_FALSE(reflector->established());
		EXPECT_FALSE(reflector->advice.empty());
		EXPECT_FALSE(reflector->last_error.empty());
	});
}

TEST(BirdNet, SeesWhoElseAnnouncesAndWhatExportsBesideUs)
{
	in_lab([] {
		BirdLab lab;
		lab.start();
		if (testing::Test::HasFatalFailure())
			return;
		Speaker speaker(lab.config.bird);
		const Address www = *Address::parse(kWwwVip);
		EXPECT_FALSE(speaker.reconcile(lab.wanted({}), kBudget).announced_by_others(www));
		std::ofstream("/run/lab/bird-upstream.conf", std::ios::app)
			<< "protocol static elsewhere { ipv4; route 198.51.100.80/32 blackhole; "
			   "}\n";
		(void)lab.upstream_bird->ask("configure");
		EXPECT_TRUE(wait_until(milliseconds(5000),
				       [&] {
					       return speaker.reconcile(lab.wanted({}), kBudget)
						       .announced_by_others(www);
				       }))
			<< lab.node_bird->ask("show route all")
			<< lab.upstream_bird->ask("show route all export node");
		// Somebody's own static route, let out by a filter of his own.
		std::string base = *bird::base_config(lab.config);
		const std::string strict = "export where anycast_xdp_ebgp();";
		base.replace(base.find(strict), strict.size(), "export where source = RTS_STATIC;");
		std::ofstream("/run/lab/bird-node.conf")
			<< base
			<< "protocol static mine { ipv4; route 198.51.100.53/32 "
			   "blackhole; }\n";
		(void)lab.node_bird->ask("configure");
		const BirdStatus status = speaker.reconcile(lab.wanted({}), kBudget);
		EXPECT_THAT(text_of(status),
			    HasSubstr("peer_upstream exports 198.51.100.53, which is withdrawn, "
				      "from mine"));
		EXPECT_EQ(status.verdict(), "degraded");
	});
}

// A full table of the upstream's beside our VIPs: a walk through it, which BIRD needs for most of
// its `show route`s, must not stand before a withdrawal or its confirmation.
TEST(BirdNet, ALargeTableDelaysNothing)
{
	in_lab([] {
		BirdLab lab;
		constexpr int kRoutes = 200000;
		std::string table = "protocol static others { ipv4;\n";
		for (int i = 0; i < kRoutes; i++)
			table += fmt::format("route {}.{}.{}.0/24 blackhole;\n", 11 + (i >> 16),
					     (i >> 8) & 255, i & 255);
		lab.start_routers(table + "}\n");
		std::string base = *bird::base_config(lab.config);
		const auto replace = [&](const std::string &from, const std::string &to) {
			ASSERT_NE(base.find(from), std::string::npos) << from;
			base.replace(base.find(from), from.size(), to);
		};
		replace("import where net ~ anycast_xdp_vips4", "import all");
		replace("export where source = RTS_BGP", "export none"); // not to the kernel
		ASSERT_TRUE(bird::replace_file(lab.config.bird.include,
					       bird::include_text(wanted_for(lab.config, {}))));
		lab.node_bird.emplace(lab.node, base);
		ASSERT_TRUE(wait_until(milliseconds(60000) * slowness(), [&] {
			return lab.node_bird->ask("show route count").find("200001 of") !=
			       std::string::npos;
		})) << lab.node_bird->ask("show route count");

		Speaker speaker(lab.config.bird);
		bird::Client client(lab.config.bird.socket);
		using Clock = std::chrono::steady_clock;
		const auto timed = [](const auto &work) {
			const auto began = Clock::now();
			work();
			return std::chrono::duration<double, std::milli>(Clock::now() - began)
				.count();
		};
		double walk = 1e9, round = 1e9;
		std::vector<double> withdrawals;
		for (int i = 0; i < 5; i++) {
			const Wanted all = lab.wanted({{kWwwVip, Reach::kAnnounced}}),
				     none = lab.wanted({});
			const BirdStatus there = speaker.reconcile(all, 5 * kBudget);
			ASSERT_TRUE(there.in_force) << text_of(there);
			walk = std::min(walk, timed([&] {
						(void)client.ask(
							"show route all protocol anycast_xdp4",
							Clock::now() + 5 * kBudget);
					}));
			round = std::min(round,
					 timed([&] { speaker.reconcile(all, 5 * kBudget); }));
			withdrawals.push_back(timed([&] {
				const BirdStatus gone = speaker.reconcile(none, 5 * kBudget);
				EXPECT_TRUE(gone.in_force) << text_of(gone);
			}));
		}
		std::ranges::sort(withdrawals);
		fmt::print("{} routes: a walk {:.1f} ms, a round {:.1f} ms, a withdrawal that is "
			   "confirmed {:.1f} ms (longest {:.1f})\n",
			   kRoutes, walk, round, withdrawals[2], withdrawals[4]);
		EXPECT_LT(round, walk / 2) << "the round has walked through the table";
		EXPECT_LT(withdrawals[2], 1000 * slowness());
		// What a VIP leaves that the file names no more is found all the same.
		ASSERT_TRUE(
			speaker.reconcile(lab.wanted({{kWwwVip, Reach::kAnnounced}}), 5 * kBudget)
				.in_force);
		Wanted others = lab.wanted({});
		std::erase(others.vips, *Address::parse(kWwwVip));
		EXPECT_FALSE(speaker.inspect(others, 5 * kBudget).in_force);
		EXPECT_TRUE(speaker.reconcile(others, 5 * kBudget).in_force);
		EXPECT_TRUE(BirdLab::lost(*lab.upstream_bird, kWwwVip));
	});
}

} // namespace
} // namespace anycast::test
