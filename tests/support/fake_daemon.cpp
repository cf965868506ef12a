// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/fake_daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <filesystem>

#include "support/isolation.h"

namespace anycast::test {

bool Caller::say(std::string_view text) const
{
	while (!text.empty()) {
		const ssize_t sent = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
		text.remove_prefix(static_cast<std::size_t>(sent));
	}
	return true;
}

std::string Caller::line()
{
	for (;;) {
		if (const std::size_t end = buffer_.find('\n'); end != buffer_.npos) {
			std::string first = buffer_.substr(0, end);
			buffer_.erase(0, end + 1);
			return first;
		}
		char bytes[4096];
		const ssize_t got = ::recv(socket_.get(), bytes, sizeof(bytes), 0);
		if (got <= 0)
			return "";
		buffer_.append(bytes, static_cast<std::size_t>(got));
	}
}

void Caller::wait_for_end()
{
	while (!line().empty())
		;
}

FakeDaemon::FakeDaemon(std::function<void(Caller &)> serve, int backlog) : serve_(std::move(serve))
{
	std::string pattern = std::filesystem::temp_directory_path() / "ax-fake-XXXXXX";
	if (::mkdtemp(pattern.data()) == nullptr)
		throw_errno("mkdtemp");
	directory_ = pattern;
	path_ = directory_ + "/ctl";
	sockaddr_un address{};
	address.sun_family = AF_UNIX;
	path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
	int ends[2];
	listener_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	if (!listener_.valid() || ::pipe2(ends, O_CLOEXEC) != 0 ||
	    ::bind(listener_.get(), reinterpret_cast<const sockaddr *>(&address),
		   sizeof(address)) != 0 ||
	    ::listen(listener_.get(), backlog) != 0)
		throw_errno("listen on " + path_);
	stop_read_ = Fd(ends[0]);
	stop_write_ = Fd(ends[1]);
	if (serve_)
		thread_ = std::thread([this] { run(); });
}

FakeDaemon::~FakeDaemon()
{
	stop_write_.reset();
	if (thread_.joinable())
		thread_.join();
	std::filesystem::remove_all(directory_);
}

void FakeDaemon::run()
{
	for (;;) {
		pollfd waiting[2] = {{listener_.get(), POLLIN, 0}, {stop_read_.get(), POLLIN, 0}};
		if (::poll(waiting, 2, -1) < 0 || waiting[1].revents != 0)
			return;
		Caller caller(Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
		connections_++;
		serve_(caller);
	}
}

} // namespace anycast::test
