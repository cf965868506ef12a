// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "net/control_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include <fmt/format.h>

#include "util/fd.h"
#include "util/unix_address.h"

namespace anycast {

namespace {

using Clock = std::chrono::steady_clock;

class Conversation {
public:
	Conversation(const std::string &path, Clock::time_point deadline)
		: path_(path), deadline_(deadline)
	{
	}

	// False: nobody is there.
	Result<bool> connect();
	Status send(std::string_view line);
	Result<std::string> receive();

private:
	Status await(short events);

	const std::string &path_;
	Clock::time_point deadline_;
	Fd socket_;
};

Result<bool> Conversation::connect()
{
	const auto address = unix_address(path_);
	if (!address)
		return fail(Exit::kUsage, fmt::format("{}: too long for a socket", path_));
	socket_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	if (!socket_.valid())
		return fail_errno("socket", errno);
	if (::connect(socket_.get(), reinterpret_cast<const sockaddr *>(&*address),
		      sizeof(*address)) == 0)
		return true;
	if (errno == ENOENT || errno == ECONNREFUSED)
		return false;
	return fail_errno(fmt::format("connect to the agent, {}", path_), errno,
			  errno == EACCES ? "run as root, or as a member of the agent's group"
					  : "");
}

Status Conversation::await(short events)
{
	for (;;) {
		const auto left =
			std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now());
		pollfd waiting{socket_.get(), events, 0};
		const int ready =
			left.count() > 0 ? ::poll(&waiting, 1, static_cast<int>(left.count())) : 0;
		if (ready > 0)
			return {};
		if (ready == 0)
			return fail(Exit::kFailed,
				    fmt::format("the agent does not answer on {} in time", path_),
				    "see: systemctl status anycast-xdp-agent");
		if (errno != EINTR)
			return fail_errno("poll", errno);
	}
}

Status Conversation::send(std::string_view line)
{
	while (!line.empty()) {
		const ssize_t sent = ::send(socket_.get(), line.data(), line.size(), MSG_NOSIGNAL);
		if (sent > 0)
			line.remove_prefix(static_cast<std::size_t>(sent));
		else if (errno == EAGAIN)
			AX_TRY(await(POLLOUT));
		else if (errno != EINTR)
			return fail_errno(fmt::format("send to the agent, {}", path_), errno);
	}
	return {};
}

Result<std::string> Conversation::receive()
{
	std::string line;
	char buffer[16384];
	for (;;) {
		AX_TRY(await(POLLIN));
		const ssize_t got = ::recv(socket_.get(), buffer, sizeof(buffer), 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got < 0)
			return fail_errno(fmt::format("read from the agent, {}", path_), errno);
		if (got == 0)
			return fail(Exit::kFailed,
				    fmt::format("the agent closed {} without an answer", path_),
				    "it may not permit this to you: run as root, or as a member of "
				    "its group");
		line.append(buffer, static_cast<std::size_t>(got));
		if (const std::size_t end = line.find('\n'); end != line.npos)
			return line.substr(0, end);
		if (line.size() > kMaxControlReply)
			return fail(Exit::kFailed,
				    fmt::format("the agent's answer on {} has no end", path_));
	}
}

} // namespace

Result<std::optional<ControlReply>> ask_agent(const std::string &socket_path,
					      const ControlRequest &request,
					      std::chrono::milliseconds limit)
{
	Conversation agent(socket_path, Clock::now() + limit);
	const auto connected = agent.connect();
	if (!connected)
		return tl::unexpected(connected.error());
	if (!*connected)
		return std::nullopt;
	AX_TRY(agent.send(to_line(request)));
	const auto line = agent.receive();
	if (!line)
		return tl::unexpected(line.error());
	auto reply = reply_from_line(*line);
	if (!reply)
		return tl::unexpected(reply.error());
	return std::optional(std::move(*reply));
}

} // namespace anycast
