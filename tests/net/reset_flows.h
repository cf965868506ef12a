// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the tests of --reset-flows share: tables of other sizes, and which maps are in use.
#pragma once

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <bpf/libbpf.h>
#include <gmock/gmock.h>

#include "kernel/applying.h"
#include "kernel/sizes.h"
#include "net/attaching.h"
#include "support/traffic.h"

namespace anycast::test {

inline constexpr AttachOptions kReset{.reset_flows = true};
using MapIds = std::map<std::string, std::uint32_t>;

inline Config with_flows(std::uint32_t flows_v4, Config config = kSmall)
{
	config.limits.flows_v4 = flows_v4;
	return config;
}

inline Result<ApplyReport> apply_reset(const Config &config)
{
	return apply(
		kPaths, "dev0", [&](const Applied &) -> Result<Config> { return config; }, true);
}

inline ApplyReport reset_to(const Config &config)
{
	auto report = apply_reset(config);
	if (!report)
		throw LabError("apply: " + report.error().message());
	return *report;
}

inline std::uint32_t id_of(const Map &map)
{
	bpf_map_info info{};
	std::uint32_t length = sizeof(info);
	if (bpf_obj_get_info_by_fd(map.fd(), &info, &length) != 0)
		throw LabError("a map has no id");
	return info.id;
}

// As who reads them finds them.
inline MapIds map_ids()
{
	MapIds ids;
	const Instance instance = opened();
	for (const auto &[name, map] : instance.dataplane.maps())
		ids[name] = id_of(map);
	return ids;
}

inline std::vector<std::uint32_t> maps_of_program(std::uint32_t id)
{
	const Fd program(bpf_prog_get_fd_by_id(id));
	std::vector<std::uint32_t> ids(128);
	bpf_prog_info info{};
	std::uint32_t length = sizeof(info);
	info.nr_map_ids = static_cast<std::uint32_t>(ids.size());
	info.map_ids = reinterpret_cast<std::uintptr_t>(ids.data());
	if (bpf_obj_get_info_by_fd(program.get(), &info, &length) != 0)
		throw LabError("a program tells nothing");
	ids.resize(info.nr_map_ids);
	return ids;
}

// What is read is what the program on the hook uses.
inline void expect_one_set_of_maps()
{
	const auto used = maps_of_program(hook_of("dev0").our_program_id);
	const MapIds read = map_ids();
	for (const MapShape &shape : map_shapes({})) {
		const auto found = read.find(std::string(shape.name));
		if (found != read.end() && !shape.egress) {
			EXPECT_THAT(used, testing::Contains(found->second)) << shape.name;
		}
	}
}

inline int rounds(int number)
{
	return slowness() > 1 ? std::max(2, number / slowness()) : number;
}

// Files that ask for flow tables of two sizes in turn.
inline std::string sized(const std::string &text, int round, const std::string &path)
{
	std::ofstream(path) << text << "\n[limits]\nflows_v4 = " << (round % 2 ? 4096 : 16384)
			    << "\nflows_v6 = " << (round % 2 ? 16384 : 4096) << "\n";
	return path;
}

} // namespace anycast::test
