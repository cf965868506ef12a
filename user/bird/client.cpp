// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bird/client.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "util/unix_address.h"

namespace anycast::bird {

namespace {

constexpr std::size_t kMaxReply = 16 << 20; // 4096 VIPs over a session are a third of a MiB
constexpr std::size_t kMaxLine = 64 << 10;
constexpr int kReady = 1;

// What BIRD prints goes to terminals.
std::string printable(std::string_view text)
{
	std::string out(text);
	std::ranges::replace_if(
		out, [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7f; }, '?');
	return out;
}

std::string excerpt(std::string_view text)
{
	return printable(text.substr(0, 60));
}

tl::unexpected<Error> malformed(std::string what)
{
	return fail(Exit::kFailed, std::move(what));
}

} // namespace

bool Reply::has(int wanted) const
{
	return std::ranges::find(lines, wanted, &Line::code) != lines.end();
}

Result<bool> ReplyParser::feed(std::string_view bytes)
{
	if (bytes.size() > left_)
		return malformed("a reply without an end");
	left_ -= bytes.size();
	partial_ += bytes;
	std::size_t begin = 0, end = 0;
	bool complete = false;
	while (!complete && (end = partial_.find('\n', begin)) != partial_.npos) {
		auto ended = line(std::string_view(partial_).substr(begin, end - begin));
		if (!ended)
			return ended;
		complete = *ended;
		begin = end + 1;
	}
	partial_.erase(0, begin);
	if (!complete && partial_.size() > kMaxLine)
		return malformed("a line without an end");
	return complete;
}

// "1007-text" goes on, "0000 text" ends, " text" has the code of the line before.
Result<bool> ReplyParser::line(std::string_view text)
{
	if (text.ends_with('\r'))
		text.remove_suffix(1);
	if (text.size() > kMaxLine)
		return malformed("a line without an end");
	if (text.starts_with('+'))
		return false;
	if (text.starts_with(' ') && !reply_.lines.empty()) {
		reply_.lines.push_back({reply_.lines.back().code, printable(text.substr(1))});
		return false;
	}
	const bool coded = text.size() >= 5 && (text[4] == '-' || text[4] == ' ') &&
			   std::all_of(text.begin(), text.begin() + 4,
				       [](unsigned char c) { return std::isdigit(c); });
	if (!coded)
		return malformed(fmt::format("not a reply: \"{}\"", excerpt(text)));
	int code = 0;
	for (const char digit : text.substr(0, 4))
		code = 10 * code + (digit - '0');
	reply_.lines.push_back({code, printable(text.substr(5))});
	return text[4] == ' ';
}

void Client::close()
{
	socket_.reset();
	pending_.clear();
}

tl::unexpected<Error> Client::give_up(Trouble trouble, std::string what, std::string hint)
{
	trouble_ = trouble;
	close();
	return fail(Exit::kFailed, std::move(what), std::move(hint));
}

Status Client::await(short events, Deadline deadline)
{
	for (;;) {
		const auto left =
			std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
		pollfd waiting{socket_.get(), events, 0};
		const int ready =
			left.count() > 0 ? ::poll(&waiting, 1, static_cast<int>(left.count())) : 0;
		if (ready > 0)
			return {};
		if (ready < 0 && errno == EINTR)
			continue;
		return give_up(Trouble::kHung,
			       fmt::format("BIRD does not answer on {} in time", path_),
			       "is it stopped or overloaded? see: ps -o stat,pcpu,args -C bird");
	}
}

Status Client::connect(Deadline deadline)
{
	const auto address = unix_address(path_);
	if (!address)
		return give_up(Trouble::kRefused, fmt::format("{}: too long for a socket", path_));
	close();
	socket_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	if (!socket_.valid())
		return give_up(Trouble::kBroken, fmt::format("socket: {}", std::strerror(errno)));
	if (::connect(socket_.get(), reinterpret_cast<const sockaddr *>(&*address),
		      sizeof(*address)) == 0)
		return greet(deadline);

	const std::string what =
		fmt::format("connect to BIRD, {}: {}", path_, std::strerror(errno));
	switch (errno) {
	case EAGAIN: // its queue is full of others that wait
		return give_up(Trouble::kHung, what, "BIRD accepts no connections: is it stopped?");
	case EACCES:
	case EPERM:
		return give_up(Trouble::kRefused, what,
			       "run as root, or as a member of the socket's group");
	default:
		return give_up(Trouble::kAbsent, what,
			       "is BIRD running (systemctl status bird), and is this its socket "
			       "([bird] socket)?");
	}
}

// "0001 BIRD 2.0.12 ready."
Status Client::greet(Deadline deadline)
{
	const auto greeting = receive(deadline);
	if (!greeting)
		return tl::unexpected(greeting.error());
	constexpr std::string_view kName = "BIRD ";
	const std::string text = greeting->last();
	if (greeting->code() != kReady || !text.starts_with(kName))
		return give_up(Trouble::kBroken, fmt::format("{}: not BIRD's greeting: \"{}\"",
							     path_, excerpt(text)));
	version_ = text.substr(kName.size(), text.find(' ', kName.size()) - kName.size());
	if (!version_.starts_with("2."))
		return give_up(Trouble::kRefused,
			       fmt::format("{}: BIRD {} is not supported", path_, version_),
			       "BIRD 2 is (tested: 2.0.12)");
	return {};
}

Status Client::send(std::string_view bytes, Deadline deadline)
{
	while (!bytes.empty()) {
		const ssize_t sent =
			::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
		if (sent >= 0) {
			bytes.remove_prefix(static_cast<std::size_t>(sent));
		} else if (errno == EAGAIN) {
			AX_TRY(await(POLLOUT, deadline));
		} else if (errno != EINTR) {
			return give_up(Trouble::kAbsent, fmt::format("BIRD has closed {}: {}",
								     path_, std::strerror(errno)));
		}
	}
	return {};
}

Result<Reply> Client::receive(Deadline deadline)
{
	ReplyParser parser(kMaxReply);
	std::string bytes = std::exchange(pending_, {});
	bytes.reserve(16384);
	for (;;) {
		const auto complete = parser.feed(bytes);
		if (!complete)
			return give_up(Trouble::kBroken,
				       fmt::format("{}: {}", path_, complete.error().what),
				       "is this BIRD's socket ([bird] socket)?");
		if (*complete) {
			pending_ = parser.rest();
			return parser.take();
		}
		// Before every read: somebody who never stops sending is late too.
		AX_TRY(await(POLLIN, deadline));
		bytes.resize(16384);
		const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
			bytes.clear();
			continue;
		}
		if (got <= 0)
			return give_up(Trouble::kAbsent,
				       fmt::format("BIRD has closed {} before the end of its reply",
						   path_));
		bytes.resize(static_cast<std::size_t>(got));
		answered_ = true;
	}
}

Result<Reply> Client::exchange(const std::string &command, Deadline deadline)
{
	if (!socket_.valid())
		AX_TRY(connect(deadline));
	answered_ = false;
	AX_TRY(send(command + "\n", deadline));
	auto reply = receive(deadline);
	// Somebody who answers what was not asked will do so again.
	if (reply && !pending_.empty() && !pending_.starts_with('+'))
		return give_up(Trouble::kBroken,
			       fmt::format("{}: more than one reply to \"{}\"", path_, command));
	return reply;
}

Result<Reply> Client::ask(const std::string &command, Deadline deadline)
{
	trouble_ = Trouble::kNone;
	if (command.find('\n') != command.npos)
		return fail(Exit::kFailed, "a command to BIRD is one line");
	const bool reused = socket_.valid();
	auto reply = exchange(command, deadline);
	// BIRD may have been restarted since the last command: that connection is gone, not BIRD.
	if (!reply && reused && trouble_ == Trouble::kAbsent && !answered_) {
		trouble_ = Trouble::kNone;
		reply = exchange(command, deadline);
	}
	return reply;
}

} // namespace anycast::bird
