// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/connection.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>

#include "support/isolation.h"

namespace anycast::test {

std::string Endpoint::text() const
{
	const bool six = address.find(':') != std::string::npos;
	return (six ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

SocketAddress::SocketAddress(const Endpoint &endpoint)
{
	auto *four = reinterpret_cast<sockaddr_in *>(&storage);
	auto *six = reinterpret_cast<sockaddr_in6 *>(&storage);
	if (inet_pton(AF_INET, endpoint.address.c_str(), &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons(endpoint.port);
		size = sizeof(*four);
	} else if (inet_pton(AF_INET6, endpoint.address.c_str(), &six->sin6_addr) == 1) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(endpoint.port);
		size = sizeof(*six);
	} else {
		throw LabError("not an address: " + endpoint.address);
	}
}

namespace {

void bind_to_port(int fd, int family, std::uint16_t port)
{
	const int one = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	const SocketAddress own({family == AF_INET ? "0.0.0.0" : "::", port});
	if (bind(fd, own.get(), own.size))
		throw_errno("bind to port " + std::to_string(port));
}

// A socket in repair mode may be told its next sequence number; connect() keeps to it.
void begin_at(int fd, std::uint32_t sequence)
{
	const int on = TCP_REPAIR_ON, off = TCP_REPAIR_OFF_NO_WP, queue = TCP_SEND_QUEUE;
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &sequence, sizeof(sequence)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)))
		throw_errno("choose a first sequence number");
}

} // namespace

Connection::Connection(const Netns &netns, const Endpoint &to, const ConnectionOptions &options)
	: limit_(options.limit * slowness())
{
	const SocketAddress address(to);
	netns.run([&] {
		fd_ = Fd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	});
	for (const auto &[option, bytes] : {std::pair{SO_RCVBUF, options.receive_buffer},
					    std::pair{SO_SNDBUF, options.send_buffer}})
		if (bytes)
			setsockopt(fd_.get(), SOL_SOCKET, option, &bytes, sizeof(bytes));
	if (options.keepalive_s) {
		const int on = 1;
		setsockopt(fd_.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		for (const int option : {TCP_KEEPIDLE, TCP_KEEPINTVL})
			setsockopt(fd_.get(), IPPROTO_TCP, option, &options.keepalive_s,
				   sizeof(options.keepalive_s));
	}
	if (options.first_sequence)
		begin_at(fd_.get(), options.first_sequence);
	if (options.source_port)
		bind_to_port(fd_.get(), address.family(), options.source_port);
	if (connect(fd_.get(), address.get(), address.size) && errno != EINPROGRESS)
		throw_errno("connect");
	await(POLLOUT, "connect");
	int error = 0;
	socklen_t size = sizeof(error);
	getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
	errno = error;
	if (error)
		throw_errno("connect");
}

std::uint16_t Connection::source_port() const
{
	sockaddr_in6 own{}; // the port stands at the same place in both families
	socklen_t size = sizeof(own);
	getsockname(fd_.get(), reinterpret_cast<sockaddr *>(&own), &size);
	return ntohs(own.sin6_port);
}

std::size_t Connection::receive(char *buffer, std::size_t size)
{
	await(POLLIN, "receive");
	const ssize_t got = recv(fd_.get(), buffer, size, 0);
	if (got < 0)
		throw_errno("receive");
	return static_cast<std::size_t>(got);
}

std::size_t Connection::send_some(const char *data, std::size_t size)
{
	await(POLLOUT, "send");
	const ssize_t sent = ::send(fd_.get(), data, size, MSG_NOSIGNAL);
	if (sent < 0)
		throw_errno("send");
	return static_cast<std::size_t>(sent);
}

void Connection::end_of_data()
{
	shutdown(fd_.get(), SHUT_WR);
}

void Connection::await(short events, const char *what)
{
	pollfd fd{fd_.get(), events, 0};
	if (poll(&fd, 1, static_cast<int>(limit_.count())) == 0)
		throw LabError(std::string(what) + ": nothing happened for " +
			       std::to_string(limit_.count()) + " ms");
}

} // namespace anycast::test
