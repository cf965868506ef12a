// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/http.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>
#include <vector>

#include "support/isolation.h"

namespace anycast::test {

using Clock = std::chrono::steady_clock;

namespace {

double seconds_since(Clock::time_point start)
{
	return std::chrono::duration<double>(Clock::now() - start).count();
}

void request(Connection &connection, const Endpoint &to, const std::string &path)
{
	const std::string text = "GET " + path + " HTTP/1.0\r\nHost: " + to.text() + "\r\n\r\n";
	connection.send_some(text.data(), text.size());
}

// Reads until the blank line; returns what came behind it.
std::string skip_head(Connection &connection, std::uint64_t &content_length)
{
	std::string text;
	char buffer[4096];
	std::size_t end;
	while ((end = text.find("\r\n\r\n")) == std::string::npos) {
		const std::size_t got = connection.receive(buffer, sizeof(buffer));
		if (got == 0)
			throw LabError("the server closed before its answer");
		text.append(buffer, got);
	}
	if (text.compare(0, 7, "HTTP/1.") != 0 || text.compare(8, 5, " 200 ") != 0)
		throw LabError("status: " + text.substr(0, text.find('\r')));
	std::string head = text.substr(0, end);
	std::transform(head.begin(), head.end(), head.begin(), ::tolower);
	const auto length = head.find("content-length:");
	if (length == std::string::npos)
		throw LabError("no Content-Length");
	content_length = std::stoull(head.substr(length + 15));
	return text.substr(end + 4);
}

Fd listen_on(const Endpoint &endpoint)
{
	const SocketAddress address(endpoint);
	Fd fd(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
	const int one = 1;
	setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd.get(), address.get(), address.size) || listen(fd.get(), 64))
		throw_errno("listen on " + endpoint.text());
	return fd;
}

int sink(const std::string &name, const Endpoint &endpoint)
{
	struct Client {
		Fd fd;
		std::uint64_t bytes = 0;
	};
	const Fd listener = listen_on(endpoint);
	std::vector<Client> clients;
	std::vector<char> buffer(1 << 16);

	for (;;) {
		std::vector<pollfd> fds{{listener.get(), POLLIN, 0}};
		for (const Client &client : clients)
			fds.push_back({client.fd.get(), POLLIN, 0});
		poll(fds.data(), fds.size(), -1);
		for (std::size_t i = clients.size(); i-- > 0;) {
			if (!fds[i + 1].revents)
				continue;
			Client &client = clients[i];
			const ssize_t got = recv(client.fd.get(), buffer.data(), buffer.size(), 0);
			if (got > 0) {
				client.bytes += static_cast<std::uint64_t>(got);
				continue;
			}
			const std::string answer = std::to_string(client.bytes) + " " + name + "\n";
			if (got == 0)
				send(client.fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
			clients.erase(clients.begin() + static_cast<std::ptrdiff_t>(i));
		}
		if (fds[0].revents)
			clients.push_back(
				{Fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC))});
	}
}

// Until something listens there; a listener that never comes is an error.
void await_listener(const Netns &netns, const Endpoint &endpoint, Process &server,
		    const std::string &log)
{
	const bool up = wait_until(milliseconds(5000), [&] {
		if (!server.running())
			return false;
		try {
			const Connection probe(netns, endpoint, {.limit = milliseconds(1000)});
			return true;
		} catch (const LabError &) {
			return false;
		}
	});
	if (!up)
		throw LabError("server in " + netns.name() + " does not come up, see " + log);
}

} // namespace

Process serve_http(const Netns &netns, const Endpoint &listen, const std::string &big)
{
	const std::string root = std::string(kLabDir) + "/www-" + netns.name();
	mkdir(root.c_str(), 0755);
	std::ofstream(root + "/index.html") << netns.name() << "\n";
	if (link(big.c_str(), (root + "/big").c_str()) && errno != EEXIST)
		throw_errno("link " + root + "/big");
	const std::string log = root + ".log";
	Process server = Process::spawn(
		netns, {"busybox", "httpd", "-f", "-p", listen.text(), "-h", root}, log);
	await_listener(netns, listen, server, log);
	return server;
}

Process serve_sink(const Netns &netns, const Endpoint &listen)
{
	const std::string log = std::string(kLabDir) + "/sink-" + netns.name() + ".log";
	Process server = Process::call(
		netns, [&] { return sink(netns.name(), listen); }, log);
	await_listener(netns, listen, server, log);
	return server;
}

