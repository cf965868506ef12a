// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "agent/notify.h"

#include <sys/socket.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "util/fd.h"
#include "util/unix_address.h"

namespace anycast::agent {

void notify(std::string_view lines)
{
	const char *path = std::getenv("NOTIFY_SOCKET");
	if (!path || (*path != '/' && *path != '@'))
		return;
	auto to = unix_address(path);
	if (!to)
		return;
	if (*path == '@') // an abstract name
		to->sun_path[0] = '\0';
	const auto length =
		static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
	const Fd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	// Nothing to be done where systemd does not take it.
	(void)sendto(fd.get(), lines.data(), lines.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
		     reinterpret_cast<const sockaddr *>(&*to), length);
}

} // namespace anycast::agent
