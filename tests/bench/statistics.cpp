// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/statistics.h"

#include <algorithm>
#include <cmath>

namespace anycast::bench {

namespace {

double quantile(const std::vector<double> &sorted, double share)
{
	const double at = share * static_cast<double>(sorted.size() - 1);
	const auto below = static_cast<std::size_t>(at);
	const std::size_t above = std::min(below + 1, sorted.size() - 1);

	return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

} // namespace

Summary summarise(std::vector<double> values)
{
	const auto n = static_cast<double>(values.size());
	// normal approximation of the binomial distribution of ranks around the median
	const double reach = 0.98 * std::sqrt(n);
	const auto rank = [&](double at) {
		return static_cast<std::size_t>(std::clamp(at, 1.0, n)) - 1;
	};
	Summary s;

	std::sort(values.begin(), values.end());
	s.best = values.front();
	s.lower = quantile(values, 0.25);
	s.median = quantile(values, 0.5);
	s.upper = quantile(values, 0.75);
	s.low95 = values[rank(std::floor(n / 2 - reach))];
	s.high95 = values[rank(std::ceil(n / 2 + 1 + reach))];
	return s;
}

std::vector<double> ratios(const std::vector<double> &above, const std::vector<double> &below)
{
	std::vector<double> result;

	for (std::size_t i = 0; i < std::min(above.size(), below.size()); ++i)
		if (below[i] > 0)
			result.push_back(above[i] / below[i]);
	return result;
}

std::vector<double> shifted(std::vector<double> values, double by)
{
	for (double &value : values)
		value += by;
	return values;
}

std::vector<double> differences(const std::vector<double> &from, const std::vector<double> &take)
{
	std::vector<double> result;

	for (std::size_t i = 0; i < std::min(from.size(), take.size()); ++i)
		result.push_back(from[i] - take[i]);
	return result;
}

std::vector<std::size_t> undisturbed(const std::vector<double> &probes)
{
	std::vector<std::size_t> rounds;
	const double most = 1.1 * *std::ranges::min_element(probes);

	for (std::size_t round = 0; round + 1 < probes.size(); ++round)
		if (probes[round] <= most && probes[round + 1] <= most)
			rounds.push_back(round);
	return rounds;
}

std::vector<double> chosen(const std::vector<double> &values,
			   const std::vector<std::size_t> &places)
{
	std::vector<double> found;

	for (const std::size_t place : places)
		found.push_back(values.at(place));
	return found;
}

Verdict judge(const Summary &ratio, double required)
{
	if (ratio.noisy())
		return Verdict::kNoisy;
	if (ratio.low95 >= required)
		return Verdict::kPass;
	if (ratio.high95 < required)
		return Verdict::kMiss;
	return Verdict::kClose;
}

const char *name_of(Verdict verdict)
{
	switch (verdict) {
	case Verdict::kPass:
		return "PASS";
	case Verdict::kMiss:
		return "MISS";
	case Verdict::kClose:
		return "too close to call";
	case Verdict::kNoisy:
		return "too noisy to conclude";
	case Verdict::kNone:
		break;
	}
	return "";
}

} // namespace anycast::bench
