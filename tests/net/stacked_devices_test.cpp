// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Backends behind bonds and VLANs. Both need a kernel that has them: the guests of tests/vm. Bonds
// take frames from XDP from 5.16 on, by our probes; before, what goes there is a named drop.
#include <cstdlib>

#include "net/hop_chain.h"
#include "support/isolation.h"

namespace anycast::test {

namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

// Does the kernel make such a device? Asked in namespaces of its own.
bool has(const std::string &add)
{
	return run_isolated([&] {
		       const Netns probe("probe");
		       return probe.run(
			       [&] { return std::system((add + " 2> /dev/null").c_str()) != 0; });
	       }) == 0;
}

bool has_bonds()
{
	return has("ip link add bond0 type bond");
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

TEST(KernelDevices, BackendsBehindAVlanGetTaggedFrames)
{
	if (!has("ip link add d0 type veth && ip link add link d0 name d0.7 type vlan id 7"))
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
