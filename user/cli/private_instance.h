// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The program in a private instance, for packets that nobody sent: `replay` and `explain`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/image.h"
#include "core/model.h"
#include "kernel/program.h"

namespace anycast::cli {

inline constexpr std::uint32_t kLoopback = 1; // a test run's ingress interface, in every namespace
inline constexpr std::size_t kShortestRun = 14; // the kernel refuses shorter frames

std::size_t longest_run();

Status stay_on_this_cpu();

// Nothing of this machine goes in, so that a replay gives the same anywhere.
Result<Image> portable_image(Config config);

// With maps of its own that hold the image, and flow tables that do for a capture.
Result<Program> load_private(const Config &config, const Image &image);

std::string verdict_name(std::uint32_t verdict);

} // namespace anycast::cli
