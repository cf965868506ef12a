// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// GUE headers as layers of test packets.
#pragma once

#include <array>

#include <anycast_xdp/gue.h>

#include "support/packet.h"

namespace anycast::test {

struct Gue {
	std::uint8_t first = 3; // variant, control bit, length in words
	std::uint8_t protocol = 4;
	std::uint16_t flags = 0;
	std::uint8_t option = AX_GUE_OPTION, hops = 0, count = 0;
	std::array<std::uint32_t, AX_GUE_OTHERS> other{};
	std::uint8_t mark = 0;
};

inline Raw layer(const Gue &gue)
{
	Bytes bytes{gue.first,
		    gue.protocol,
		    static_cast<std::uint8_t>(gue.flags >> 8),
		    static_cast<std::uint8_t>(gue.flags),
		    gue.option,
		    gue.hops,
		    gue.count,
		    gue.mark};
	for (const std::uint32_t tag : gue.other)
		for (int shift = 24; shift >= 0; shift -= 8)
			bytes.push_back(static_cast<std::uint8_t>(tag >> shift));
	return {std::move(bytes)};
}

} // namespace anycast::test
