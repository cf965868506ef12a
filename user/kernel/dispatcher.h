// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// libxdp's dispatcher: one XDP program that runs several, each as a `freplace` extension. Only
// where somebody else's program is under it already; alone we hold the hook by a link of our own.
#pragma once

#include <string>

#include "kernel/attachment.h"
#include "kernel/program.h"
#include "util/result.h"

namespace anycast::dispatcher {

// Fills in what runs under a dispatcher, and whether our pinned program is among it.
void describe(Attached &attached);

// Adds the program to the chain on the device.
Status add(const Program &program, const Attached &attached);

// Takes the program that is pinned as `pin` out of the chain.
Status remove(const std::string &pin, const Attached &attached);

} // namespace anycast::dispatcher
