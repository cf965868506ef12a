// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#pragma once

#include <cstdint>

namespace anycast {

// CONFIG_HZ of the running kernel; the data path counts in jiffies.
std::uint32_t kernel_hz();

} // namespace anycast
