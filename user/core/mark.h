// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Alternate marking: one node's counters, as maps or another node's report give them. Their
// meaning: include/anycast_xdp/mark.h; what two nodes' come to together: core/mark_join.h.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <anycast_xdp/mark.h>

#include "core/address.h"
#include "core/model.h"

namespace anycast {

// The smallest power of two of jiffies that is not shorter, as ax_settings.mark_shift.
std::uint8_t mark_shift(Milliseconds period, std::uint32_t hz);
// Do packets to this VIP's backends carry a mark? (IPIP: where the outer header is IPv4.)
bool is_marked(const Config &config, const Vip &vip);
// Why lb_backend_lost is null for it, "" where it is not.
std::string unmarked_because(const Config &config, const Vip &vip);

// Idle flows whose records are removed, so that others find room.
inline constexpr std::int64_t kMarkIdleMs = 60'000;

struct MarkKey {
	Address edge, backend, vip;
	std::uint16_t port = 0;	       // of a service 0: any
	std::uint8_t protocol = 0;     // the same
	std::optional<Address> client; // of a flow
	std::uint16_t client_port = 0;
	auto operator<=>(const MarkKey &) const = default;
};

// Times are Unix milliseconds of the node that counted.
struct MarkPeriod {
	std::uint8_t period = 0; // as in the mark, modulo 32
	std::uint32_t packets = 0;
	std::int64_t began = 0; // its first packet
	bool operator==(const MarkPeriod &) const = default;
};

struct MarkRecord {
	MarkKey key;
	std::string vip, backend;  // what the edge calls them; "" at the backend
	std::uint64_t settled = 0; // before `periods`
	std::int64_t since = 0, last = 0;
	std::uint8_t first = 0; // period of the first packet
	std::vector<MarkPeriod> periods;

	[[nodiscard]] std::uint64_t packets() const;
	bool operator==(const MarkRecord &) const = default;
};

// Of one of the two roles.
struct MarkSide {
	std::optional<std::int64_t> since; // when it began to count; nothing: it does not
	std::uint64_t no_room = 0;	   // packets that could not be counted by flow
	std::optional<std::int64_t> last_no_room;
	std::vector<MarkRecord> sums, flows;
	bool operator==(const MarkSide &) const = default;
};

struct MarkReport {
	std::string node;
	std::int64_t time = 0;	  // when it was made
	double period_ms = 0;	  // 0: the node does not mark
	std::uint64_t period = 0; // at `time`; its lower five bits are the mark's
	std::int64_t period_began = 0;
	MarkSide sent, received;
	bool operator==(const MarkReport &) const = default;
};

// The running clock in jiffies, and how to make Unix time of them.
struct MarkClock {
	std::uint64_t jiffies = 0;
	std::uint32_t hz = 250;
	std::int64_t now = 0; // Unix milliseconds

	[[nodiscard]] std::int64_t unix_ms(std::uint64_t at) const;
	[[nodiscard]] std::int64_t unix_ms_of_low(std::uint32_t at) const; // lower half
};

using MarkEntry = std::pair<ax_mark_key, ::ax_mark>;
void add_marks(MarkReport &report, const std::vector<MarkEntry> &entries, const MarkClock &clock);
// What the edge's configuration calls the services and backends of what it sent.
void name_marks(MarkReport &report, const Config &config);
void set_period(MarkReport &report, std::uint8_t shift, const MarkClock &clock);

} // namespace anycast
