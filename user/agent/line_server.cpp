// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "agent/line_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>

namespace anycast::agent {

namespace {

constexpr std::size_t kMaxClients = 64;
constexpr std::chrono::seconds kPatience{10}; // for a whole exchange
constexpr std::chrono::seconds kRest{1};      // out of file descriptors

} // namespace

LineServer::LineServer(Loop &loop, Fd listener, Service service)
	: loop_(loop), listener_(std::move(listener)), service_(std::move(service))
{
}

Result<std::unique_ptr<LineServer>> LineServer::start(Loop &loop, Fd listener, Service service)
{
	std::unique_ptr<LineServer> server(
		new LineServer(loop, std::move(listener), std::move(service)));
	AX_TRY(server->listen());
	return server;
}

Status LineServer::listen()
{
	return loop_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { accept_one(); });
}

LineServer::~LineServer()
{
	loop_.cancel(rest_);
	*alive_ = false;
	while (!clients_.empty())
		drop(clients_.begin()->first);
	loop_.forget(listener_.get());
}

void LineServer::accept_one()
{
	Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
	if (!fd.valid() && (errno == EMFILE || errno == ENFILE)) {
		// It stays readable: without a rest the loop would do nothing else.
		loop_.forget(listener_.get());
		rest_ = loop_.at(Loop::Clock::now() + kRest, [this] { (void)listen(); });
		return;
	}
	if (!fd.valid() || clients_.size() >= kMaxClients)
		return; // too many: closed at once
	const int number = fd.get();
	if (service_.admits && !service_.admits(number))
		return;
	if (!loop_.watch(number, EPOLLIN,
			 [this, number](std::uint32_t events) { ready(number, events); }))
		return;
	Client &client = clients_[number];
	client.fd = std::move(fd);
	client.serial = ++serial_;
	client.limit = loop_.at(Loop::Clock::now() + kPatience, [this, number] { drop(number); });
}

void LineServer::drop(int fd)
{
	const auto found = clients_.find(fd);
	if (found == clients_.end())
		return;
	loop_.forget(fd);
	loop_.cancel(found->second.limit);
	clients_.erase(found);
}

void LineServer::ready(int fd, std::uint32_t events)
{
	const auto found = clients_.find(fd);
	if (found == clients_.end())
		return;
	Client &client = found->second;
	if (!client.out.empty())
		write_answer(client);
	else if (client.asked)
		drop(fd); // it went away before its answer
	else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_request(client);
}

void LineServer::read_request(Client &client)
{
	const int number = client.fd.get();
	std::array<char, 4096> buffer;
	const ssize_t got = recv(number, buffer.data(), buffer.size(), 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		if (!client.in.empty() && got == 0)
			return reply(client, service_.refuse("the request has no end"));
		return drop(number);
	}
	client.in.append(buffer.data(), static_cast<std::size_t>(got));
	const std::size_t end = client.in.find(service_.end);
	if (end != client.in.npos && end + service_.end.size() <= service_.max_request)
		return ask(client,
			   std::string_view(client.in).substr(0, end + service_.end.size()));
	if (client.in.size() >= service_.max_request)
		reply(client, service_.refuse("the request is too long"));
}

void LineServer::ask(Client &client, std::string_view request)
{
	const int number = client.fd.get();
	client.asked = true;
	(void)loop_.watch(number, 0,
			  [this, number](std::uint32_t events) { ready(number, events); });
	service_.answer(number, request,
			[this, number, serial = client.serial, alive = alive_](std::string text) {
				if (!*alive)
					return;
				const auto found = clients_.find(number);
				if (found != clients_.end() && found->second.serial == serial)
					reply(found->second, std::move(text));
			});
}

void LineServer::reply(Client &client, std::string text)
{
	const int number = client.fd.get();
	client.out = std::move(text);
	if (!loop_.watch(number, EPOLLOUT,
			 [this, number](std::uint32_t events) { ready(number, events); }))
		return drop(number);
	write_answer(client);
}

void LineServer::write_answer(Client &client)
{
	while (!client.out.empty()) {
		const ssize_t sent =
			send(client.fd.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (sent < 0)
			break;
		client.out.erase(0, static_cast<std::size_t>(sent));
	}
	drop(client.fd.get());
}

} // namespace anycast::agent
