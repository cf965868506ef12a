// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A private world for a lab: its own mount, network and pid namespaces.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>

namespace anycast::test {

// Something in the lab did not work. Support code throws; demo and tests catch at the top.
struct LabError : std::runtime_error {
	using std::runtime_error::runtime_error;
};
[[noreturn]] void throw_errno(const std::string &what);

inline constexpr const char *kLabDir = "/run/lab"; // a tmpfs of the lab's own

// Runs `body` as process 1 of new namespaces and returns what it returned (128 + signal if it was
// killed). The kernel ends every process of a pid namespace with its process 1, and the namespaces
// with their last process: so interfaces, daemons, mounts and pins are gone when this returns,
// whatever happened inside, and also when the caller is killed. SIGINT, SIGTERM, SIGHUP and SIGQUIT
// end the lab first and then the caller.
int run_isolated(const std::function<int()> &body);

} // namespace anycast::test
