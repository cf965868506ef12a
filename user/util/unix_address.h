// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <optional>
#include <string_view>

namespace anycast {

// Of the socket with this path; nothing if the path is too long for one.
inline std::optional<sockaddr_un> unix_address(std::string_view path)
{
	sockaddr_un address{};
	address.sun_family = AF_UNIX;
	if (path.size() >= sizeof(address.sun_path))
		return std::nullopt;
	std::ranges::copy(path, address.sun_path);
	return address;
}

} // namespace anycast
