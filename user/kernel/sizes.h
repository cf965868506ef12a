// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// How large each map is: from [limits], for the loader; and what that takes.
#pragma once

#include <cstdint>
#include <set>
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

// Maps of the XDP program that --reset-flows makes anew: "flows" or "marks", a group of maps that
// refer to each other, and so are made anew together. "": none of those.
std::string_view reset_group(const MapShape &shape);

// What helps where [limits] differ from those that the maps were made with.
inline constexpr const char *kResetForLimits = "keep the [limits], or use --reset-flows: such "
					       "tables are made anew, without detaching, and "
					       "what they held is forgotten";
inline constexpr const char *kDetachForLimits =
	"keep the [limits], or detach the interface first (its flow table is lost)";

// Groups of which a map would get another size. ([limits] are rounded up.)
std::set<std::string_view> groups_to_reset(const Limits &running, const Limits &wanted);

// [limits] as the maps that are there say, where these are not what the record of them comes to: a
// command that was killed has not written down what it has done.
Limits limits_of(const DataplaneSizes &held, Limits recorded);

// Flows whose other direction is remembered; the least recently used make room.
std::uint32_t egress_entries(const DataplaneSizes &sizes);

// An error that names what would fit, if these bytes of maps are more than is available.
Status require_memory(const Limits &limits, std::uint64_t bytes, bool both_ways = false);
// The same of what --reset-flows makes anew, beside the maps that it replaces.
Status require_memory_to_reset(const Limits &running, const Limits &wanted, bool both_ways);

} // namespace anycast
