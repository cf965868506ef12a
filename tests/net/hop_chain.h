// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A client, an edge and a backend in a row, whatever device of the edge the backend is behind.
#pragma once

#include <string>
#include <vector>

#include <fmt/ranges.h>
#include <gmock/gmock.h>

#include "config/config.h"
#include "kernel/applying.h"
#include "net/attaching.h"
#include "net/interfaces.h"
#include "support/netns.h"
#include "support/packet.h"
#include "support/process.h"
#include "support/programs.h"
#include "support/raw_sender.h"
#include "support/sniffer.h"

namespace anycast::test {

inline std::string text_of(const Mac &mac)
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

inline Config to_backend(ax_forward forward)
{
	Config config = config_of(1, 1);
	config.pools[0].backends[0].address = *Address::parse("10.2.0.9");
	config.vips[0].forward = forward;
	return config;
}

// The protocols (IPv4) of tunnel packets to the backend that come within a second.
inline std::vector<int> tunnelled(Sniffer &sniffer)
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

inline std::uint64_t counted(ax_reason reason)
{
	const auto counts = opened().dataplane.reasons();
	for (const ReasonCount &count : *counts)
		if (count.reason == reason)
			return count.packets;
	return 0;
}

// Once that is applied there is nothing to warn of, and packets get there by IPIP.
inline void goes_once_applied(const Chain &chain, const Config &config, Sniffer &sniffer)
{
	chain.edge.run([&] {
		const auto report = apply(kPaths, "dev0", config);
		ASSERT_TRUE(report) << report.error().message();
		EXPECT_TRUE(report->warnings.empty());
	});
	chain.send();
	EXPECT_THAT(tunnelled(sniffer), testing::ElementsAre(4));
}

} // namespace anycast::test
