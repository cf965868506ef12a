// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Backends that are not behind the interface where packets arrive, and devices that change. Bonds
// and VLANs: stacked_devices_test.cpp.
#include <fstream>
#include <sstream>

#include "net/hop_chain.h"
#include "support/cli.h"
#include "support/process.h"

namespace anycast::test {

namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

} // namespace

TEST(NextHop, OnAnotherInterfaceIsRedirectedTo)
{
	for (const ax_forward forward : {AX_FORWARD_IPIP, AX_FORWARD_GUE})
		in_lab([=] {
			const Chain chain;
			chain.address("dev1", chain.backend, "b0");
			chain.edge.run([&] {
				EXPECT_TRUE(attached("dev0", to_backend(forward)).warnings.empty());
			});
			Sniffer sniffer({chain.backend, "b0"});
			for (int i = 0; i < 3; i++) { // the last by the express way
				chain.send();
				EXPECT_THAT(tunnelled(sniffer),
					    ElementsAre(forward == AX_FORWARD_GUE ? 17 : 4));
			}
			chain.edge.run([] { EXPECT_EQ(counted(AX_R_STEERED), 3U); });
		});
}

TEST(NextHop, BehindABridgeIsANamedDropOrGoesInGenericMode)
{
	in_lab([] {
		const Chain chain;
		chain.edge.ip(
			"link add br0 type bridge\nlink set br0 up\nlink set dev1 master br0");
		chain.address("br0", chain.backend, "b0");
		Sniffer sniffer({chain.backend, "b0"});
		const Config config = to_backend(AX_FORWARD_IPIP);
		chain.edge.run([&] {
			EXPECT_THAT(attached("dev0", config).warnings,
				    Contains(HasSubstr("leaves through br0, a bridge device: XDP "
						       "cannot send there, and its packets are "
						       "dropped as no_transmit")));
		});
		chain.send();
		chain.edge.run([&] {
			EXPECT_TRUE(wait_until(milliseconds(2000),
					       [] { return counted(AX_R_NO_TRANSMIT) == 1; }));
			EXPECT_EQ(counted(AX_R_STEERED), 0U);
			ASSERT_TRUE(detach(kPaths, "dev0"));
			AttachOptions generic;
			generic.mode = "generic";
			attached("dev0", config, generic);
		});
		chain.send();
		EXPECT_THAT(tunnelled(sniffer), ElementsAre(4));
	});
}

// Its packets are a named drop until the kernel has found it; nobody has to do anything for that.
TEST(NextHop, ANeighbourThatIsNotKnownYet)
{
	in_lab([] {
		const Chain chain;
		if (!chain.edge.run(managed_neighbours))
			GTEST_SKIP() << "kernels before 5.16 want the agent for this";
		chain.edge.ip("addr add 10.2.0.1/24 dev dev1"); // nobody answers for 10.2.0.9
		chain.edge.run([&] { attached("dev0", to_backend(AX_FORWARD_GUE)); });
		chain.send();
		chain.edge.run([] {
			EXPECT_TRUE(wait_until(milliseconds(2000),
					       [] { return counted(AX_R_NO_NEIGHBOUR) == 1; }));
			EXPECT_EQ(counted(AX_R_STEERED), 0U);
		});
		chain.backend.ip("addr add 10.2.0.9/24 dev b0");
		Sniffer sniffer({chain.backend, "b0"});
		EXPECT_TRUE(wait_until(milliseconds(20000), [&] {
			chain.send();
			return !tunnelled(sniffer).empty();
		}));
	});
}

// The kernel takes the frame from the program and drops it: nothing of ours can count that.
TEST(NextHop, ADeviceThatTakesNoFramesNowIsWarnedAbout)
{
	in_lab([] {
		Chain chain;
		const Config config = to_backend(AX_FORWARD_IPIP);
		chain.edge.ip("link del dev1");
		connect_veth({chain.edge, "dev2"}, {chain.backend, "b0"}, 1600);
		chain.address("dev2", chain.backend, "b0");
		const auto takes = chain.edge.run([] { return interface_named("dev2"); });
		if (!takes || !takes->takes_frames)
			GTEST_SKIP() << "the kernel does not say what devices take (before 6.3)";
		EXPECT_EQ(takes->takes_frames, false);
		const auto warning = HasSubstr("dev2 takes no frames from XDP as it is now");
		Sniffer sniffer({chain.backend, "b0"});
		chain.edge.run(
			[&] { EXPECT_THAT(attached("dev0", config).warnings, Contains(warning)); });
		chain.send();
		EXPECT_TRUE(tunnelled(sniffer).empty()) << "then there is nothing to warn of";
		chain.programs.pass_xdp({chain.backend, "b0"});
		goes_once_applied(chain, config, sniffer);
	});
}

// Back where it came from is a veth's other end, too.
TEST(NextHop, AVethThatNothingCanBeSentBackByIsWarnedAbout)
{
	in_lab([] {
		make_veth();
		const auto device = interface_named("dev0");
		if (!device || !device->takes_frames)
			GTEST_SKIP() << "the kernel does not say what devices take (before 6.3)";
		const auto warning = HasSubstr("dev0 takes no frames from XDP as it is now");
		EXPECT_THAT(attached("dev0").warnings, Contains(warning));
		ASSERT_TRUE(detach(kPaths, "dev0"));
		AttachOptions generic;
		generic.mode = "generic";
		EXPECT_THAT(attached("dev0", kSmall, generic).warnings,
			    testing::Not(Contains(warning)));
	});
}

