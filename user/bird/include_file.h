// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The one file of BIRD's configuration that is ours: the announced VIPs as static routes, and the
// functions by which export filters let them out. A base configuration says, before its BGP
// protocols, `include "/var/lib/anycast-xdp/bird.conf";`, and in their channels
// `export where anycast_xdp_ebgp();` or `export where anycast_xdp_ibgp();`.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "core/announcement.h"
#include "util/result.h"

namespace anycast::bird {

// Names in BIRD's configuration.
inline constexpr std::string_view kStatic4 = "anycast_xdp4", kStatic6 = "anycast_xdp6";
inline constexpr std::string_view kVips4 = "anycast_xdp_vips4", kVips6 = "anycast_xdp_vips6";
inline constexpr std::string_view kExportEbgp = "anycast_xdp_ebgp";
inline constexpr std::string_view kExportIbgp = "anycast_xdp_ibgp";
inline constexpr std::string_view kPrepend = "anycast_xdp_prepend"; // a route attribute

std::string include_text(const Wanted &wanted);
// Which addresses such a text announces or drains: what is in force where no agent keeps it.
Result<std::map<Address, Reach>> reach_in(std::string_view include_text);

Result<std::string> read_file(const std::string &path); // "" if there is none
// Written beside it, synced, renamed: whoever reads it sees the old or the new text.
Status replace_file(const std::string &path, std::string_view text, unsigned mode = 0644);

} // namespace anycast::bird
