// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What was applied to an interface, kept as <state directory>/generation-<n>.json; and the lock
// that makes two commands on one interface wait for each other.
#pragma once

#include <string>

#include "kernel/attachment.h"
#include "util/fd.h"
#include "util/result.h"

namespace anycast::state {

// Written, synced and renamed into place: it is there whole or not at all.
Status write(const std::string &directory, const Applied &applied);
Result<Applied> read(const std::string &directory, std::uint32_t generation);

void remove(const std::string &directory, std::uint32_t generation);
void keep_only(const std::string &directory, std::uint32_t generation);
// All of it, and the directory with its parents above `root`, as far as they are empty.
void remove_all(const std::string &directory, const std::string &root);

// Held while it lives. Waits up to `seconds` for another holder, then names it.
class Lock {
public:
	static Result<Lock> take(const std::string &directory, double seconds = 10);

private:
	Fd file_;
};

} // namespace anycast::state
