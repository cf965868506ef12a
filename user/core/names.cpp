// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/names.h"

#include <array>
#include <utility>

namespace anycast {

namespace {

template <typename T, std::size_t n> using Names = std::array<std::pair<T, std::string_view>, n>;

constexpr Names<ax_backend_state, 5> kStates{{{AX_BACKEND_ABSENT, "absent"},
					      {AX_BACKEND_ACTIVE, "active"},
					      {AX_BACKEND_DRAINING, "draining"},
					      {AX_BACKEND_DOWN, "down"},
					      {AX_BACKEND_MAINTENANCE, "maintenance"}}};
constexpr Names<ax_forward, 5> kForwards{{{AX_FORWARD_NONE, "none"},
					  {AX_FORWARD_LOCAL, "local"},
					  {AX_FORWARD_L2DSR, "l2dsr"},
					  {AX_FORWARD_IPIP, "ipip"},
					  {AX_FORWARD_GUE, "gue"}}};
constexpr Names<ax_measure, 4> kMeasures{{{AX_MEASURE_NONE, "none"},
					  {AX_MEASURE_RTP, "rtp"},
					  {AX_MEASURE_DNS, "dns"},
					  {AX_MEASURE_QUIC, "quic"}}};
constexpr Names<ax_all_down, 3> kAllDown{{{AX_ALL_DOWN_DROP, "drop"},
					  {AX_ALL_DOWN_PASS, "pass"},
					  {AX_ALL_DOWN_LAST_KNOWN, "last_known"}}};
constexpr Names<ax_action, 3> kActions{
	{{AX_ACTION_DROP, "drop"}, {AX_ACTION_COUNT, "count"}, {AX_ACTION_OFF, "off"}}};
constexpr Names<ax_reason_class, 5> kClasses{{{AX_CLASS_PASS, "pass"},
					      {AX_CLASS_STEER, "steer"},
					      {AX_CLASS_DROP, "drop"},
					      {AX_CLASS_RULE, "rule"},
					      {AX_CLASS_NOTE, "note"}}};
constexpr Names<std::uint8_t, 5> kProtocols{
	{{0, "any"}, {1, "icmp"}, {6, "tcp"}, {17, "udp"}, {58, "icmp6"}}};
constexpr Names<ax_flow_flags, 8> kFlowFlags{{{AX_FLOW_SYNCED, "synced"},
					      {AX_FLOW_TS, "ts"},
					      {AX_FLOW_FIN, "fin"},
					      {AX_FLOW_RST, "rst"},
					      {AX_FLOW_IPID, "ipid"},
					      {AX_FLOW_LOSS_LOST, "loss_lost"},
					      {AX_FLOW_RTT, "rtt"},
					      {AX_FLOW_SYN, "syn"}}};

template <typename T, std::size_t n> std::string_view name_in(const Names<T, n> &names, T value)
{
	for (const auto &[known, name] : names)
		if (known == value)
			return name;
	return "unknown";
}

template <typename T, std::size_t n>
std::optional<T> value_in(const Names<T, n> &names, std::string_view name)
{
	for (const auto &[value, known] : names)
		if (known == name)
			return value;
	return std::nullopt;
}

} // namespace

std::string_view state_name(ax_backend_state state)
{
	return name_in(kStates, state);
}

std::string_view measure_name(ax_measure measure)
{
	return name_in(kMeasures, measure);
}

std::string_view forward_name(ax_forward forward)
{
	return name_in(kForwards, forward);
}

std::string_view all_down_name(ax_all_down policy)
{
	return name_in(kAllDown, policy);
}

std::string_view hash_input_name(ax_hash_input input)
{
	switch (input) {
	case AX_HASH_SOURCE_PORT:
		return "source_port";
	case AX_HASH_SOURCE:
		return "source";
	case AX_HASH_QUIC:
		return "quic";
	default:
		return "flow";
	}
}

std::string_view action_name(ax_action action)
{
	return name_in(kActions, action);
}

std::string_view class_name(ax_reason_class cls)
{
	return name_in(kClasses, cls);
}

std::string roles_name(std::uint32_t roles)
{
	switch (roles & (AX_ROLE_EDGE | AX_ROLE_BACKEND)) {
	case AX_ROLE_EDGE:
		return "edge";
	case AX_ROLE_BACKEND:
		return "backend";
	case AX_ROLE_EDGE | AX_ROLE_BACKEND:
		return "edge+backend";
	default:
		return "none";
	}
}

std::string protocol_name(std::uint8_t protocol)
{
	for (const auto &[number, name] : kProtocols)
		if (number == protocol)
			return std::string(name);
	return std::to_string(protocol);
}

std::vector<std::string_view> flow_flag_names(std::uint8_t flags)
{
	std::vector<std::string_view> names;
	for (const auto &[flag, name] : kFlowFlags)
		if (flags & flag)
			names.push_back(name);
	return names;
}

std::optional<ax_backend_state> state_from(std::string_view name)
{
	const auto state = value_in(kStates, name);
	return state == AX_BACKEND_ABSENT ? std::nullopt : state;
}

std::optional<ax_forward> forward_from(std::string_view name)
{
	return value_in(kForwards, name);
}

std::optional<std::uint32_t> roles_from(std::string_view name)
{
	if (name == "edge")
		return AX_ROLE_EDGE;
	if (name == "backend")
		return AX_ROLE_BACKEND;
	if (name == "both" || name == "edge+backend")
		return AX_ROLE_EDGE | AX_ROLE_BACKEND;
	return std::nullopt;
}

std::optional<std::uint8_t> protocol_from(std::string_view name)
{
	return value_in(kProtocols, name);
}

} // namespace anycast
