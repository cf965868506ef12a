// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where alternate marking meets the truth. Only for use inside run_isolated().
//
//   client ---- router ---- line ---- edge        What the edge sends to the backend crosses the
//                 |                               line, which loses, holds up and counts it.
//                 +------ backend                 The backend answers by the router.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "support/cli.h"
#include "support/line.h"
#include "support/process.h"

namespace anycast::test {

struct MarkConditions {
	Impairment line{.marked = true}; // of what is marked
	std::string forward = "gue";
	bool six = false;
	unsigned flows = 4;
	std::uint64_t bytes = 4 << 20; // each
	bool agents = false;	       // on edge and backend; the edge's asks the backend's
};

struct MarkOutcome {
	LineCounts truth;
	nlohmann::json join;
	std::vector<std::string> errors; // of connections
	// Sums of lb_backend_lost and of its denominator; nothing where one of them is null.
	[[nodiscard]] std::optional<std::pair<std::uint64_t, std::uint64_t>>
	of(const char *list) const;
};

class MarkLab {
public:
	explicit MarkLab(const MarkConditions &conditions);
	MarkOutcome run();
	void transfer(std::vector<std::string> &errors);
	[[nodiscard]] nlohmann::json join() const; // of what both say now

	void start_agent(Node &node);
	// A command on the node whose agent has its own state directory.
	[[nodiscard]] Output run_on(const Node &node, const Argv &arguments) const;
	[[nodiscard]] nlohmann::json ask_on(const Node &node, const Argv &arguments) const;
	[[nodiscard]] std::string agent_log(const Node &node) const;

	Netns client{"client"}, router{"router"};
	Node edge{"edge", 2}, backend{"b1", 11};
	LabPrograms programs;
	Cli cli;
	std::optional<Line> line;
	std::optional<Process> edge_agent, backend_agent;

private:
	[[nodiscard]] Argv with_state(const Node &node, const Argv &arguments) const;
	[[nodiscard]] std::string config_of(bool is_edge) const;
	MarkConditions conditions_;
};

} // namespace anycast::test
