// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A foreign program under libxdp's dispatcher, as any tool that is built on libxdp attaches it.
#pragma once

#include <cstdint>
#include <memory>

#include "support/netns.h"

struct chained_bpf;

namespace anycast::test {

class Chained {
public:
	// Programs with a lower priority number run before those with a higher one; ours has 50.
	Chained(const LinkEnd &end, unsigned priority);
	Chained(Chained &&) noexcept;
	~Chained();

	[[nodiscard]] std::uint64_t packets() const; // that came to it

private:
	struct Destroy {
		void operator()(chained_bpf *skeleton) const;
	};
	std::unique_ptr<chained_bpf, Destroy> skeleton_;
};

} // namespace anycast::test
