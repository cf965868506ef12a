// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The guard's rules a second time, in plain user-space code: what the kernel program is held to.
// Shares nothing with bpf/ but the reason numbers. Written to be read beside the RFCs.
#pragma once

#include <array>
#include <cstdint>
#include <iosfwd>
#include <map>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include <anycast_xdp/limits.h>
#include <anycast_xdp/reasons.h>

namespace anycast::test {

struct GuardRules {
	std::array<ax_action, AX_REASON_LIMIT> action = defaults();
	bool address_rules = true; // off: *_MARTIAN, *_LAND and IP4_SRC_SPECIAL are OFF

	static std::array<ax_action, AX_REASON_LIMIT> defaults(); // of reasons.h
	static GuardRules all(ax_action action);
	[[nodiscard]] GuardRules with(ax_reason rule, ax_action action) const;
	[[nodiscard]] GuardRules without_addresses() const;
};

// What a packet that is not dropped is to the stages behind the guard.
enum class Seen {
	kIp,	  // inspected to its end
	kNotIp,	  // other ethertype: NOT_IP
	kTooDeep, // more VLAN tags than are looked behind: TOO_DEEP
	kOpaque,  // a rule that does not drop broke the parsing: passed, never steered
};

struct GuardVerdict {
	ax_reason verdict = AX_CONTINUE;  // the first broken rule that drops
	std::vector<ax_reason> counted{}; // before that, with action COUNT; in order, each once
	Seen seen = Seen::kIp;
	// For steering, no part of the guard stage; valid if not dropped and seen == kIp.
	bool bad_checksum = false; // IPv4 header
	bool ttl_zero = false;	   // or hop limit 0
	bool hop_zero = false;	   // the latter
	bool accepted = false;	   // of a protected session

	bool operator==(const GuardVerdict &) const = default;
};

// The node's own sessions (RFC 5082). Addresses are 4 or 16 bytes in network order.
struct GuardSessions {
	using Bytes = std::vector<std::uint8_t>;
	std::set<Bytes> local;
	std::map<Bytes, int> hops; // of the peers; 0: exempt
};

// IPv6 UDP without a checksum is the tunnels' privilege (RFC 6935): GUE, VXLAN, Geneve, FOU.
inline constexpr std::array<std::uint16_t, 4> kUdp6ZeroChecksumPorts{6080, 4789, 6081, 5555};

GuardVerdict guard_oracle(std::span<const std::uint8_t> frame, const GuardRules &rules = {},
			  const GuardSessions &sessions = {});

std::string_view reason_label(ax_reason reason);
std::ostream &operator<<(std::ostream &out, const GuardVerdict &verdict);

} // namespace anycast::test
