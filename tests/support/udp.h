// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// UDP in the lab: an echo that says who answers, and a client with limits on its waits.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "support/connection.h"
#include "support/process.h"

namespace anycast::test {

// Answers each datagram with "<namespace's name>\n" and the datagram.
Process serve_echo(const Netns &netns, const Endpoint &listen);

class UdpClient {
public:
	// `discover`: DF set, and sizes as the kernel has learned them (IP_PMTUDISC_DO).
	UdpClient(const Netns &netns, const Endpoint &to, bool discover,
		  std::uint16_t source_port = 0);

	// Who answered `bytes` bytes with just those; "" if nobody did, in `tries` tries. With
	// `discover` a datagram beyond the path's MTU is cut to what fits.
	std::string ask(std::size_t bytes, int tries = 5);
	// The same with these bytes.
	std::string ask_with(std::span<const std::uint8_t> bytes, int tries = 5);
	[[nodiscard]] std::size_t sent() const { return sent_; } // bytes that ask() got through

private:
	void open();
	[[nodiscard]] std::size_t most() const; // payload that the path is known to take

	const Netns &netns_;
	Endpoint to_;
	bool discover_;
	std::uint16_t port_;
	Fd fd_;
	std::size_t sent_ = 0;
};

} // namespace anycast::test
