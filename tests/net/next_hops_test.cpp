// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The agent keeps the backends' next hops in the data path true, and they do not outlive it.
#include <array>
#include <cstdio>

#include "kernel/resolved.h"
#include "net/agent_lab.h"

namespace anycast::test {

namespace {

using std::chrono::steady_clock;
using testing::HasSubstr;

constexpr const char *kOne = "10.1.0.1", *kTwo = "10.1.0.11";

std::string toml(const std::string &more = "")
{
	return "[[pools]]\nname = \"web\"\n"
	       "[[pools.backends]]\nname = \"b1\"\naddress = \"10.1.0.1\"\n"
	       "[[pools.backends]]\nname = \"b2\"\naddress = \"10.1.0.11\"\n" +
	       more +
	       "[[vips]]\nname = \"www\"\naddress = \"198.51.100.80\"\nport = 80\n"
	       "pool = \"web\"\n";
}

std::string mac_text(const __u8 (&mac)[6])
{
	return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2],
			   mac[3], mac[4], mac[5]);
}

// Two backends behind one wire, the program attached, the agent running.
struct World : AgentLab {
	World() : AgentLab(toml())
	{
		agent_section = "[agent]\nnext_hops = true\n";
		write();
		router.ip("addr add 10.1.0.11/24 dev lan0");
		cli.expect(node, {"attach", "eth0", "--config", config});
	}
	[[nodiscard]] ax_backend entry(const std::string &backend) const
	{
		return node.run([&] {
			const auto instance = open_instance(paths(), "eth0");
			if (!instance)
				throw LabError(instance.error().message());
			const auto ctl = instance->dataplane.control();
			std::vector<ax_backend> all(instance->dataplane.sizes().backends);
			const auto size = static_cast<std::uint32_t>(all.size());
			if (!ctl ||
			    !instance->dataplane.map("ax_backend")
				     .read_at<ax_backend>((ctl->generation & 1) * size, all))
				throw LabError("the backends cannot be read");
			for (const ax_backend &one : all)
				if (Address(one.addr).text() == backend)
					return one;
			throw LabError("there is no backend " + backend);
		});
	}
	// "unresolved", or everything that is known.
	[[nodiscard]] std::string hop(const std::string &backend) const
	{
		const ax_backend found = entry(backend);
		if (!(found.flags & AX_BACKEND_RESOLVED))
			return "unresolved";
		return fmt::format("{} -> {} dev {} mtu {}", mac_text(found.smac),
				   mac_text(found.dmac), found.ifindex, found.mtu);
	}
	[[nodiscard]] static std::string mac(const Netns &netns, const std::string &device)
	{
		std::string text;
		std::ifstream(netns.sysfs() + "/class/net/" + device + "/address") >> text;
		return text;
	}
	[[nodiscard]] std::string expected(const std::string &dmac, unsigned mtu = 1500) const
	{
		std::string index;
		std::ifstream(node.sysfs() + "/class/net/eth0/ifindex") >> index;
		return fmt::format("{} -> {} dev {} mtu {}", mac(node, "eth0"), dmac, index, mtu);
	}
	// Seconds until the backend's next hop is that; fails the test beyond the limit.
	double becomes(const std::string &backend, const std::string &wanted) const
	{
		const auto began = steady_clock::now();
		EXPECT_TRUE(wait_until(milliseconds(8000) * slowness(),
				       [&] { return hop(backend) == wanted; }))
			<< backend << ": " << hop(backend) << ", wanted: " << wanted << "\n"
			<< log();
		return std::chrono::duration<double>(steady_clock::now() - began).count();
	}
	static Paths paths()
	{
		Paths paths;
		paths.state = kState;
		return paths;
	}
};

} // namespace

TEST(NextHops, FollowNeighboursLinksAndRoutes)
{
	in_lab([] {
		World lab;
		EXPECT_EQ(lab.hop(kOne), "unresolved") << "nobody keeps it true";
		lab.start_agent();
		const std::string router = World::mac(lab.router, "lan0");
		lab.becomes(kOne, lab.expected(router));
		lab.becomes(kTwo, lab.expected(router));

		const std::string other = "02:00:00:00:00:99";
		lab.node.ip("neigh replace 10.1.0.1 lladdr " + other + " dev eth0 nud permanent");
		std::printf("a neighbour's new address: after %.3f s\n",
			    lab.becomes(kOne, lab.expected(other)));
		EXPECT_EQ(lab.hop(kTwo), lab.expected(router)) << "the other one stays";

		lab.node.ip("link set eth0 mtu 1400");
		std::printf("a new MTU: after %.3f s\n",
			    lab.becomes(kOne, lab.expected(other, 1400)));
		lab.node.ip("link set eth0 mtu 1500\nroute add 10.1.0.1/32 dev eth0 mtu 1300");
		lab.becomes(kOne, lab.expected(other, 1300));
		lab.node.ip("route del 10.1.0.1/32 dev eth0");
		lab.becomes(kOne, lab.expected(other));

		lab.router.ip("addr del 10.1.0.11/24 dev lan0");
		lab.node.ip("neigh del 10.1.0.11 dev eth0");
		std::printf("a neighbour that is gone: after %.3f s\n",
			    lab.becomes(kTwo, "unresolved"));
		EXPECT_THAT(lab.ask("status").at("result").at("next_hops").dump(),
			    HasSubstr("neighbour 10.1.0.11 is not resolved"));
		lab.router.ip("addr add 10.1.0.11/24 dev lan0");
		lab.becomes(kTwo, lab.expected(router)); // by asking for it, now and then
	});
}

