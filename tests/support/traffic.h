// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Traffic that goes on while a test does something else.
#pragma once

#include <atomic>
#include <cstdint>
#include <future>
#include <map>
#include <string>
#include <thread>

#include "support/http.h"

namespace anycast::test {

// HTTP requests, one after the other, until stopped.
class Requests {
public:
	struct Count {
		int good = 0, bad = 0;
		std::map<std::string, int> by_server;
		std::string first_error;
	};

	Requests(const Netns &client, const Endpoint &to);
	[[nodiscard]] int good() const { return good_; }
	Count stop();

private:
	std::atomic<int> good_ = 0;
	Count count_;
	std::jthread thread_; // last: it uses the others
};

// One slow download, and how far it is.
class SlowDownload {
public:
	SlowDownload(const Netns &client, const Endpoint &from, std::uint64_t bytes_per_second,
		     std::uint16_t source_port = 0);
	[[nodiscard]] std::uint64_t bytes() const { return bytes_; }
	bool await_bytes(std::uint64_t bytes, milliseconds limit) const;
	Download finish() { return result_.get(); } // once; blocks until it has ended

	static constexpr const char *kCopy = "/run/lab/copy";

private:
	std::atomic<std::uint64_t> bytes_ = 0;
	std::future<Download> result_;
};

} // namespace anycast::test
