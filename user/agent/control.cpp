// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "agent/control.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "util/unix_address.h"

namespace anycast::agent {

namespace {

constexpr const char *kPackageGroup = "anycast-xdp"; // tools/packaging/anycast-xdp.sysusers

std::vector<gid_t> groups_of(int fd)
{
	std::vector<gid_t> groups(65536 / sizeof(gid_t));
	auto length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length))
		length = 0;
	groups.resize(length / sizeof(gid_t));
	return groups;
}

// The socket's mode keeps others out already. This holds as well if somebody changes that, and
// wherever the client got the descriptor from: the credentials are those of connect().
Result<Peer> allowed(int fd, const std::optional<gid_t> &group)
{
	ucred peer{};
	socklen_t length = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length))
		return fail_errno("credentials of the control socket's client", errno);
	const auto in_group = [&] {
		const std::vector<gid_t> groups = groups_of(fd);
		return peer.gid == *group || std::ranges::find(groups, *group) != groups.end();
	};
	if (peer.uid == 0 || peer.uid == geteuid() || (group && in_group()))
		return Peer{peer.uid, peer.pid};
	return fail(Exit::kFailed, fmt::format("user {} may not control the agent", peer.uid),
		    group ? "only root and members of [agent] group may"
			  : "only root may; [agent] group names a group that may too");
}

Result<Fd> listen_at(const std::string &path, const std::optional<gid_t> &group)
{
	const std::string beside = path + ".new";
	const auto address = unix_address(beside);
	if (!address)
		return fail(Exit::kUsage, path + ": too long for a socket's path");
	Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	unlink(beside.c_str());
	const mode_t before = umask(0177);
	const bool bound =
		fd.valid() && bind(fd.get(), reinterpret_cast<const sockaddr *>(&*address),
				   sizeof(*address)) == 0;
	const int error = errno;
	umask(before);
	if (!bound)
		return fail_errno("control socket " + path, error);
	if (group &&
	    (chown(beside.c_str(), static_cast<uid_t>(-1), *group) || chmod(beside.c_str(), 0660)))
		return fail_errno("give the control socket to its group", errno);
	// Renamed when it is ready: whoever finds it can talk to it.
	if (listen(fd.get(), 32) || rename(beside.c_str(), path.c_str()))
		return fail_errno("control socket " + path, errno);
	return fd;
}

} // namespace

Result<std::optional<gid_t>> agent_group(const std::string &configured)
{
	const group *entry = getgrnam(configured.empty() ? kPackageGroup : configured.c_str());
	if (entry)
		return std::optional(entry->gr_gid);
	if (configured.empty())
		return std::nullopt;
	return fail(Exit::kUsage, fmt::format("there is no group {}", configured),
		    "add it (groupadd -r), or change [agent] group");
}

Result<std::unique_ptr<LineServer>> serve_control(Loop &loop, const std::string &path,
						  std::optional<gid_t> group, Handle handle)
{
	auto listener = listen_at(path, group);
	if (!listener)
		return tl::unexpected(std::move(listener.error()));
	Service service{
		.end = "\n",
		.max_request = kMaxControlRequest,
		.answer = {},
		.refuse = [](std::string_view problem) {
			return to_line(ControlReply{fail(Exit::kUsage, std::string(problem)), {}});
		}};
	service.answer = [group, handle = std::move(handle)](int fd, std::string_view line,
							     const Send &send) {
		const Answer answer = [send](const ControlReply &reply) { send(to_line(reply)); };
		const auto peer = allowed(fd, group);
		if (!peer)
			return answer({tl::unexpected(peer.error()), {}});
		const auto request = request_from_line(line);
		if (!request)
			return answer({tl::unexpected(request.error()), {}});
		handle(*request, *peer, answer);
	};
	return LineServer::start(loop, std::move(*listener), std::move(service));
}

} // namespace anycast::agent
