// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Map keys and values by the names of their fields, from the map's own type information (BTF).
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include <nlohmann/json.hpp>

#include "kernel/map.h"
#include "util/result.h"

struct btf;

namespace anycast {

class MapTypes {
public:
	// The kernel's type information of the map; where that may not be read or the kernel keeps
	// none, what is embedded in this binary.
	static Result<MapTypes> of(const Map &map);

	// Structures become objects; padding is left out. Addresses, MAC addresses and the __be
	// types of the shared header are shown as what they are.
	[[nodiscard]] nlohmann::ordered_json key(std::span<const std::byte> bytes) const;
	[[nodiscard]] nlohmann::ordered_json value(std::span<const std::byte> bytes) const;

private:
	struct Free {
		void operator()(btf *types) const;
	};
	std::unique_ptr<btf, Free> types_;
	std::uint32_t key_id_ = 0, value_id_ = 0;
};

} // namespace anycast
