// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Which kernel this is, for what no probe can find out.
#pragma once

#include <sys/utsname.h>

#include <cstdio>
#include <utility>

namespace anycast::test {

inline bool kernel_at_least(int major, int minor)
{
	utsname name{};
	int is_major = 0, is_minor = 0;

	return ::uname(&name) == 0 &&
	       std::sscanf(name.release, "%d.%d", &is_major, &is_minor) == 2 &&
	       std::pair(is_major, is_minor) >= std::pair(major, minor);
}

} // namespace anycast::test
