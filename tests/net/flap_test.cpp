// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A service that flaps, and routers that damp flaps (RFC 2439): ours stays visible, a checker that
// just follows its checks is suppressed.
#include <sys/stat.h>

#include <thread>

#include "bird/ledger.h"
#include "core/announcer.h"
#include "net/agent_lab.h"
#include "net/bird_lab.h"
#include "support/damping_router.h"

namespace anycast::test {

namespace {

constexpr const char *kOurs = "198.51.100.80", *kNaive = "198.51.100.53";
const DampingProfile &kProfile = *find_damping_profile("rfc2439");

// What the upstream's table has, and what a router that damps makes of each change in it.
class Upstream {
public:
	explicit Upstream(const BirdLab &lab) : lab_(lab) {}
	// BIRD's own words arrive within milliseconds; `now` is the lab's clock.
	void await(const std::string &vip, bool there, double now)
	{
		const bool arrived = wait_until(milliseconds(10000) * slowness(), [&] {
			return BirdLab::route(*lab_.upstream_bird, vip).empty() != there;
		});
		EXPECT_TRUE(arrived) << vip << (there ? " is not there" : " is still there");
		if (!arrived || there == there_[vip])
			return;
		there_[vip] = there;
		heard_++;
		DampingRouter &damping = dampings_.try_emplace(vip, kProfile).first->second;
		there ? damping.announce(now) : damping.withdraw(now);
	}
	[[nodiscard]] bool suppressed(const std::string &vip)
	{
		return dampings_.try_emplace(vip, kProfile).first->second.ever_suppressed();
	}
	[[nodiscard]] int heard() const { return heard_; }
	// Of its session with the node: routes accepted and withdrawn, as it has counted them.
	[[nodiscard]] int counted() const
	{
		int sum = 0;
		std::istringstream lines(lab_.upstream_bird->ask("show protocols all node"));
		for (std::string line; std::getline(lines, line);)
			for (const char *what : {"Import updates:", "Import withdraws:"})
				if (const auto at = line.find(what); at != line.npos) {
					std::istringstream numbers(
						line.substr(at + std::string(what).size()));
					int received = 0;
					numbers >> received;
					sum += received;
				}
		return sum;
	}

private:
	const BirdLab &lab_;
	std::map<std::string, bool> there_;
	std::map<std::string, DampingRouter> dampings_;
	int heard_ = 0;
};

} // namespace

// Ten minutes of the lab's clock; the UPDATEs are real ones, from BIRD to BIRD.
TEST(Flap, TenMinutesNeverGetUsSuppressed)
{
	in_lab([] {
		BirdLab lab;
		lab.start();
		if (testing::Test::HasFatalFailure())
			return;
		bird::Speaker speaker(lab.config.bird);
		Upstream upstream(lab);
		const Address ours = *Address::parse(kOurs);
		bird::Ledger ledger("/run/lab/damping.json", kProfile);
		Announcer announcer(
			[&](const Address &vip) -> Damping & { return ledger.of(vip); });
		const int before = upstream.counted();
		std::map<std::string, Reach> sent;
		int withdrawals = 0, naive_withdrawals = 0;
		for (double second = 0; second < 600; second++) {
			const double now = 1.8e9 + second;
			const bool healthy = static_cast<int>(second) % 4 < 2;
			const Decision decision =
				announcer
					.decide({{ours,
						  {.health =
							   healthy ? Health::kUp : Health::kDown}}},
						AgentOptions(), false, now)
					.at(ours);
			const std::map<std::string, Reach> wanted = {
				{kOurs, decision.reach},
				{kNaive, healthy ? Reach::kAnnounced : Reach::kWithdrawn}};
			if (wanted == sent)
				continue;
			withdrawals += sent[kOurs] != wanted.at(kOurs) &&
				       decision.reach == Reach::kWithdrawn;
			naive_withdrawals += sent[kNaive] != wanted.at(kNaive) && !healthy;
			EXPECT_TRUE(wait_until(milliseconds(10000) * slowness(), [&] {
				return speaker.reconcile(lab.wanted(wanted), milliseconds(3000))
					.in_force;
			}));
			for (const auto &[vip, reach] : wanted)
				upstream.await(vip, reach == Reach::kAnnounced, now);
			sent = wanted;
			ASSERT_FALSE(upstream.suppressed(kOurs)) << "after " << second << " s";
		}
		std::printf("ten minutes: %d withdrawals of ours, %d of the naive one's, %d "
			    "changes heard, %d counted\n",
			    withdrawals, naive_withdrawals, upstream.heard(),
			    upstream.counted() - before);
		EXPECT_GE(withdrawals, 1) << "it did follow the service";
		EXPECT_LE(withdrawals, 4);
		EXPECT_EQ(naive_withdrawals, 150);
		EXPECT_TRUE(upstream.suppressed(kNaive)) << "else the lab shows nothing";
		EXPECT_EQ(upstream.counted() - before, upstream.heard())
			<< "the router heard more than this test has looked at";
	});
}

namespace {

// FRR's bgpd, with `bgp dampening` at its defaults, in the place of the lab's router.
class Frr {
public:
	explicit Frr(const Netns &netns) : netns_(netns)
	{
		std::filesystem::create_directories(kDirectory);
		std::ofstream(std::string(kDirectory) + "/bgpd.conf")
			<< "hostname router\nlog stdout\nrouter bgp 64500\n bgp router-id "
			   "10.1.0.1\n"
			   " no bgp ebgp-requires-policy\n neighbor 10.1.0.2 remote-as 64512\n"
			   " neighbor 10.1.0.2 ttl-security hops 1\n"
			   " neighbor 10.1.0.2 timers connect 1\n address-family ipv4 unicast\n"
			   "  bgp dampening\n exit-address-family\n";
		const std::string base = kDirectory;
		process_ =
			Process::spawn(netns,
				       {"/usr/lib/frr/bgpd", "-f", base + "/bgpd.conf", "-i",
					base + "/pid", "--vty_socket", base, "-Z", "-S", "-P", "0"},
				       base + "/log");
	}
	// {} if it knows nothing of the prefix.
	[[nodiscard]] nlohmann::json path(const std::string &prefix) const
	{
		const Output output = run(netns_, {"vtysh", "--vty_socket", kDirectory, "-c",
						   "show bgp ipv4 unicast " + prefix + "/32 json"});
		const auto answer = nlohmann::json::parse(output.out, nullptr, false);
		if (!answer.is_object() || !answer.contains("paths") || answer["paths"].empty())
			return nlohmann::json::object();
		return answer["paths"][0];
	}
	[[nodiscard]] bool has(const std::string &prefix) const
	{
		const auto found = path(prefix);
		return found.value("valid", false) && !found.contains("dampeningHistoryEntry");
	}
	[[nodiscard]] bool suppresses(const std::string &prefix) const
	{
		return path(prefix).value("dampeningSuppressed", false);
	}

private:
	static constexpr const char *kDirectory = "/run/lab/frr";
	const Netns &netns_;
	Process process_;
};

} // namespace

TEST(Flap, FrrSuppressesTheNaiveOneAndNotUs)
{
	if (access("/usr/lib/frr/bgpd", X_OK))
		GTEST_SKIP() << "FRR is not installed";
	in_lab([] {
		chmod(kLabDir, 0755);
		AgentLab lab(AgentLab::default_vip(
			"[[vips.checks]]\ntype = \"exec\"\ncommand = [\"/bin/test\", \"!\", "
			"\"-e\", "
			"\"/run/lab/dead\"]\ninterval = \"200ms\"\ntimeout = \"150ms\"\nrise = 1\n"
			"fall = 2\n"));
		lab.router_bird.reset();
		const Frr frr(lab.router);
		lab.cli.expect(lab.node, {"bird", "render", "--out", "/run/lab/rendered.conf",
					  "--config", lab.config});
		std::ostringstream rendered;
		rendered << std::ifstream("/run/lab/rendered.conf").rdbuf();
		std::string text = rendered.str();
		const std::string filter = "export where anycast_xdp_ebgp();";
		const auto at = text.find(filter);
		ASSERT_NE(at, text.npos) << text;
		text.replace(at, filter.size(),
			     "export where proto = \"naive\" || anycast_xdp_ebgp();");
		lab.node_bird.emplace(lab.node, text + "protocol static naive { ipv4; route " +
							kNaive + "/32 blackhole; }\n");
		lab.start_agent();
		for (const char *vip : {kOurs, kNaive})
			ASSERT_TRUE(wait_until(milliseconds(30000) * slowness(),
					       [&] { return frr.has(vip); }))
				<< vip << lab.log() << lab.node_bird->log();
		int naive_suppressed_at = 0;
		for (int flap = 1; flap <= 15; flap++) {
			std::ofstream("/run/lab/dead") << "";
			(void)lab.node_bird->ask("disable naive");
			std::this_thread::sleep_for(milliseconds(1000));
			std::filesystem::remove("/run/lab/dead");
			(void)lab.node_bird->ask("enable naive");
			std::this_thread::sleep_for(milliseconds(1000));
			ASSERT_FALSE(frr.suppresses(kOurs)) << "after " << flap << " flaps";
			if (naive_suppressed_at == 0 && frr.suppresses(kNaive))
				naive_suppressed_at = flap;
		}
		const auto ours = frr.path(kOurs), naive = frr.path(kNaive);
		std::printf("FRR, 15 flaps in 30 s: the naive one is suppressed after %d, penalty "
			    "%d; ours has %d\n",
			    naive_suppressed_at, naive.value("dampeningPenalty", 0),
			    ours.value("dampeningPenalty", 0));
		EXPECT_GT(naive_suppressed_at, 0);
		EXPECT_GT(ours.value("dampeningPenalty", 0), 0) << "it was withdrawn, too";
		EXPECT_LT(ours.value("dampeningPenalty", 0), 2000);
	});
}

} // namespace anycast::test
