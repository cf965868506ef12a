// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Directories of pins: where they are, whether bpffs is there, and taking them away again.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "util/result.h"

namespace anycast {

// Inode of this thread's network namespace.
std::string netns_name();

// An error that names the mount command, unless `path` (or what exists of it) lies in a BPF file
// system.
Status require_bpffs(const std::string &path);

Status make_directories(const std::string &path);

// An error if its entries are hidden from us. Not if it is not there.
Status require_readable(const std::string &directory);
// Names in a directory; empty if it does not exist.
std::set<std::string> entries_of(const std::string &directory);

// Unlinks all that is in a directory, and then removes it and its parents above `root`, as far as
// they are empty. Names that could not be removed are returned.
std::vector<std::string> remove_directory(const std::string &directory, const std::string &root);

// Replacing a pin in two steps: the newcomer is pinned beside it, for the same users, then takes
// its place by one rename.
std::string staged_pin(const std::string &path);
Status stage_pin(int fd, const std::string &path);
void share_staged_pin(const std::string &path); // what stage_pin() does; for who pins otherwise
Status commit_pin(const std::string &path);

} // namespace anycast
