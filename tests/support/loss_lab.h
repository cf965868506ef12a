// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where loss figures meet the truth. Only for use inside run_isolated().
//
//   client ---- line ---- node                   The node serves the VIPs itself. The line delays,
//   203.0.113.10          203.0.113.1            reorders and loses; beyond XDP the node's own
//   2001:db8:203::10      2001:db8:203::1        ingress hook may lose, too.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "support/cli.h"
#include "support/line.h"

namespace anycast::test {

// What happens besides the transfers, a third of a second after they began.
enum class Meanwhile {
	kNothing,
	kKeepAlives,   // each pauses in the middle, and sends keep-alives
	kClosedWindow, // the server reads nothing for a while
	kOtherCpu,     // packets come by another CPU from then on
	kTwoCpus,      // by two in turn
	kUdp,	       // instead: datagrams without numbers
};

// One experiment.
struct LossConditions {
	Impairment forth{.delay_us = 5000}, back{.delay_us = 5000}; // client to node, and back
	unsigned beyond_per_10000 = 0; // lost between the node's XDP and its stack
	bool download = false;	       // the data goes from server to client
	unsigned flows = 4;	       // at a time
	std::uint64_t bytes = 8 << 20; // each
	bool six = false, timestamps = true, sack = true, ecn = false;
	bool wrap = false; // sequence numbers wrap in the middle
	Meanwhile meanwhile = Meanwhile::kNothing;
	std::string vip;   // whose flows are read; "": all
	std::string extra; // to the configuration
};

// A metric over all flows.
struct MetricSum {
	std::uint64_t value = 0, of = 0;
	std::size_t known = 0, unknown = 0; // flows with a figure, and with null
};

struct LossOutcome {
	LineCounts forth, back;
	DropperCounts beyond;
	std::map<std::string, MetricSum> metrics;
	std::map<std::string, std::uint64_t> blind; // of c2s_up_lost
	std::vector<std::string> errors;	    // of connections
	std::string verdict;			    // what the text says in its last line
	std::uint64_t datagrams = 0;		    // sent
	[[nodiscard]] MetricSum of(const std::string &metric) const;
};

class LossLab {
public:
	explicit LossLab(const LossConditions &conditions);
	LossOutcome run();

	Netns client{"client"};
	Node node{"node", 1};
	LabPrograms programs;
	Cli cli;
	std::optional<Line> line;
	[[nodiscard]] Endpoint sink() const;
	[[nodiscard]] LossOutcome read() const; // what the node says now

private:
	void transfer(std::vector<std::string> &errors);
	std::string one_transfer(unsigned number);
	void disturb();
	[[nodiscard]] std::uint64_t send_datagrams() const;
	LossConditions conditions_;
};

} // namespace anycast::test
