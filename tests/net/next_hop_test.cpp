// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Backends that are not behind the interface where packets arrive: another one, a bridge, a VLAN.
#include <fstream>
#include <sstream>

#include <fmt/ranges.h>

#include "config/config.h"
#include "kernel/applying.h"
#include "net/interfaces.h"
#include "net/attaching.h"
#include "support/cli.h"
#include "support/netns.h"
#include "support/isolation.h"
#include "support/packet.h"
#include "support/process.h"
#include "support/programs.h"
#include "support/raw_sender.h"
#include "support/sniffer.h"

namespace anycast::test {

namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

std::string text_of(const Mac &mac)
{
	return fmt::format("{:02x}", fmt::join(mac, ":"));
}

// client c0 -- dev0 edge dev1 -- b0 backend
struct Chain {
	Netns client{"client"}, edge{"edge"}, backend{"backend"};
	LabPrograms programs;

	Chain()
	{
		connect_veth({client, "c0"}, {edge, "dev0"}, 1600);
		connect_veth({edge, "dev1"}, {backend, "b0"}, 1600);
		programs.pass_xdp({backend, "b0"});
		programs.pass_xdp({client, "c0"});
		edge.ip("link set lo up\naddr add 10.1.0.1/24 dev dev0");
		edge.sysctl("net.ipv4.ip_forward", "1");
	}
	// The backend 10.2.0.9 is behind that device of the edge, and has that one itself.
	void address(const std::string &near, const Netns &there, const std::string &far) const
	{
		edge.ip("addr add 10.2.0.1/24 dev " + near);
		there.ip("addr add 10.2.0.9/24 dev " + far);
		know(near, {there, far});
	}
	// Its link-layer address, without waiting for it.
	void know(const std::string &near, const LinkEnd &far) const
	{
		edge.ip("neigh replace 10.2.0.9 lladdr " + text_of(mac_of(far)) + " dev " + near);
	}
	void send() const
	{
		Eth eth;
		eth.dst = text_of(mac_of({edge, "dev0"}));
		const Packet frame = eth / Ip4{.dst = "198.51.100.1"} / Tcp{.flags = kAck};
		RawSender({client, "c0"}).send(frame);
	}
};

Config to_backend(ax_forward forward)
{
	Config config = config_of(1, 1);
	config.pools[0].backends[0].address = *Address::parse("10.2.0.9");
	config.vips[0].forward = forward;
	return config;
}

// The protocols (IPv4) of tunnel packets to the backend that come within a second.
std::vector<int> tunnelled(Sniffer &sniffer)
{
	std::vector<int> protocols;
	wait_until(milliseconds(1000), [&] {
		for (const Bytes &frame : sniffer.frames())
			if (frame.size() > 34 && frame[12] == 8 && frame[13] == 0 &&
			    frame[33] == 9 && (frame[23] == 4 || frame[23] == 17))
				protocols.push_back(frame[23]);
		return !protocols.empty();
	});
	return protocols;
}

std::uint64_t counted(ax_reason reason)
{
	const auto counts = opened().dataplane.reasons();
	for (const ReasonCount &count : *counts)
		if (count.reason == reason)
			return count.packets;
	return 0;
}

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
		chain.edge.run([&] {
			const auto report = apply(kPaths, "dev0", config);
			ASSERT_TRUE(report) << report.error().message();
			EXPECT_TRUE(report->warnings.empty());
		});
		chain.send();
		EXPECT_THAT(tunnelled(sniffer), ElementsAre(4));
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
		chain.edge.run([&] {
			const auto report = apply(kPaths, "dev0", config);
			ASSERT_TRUE(report) << report.error().message();
			EXPECT_TRUE(report->warnings.empty());
		});
		chain.send();
		EXPECT_THAT(tunnelled(sniffer), ElementsAre(4));
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

// Bonds need a kernel that has them: the guests of tests/vm. From 5.16 on, by our probes, they take
// frames from XDP; before, what goes there is a named drop.
namespace {

bool has_bonds()
{
	return run_isolated([] {
		       const Netns probe("probe");
		       return probe.run([] {
			       return std::system("ip link add bond0 type bond 2> /dev/null");
		       }) == 0
				      ? 0
				      : 1;
	       }) == 0;
}

// That port's addresses go, the bond has them.
void bond(const Netns &netns, const std::string &port, const std::string &address = {})
{
	netns.ip("link add bond0 type bond mode active-backup miimon 100\nlink set " + port +
		 " down\nlink set " + port + " master bond0\nlink set bond0 up\nlink set " + port +
		 " up");
	if (!address.empty())
		netns.ip("addr flush dev " + port + "\naddr add " + address + " dev bond0");
	EXPECT_TRUE(wait_until(milliseconds(3000), [&] {
		return run(netns, {"ip", "link", "show", "bond0"}).out.find("state UP") !=
		       std::string::npos;
	}));
}

// Sent by the program, or dropped by name and announced as such.
void goes_or_is_named(const Chain &chain, const std::string &device, const LinkEnd &at,
		      ax_forward forward)
{
	AttachReport report;
	bool takes = false;
	chain.edge.run([&] {
		takes = managed_neighbours();
		report = attached(device, to_backend(forward));
	});
	EXPECT_EQ(std::ranges::any_of(report.warnings,
				      [](const std::string &warning) {
					      return warning.find("no_transmit") !=
						     std::string::npos;
				      }),
		  !takes && report.attached.mode != XdpMode::kGeneric);
	Sniffer sniffer(at);
	for (int i = 0; i < 3; i++) {
		chain.send();
		if (takes || report.attached.mode == XdpMode::kGeneric) {
			EXPECT_THAT(tunnelled(sniffer),
				    ElementsAre(forward == AX_FORWARD_GUE ? 17 : 4));
		}
	}
	if (!takes && report.attached.mode != XdpMode::kGeneric)
		chain.edge.run([&] {
			EXPECT_TRUE(wait_until(milliseconds(3000), [&] {
				const auto counts = opened(device).dataplane.reasons();
				return std::ranges::any_of(*counts, [](const ReasonCount &count) {
					return count.reason == AX_R_NO_TRANSMIT &&
					       count.packets == 3;
				});
			}));
		});
}

} // namespace

TEST(KernelDevices, BackendsBehindABond)
{
	if (!has_bonds())
		GTEST_SKIP() << "this kernel has no bonds";
	for (const ax_forward forward : {AX_FORWARD_IPIP, AX_FORWARD_GUE})
		in_lab([=] {
			const Chain chain;
			bond(chain.edge, "dev1");
			chain.address("bond0", chain.backend, "b0");
			goes_or_is_named(chain, "dev0", {chain.backend, "b0"}, forward);
		});
}

// What arrives by a bond, and leaves by it or by another device.
TEST(KernelDevices, OnABond)
{
	if (!has_bonds())
		GTEST_SKIP() << "this kernel has no bonds";
	for (const bool same : {false, true})
		in_lab([=] {
			const Chain chain;
			bond(chain.edge, "dev0", "10.1.0.1/24");
			if (same)
				chain.address("bond0", chain.client, "c0");
			else
				chain.address("dev1", chain.backend, "b0");
			AttachReport report;
			chain.edge.run([&] {
				report = attached("bond0", to_backend(AX_FORWARD_IPIP));
				EXPECT_THAT(report.warnings,
					    testing::Not(Contains(HasSubstr("no_transmit"))));
			});
			Sniffer sniffer(same ? LinkEnd{chain.client, "c0"}
					     : LinkEnd{chain.backend, "b0"});
			for (int i = 0; i < 3; i++) {
				chain.send();
				EXPECT_THAT(tunnelled(sniffer), ElementsAre(4))
					<< mode_name(report.attached.mode);
			}
		});
}

// A port has no addresses: tunnels start, and sessions end, at those of its bond.
TEST(KernelDevices, OnAPortOfABond)
{
	if (!has_bonds())
		GTEST_SKIP() << "this kernel has no bonds";
	in_lab([] {
		const Chain chain;
		bond(chain.edge, "dev0", "10.1.0.1/24");
		chain.address("bond0", chain.client, "c0");
		chain.edge.run([] {
			AttachOptions dry = kAuto;
			dry.dry_run = true;
			EXPECT_THAT(attached("dev0", to_backend(AX_FORWARD_IPIP), dry).warnings,
				    Contains(HasSubstr("a port of bond0")));
		});
		goes_or_is_named(chain, "dev0", {chain.client, "c0"}, AX_FORWARD_IPIP);
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

// 802.1Q needs a kernel that has it: the guests of tests/vm.
TEST(KernelDevices, BackendsBehindAVlanGetTaggedFrames)
{
	const bool has_vlan = run_isolated([] {
				      const Netns probe("probe");
				      return probe.run([] {
					      return std::system("ip link add d0 type veth && ip "
								 "link add link d0 name d0.7 type "
								 "vlan id 7 2> /dev/null");
				      }) == 0
						     ? 0
						     : 1;
			      }) == 0;
	if (!has_vlan)
		GTEST_SKIP() << "this kernel has no 802.1Q";
	const auto tagged = [](const Netns &netns, const std::string &device) {
		netns.ip("link add link " + device + " name v7 type vlan id 7\nlink set v7 up");
	};
	in_lab([&] { // behind another interface
		const Chain chain;
		tagged(chain.edge, "dev1");
		tagged(chain.backend, "b0");
		chain.address("v7", chain.backend, "v7");
		chain.edge.run([] {
			EXPECT_TRUE(attached("dev0", to_backend(AX_FORWARD_IPIP)).warnings.empty());
		});
		Sniffer sniffer({chain.backend, "v7"});
		for (int i = 0; i < 3; i++) {
			chain.send();
			EXPECT_THAT(tunnelled(sniffer), ElementsAre(4));
		}
	});
	in_lab([&] { // behind the very interface, a trunk
		const Chain chain;
		tagged(chain.edge, "dev0");
		tagged(chain.client, "c0");
		chain.address("v7", chain.client, "v7");
		chain.edge.run([] {
			EXPECT_TRUE(attached("dev0", to_backend(AX_FORWARD_GUE)).warnings.empty());
		});
		Sniffer sniffer({chain.client, "v7"});
		chain.send();
		EXPECT_THAT(tunnelled(sniffer), ElementsAre(17));
	});
}

} // namespace anycast::test
