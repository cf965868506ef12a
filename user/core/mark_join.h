// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// lb_backend_lost: what an edge sent and what the backend got, compared as far as both know (RFC
// 9341). Only periods are compared that ended half a period before either side was read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/mark.h"

namespace anycast {

inline constexpr std::int64_t kMarkSkewMs = 2000; // that clocks of two nodes may differ by

struct MarkLoss {
	MarkKey key;
	std::string vip, backend;	   // names, as the edge knows them
	std::optional<std::uint64_t> lost; // exact; nothing: `why`
	std::uint64_t of = 0;		   // packets sent in the periods that were compared
	std::string why;
	// What it was made of: up to and including `period`, in the edge's numbers.
	std::uint64_t period = 0;
	std::uint64_t sent = 0, received = 0;
	std::int64_t sent_since = 0, received_since = 0;
	bool counts = false; // sent and received are valid, be it that the whole is not comparable
};

struct MarkJoin {
	std::vector<MarkLoss> flows, sums; // worst first; those without a figure last
	std::vector<std::string> notes;	   // about reports as a whole
};

// Each report may be an edge's, a backend's or both. Of several of one node the latest counts.
MarkJoin join_marks(const std::vector<MarkReport> &reports);

// Why nothing of one can be compared with the other; "" if it can.
std::string marks_differ(const MarkReport &edge, const MarkReport &backend);

// One edge's record and what the backend has for it, if anything. `backend`: nothing where no
// report of it is there.
MarkLoss compare_marks(const MarkReport &edge, const MarkRecord &sent, const MarkReport *backend,
		       const MarkRecord *received, bool by_flow);

} // namespace anycast
