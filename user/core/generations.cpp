// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/generations.h"

#include <algorithm>

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace anycast {

namespace {

using Weights = std::vector<std::pair<std::string, std::uint32_t>>;

Weights weights_of(const Pool &pool)
{
	Weights weights;

	for (const Backend &backend : pool.backends)
		weights.emplace_back(backend.name, backend.weight);
	std::ranges::sort(weights);
	return weights;
}

// Only GUE tells a backend who else may have a flow.
bool has_second_chances(const Config &config, const Pool &pool)
{
	return config.second_chance && config.gue_variant == 0 &&
	       std::ranges::any_of(config.vips, [&](const Vip &vip) {
		       return vip.pool == pool.name && vip.forward == AX_FORWARD_GUE;
	       });
}

Status carry(const Pool &before, Pool &pool, std::int64_t now)
{
	std::uint32_t last = 0;

	pool.generations = before.generations;
	if (weights_of(before) == weights_of(pool))
		return {};
	for (const Generation &generation : before.generations)
		last = std::max(last, generation.number);
	std::erase_if(pool.generations,
		      [&](const Generation &generation) { return generation.retire <= now; });
	if (pool.generations.size() >= kMaxGenerations)
		return fail(Exit::kFailed,
			    fmt::format("pool {} was changed {} times lately: connections from "
					"before the first of them would break",
					pool.name, pool.generations.size()),
			    fmt::format("try again after {:%FT%TZ}, or apply a file whose "
					"[[pools.generations]] says what to remember",
					fmt::gmtime(static_cast<std::time_t>(
						pool.generations.front().retire))));
	pool.generations.push_back({last + 1, now + kRememberSeconds, weights_of(before)});
	return {};
}

} // namespace

Status carry_generations(const Config &running, Config &next, std::int64_t now)
{
	if (running.hash_seed != next.hash_seed) // other slots for everybody
		return {};
	for (Pool &pool : next.pools) {
		const auto before = std::ranges::find(running.pools, pool.name, &Pool::name);
		if (before == running.pools.end() || before->table_size != pool.table_size ||
		    !has_second_chances(next, pool))
			continue;
		if (pool.generations.empty() || pool.generations == before->generations)
			AX_TRY(carry(*before, pool, now));
	}
	return {};
}

} // namespace anycast
