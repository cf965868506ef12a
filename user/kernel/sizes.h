// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// How large each map is: from [limits], for the loader; and what that takes.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <linux/bpf.h>

#include "kernel/dataplane.h"

namespace anycast {

struct MapShape {
	std::string_view name;
	bpf_map_type type;
	std::uint32_t key_size, value_size;
	std::uint64_t entries;
	std::string_view limit; // of [limits], where one decides the size; else ""
	// Made where it is used; a data plane without it is whole.
	bool optional = false;
	bool egress = false; // of the tc program's object, not of the XDP program's
	bool legacy = true;  // the legacy build has it too
	bool grows = false;  // entries take their memory when they are made
};

// Every map of bpf/maps.h and bpf/egress.bpf.c, in the order that `map list` shows.
std::vector<MapShape> map_shapes(const DataplaneSizes &sizes);

std::uint64_t map_bytes(const MapShape &shape, std::uint32_t cpus);

std::uint32_t possible_cpus();

// Flows whose other direction is remembered; the least recently used make room.
std::uint32_t egress_entries(const DataplaneSizes &sizes);

// An error that names what would fit, if these bytes of maps are more than is available.
Status require_memory(const Limits &limits, std::uint64_t bytes, bool both_ways = false);

} // namespace anycast
