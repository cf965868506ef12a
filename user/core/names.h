// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What enumerators of the shared header are called in the configuration, in tables and in JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <anycast_xdp/abi.h>

namespace anycast {

std::string_view state_name(ax_backend_state state);   // "active", "draining", ...
std::string_view forward_name(ax_forward forward);     // "ipip", "l2dsr", "local", "none"
std::string_view all_down_name(ax_all_down policy);    // "drop", "pass", "last_known"
std::string_view hash_input_name(ax_hash_input input); // "flow", "source_port", ...
std::string_view action_name(ax_action action);	       // "drop", "count", "off"
std::string_view class_name(ax_reason_class cls);      // "pass", "steer", "drop", "rule", "note"
std::string roles_name(std::uint32_t roles);	       // "edge", "backend", "edge+backend"
std::string protocol_name(std::uint8_t protocol);      // "tcp", "udp", "any" (0), "icmp", "47"
std::string_view measure_name(ax_measure measure);     // "rtp", "dns", "quic", "none"
std::vector<std::string_view> flow_flag_names(std::uint8_t flags); // "synced", "ts", ...

std::optional<ax_backend_state> state_from(std::string_view name);
std::optional<ax_forward> forward_from(std::string_view name);
std::optional<std::uint32_t> roles_from(std::string_view name); // edge | backend | both
std::optional<std::uint8_t> protocol_from(std::string_view name);

} // namespace anycast
