// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The program under test, loaded with private maps and a configuration like an edge's.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernel/program.h"
#include "util/result.h"

namespace anycast::bench {

struct NodeOptions {
	std::uint32_t roles = AX_ROLE_EDGE;
	std::uint32_t flows4 = 1024, flows6 = 1024; // on one CPU; the tables are twice as large
	std::uint32_t inserts_per_second = 0;	    // 0 = no limit
	std::uint32_t backends = 3;		    // of the IPv4 pool
	std::uint32_t vips = 1; // IPv4 TCP, above BENCH_FIRST_VIP, besides the four below
	ax_forward forward = AX_FORWARD_IPIP;
	bool marking = false;	   // alternate marking
	bool serves = false;	   // the first IPv4 backend is here, so what leaves is watched
	std::uint32_t ifindex = 1; // next hops are there: a test run's ingress is loopback
	std::string_view build;	   // of the program, see LoadOptions
};

// What packets of the cases are addressed to.
inline constexpr const char *kVip4 = "198.51.100.80"; // TCP 80, UDP 53
inline constexpr const char *kVip6 = "2001:db8::80";  // TCP 80, UDP 53
inline constexpr const char *kNoVip4 = "192.0.2.77";
inline constexpr const char *kNoVip6 = "2001:db8:1::77";
inline constexpr const char *kSession = "192.0.2.1"; // GTSM-protected
inline constexpr const char *kSession6 = "2001:db8:3::1";
inline constexpr const char *kPeer = "192.0.2.254";
inline constexpr const char *kPeer6 = "2001:db8:3::fe";
inline constexpr const char *kEdge = "10.2.0.1"; // may encapsulate to
inline constexpr const char *kEdge6 = "2001:db8:4::1";
inline constexpr const char *kTunnel = "10.1.0.1";
inline constexpr const char *kTunnel6 = "2001:db8:5::1";

Config node_config(const NodeOptions &options);

// Next hops resolved, all by one interface: where that is the packets' own, the verdict is XDP_TX.
Result<Image> node_image(const Config &config, std::uint32_t ifindex, const NodeFacts &facts = {});

Result<Program> load_node(const NodeOptions &options);

// Empties both flow tables, as loading does.
Status forget_flows(Dataplane &dataplane);

std::uint64_t count_of(const Dataplane &dataplane, int reason);
std::uint64_t note_of(const Dataplane &dataplane, int reason);

} // namespace anycast::bench
