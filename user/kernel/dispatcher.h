// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// libxdp's dispatcher: one XDP program that runs several, each as a `freplace` extension. Only
// where somebody else's program is under it already; alone we hold the hook by a link of our own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "kernel/attachment.h"
#include "util/fd.h"
#include "util/result.h"

struct bpf_program;

namespace anycast::dispatcher {

// Fills in what runs under a dispatcher, and whether our pinned program is among it.
void describe(Attached &attached);

// Will the kernel load our program for a slot? 0, or the errno that says why not.
int probe();

// Makes an opened program an extension. The kernel holds it against a dispatcher's slot while it is
// loaded: against one of `slots`, a dispatcher on no hook; it can fill another dispatcher's then.
Status make_extension(bpf_program *program, Fd &slots);

// Adds a program, loaded for a slot, to the chain on the device. Everybody else stays in it.
Status add(int program_fd, const Attached &attached);

// Takes programs that work on the maps pinned in `pins` out of the chain, also those that a killed
// command has left there.
using Leaves = std::function<bool(std::uint32_t program_id)>;
Status remove(const std::string &pins, const Attached &attached, const Leaves &leaves);

// Does the dispatcher call `first` before `second`? (It sorts programs of one priority by tag.)
bool runs_before(const Attached &attached, std::uint32_t first, std::uint32_t second);

} // namespace anycast::dispatcher
