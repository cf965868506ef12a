// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What is attached and how it does: `attach`, `detach`, `status`.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "render/reasons.h"

namespace anycast::render {

// How the program hangs on the interface.
struct Hook {
	std::string interface;
	std::string mode;	      // "native", "generic", "offload", "none"
	std::string attached_by;      // "link", "netlink", "dispatcher"; "" if nothing is there
	std::uint32_t program_id = 0; // ours; 0 if it does not run
	std::uint32_t hook_program_id = 0; // what the kernel shows: ours, or the dispatcher
	std::string program_name;
	std::vector<std::string> chain; // programs a dispatcher runs
	bool ours = false;
	std::string egress; // "tcx", "clsact"; "" if what leaves is not seen
};

struct Memory {
	std::uint64_t flow_tables = 0, total = 0; // bytes
	std::uint64_t flows4 = 0, flows6 = 0;	  // entries
};

struct AttachResult {
	Hook hook;
	bool replaced = false;
	std::vector<std::string> forgotten; // "flows", "marks": their maps were made anew
	std::string roles;
	std::uint32_t generation = 0;
	std::uint64_t digest = 0;
	std::uint32_t verified_instructions = 0; // 0: the kernel does not say
	Memory memory;
	std::vector<std::string> warnings;
};

nlohmann::ordered_json attach_json(const std::vector<AttachResult> &results, bool dry_run);
std::string attach_text(const std::vector<AttachResult> &results, bool dry_run);

struct PeerStatus {
	std::string peer;
	std::uint32_t hops = 1; // 0 = exempt
	std::uint64_t accepted = 0, refused = 0;
};

struct InterfaceStatus {
	Hook hook;
	std::string roles;
	std::uint32_t generation = 0;
	std::uint64_t digest = 0;
	Memory memory;
	std::uint64_t flows4 = 0, flows6 = 0; // in use
	std::uint32_t vips = 0;
	std::vector<std::pair<std::string, std::uint32_t>> backends; // state, how many
	std::uint32_t coming_slowly = 0; // active ones whose slow start goes on
	std::vector<PeerStatus> peers;
	std::map<std::string, Total> totals; // "pass", "steer", "drop", "noted"
	std::vector<std::string> problems;   // what an operator should look at
};

// "ok: ..." or "degraded: ..." in one line.
std::string verdict_of(const InterfaceStatus &status);

nlohmann::ordered_json status_json(const std::vector<InterfaceStatus> &interfaces);
std::string status_text(const std::vector<InterfaceStatus> &interfaces);

} // namespace anycast::render
