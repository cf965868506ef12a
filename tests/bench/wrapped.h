// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A loaded XDP program inside the wrapper: run many times on one packet, or on a packet of many
// flows, each time as if it came fresh from the wire.
#pragma once

#include <cstdint>
#include <memory>

#include "support/packet.h"
#include "util/result.h"

#include "bench/rotation.h"

struct wrapper_bpf;

namespace anycast::bench {

struct Traffic {
	test::Packet packet;
	bench_rotation_kind rotation = BENCH_FIXED;
	std::uint32_t flows = 1; // a power of two, at most 4 million
	std::uint32_t vips = 1;	 // a power of two; destinations, with BENCH_FLOWS4 only
};

class Wrapped {
public:
	// `program` must stay open for as long.
	static Result<Wrapped> around(int program, const Traffic &traffic);
	enum class Floor { kTx, kPass };
	static Result<Wrapped> floor(Floor kind, const Traffic &traffic);

	Wrapped(Wrapped &&) noexcept;
	Wrapped &operator=(Wrapped &&) noexcept;
	~Wrapped();

	struct Timing {
		std::uint32_t ns;      // per repetition, as the kernel reports it
		std::uint32_t verdict; // of the last one
	};
	Result<Timing> run(std::uint32_t repeat);

	// Flows come in another order from here on, beginning with number `first`. Odd.
	void visit(std::uint32_t stride, std::uint64_t first = 0);

private:
	struct Close {
		void operator()(wrapper_bpf *skeleton) const;
	};
	Wrapped() = default;
	static Result<Wrapped> load(const Traffic &traffic, std::uint32_t attach_type,
				    bool fragments);

	std::unique_ptr<wrapper_bpf, Close> skeleton_;
	test::Packet packet_;
};

// The order in which flows are visited: far from the one in which they were made, so that no
// prefetcher guesses the next entry.
inline constexpr std::uint32_t kMadeOrder = 1, kVisitOrder = 0x9e3779b1;

} // namespace anycast::bench
