// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the figures were taken on, and whether figures can be taken here at all.
#pragma once

#include <cstdint>
#include <string>

#include "util/result.h"

namespace anycast::bench {

struct Machine {
	std::string cpu, kernel;
	std::uint32_t cpus = 0;
	// How returns from functions are hardened: each helper call and each call between BPF
	// functions pays for it.
	std::string returns;
	double load = 0; // average of the last minute, before the run
};

Machine this_machine();

// Root, and programs compiled to machine code: without either no number is printed.
Status may_measure();
Status may_measure(bool root, const std::string &jit); // as net.core.bpf_jit_enable says

// Caches and per-CPU tables are of one CPU: the last, which has the fewest interrupts.
Status stay_on_one_cpu();

} // namespace anycast::bench
