// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Builds of the program that lack a part, to see what it does and costs: for LoadOptions::build.
#pragma once

#include <string_view>

namespace anycast::test {

std::string_view build_without_guard(); // no malformed rule, no header checksum, no GTSM
std::string_view build_without_loss();	// no loss tracker
std::string_view build_without_either();

} // namespace anycast::test
