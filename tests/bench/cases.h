// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What is measured: one row each. Rows with a requirement are those of the performance issue.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/contest.h"
#include "bench/node.h"
#include "bench/wrapped.h"

namespace anycast::bench {

// Katran's own figures, ns with the harness's floor of 17/24, and how much faster we must be.
struct Requirement {
	double ratio;
	double katran_best, katran_median;
};

enum class Flows {
	kStateless, // nothing to remember
	kKnown,	    // all of them were seen before
	kFilling,   // each packet another one, with room for it
	kFull,	    // each packet another one, which replaces an older one
	kForgotten, // each packet another one, and none is to be remembered
};

// Programs of ours to be measured beside the one that the case is about.
struct Variant {
	std::string name;
	NodeOptions node;
	std::optional<double> limit{}; // ns that what it lacks may cost
};

struct Case {
	std::string name;  // "tcp4-16k"
	std::string about; // "IPv4 TCP ACK, 16k known flows"
	Traffic traffic;
	Flows flows = Flows::kStateless;
	bool in_order = false; // known flows are visited in the order in which they were made
	NodeOptions node;
	int reason = AX_R_STEERED;
	std::optional<Requirement> required;
	bool proxy = false; // is there anything in Katran to compare with?
	// Of the stand-in's LRU on each CPU; Katran's is as large whatever the number of flows.
	std::uint32_t lru_entries = 4000000; // its default, eight million, on two cores
	std::uint32_t kernel_lru = 0; // entries of a kernel LRU that is measured beside; 0 = none
	std::vector<Variant> variants;
	Rounds rounds;
};

std::vector<Case> all_cases();

struct Outcome {
	std::string name, about;
	std::optional<Requirement> required;
	bool sends = false;	    // XDP_TX, as its floor
	std::vector<Series> series; // floor, [proxy], ours, variants
	std::vector<Variant> variants{};
	Disturbance rounds{};
};

inline constexpr const char *kFloor = "floor", *kProxy = "Katran proxy", *kOurs = "anycast-xdp",
			    *kKernelLru = "kernel LRU";
inline constexpr double kKatransFloor = 24; // of the run that Katran's own figures are from, median

// extra_program: another one to be measured, whatever it does; -1 = none
Result<Outcome> run_case(const Case &what, int extra_program, bool quick);

} // namespace anycast::bench
