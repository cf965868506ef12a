// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/clock.h"

#include <time.h>

namespace anycast {

// The coarse clock's resolution is one tick.
std::uint32_t kernel_hz()
{
	timespec tick{};

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) != 0 || tick.tv_nsec == 0)
		return 250; // Debian's
	return static_cast<std::uint32_t>(1000000000 / tick.tv_nsec);
}

} // namespace anycast
