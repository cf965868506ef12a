// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Counters of an attached interface, named by its applied configuration.
#pragma once

#include <vector>

#include "kernel/attachment.h"
#include "render/reasons.h"
#include "util/result.h"

namespace anycast::cli {

Result<render::InterfaceStats> stats_of(const Instance &instance);

// Final reasons and notes only.
Status read_reasons(const Instance &instance, render::InterfaceStats &stats);

} // namespace anycast::cli
