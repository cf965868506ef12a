// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A client's TCP connection with a limit on every wait.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "support/process.h"

namespace anycast::test {

struct Endpoint {
	std::string address; // IPv4 or IPv6
	std::uint16_t port = 80;

	[[nodiscard]] std::string text() const; // "[2001:db8::1]:80"
};

struct SocketAddress {
	explicit SocketAddress(const Endpoint &endpoint); // throws LabError
	[[nodiscard]] const sockaddr *get() const
	{
		return reinterpret_cast<const sockaddr *>(&storage);
	}
	[[nodiscard]] int family() const { return storage.ss_family; }

	sockaddr_storage storage{};
	socklen_t size = 0;
};

struct ConnectionOptions {
	milliseconds limit{5000};      // for each wait, on a machine of its own
	std::uint16_t source_port = 0; // 0: the kernel's choice
	int receive_buffer = 0;	       // bytes; 0: the kernel's choice
	int send_buffer = 0;
	std::uint32_t first_sequence = 0; // 0: the kernel's choice
	int keepalive_s = 0;		  // probes after so many idle seconds; 0: none
	milliseconds pause{0};		  // in the middle of an upload
};

// Failures throw LabError.
class Connection {
public:
	Connection(const Netns &netns, const Endpoint &to, const ConnectionOptions &options);

	[[nodiscard]] std::uint16_t source_port() const;
	std::size_t receive(char *buffer, std::size_t size); // 0 at the end
	std::size_t send_some(const char *data, std::size_t size);
	void end_of_data();

private:
	void await(short events, const char *what);

	Fd fd_;
	milliseconds limit_;
};

} // namespace anycast::test
