// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The anycast-xdp command, run on a node of the lab, and what its JSON says.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/lab.h"

namespace anycast::test {

struct BackendStats {
	std::string pool, name;
	std::uint64_t packets = 0;
	double share = 0; // of the table's slots
};

struct Stats {
	std::uint64_t packets = 0;
	std::map<std::string, std::uint64_t> reasons; // label -> packets
	std::vector<BackendStats> backends;

	[[nodiscard]] std::uint64_t of(const std::string &reason) const;
};

struct LossTotals {
	std::size_t flows = 0;	    // of the VIP
	std::size_t unmeasured = 0; // of these, reported as null
	std::uint64_t lost = 0, of = 0, reordered = 0, rtx_seen = 0;
	std::uint64_t evicted = 0, unrepaired = 0, resync = 0;
	std::map<std::string, int> kinds, bases; // of c2s_up_lost -> flows
	LossTotals &operator+=(const LossTotals &other);
};

// What differs between the tests' edges.
struct EdgeSetup {
	std::vector<unsigned> weights{200, 100, 100}; // of the backends, in order
	std::string forward = "ipip";
	bool six = false;	    // the IPv6 VIPs too, with pool web6
	bool other_family = false;  // backends are of the other family than their VIP
	bool own_backends = false;  // the edges are the backends, with both roles
	bool udp = false;	    // the UDP echo too
	std::string pool_options{}; // lines of each pool
	std::string sections{};	    // of the file, in front of the pools
	std::string tunnel{};	    // more lines of [tunnel]
};
std::string edge_config(const Lab &lab, const Node &edge, const EdgeSetup &setup = {});
std::string write_config(const Node &node, const std::string &text); // returns the file's path

class Cli {
public:
	Cli(); // $ANYCAST_XDP, or anycast-xdp in the running program's directory

	[[nodiscard]] const std::string &binary() const { return binary_; }
	[[nodiscard]] bool exists() const;
	Output run(const Netns &netns, Argv arguments) const;
	// Throws LabError with the command's own words if it fails.
	Output expect(const Netns &netns, const Argv &arguments) const;
	[[nodiscard]] nlohmann::json ask(const Netns &netns, const Argv &arguments) const; // --json

	// Writes the node's configuration and attaches to its NIC; returns what the command
	// printed.
	std::string attach_edge(const Lab &lab, const Node &edge,
				const EdgeSetup &setup = {}) const;
	std::string attach_backend(const Lab &lab, const Node &backend) const;
	void attach_all(const Lab &lab, const EdgeSetup &setup = {}) const;

	[[nodiscard]] Stats stats(const Netns &netns) const;
	[[nodiscard]] Stats drops(const Netns &netns) const; // dropping reasons only
	[[nodiscard]] LossTotals loss(const Netns &netns, const std::string &vip) const;

private:
	std::string binary_;
};

} // namespace anycast::test
