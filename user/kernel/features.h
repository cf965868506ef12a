// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What this kernel can do, found out by trying: a tiny program or map is loaded once per feature.
// No version numbers: distribution kernels have backports.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace anycast {

struct Feature {
	std::string_view name; // "ring_buffer"
	bool available = false;
	bool required = false;	   // without it nothing works
	bool used = true;	   // false: told about the kernel, and nothing here makes use of it
	std::string_view used_for; // one line
	std::string_view fallback; // what is done without it; "" if required, or not used
	std::string detail;	   // errno text of the probe where it failed
};

// Probes once and remembers. Needs CAP_BPF (or root); without it every probe says why.
const std::vector<Feature> &features();
bool has_feature(std::string_view name);

// For tests: makes a probe answer "no" (environment AX_WITHOUT="ring_buffer,mmap_array" does too).
void force_absent(std::string_view name);

} // namespace anycast