// What is not the same for all packets stays with the look-up per packet.
TEST(NextHops, AreLeftToTheKernelWhereEachPacketHasItsOwn)
{
	in_lab([] {
		World lab;
		lab.start_agent();
		const std::string router = World::mac(lab.router, "lan0");
		lab.becomes(kOne, lab.expected(router));
		lab.node.ip("rule add from 192.0.2.7 lookup 100");
		lab.becomes(kOne, "unresolved");
		lab.node.ip("rule del from 192.0.2.7 lookup 100");
		lab.becomes(kOne, lab.expected(router));
		lab.node.ip("route add 10.1.0.11/32 nexthop via 10.1.0.1 nexthop via 10.1.0.3");
		lab.becomes(kTwo, "unresolved");
		EXPECT_EQ(lab.hop(kOne), lab.expected(router));
		EXPECT_THAT(lab.ask("status").at("result").at("next_hops").dump(),
			    HasSubstr("several next hops"));
		lab.node.ip("route del 10.1.0.11/32");
		lab.becomes(kTwo, lab.expected(router));
	});
}

TEST(NextHops, DoNotOutliveTheAgent)
{
	in_lab([] {
		World lab;
		lab.start_agent();
		const std::string now = lab.expected(World::mac(lab.router, "lan0"));
		lab.becomes(kOne, now);
		lab.agent->kill_now();
		std::printf("killed with -9: cleared after %.3f s\n",
			    lab.becomes(kOne, "unresolved"));
		EXPECT_EQ(lab.hop(kTwo), "unresolved");
		const ax_backend cleared = lab.entry(kOne);
		EXPECT_EQ(mac_text(cleared.dmac), "00:00:00:00:00:00");
		EXPECT_EQ(cleared.ifindex, 0U);

		lab.start_agent();
		lab.becomes(kOne, now);
		lab.agent->stop(milliseconds(20000));
		EXPECT_EQ(lab.hop(kOne), "unresolved") << "an ordinary end waits for it";
		EXPECT_EQ(lab.hop(kTwo), "unresolved");
		EXPECT_EQ(run(lab.node, {"pgrep", "-f", "anycast-xdp agent"}).out, "")
			<< "nobody is left";
	});
}

TEST(NextHops, WithoutTheJanitorThereAreNone)
{
	in_lab([] {
		World lab;
		lab.start_agent();
		const std::string now = lab.expected(World::mac(lab.router, "lan0"));
		lab.becomes(kOne, now);
		const std::string janitor =
			run(lab.node, {"pgrep", "-P", std::to_string(lab.agent->pid())}).out;
		ASSERT_NE(janitor, "");
		kill(std::stoi(janitor), SIGTERM);
		EXPECT_EQ(lab.hop(kOne), now) << "SIGTERM to the whole unit is not for it";
		kill(std::stoi(janitor), SIGKILL);
		lab.becomes(kOne, "unresolved");
		lab.becomes(kTwo, "unresolved");
		EXPECT_TRUE(wait_until(milliseconds(5000) * slowness(), [&] {
			return lab.ask("status")
				       .at("result")
				       .at("problems")
				       .dump()
				       .find("janitor has ended") != std::string::npos;
		}));
	});
}

TEST(NextHops, AreNoPartOfTheConfiguration)
{
	in_lab([] {
		World lab;
		lab.start_agent();
		const std::string now = lab.expected(World::mac(lab.router, "lan0"));
		lab.becomes(kOne, now);
		const auto same = lab.cli.ask(lab.node, {"apply", lab.config});
		EXPECT_FALSE(same.at("changed")) << same;
		EXPECT_EQ(lab.hop(kOne), now);

		lab.more(toml("[[pools.backends]]\nname = \"b3\"\naddress = \"10.1.0.12\"\n"));
		const auto other = lab.cli.ask(lab.node, {"apply", lab.config});
		EXPECT_TRUE(other.at("changed"));
		std::printf("after an apply: known again after %.3f s\n", lab.becomes(kOne, now));
		EXPECT_EQ(lab.hop("10.1.0.12"), "unresolved") << "nobody has that address";
	});
	in_lab([] {
		World lab;
		lab.agent_section = "[agent]\nnext_hops = false\n";
		lab.write();
		lab.start_agent();
		const auto began = steady_clock::now();
		EXPECT_FALSE(wait_until(milliseconds(2500),
					[&] { return lab.hop(kOne) != "unresolved"; }));
		EXPECT_GE(steady_clock::now() - began, milliseconds(2500));
	});
}

} // namespace anycast::test
