// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// lru_flow.bpf.c, loaded: what our flow table is compared with.
#pragma once

#include <cstdint>
#include <memory>

#include "util/result.h"

struct lru_flow_bpf;

namespace anycast::bench {

class KernelLru {
public:
	static Result<KernelLru> load(std::uint32_t entries);
	KernelLru(KernelLru &&) noexcept;
	KernelLru &operator=(KernelLru &&) noexcept;
	~KernelLru();

	[[nodiscard]] int fd() const;

private:
	struct Close {
		void operator()(lru_flow_bpf *skeleton) const;
	};
	KernelLru() = default;
	std::unique_ptr<lru_flow_bpf, Close> skeleton_;
};

} // namespace anycast::bench
