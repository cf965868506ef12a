// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Another build of the XDP program in place of the embedded one: for benchmarks that compare two.
#pragma once

#include <string>

namespace anycast {

// Program::load takes this object file from here on, with the same switches and maps; "": the
// embedded program again.
void load_program_from(const std::string &object_file);

} // namespace anycast
