// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The network namespace's own counters: /proc/net/snmp and snmp6.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace anycast {

// "Icmp.InDestUnreachs" -> its value; IPv6's as "Icmp6.InDestUnreachs".
using NetCounters = std::map<std::string, std::uint64_t>;
NetCounters net_counters();
NetCounters parse_snmp(std::string_view text);	// pairs of lines
NetCounters parse_snmp6(std::string_view text); // "Icmp6InDestUnreachs  3"

} // namespace anycast
