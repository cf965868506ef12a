// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A sample of a dropped frame, decoded as far as it can be read: who sent it, to whom. Pure;
// kernel/drop_reader.h supplies the samples.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <anycast_xdp/abi.h>

#include "core/address.h"

namespace anycast {

struct DropSample {
	int reason = 0;
	std::uint64_t time_ns = 0; // CLOCK_MONOTONIC
	std::uint32_t ifindex = 0, bytes = 0;
	std::string source_mac; // "" if the frame ends before
	std::vector<std::uint16_t> vlans;
	// None where the frame says no such thing, or ends before.
	std::optional<Address> source, destination;
	std::optional<std::uint8_t> protocol, ttl;
	std::optional<std::uint16_t> source_port, destination_port;

	// The address; for what is no IP, the MAC address; "" if there is neither.
	[[nodiscard]] std::string source_text() const;
};

DropSample decode_sample(const ax_sample &sample);
// Sets everything but reason, time, interface and length.
void decode_frame(std::span<const std::uint8_t> frame, DropSample &into);

} // namespace anycast
