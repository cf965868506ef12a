// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/slow_start.h"

#include <algorithm>

namespace anycast {

namespace {

bool is_over(const Pool &pool, const Backend &backend, std::int64_t now)
{
	return pool.slow_start == 0 || backend.since == 0 || now == 0 ||
	       now - backend.since >= pool.slow_start;
}

} // namespace

std::uint8_t warmth(const Pool &pool, const Backend &backend, std::int64_t now)
{
	if (is_over(pool, backend, now))
		return kWarm;
	// A clock that was set back must not take slots away for longer than the start takes.
	const std::int64_t elapsed = std::max<std::int64_t>(now - backend.since, 0);
	return static_cast<std::uint8_t>(1 + elapsed * (kWarm - 1) / pool.slow_start);
}

std::int64_t next_warming(const Config &config, std::int64_t now)
{
	std::int64_t next = 0;
	for (const Pool &pool : config.pools)
		for (const Backend &backend : pool.backends) {
			if (backend.state != AX_BACKEND_ACTIVE || is_over(pool, backend, now))
				continue;
			// the first second at which warmth() says one more
			const std::int64_t step = warmth(pool, backend, now);
			const std::int64_t at =
				backend.since + (step * pool.slow_start + kWarm - 2) / (kWarm - 1);
			if (next == 0 || at < next)
				next = at;
		}
	return next;
}

void carry_slow_starts(const Config &running, Config &next, std::int64_t now)
{
	for (Pool &pool : next.pools) {
		const auto before = std::ranges::find(running.pools, pool.name, &Pool::name);
		for (Backend &backend : pool.backends) {
			if (backend.state != AX_BACKEND_ACTIVE || pool.slow_start == 0) {
				backend.since = 0;
				continue;
			}
			// A new pool has nobody else to take the load meanwhile.
			if (backend.since == 0 && before != running.pools.end()) {
				const auto was = std::ranges::find(before->backends, backend.name,
								   &Backend::name);
				const bool known = was != before->backends.end() &&
						   was->address == backend.address &&
						   was->state == AX_BACKEND_ACTIVE;
				backend.since = known ? was->since : now;
			}
			if (is_over(pool, backend, now))
				backend.since = 0;
		}
	}
}

} // namespace anycast
