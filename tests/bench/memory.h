// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a load takes that waits for the one before it, by how much memory they go over: on a shared
// machine, how much of the caches the neighbours leave while the cases are measured.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "bench/statistics.h"

namespace anycast::bench {

// Cache lines, each of which says where the next one is: one cycle through all of them, in an order
// that no prefetcher guesses. In pages as small as those of maps.
class Chain {
public:
	explicit Chain(std::size_t bytes); // at least one line; throws bad_alloc

	double ns_a_load(); // once around, after as much that is not measured
	[[nodiscard]] std::size_t bytes() const { return count_ * sizeof(Line); }
	[[nodiscard]] std::size_t cycle() const; // lines until the first comes again

private:
	struct alignas(64) Line {
		const Line *next;
	};
	struct Free {
		void operator()(Line *lines) const;
	};

	std::size_t count_;
	std::unique_ptr<Line[], Free> lines_;
};

struct MemoryStep {
	std::size_t bytes = 0;
	Summary ns;
};

class Memory {
public:
	Memory(); // 256 KB to 32 MB
	void measure();
	[[nodiscard]] std::vector<MemoryStep> steps() const; // measured at least once

private:
	std::vector<Chain> chains_;
	std::vector<std::vector<double>> ns_;
};

} // namespace anycast::bench
