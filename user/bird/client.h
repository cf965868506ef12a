// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// BIRD's control socket. What a reply means is in its codes; its prose is for people.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "util/fd.h"
#include "util/result.h"

namespace anycast::bird {

struct Line {
	int code = 0;
	std::string text;
};

struct Reply {
	std::vector<Line> lines; // at least one; the last has the code that counts
	[[nodiscard]] int code() const { return lines.back().code; }
	[[nodiscard]] bool has(int wanted) const;
	[[nodiscard]] bool ok() const
	{
		return code() < 8000;
	} // 8xxx: failed, 9xxx: not understood
	[[nodiscard]] std::string last() const { return lines.back().text; }
};

// Takes a reply apart as it comes in, in pieces of any size. Asynchronous lines ("+...") are
// skipped.
class ReplyParser {
public:
	explicit ReplyParser(std::size_t max_bytes) : left_(max_bytes) {}
	// True once the reply is complete; then rest() is what came behind it.
	Result<bool> feed(std::string_view bytes);
	[[nodiscard]] Reply take() { return std::move(reply_); }
	[[nodiscard]] std::string_view rest() const { return partial_; }

private:
	Result<bool> line(std::string_view text);

	std::size_t left_;
	std::string partial_;
	Reply reply_;
};

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

enum class Trouble {
	kNone,
	kAbsent,  // nobody listens
	kHung,	  // no answer in time
	kRefused, // a version that we do not know, or no permission
	kBroken,  // what came is no reply
};

// One connection; made by the first command, and made anew after any trouble.
class Client {
public:
	explicit Client(std::string socket_path) : path_(std::move(socket_path)) {}

	// Sends one line. An error is about the connection: BIRD's refusals are replies.
	Result<Reply> ask(const std::string &command, Deadline deadline);

	[[nodiscard]] Trouble trouble() const { return trouble_; }	      // of the last ask()
	[[nodiscard]] const std::string &version() const { return version_; } // "2.0.12"
	[[nodiscard]] const std::string &path() const { return path_; }
	void close();

private:
	Status connect(Deadline deadline);
	Status greet(Deadline deadline);
	Result<Reply> exchange(const std::string &command, Deadline deadline);
	Status send(std::string_view bytes, Deadline deadline);
	Result<Reply> receive(Deadline deadline);
	Status await(short events, Deadline deadline);
	tl::unexpected<Error> give_up(Trouble trouble, std::string what, std::string hint = {});

	std::string path_;
	Fd socket_;
	std::string pending_;	// came behind the last reply
	bool answered_ = false; // something of the current reply has come
	Trouble trouble_ = Trouble::kNone;
	std::string version_;
};

} // namespace anycast::bird
