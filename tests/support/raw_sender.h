// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Sends frames as they are.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "support/netns.h"

namespace anycast::test {

using Mac = std::array<std::uint8_t, 6>;

class RawSender {
public:
	explicit RawSender(const LinkEnd &end);
	void send(std::span<const std::uint8_t> frame) const; // at least an Ethernet header
	[[nodiscard]] const Mac &mac() const { return mac_; }

private:
	Fd socket_;
	int index_ = 0;
	Mac mac_{};
};

Mac mac_of(const LinkEnd &end);

} // namespace anycast::test
