// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Maglev consistent hashing (Eisenbud et al., NSDI'16, section 3.4), with exact weights, and with
// health kept apart from configuration: a table of the full configured set that never changes with
// health, and substitutes for the slots whose owner is not up. So a failure or a recovery moves the
// flows of that backend and no others. Everything here is a pure function of its arguments.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <anycast_xdp/abi.h>

#include "core/address.h"
#include "util/result.h"

namespace anycast {

inline constexpr std::uint32_t kMaxTableSize = 655373; // the paper's larger table
inline constexpr std::size_t kMaxTableBackends = 65535;

bool is_prime(std::uint32_t n);
std::uint32_t next_prime(std::uint32_t n); // smallest prime >= n; 0 if 32 bits have none

// A backend's order of preference: offset, offset + skip, offset + 2 skip ... modulo the table
// size.
struct Permutation {
	std::uint32_t offset; // below the table size
	std::uint32_t skip;   // 1 .. table size - 1
};

// The paper's algorithm: who owns each of `size` slots. Of them backend i gets floor or ceil of
// size * weight / sum of weights. `size` must be prime, the weights positive, the spans of one
// length.
std::vector<std::uint32_t> maglev_fill(std::span<const Permutation> permutations,
				       std::span<const std::uint32_t> weights, std::uint32_t size);

struct MaglevBackend {
	std::string_view key;	  // canonical identity: address text and name
	std::uint32_t weight;	  // at least 1
	bool up;		  // takes new flows
	std::uint8_t warmth = 16; // of 16 parts of its slots: the others are as if it were not up
};

using MaglevSeed = std::array<std::uint64_t, 2>;

// Who was there before, and with which weight.
using MaglevGeneration = std::vector<std::pair<std::string_view, std::uint32_t>>;

// A slot's backend[] are indices into `backends`, whose order matters in no other way.
//   owner up: backend[0] = owner, backend[1] = who would stand in for it, if anybody could
//   owner not up: backend[0] = who stands in, backend[1] = the owner
//   nobody up: count = 0 in every slot
// Those whom earlier generations (oldest first) would have come to, the newest first, go before a
// stand-in that is not needed; who is not among `backends` any more is left out.
Result<std::vector<ax_slot>> build_table(std::span<const MaglevBackend> backends,
					 std::uint32_t size, const MaglevSeed &seed,
					 std::span<const MaglevGeneration> earlier = {});

// What a backend is called in GUE headers (anycast_xdp/gue.h); never 0.
std::uint32_t backend_tag(std::string_view full_name, const Address &address,
			  const MaglevSeed &seed);

// Names who owns what: equal for equal tables on every machine, in whatever order the backends are
// numbered. keys[i] is the key of backend i.
std::uint64_t table_digest(std::span<const ax_slot> slots, std::span<const std::string_view> keys);

} // namespace anycast
