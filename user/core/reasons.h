// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The C++ view of the one reason table, include/anycast_xdp/reasons.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <anycast_xdp/limits.h>
#include <anycast_xdp/reasons.h>

namespace anycast {

struct ReasonInfo {
	int number;
	std::string_view id;	// "IP4_IHL"
	std::string_view label; // "ip4_ihl"
	ax_reason_class cls;
	ax_action default_action; // of a RULE
	std::string_view source;
	std::string_view help;
};

std::span<const ReasonInfo> reasons(); // ascending by number
const ReasonInfo *find_reason(int number);
const ReasonInfo *find_reason(std::string_view label);

// By number, as struct ax_settings takes them; numbers without a row are DROP (0).
std::array<std::uint8_t, AX_REASON_LIMIT> default_actions();

// Is every packet counted under exactly one of these?
bool is_final(const ReasonInfo &reason);

// Single-character edits, with a swap of neighbours as one.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The n labels of rules that are nearest to what somebody typed, nearest first.
std::vector<std::string_view> nearest_labels(std::string_view typo, std::size_t n);

} // namespace anycast
