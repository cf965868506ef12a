// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A backend that comes, or comes back, takes over its slots little by little. The table stays what
// it is: a slot whose owner is not warm enough for it is a slot whose owner is not up, so nobody
// else's flows move, and the owner is the slot's next candidate already.
#pragma once

#include <cstdint>

#include "core/model.h"

namespace anycast {

inline constexpr std::uint8_t kWarm = 16; // steps: all of its slots

// How many sixteenths of its slots the backend has at that time.
std::uint8_t warmth(const Pool &pool, const Backend &backend, std::int64_t now);

// When some backend has more, or is done; 0: all are warm.
std::int64_t next_warming(const Config &config, std::int64_t now);

// Who becomes active in `next`, which takes the place of `running`, starts now; who is at it goes
// on. What `next` says itself is left alone, and forgotten once it is over.
void carry_slow_starts(const Config &running, Config &next, std::int64_t now);

} // namespace anycast
