// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The anycast lab. Only for use inside run_isolated().
//
//   client ---- router ---- switch ---- edge1, edge2 ...     10.1.0.2, 10.1.0.3 ...
//   203.0.113.10   10.1.0.1   |
//                             +-------- b1, b2, b3           10.1.0.11, .12, .13
//
// Router and edges run BIRD: eBGP with BFD and TTL security; each edge announces the VIP, and the
// router spreads flows over both by addresses and ports. Backends hold the VIP too, and answer the
// client directly through the router. IPv6 has the same picture under 2001:db8::/32, with static
// routes. Congestion control and buffers are the lab's own, not the machine's.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/bird.h"
#include "support/http.h"
#include "support/netns.h"
#include "support/process.h"
#include "support/programs.h"

namespace anycast::test {

inline constexpr const char *kVip = "198.51.100.80";
inline constexpr const char *kClientAddress = "203.0.113.10";
inline constexpr const char *kRouterAddress = "10.1.0.1";
inline constexpr const char *kVip6 = "2001:db8:51::80";
inline constexpr const char *kRouterAddress6 = "2001:db8:1::1";
inline const Endpoint kWww{kVip, 80}, kWww6{kVip6, 80};
inline const Endpoint kSink{kVip, 9000}, kSink6{kVip6, 9000};
inline const Endpoint kEcho{kVip, 7000}, kEcho6{kVip6, 7000}; // UDP, where a test starts it

// An edge or a backend: one namespace, one NIC called eth0, the VIP on anycast0.
struct Node {
	Netns netns;
	std::string address, address6;
	std::optional<Bird> bird;
	std::vector<Process> servers;

	Node(std::string name, int host)
		: netns(std::move(name)), address("10.1.0." + std::to_string(host)),
		  address6("2001:db8:1::" + std::to_string(host))
	{
	}
	[[nodiscard]] LinkEnd nic() const { return {netns, "eth0"}; }
};

class Lab {
public:
	// Links, addresses, routes and sysctls. No daemon runs yet.
	explicit Lab(std::uint64_t big_bytes = 16 << 20, int backend_count = 3, int edge_count = 2);

	// BIRD on router and edges; returns when both sessions and both BFD sessions are up and the
	// router has both next hops.
	void start_routing();
	// Instead of BIRD: the router sends what is for the VIPs to this node. Atomic.
	void route_to(const Node &node) const;
	// HTTP and sink on the VIPs, on all backends or on one node.
	void start_servers();
	void start_servers(Node &node) const;
	// Pulls the edge's cable; with `withdraw` BIRD says goodbye first, else it is killed.
	void stop_edge(std::size_t edge, bool withdraw);
	// Plugs it in again; returns when the router has its route.
	void start_edge(std::size_t edge);
	// Neighbour entries of every edge for every node: XDP can use them, but not make them.
	void resolve_neighbours() const;
	// And of one node.
	void resolve_neighbours(const Node &node) const;

	// How many next hops the router's kernel has for the VIP.
	[[nodiscard]] std::size_t next_hops() const;
	[[nodiscard]] bool await_next_hops(std::size_t number, milliseconds limit) const;
	[[nodiscard]] bool sessions_established() const;
	// Waits until all sessions have been up for a second, both next hops there. Returns how
	// many sessions have been closed since the lab began: on an overloaded machine BFD raises
	// false alarms.
	std::size_t await_calm() const;

	Netns client{"client"}, router{"router"}, fabric{"switch"};
	std::vector<std::unique_ptr<Node>> edges, backends;
	LabPrograms programs;
	std::optional<Bird> router_bird;
	std::string big_file, big_sha256;

	[[nodiscard]] LinkEnd router_lan() const { return {router, "lan0"}; }

private:
	void start_edge_bird(std::size_t edge);
	void plug_in(const LinkEnd &port) const;
	void add_router();
	void add_node(Node &node);
};

} // namespace anycast::test
