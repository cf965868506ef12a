// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One dropped frame, as `drops` and `drops --follow` show it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "core/drop_sample.h"

namespace anycast::render {

// Who sent what to whom; members that the frame does not say are null.
nlohmann::ordered_json sample_json(const DropSample &sample);
// "203.0.113.5:40000 -> 192.0.2.1:179 tcp ttl 64, 60 bytes"
std::string sample_text(const DropSample &sample);

// A line of `drops --follow`.
struct FollowedDrop {
	DropSample sample;
	std::string interface;
	std::string time;		    // RFC 3339
	std::uint64_t packets = 0;	    // dropped for this reason so far
	std::optional<double> per_second{}; // since the last line of this reason
};
nlohmann::ordered_json followed_json(const FollowedDrop &drop);
std::string followed_text(const FollowedDrop &drop);

std::string rate_text(double per_second); // "0.5/s", "1200/s"

} // namespace anycast::render
