// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Real HTTP servers for the lab's backends, and the clients that ask them. The client functions run
// in the calling thread, inside the given namespace.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "support/connection.h"

namespace anycast::test {

// busybox httpd: "/" answers with the namespace's name, "/big" with the file `big`.
Process serve_http(const Netns &netns, const Endpoint &listen, const std::string &big);

// Reads each connection to its end, then answers "<bytes> <namespace's name>\n".
Process serve_sink(const Netns &netns, const Endpoint &listen);

struct Reply {
	bool ok = false; // status 200 and a whole body
	std::string body;
	std::uint16_t source_port = 0;
	std::string error; // where it went wrong
};
Reply http_get(const Netns &netns, const Endpoint &to, const std::string &path,
	       const ConnectionOptions &options = {});

struct Download {
	bool ok = false;
	std::uint64_t bytes = 0;
	std::uint16_t source_port = 0;
	double seconds = 0;
	double longest_silence = 0; // seconds of waiting for a byte
	std::chrono::steady_clock::time_point silence_began, ended;
	std::string error;
};
// Saves the body in `file`, at `bytes_per_second` at most; calls `progress` after each read with
// the bytes so far, which must not take long. Gives up after `limit` without a byte.
Download http_download(const Netns &netns, const Endpoint &from, const std::string &path,
		       const std::string &file, std::uint64_t bytes_per_second,
		       const std::function<void(std::uint64_t)> &progress,
		       ConnectionOptions options = {.limit = milliseconds(15000)});

struct Upload {
	bool ok = false; // the sink has counted every byte
	std::string sink;
	std::uint16_t source_port = 0;
	double seconds = 0;
	std::string error;
};
Upload upload(const Netns &netns, const Endpoint &to, std::uint64_t bytes,
	      const ConnectionOptions &options = {.limit = milliseconds(30000)});

// Fills `path` with that many pseudo-random bytes.
void make_big_file(const std::string &path, std::uint64_t bytes, std::uint64_t seed);
std::string sha256(const Netns &netns, const std::string &path);

} // namespace anycast::test
