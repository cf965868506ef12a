// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// katran_proxy.bpf.c, loaded and configured like the node it is compared with.
#pragma once

#include <cstdint>
#include <memory>

#include "bench/node.h"
#include "util/result.h"

struct katran_proxy_bpf;

namespace anycast::bench {

class KatranProxy {
public:
	// flood_guard: new connections a second that are remembered; 0 = all. lru_entries: of each
	// CPU.
	static Result<KatranProxy> load(const NodeOptions &options, std::uint32_t flood_guard,
					std::uint32_t lru_entries);
	KatranProxy(KatranProxy &&) noexcept;
	KatranProxy &operator=(KatranProxy &&) noexcept;
	~KatranProxy();

	[[nodiscard]] int fd() const;

private:
	struct Close {
		void operator()(katran_proxy_bpf *skeleton) const;
	};
	KatranProxy() = default;
	std::unique_ptr<katran_proxy_bpf, Close> skeleton_;
};

} // namespace anycast::bench
