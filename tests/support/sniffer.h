// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Sees what passes an interface, in both directions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "support/netns.h"
#include "support/packet.h"

namespace anycast::test {

// A TCP segment over IPv4, in host order.
struct Segment {
	std::string source, destination;
	std::uint16_t sport = 0, dport = 0;
	std::uint32_t seq = 0, ack = 0;
	std::uint8_t flags = 0, ttl = 0;
	std::size_t payload = 0;

	[[nodiscard]] std::uint32_t next_seq() const
	{
		return seq + static_cast<std::uint32_t>(payload) + ((flags & kSyn) != 0) +
		       ((flags & kFin) != 0);
	}
};

class Sniffer {
public:
	explicit Sniffer(const LinkEnd &end); // from now on
	std::vector<Segment> segments();      // that have come since the last call
	std::vector<Bytes> frames(); // instead: whatever has come; only what left has its tags

private:
	Fd socket_;
};

} // namespace anycast::test
