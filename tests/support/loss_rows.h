// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The rows of the loss figures' proof: what is injected, what must be reported.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "support/loss_lab.h"

namespace anycast::test {

struct LossCell;

struct LossRow {
	std::string injected;
	std::string metric;
	LossConditions conditions;
	std::function<std::uint64_t(const LossOutcome &)> truth;
	double percent = 0;	    // the count may be off by so many percent,
	std::uint64_t segments = 0; // and by so many segments
	double rate_percent = 0;    // so may the rate; 0: not looked at
	bool null_is_right = false;
	bool brief = false;		     // also in the short version, at a sixth of the size
	bool only_null = false;		     // nothing else is right
	std::function<LossCell()> instead{}; // of the lab above
};

struct LossCell {
	std::uint64_t segments = 0, truth = 0, reported = 0;
	double rate_truth = 0, rate = 0;
	bool null = false, good = false;
	std::string why; // it is not
	std::string other;
};

std::vector<LossRow> loss_rows();
void add_marks(std::vector<LossRow> &rows);		       // mark_rows.cpp
LossCell run_row(const LossRow &row, bool brief);	       // inside run_isolated()
std::string text_of(const LossRow &row, const LossCell &cell); // a row of a Markdown table
std::string allowed(const LossRow &row);

} // namespace anycast::test