// The kernel's look-up answers for other interfaces only where the one of arrival forwards.
TEST(NextHop, WithoutForwardingThereIsNoOtherInterface)
{
	in_lab([] {
		const Chain chain;
		chain.address("dev1", chain.backend, "b0");
		chain.edge.sysctl("net.ipv4.conf.dev0.forwarding", "0");
		const Config config = to_backend(AX_FORWARD_IPIP);
		chain.edge.run([&] {
			EXPECT_THAT(attached("dev0", config).warnings,
				    Contains(HasSubstr("dropped as no_route; sysctl -w "
						       "net.ipv4.conf.dev0.forwarding=1")));
		});
		chain.send();
		chain.edge.run([] {
			EXPECT_TRUE(wait_until(milliseconds(2000),
					       [] { return counted(AX_R_NO_ROUTE) == 1; }));
		});
		chain.edge.sysctl("net.ipv4.conf.dev0.forwarding", "1");
		Sniffer sniffer({chain.backend, "b0"});
		goes_once_applied(chain, config, sniffer);
	});
}

// A device that becomes another's port, or stops to be one, is seen by the next apply.
TEST(NextHop, DevicesAreLookedAtByEachApply)
{
	in_lab([] {
		const Chain chain;
		chain.address("dev1", chain.backend, "b0");
		const Config config = to_backend(AX_FORWARD_IPIP);
		chain.edge.run([&] {
			attached("dev0", config);
			sh("ip link add br0 type bridge && ip link set br0 up && ip link set dev1 "
			   "master br0 && ip addr del 10.2.0.1/24 dev dev1 && ip addr add "
			   "10.2.0.1/24 dev br0");
		});
		chain.know("br0", {chain.backend, "b0"});
		chain.edge.run([&] {
			const auto report = apply(kPaths, "dev0", config);
			ASSERT_TRUE(report) << report.error().message();
			EXPECT_FALSE(report->changed);
			EXPECT_THAT(report->warnings, Contains(HasSubstr("br0, a bridge device")));
		});
		chain.send();
		chain.edge.run([&] {
			EXPECT_TRUE(wait_until(milliseconds(2000),
					       [] { return counted(AX_R_NO_TRANSMIT) == 1; }));
		});
	});
}

// Devices come, go and become another's port while nobody applies anything.
TEST(NextHop, TheAgentFollowsDevices)
{
	in_lab([] {
		const Cli cli;
		Chain chain;
		chain.address("dev1", chain.backend, "b0");
		const std::string file = std::string(kLabDir) + "/edge.toml";
		std::ofstream(file) << to_toml(to_backend(AX_FORWARD_IPIP));
		cli.expect(chain.edge, {"attach", "dev0", "--config", file});
		const Process agent =
			Process::spawn(chain.edge, {cli.binary(), "agent", "--config", file},
				       "/run/lab/agent.log");
		const auto trouble = [&]() -> std::string {
			const Output metrics = cli.run(chain.edge, {"metrics", "--config", file});
			std::istringstream lines(metrics.out);
			for (std::string line; std::getline(lines, line);)
				if (line.find("anycast_next_hops{") == 0 &&
				    line.find("not_known") != std::string::npos)
					return line.substr(line.rfind(' ') + 1);
			return "no agent: " + metrics.err;
		};
		const auto sends = [&] {
			Sniffer sniffer({chain.backend, "b0"});
			chain.send();
			return tunnelled(sniffer).size() == 1;
		};
		const auto drops = [&] {
			return chain.edge.run([] { return counted(AX_R_NO_TRANSMIT); });
		};
		const milliseconds soon(15000);
		ASSERT_TRUE(wait_until(soon, [&] { return trouble() == "0"; })) << trouble();
		EXPECT_TRUE(sends());

		chain.edge.ip("link del dev1"); // a driver that was loaded anew, another name
		connect_veth({chain.edge, "dev2"}, {chain.backend, "b0"}, 1600);
		chain.programs.pass_xdp({chain.backend, "b0"});
		chain.address("dev2", chain.backend, "b0");
		EXPECT_TRUE(wait_until(soon, sends));
		EXPECT_TRUE(wait_until(soon, [&] { return trouble() == "0"; })) << trouble();
		EXPECT_EQ(drops(), 0U);

		chain.edge.ip(
			"link add br0 type bridge\nlink set br0 up\nlink set dev2 master br0\n"
			"addr del 10.2.0.1/24 dev dev2\naddr add 10.2.0.1/24 dev br0");
		chain.know("br0", {chain.backend, "b0"});
		EXPECT_TRUE(wait_until(soon, [&] {
			chain.send();
			return drops() != 0;
		}));
		EXPECT_TRUE(wait_until(soon, [&] { return trouble() == "1"; })) << trouble();
		EXPECT_THAT(cli.run(chain.edge, {"check", "--config", file}).out,
			    HasSubstr("br0, a bridge device"));

		chain.edge.ip("link del br0\naddr add 10.2.0.1/24 dev dev2");
		chain.know("dev2", {chain.backend, "b0"});
		EXPECT_TRUE(wait_until(soon, sends));
		EXPECT_TRUE(wait_until(soon, [&] { return trouble() == "0"; })) << trouble();
	});
}

TEST(NextHop, OnAPortOfABridge)
{
	in_lab([] {
		const Chain chain;
		chain.edge.ip(
			"link add br0 type bridge\nlink set br0 up\nlink set dev0 master br0\n"
			"addr flush dev dev0\naddr add 10.1.0.1/24 dev br0");
		chain.address("dev1", chain.backend, "b0");
		chain.edge.run([] {
			EXPECT_THAT(attached("dev0", to_backend(AX_FORWARD_IPIP)).warnings,
				    Contains(HasSubstr("dev0 is a port of br0: what arrives by its "
						       "other ports is not seen")));
		});
		Sniffer sniffer({chain.backend, "b0"});
		chain.send();
		EXPECT_THAT(tunnelled(sniffer), ElementsAre(4));
	});
}

} // namespace anycast::test
