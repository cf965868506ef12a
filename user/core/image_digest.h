// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What `status` calls the digest: equal on nodes that steer alike.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/model.h"

namespace anycast {

std::string full_name(const Pool &pool, const Backend &backend); // "web/b1"

// Over canonical forms in canonical order: neither ids nor the file's order matter. `tables`: what
// table_digest() says of each pool's table, by its name.
std::uint64_t image_digest(const Config &config,
			   const std::map<std::string, std::uint64_t> &tables);

} // namespace anycast
