// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Earlier generations of a pool. Who changes its backends or their weights leaves what was before
// in the configuration, with a time until when it counts: so every node that has the configuration
// computes the same candidates, whether it was there before or not.
#pragma once

#include <cstdint>

#include "core/model.h"
#include "util/result.h"

namespace anycast {

// A slot has room for its owner, a stand-in or an owner of before, and one more.
inline constexpr std::size_t kMaxGenerations = 2;
inline constexpr std::int64_t kRememberSeconds = 3600;

// What `next`, which takes the place of `running`, shall remember of it. A pool of `next` that has
// generations of its own is left alone. Refuses a change beyond kMaxGenerations.
Status carry_generations(const Config &running, Config &next, std::int64_t now);

} // namespace anycast
