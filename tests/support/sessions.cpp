// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/sessions.h"

#include <poll.h>

#include <array>
#include <cstring>
#include <numeric>

#include "support/isolation.h"

namespace anycast::test {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kBlock = 100;

// The byte at a place of a session's stream: neither a lost nor a doubled block goes unseen.
char byte_at(std::uint64_t place)
{
	return static_cast<char>(place * 31 + place / 251);
}

struct Client {
	Fd fd;
	std::string out;
};

int echo(const std::string &name, const Endpoint &listen_on)
{
	const SocketAddress address(listen_on);
	const Fd listener(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	const int one = 1;
	setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener.get(), address.get(), address.size) || listen(listener.get(), 1024))
		throw_errno("listen");
	std::vector<Client> clients;
	for (;;) {
		std::vector<pollfd> fds{{listener.get(), POLLIN, 0}};
		for (const Client &client : clients)
			fds.push_back({client.fd.get(),
				       static_cast<short>(client.out.empty() ? POLLIN : POLLOUT),
				       0});
		poll(fds.data(), fds.size(), -1);
		for (std::size_t i = clients.size(); i-- > 0;) {
			if (!fds[i + 1].revents)
				continue;
			Client &client = clients[i];
			std::array<char, 4096> buffer{};
			bool gone = false;
			if (client.out.empty()) {
				const ssize_t got =
					recv(client.fd.get(), buffer.data(), buffer.size(), 0);
				gone = got == 0 || (got < 0 && errno != EAGAIN);
				if (got > 0)
					client.out.assign(buffer.data(),
							  static_cast<std::size_t>(got));
			}
			if (!client.out.empty()) {
				const ssize_t sent = send(client.fd.get(), client.out.data(),
							  client.out.size(), MSG_NOSIGNAL);
				gone = gone || (sent < 0 && errno != EAGAIN);
				if (sent > 0)
					client.out.erase(0, static_cast<std::size_t>(sent));
			}
			if (gone)
				clients.erase(clients.begin() + static_cast<std::ptrdiff_t>(i));
		}
		for (;;) {
			Fd fd(accept4(listener.get(), nullptr, nullptr,
				      SOCK_NONBLOCK | SOCK_CLOEXEC));
			if (!fd.valid())
				break;
			clients.push_back({std::move(fd), name + "\n"});
		}
	}
}

bool answers(const Netns &netns, const Endpoint &to)
{
	try {
		const Connection connection(netns, to, {.limit = milliseconds(200)});
		return true;
	} catch (const LabError &) {
		return false;
	}
}

} // namespace

Process serve_sessions(const Netns &netns, const Endpoint &listen)
{
	Process server = Process::call(
		netns, [&] { return echo(netns.name(), listen); },
		std::string(kLabDir) + "/echo-" + netns.name() + ".log");
	if (!wait_until(milliseconds(5000), [&] { return answers(netns, listen); }))
		throw LabError("the echo server of " + netns.name() + " does not answer");
	return server;
}

int Sessions::Result::all_broken() const
{
	return std::accumulate(broken.begin(), broken.end(), 0,
			       [](int sum, const auto &entry) { return sum + entry.second; });
}

Sessions::Sessions(const Netns &netns, const Endpoint &to, int count, milliseconds pause)
	: pause_(pause)
{
	const SocketAddress address(to);
	for (int i = 0; i < count; i++) {
		Session session;
		netns.run([&] {
			session.fd = Fd(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
		});
		const timeval limit{10 * slowness(), 0};
		setsockopt(session.fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		setsockopt(session.fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
		if (connect(session.fd.get(), address.get(), address.size))
			throw_errno("session " + std::to_string(i) + ": connect");
		char byte = 0;
		while (recv(session.fd.get(), &byte, 1, 0) == 1 && byte != '\n')
			session.server += byte;
		if (byte != '\n')
			throw_errno("session " + std::to_string(i) + ": greeting");
		session.next = Clock::now() + i * pause / count;
		sessions_.push_back(std::move(session));
	}
	worker_ = std::jthread([this](const std::stop_token &stop) { work(stop); });
}

void Sessions::step(Session &session, bool may_send)
{
	std::array<char, 4096> buffer{};
	const ssize_t got = recv(session.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
		session.error = got == 0 ? "closed by the other end" : std::strerror(errno);
	} else if (got > 0) {
		for (ssize_t i = 0; i < got; i++)
			if (buffer[static_cast<std::size_t>(i)] != byte_at(session.received++))
				session.error = "wrong byte";
	}
	// One block at a time: the next goes out when the last is back.
	if (session.error.empty() && may_send && session.sent == session.received &&
	    Clock::now() >= session.next) {
		std::array<char, kBlock> block{};
		for (std::size_t i = 0; i < kBlock; i++)
			block[i] = byte_at(session.sent + i);
		const ssize_t sent =
			send(session.fd.get(), block.data(), kBlock, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN)
			session.error = std::strerror(errno);
		if (sent > 0)
			session.sent += static_cast<std::uint64_t>(sent);
		session.next = Clock::now() + pause_;
	}
	if (!session.error.empty())
		++broken_;
}

void Sessions::work(const std::stop_token &stop)
{
	while (!stop.stop_requested()) {
		for (Session &session : sessions_)
			if (session.error.empty())
				step(session, true);
		std::this_thread::sleep_for(milliseconds(5));
	}
}

void Sessions::end()
{
	if (!worker_.joinable())
		return;
	worker_.request_stop();
	worker_.join();
}

Sessions::Result Sessions::finish(milliseconds limit)
{
	end();
	std::vector<std::uint64_t> goal;
	for (Session &session : sessions_) {
		goal.push_back(session.sent + (session.sent == session.received ? kBlock : 0));
		session.next = {};
	}
	const auto behind = [&](std::size_t i) {
		return sessions_[i].error.empty() && sessions_[i].received < goal[i];
	};
	wait_until(limit, [&] {
		bool any = false;
		for (std::size_t i = 0; i < sessions_.size(); i++)
			if (behind(i)) {
				step(sessions_[i], sessions_[i].sent < goal[i]);
				any = true;
			}
		return !any;
	});
	Result result;
	for (std::size_t i = 0; i < sessions_.size(); i++) {
		Session &session = sessions_[i];
		if (behind(i))
			session.error = "no answer any more";
		result.total[session.server]++;
		result.bytes += session.received;
		if (session.error.empty()) {
			result.open++;
			continue;
		}
		result.broken[session.server]++;
		if (result.first_error.empty())
			result.first_error = session.server + ": " + session.error;
	}
	sessions_.clear();
	return result;
}

} // namespace anycast::test
