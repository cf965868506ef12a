// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "agent/http.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "health/probe.h"

namespace anycast::agent {

namespace {

std::string response(std::string_view status, std::string_view type, std::string_view body,
		     bool head = false)
{
	// No script, no other origin: the page could not do harm if somebody's text got into it.
	return fmt::format("HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n"
			   "Connection: close\r\nCache-Control: no-store\r\n"
			   "X-Content-Type-Options: nosniff\r\n"
			   "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'"
			   "\r\n\r\n{}",
			   status, type, body.size(), head ? std::string_view() : body);
}

std::string plain(std::string_view status)
{
	return response(status, "text/plain", std::string(status) + "\n");
}

std::string answer(const std::map<std::string, Page> &pages, std::string_view request)
{
	const std::string_view line = request.substr(0, request.find("\r\n"));
	const std::size_t first = line.find(' '), second = line.find(' ', first + 1);
	if (first == line.npos || second == line.npos ||
	    !line.substr(second + 1).starts_with("HTTP/1."))
		return plain("400 Bad Request");
	const std::string_view method = line.substr(0, first);
	if (method != "GET" && method != "HEAD")
		return plain("405 Method Not Allowed");
	std::string_view path = line.substr(first + 1, second - first - 1);
	path = path.substr(0, path.find('?'));
	const auto page = pages.find(std::string(path));
	if (page == pages.end())
		return plain("404 Not Found");
	return response("200 OK", page->second.type, page->second.body(), method == "HEAD");
}

std::optional<Address> peer_of(int fd)
{
	sockaddr_storage peer{};
	socklen_t length = sizeof(peer);
	if (getpeername(fd, reinterpret_cast<sockaddr *>(&peer), &length))
		return std::nullopt;
	if (peer.ss_family == AF_INET)
		return Address::v4(ntohl(reinterpret_cast<sockaddr_in *>(&peer)->sin_addr.s_addr));
	ax_addr raw{};
	static_assert(sizeof(raw) == sizeof(in6_addr));
	std::memcpy(&raw, &reinterpret_cast<sockaddr_in6 *>(&peer)->sin6_addr, sizeof(raw));
	return Address(raw);
}

} // namespace

Result<std::unique_ptr<LineServer>> serve_http(Loop &loop, const HttpPlace &place,
					       std::map<std::string, Page> pages)
{
	const auto &[address, port] = place.at;
	Fd fd(socket(address.is_v4() ? AF_INET : AF_INET6,
		     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	const int on = 1;
	setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	const health::SocketAddress own = health::socket_address(address, port);
	if (!fd.valid() || bind(fd.get(), own.get(), own.length) || listen(fd.get(), 32))
		return fail_errno(fmt::format("listen on {} port {}", address.text(), port), errno,
				  fmt::format("choose another [agent] {}", place.key));
	Service service{.end = "\r\n\r\n",
			.max_request = 8192,
			.answer = {},
			.refuse = [](std::string_view) { return plain("400 Bad Request"); }};
	service.answer = [pages = std::move(pages)](int, std::string_view request,
						    const Send &send) {
		send(answer(pages, request));
	};
	if (place.allow)
		service.admits = [allow = *place.allow](int client) {
			const auto peer = peer_of(client);
			return peer && std::ranges::any_of(allow, [&](const Prefix &prefix) {
				       return prefix.contains(*peer);
			       });
		};
	return LineServer::start(loop, std::move(fd), std::move(service));
}

} // namespace anycast::agent
