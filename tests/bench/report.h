// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a run found: for people, for programs, for docs/performance.md, and against an earlier run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bench/cases.h"
#include "bench/costs.h"
#include "bench/live.h"
#include "bench/machine.h"
#include "bench/memory.h"
#include "bench/statistics.h"

namespace anycast::bench {

// A variant beside the program as it is: round by round, what it has less.
struct Pair {
	std::string name;
	Summary difference; // ns, ours less the variant
	std::optional<double> limit;
};

// Nothing where there is no limit.
Verdict verdict_of(const Pair &pair);

struct Row {
	std::string name, about;
	std::vector<std::pair<std::string, Summary>> series;
	std::vector<Pair> pairs;
	std::optional<Requirement> required;
	std::optional<Summary> ratio; // proxy / ours, with the harness in both
	std::optional<Summary> bare;  // the same without it
	// Where packets are sent: with the harness of the run that the requirement is from; held
	// against that run's own figure where there is no proxy.
	std::optional<Summary> level;
	Verdict verdict = Verdict::kNone, level_verdict = Verdict::kNone;
	Disturbance rounds{};

	[[nodiscard]] const Summary *find(const std::string &who) const;
};

Row row_of(const Outcome &outcome);

// The stand-in's median by Katran's own; nothing where no figure of Katran's can be less its floor.
std::optional<double> calibration(const Row &row);

struct Report {
	Machine machine;
	std::vector<Row> rows;
	std::vector<MemoryStep> memory; // before the first case and after each
	std::vector<Cost> costs;
	std::vector<Live> live;
	std::string no_live; // why there is none
};

// Katran's own median by ours, both with Katran's floor: across two machines, so caches and memory
// are not the same. Nothing where nothing is sent.
std::optional<double> against_katran(const Row &row);

// Cases of which nothing can be said, for the figures spread too far.
std::vector<std::string> too_noisy(const Report &report);

std::string text_of(const Row &row); // as it comes; with what it was measured against
std::string summary_of(const Report &report);
std::string markdown_of(const Report &report); // between the markers of docs/performance.md
nlohmann::json json_of(const Report &report);

// Differences of ours beyond noise, both runs without their floors.
std::string compared(const Report &report, const nlohmann::json &earlier);

// Replaces what stands between the markers.
Status write_docs(const Report &report, const std::string &path);

} // namespace anycast::bench