Reply http_get(const Netns &netns, const Endpoint &to, const std::string &path,
	       const ConnectionOptions &options)
{
	Reply reply;
	try {
		Connection connection(netns, to, options);
		reply.source_port = connection.source_port();
		request(connection, to, path);
		std::uint64_t length = 0;
		reply.body = skip_head(connection, length);
		char buffer[4096];
		while (const std::size_t got = connection.receive(buffer, sizeof(buffer)))
			reply.body.append(buffer, got);
		reply.ok = reply.body.size() == length;
		if (!reply.ok)
			reply.error = "short body";
	} catch (const std::exception &error) {
		reply.error = error.what();
	}
	return reply;
}

Download http_download(const Netns &netns, const Endpoint &from, const std::string &path,
		       const std::string &file, std::uint64_t bytes_per_second,
		       const std::function<void(std::uint64_t)> &progress,
		       ConnectionOptions options)
{
	Download result;
	try {
		// A small window: what lies in the socket buffer would hide an outage.
		options.receive_buffer = 32 << 10;
		Connection connection(netns, from, options);
		result.source_port = connection.source_port();
		request(connection, from, path);
		std::uint64_t length = 0;
		const std::string begin = skip_head(connection, length);
		std::ofstream out(file, std::ios::binary);
		out << begin;
		result.bytes = begin.size();
		std::vector<char> buffer(16 << 10);
		const auto start = Clock::now();
		auto due = start;
		while (result.bytes < length) {
			const auto before = Clock::now();
			const std::size_t got = connection.receive(buffer.data(), buffer.size());
			if (got == 0)
				throw LabError("the server closed early");
			if (seconds_since(before) > result.longest_silence) {
				result.longest_silence = seconds_since(before);
				result.silence_began = before;
			}
			out.write(buffer.data(), static_cast<std::streamsize>(got));
			result.bytes += got;
			progress(result.bytes);
			// What an outage cost is not caught up.
			const std::chrono::duration<double> share(
				static_cast<double>(got) / static_cast<double>(bytes_per_second));
			due = std::max(due, before) +
			      std::chrono::duration_cast<Clock::duration>(share);
			std::this_thread::sleep_until(due);
		}
		result.seconds = seconds_since(start);
		result.ended = Clock::now();
		result.ok = true;
	} catch (const std::exception &error) {
		result.error = error.what();
	}
	return result;
}

Upload upload(const Netns &netns, const Endpoint &to, std::uint64_t bytes,
	      const ConnectionOptions &options)
{
	Upload result;
	try {
		const std::vector<char> data(64 << 10, 'u');
		const auto start = Clock::now();
		Connection connection(netns, to, options);
		result.source_port = connection.source_port();
		const auto send = [&](std::uint64_t left) {
			while (left > 0)
				left -= connection.send_some(
					data.data(), std::min<std::uint64_t>(left, data.size()));
		};
		send(bytes / 2);
		if (options.pause.count() != 0)
			std::this_thread::sleep_for(options.pause);
		send(bytes - bytes / 2);
		connection.end_of_data();
		std::string answer;
		char buffer[256];
		while (const std::size_t got = connection.receive(buffer, sizeof(buffer)))
			answer.append(buffer, got);
		result.seconds = seconds_since(start);
		const auto space = answer.find(' ');
		if (space == std::string::npos)
			throw LabError("the sink closed without an answer");
		result.sink = answer.substr(space + 1, answer.size() - space - 2);
		result.ok = answer.substr(0, space) == std::to_string(bytes);
		if (!result.ok)
			result.error = "the sink counted " + answer;
	} catch (const std::exception &error) {
		result.error = error.what();
	}
	return result;
}

void make_big_file(const std::string &path, std::uint64_t bytes, std::uint64_t seed)
{
	std::mt19937_64 random(seed);
	std::vector<std::uint64_t> block(8192);
	std::ofstream out(path, std::ios::binary);
	while (bytes > 0) {
		std::generate(block.begin(), block.end(), std::ref(random));
		const std::uint64_t size = std::min<std::uint64_t>(bytes, block.size() * 8);
		out.write(reinterpret_cast<const char *>(block.data()),
			  static_cast<std::streamsize>(size));
		bytes -= size;
	}
	if (!out.flush())
		throw LabError("write " + path);
}

std::string sha256(const Netns &netns, const std::string &path)
{
	return run(netns, {"sha256sum", path}).out.substr(0, 64);
}

} // namespace anycast::test
