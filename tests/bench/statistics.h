// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What many rounds of a noisy machine say, and whether they say anything.
#pragma once

#include <cstddef>
#include <vector>

namespace anycast::bench {

inline constexpr double kTooWide = 0.6; // spread: nothing can be said

struct Summary {
	double best = 0, lower = 0, median = 0, upper = 0; // lower, upper: quartiles
	// Bounds between which the true median lies with 95 %: order statistics, no assumption
	// about the distribution.
	double low95 = 0, high95 = 0;

	[[nodiscard]] double spread() const // of the middle half, relative
	{
		return median > 0 ? (upper - lower) / median : 0;
	}
	[[nodiscard]] bool noisy() const { return spread() > kTooWide; }
};

Summary summarise(std::vector<double> values); // at least one

// Round by round: what both saw of the machine's noise cancels out.
std::vector<double> ratios(const std::vector<double> &above, const std::vector<double> &below);
std::vector<double> shifted(std::vector<double> values, double by);
std::vector<double> differences(const std::vector<double> &from, const std::vector<double> &take);

// Rounds before and after which the floor was not slower than at its best by more than a tenth.
// `probes`: one before the first round and one after each.
std::vector<std::size_t> undisturbed(const std::vector<double> &probes);
std::vector<double> chosen(const std::vector<double> &values,
			   const std::vector<std::size_t> &places);

enum class Verdict {
	kNone,
	kPass,
	kMiss,
	kClose, // what is required lies between the bounds
	kNoisy,
};

// Nothing is claimed where the requirement lies within the bounds, or the rounds disagree wildly.
Verdict judge(const Summary &ratio, double required);
const char *name_of(Verdict verdict);

} // namespace anycast::bench
