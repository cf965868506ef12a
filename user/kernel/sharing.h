// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Pins and records of an attached interface for a group: its members read and change what runs,
// without being root. What they cannot do is attach or detach.
#pragma once

#include <sys/types.h>

#include <string>

#include "kernel/attachment.h"

namespace anycast {

// After each attach: a program that was replaced has new pins.
Status share_with_group(const Paths &paths, const std::string &interface, gid_t group);

} // namespace anycast
