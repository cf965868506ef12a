// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Words and keys of the file that reading and writing share.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/model.h"
#include "core/names.h"

namespace anycast {

struct Choice {
	std::string_view word;
	int value;
};

// What the file may say, which is less than what core/names.h has words for.
inline const Choice kRoles[] = {{"edge", AX_ROLE_EDGE}, {"backend", AX_ROLE_BACKEND}};
inline const Choice kModes[] = {{"auto", 0}, {"native", 1}, {"generic", 2}, {"offload", 3}};
inline const Choice kActions[] = {{action_name(AX_ACTION_DROP), AX_ACTION_DROP},
				  {action_name(AX_ACTION_COUNT), AX_ACTION_COUNT},
				  {action_name(AX_ACTION_OFF), AX_ACTION_OFF}};
inline const Choice kAllDown[] = {{all_down_name(AX_ALL_DOWN_DROP), AX_ALL_DOWN_DROP},
				  {all_down_name(AX_ALL_DOWN_PASS), AX_ALL_DOWN_PASS},
				  {all_down_name(AX_ALL_DOWN_LAST_KNOWN), AX_ALL_DOWN_LAST_KNOWN}};
inline const Choice kStates[] = {{state_name(AX_BACKEND_ACTIVE), AX_BACKEND_ACTIVE},
				 {state_name(AX_BACKEND_DRAINING), AX_BACKEND_DRAINING},
				 {state_name(AX_BACKEND_DOWN), AX_BACKEND_DOWN},
				 {state_name(AX_BACKEND_MAINTENANCE), AX_BACKEND_MAINTENANCE}};
inline const Choice kHashes[] = {{hash_input_name(AX_HASH_FLOW), AX_HASH_FLOW},
				 {hash_input_name(AX_HASH_SOURCE_PORT), AX_HASH_SOURCE_PORT},
				 {hash_input_name(AX_HASH_SOURCE), AX_HASH_SOURCE},
				 {hash_input_name(AX_HASH_QUIC), AX_HASH_QUIC}};
inline const Choice kFragments[] = {{"tuple", 0}, {"notes", 1}};
inline const Choice kProtocols[] = {{"tcp", 6}, {"udp", 17}, {"any", 0}};
inline const Choice kForwards[] = {{forward_name(AX_FORWARD_IPIP), AX_FORWARD_IPIP},
				   {forward_name(AX_FORWARD_GUE), AX_FORWARD_GUE},
				   {forward_name(AX_FORWARD_L2DSR), AX_FORWARD_L2DSR}};
inline const Choice kMeasures[] = {{measure_name(AX_MEASURE_NONE), AX_MEASURE_NONE},
				   {measure_name(AX_MEASURE_RTP), AX_MEASURE_RTP},
				   {measure_name(AX_MEASURE_DNS), AX_MEASURE_DNS},
				   {measure_name(AX_MEASURE_QUIC), AX_MEASURE_QUIC}};

inline const Choice kFamilies[] = {{"ipv4", 4}, {"ipv6", 6}};
inline const Choice kImports[] = {{"none", static_cast<int>(BgpImport::kNone)},
				  {"vips", static_cast<int>(BgpImport::kVips)},
				  {"default", static_cast<int>(BgpImport::kDefault)},
				  {"all", static_cast<int>(BgpImport::kAll)}};
inline const Choice kCheckTypes[] = {{"tcp", static_cast<int>(CheckType::kTcp)},
				     {"udp", static_cast<int>(CheckType::kUdp)},
				     {"icmp", static_cast<int>(CheckType::kIcmp)},
				     {"http", static_cast<int>(CheckType::kHttp)},
				     {"https", static_cast<int>(CheckType::kHttps)},
				     {"dns", static_cast<int>(CheckType::kDns)},
				     {"exec", static_cast<int>(CheckType::kExec)}};
inline const Choice kOnStop[] = {{"withdraw", static_cast<int>(OnStop::kWithdraw)},
				 {"leave", static_cast<int>(OnStop::kLeave)}};
inline const Choice kOverloadActions[] = {
	{"none", static_cast<int>(OverloadAction::kNone)},
	{"drain", static_cast<int>(OverloadAction::kDrain)},
	{"withdraw", static_cast<int>(OverloadAction::kWithdraw)}};

inline std::string_view word_of(std::span<const Choice> choices, int value)
{
	for (const Choice &choice : choices)
		if (choice.value == value)
			return choice.word;
	return {};
}

struct LimitKey {
	std::string_view key;
	std::uint32_t Limits::*member;
	std::int64_t min, max;
};

inline constexpr std::int64_t kMinFlows = std::int64_t{AX_MIN_BUCKETS} * AX_WAYS; // of one CPU

// Ids of VIPs, pools, backends and peers are 16 bits wide in the flow tables and in Maglev's slots.
inline constexpr LimitKey kLimits[] = {
	{"flows_v4", &Limits::flows_v4, kMinFlows, 1 << 27},
	{"flows_v6", &Limits::flows_v6, kMinFlows, 1 << 27},
	{"vips", &Limits::vips, 1, 65535},
	{"pools", &Limits::pools, 1, 65535},
	{"backends", &Limits::backends, 1, 65535},
	{"table_slots", &Limits::table_slots, 2, 1 << 27},
	{"peers", &Limits::peers, 1, 65535},
	{"inserts_per_second", &Limits::inserts_per_second, 0, INT32_MAX},
	{"loss_prefix_v4", &Limits::loss_prefix_v4, 1, 32},
	{"loss_prefix_v6", &Limits::loss_prefix_v6, 1, 128},
	{"marked_flows", &Limits::marked_flows, 1, 1 << 24},
	{"flow_idle", &Limits::flow_idle, 10, 14400}, // stamps of 1000 Hz kernels wrap in 4.6 h
};
static_assert(sizeof(Limits) == std::size(kLimits) * sizeof(std::uint32_t),
	      "every member of Limits needs its key");

} // namespace anycast
