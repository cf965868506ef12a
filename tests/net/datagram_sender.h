// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A client's datagrams to the lab's VIP, and a DNS server that leaves some queries without answer.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <thread>
#include <vector>

#include "support/connection.h"
#include "support/isolation.h"
#include "support/lab.h"

namespace anycast::test {

inline constexpr std::uint16_t kDns = 5300;
inline constexpr unsigned kUnanswered = 7; // every seventh query

// A connected socket of the client's.
class DatagramSender {
public:
	DatagramSender(const Netns &client, std::uint16_t port)
	{
		const SocketAddress to({kVip, port});
		fd_ = client.run(
			[&] { return Fd(socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0)); });
		if (connect(fd_.get(), to.get(), to.size) != 0)
			throw LabError("connect");
	}
	void send(const std::vector<std::uint8_t> &bytes)
	{
		// Nobody listens on some ports: what the kernel says of the one before.
		for (int tries = 0; tries < 3; tries++)
			if (::send(fd_.get(), bytes.data(), bytes.size(), 0) ==
			    static_cast<ssize_t>(bytes.size()))
				break;
		if (++sent_ % 32 == 0)
			std::this_thread::sleep_for(milliseconds(2));
	}

private:
	Fd fd_;
	unsigned sent_ = 0;
};

inline std::vector<std::uint8_t> dns_query(std::uint8_t id)
{
	return {0, id, 1, id, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1};
}

// Answers queries, but for some.
inline int answer_queries()
{
	const SocketAddress address({kVip, kDns});
	const Fd fd(socket(address.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
	if (bind(fd.get(), address.get(), address.size) != 0)
		return 1;
	while (true) {
		std::array<std::uint8_t, 512> query{};
		sockaddr_storage from{};
		socklen_t size = sizeof(from);
		const ssize_t got = recvfrom(fd.get(), query.data(), query.size(), 0,
					     reinterpret_cast<sockaddr *>(&from), &size);
		if (got < 12 || query[3] % kUnanswered == 0)
			continue;
		query[2] |= 0x80; // RFC 1035 section 4.1.1: a response
		(void)sendto(fd.get(), query.data(), static_cast<std::size_t>(got), 0,
			     reinterpret_cast<sockaddr *>(&from), size);
	}
}

} // namespace anycast::test
