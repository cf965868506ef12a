// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// tcp: connects. udp: one datagram out, the right one back.
#include <netinet/in.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include <fmt/format.h>

#include "health/probe.h"
#include "health/tunnel.h"

namespace anycast::health {

std::string printable(std::string_view text, std::size_t limit)
{
	std::string out;
	for (const char c : text.substr(0, limit))
		out += c >= 0x20 && c < 0x7f ? c : c == '\n' || c == '\t' ? ' ' : '?';
	while (out.ends_with(' '))
		out.pop_back();
	return out;
}

SocketAddress socket_address(const Address &address, std::uint16_t port)
{
	SocketAddress result;
	if (address.is_v4()) {
		auto &v4 = reinterpret_cast<sockaddr_in &>(result.storage);
		v4.sin_family = AF_INET;
		v4.sin_port = htons(port);
		v4.sin_addr.s_addr = htonl(address.v4_host_order());
		result.length = sizeof(v4);
	} else {
		auto &v6 = reinterpret_cast<sockaddr_in6 &>(result.storage);
		v6.sin6_family = AF_INET6;
		v6.sin6_port = htons(port);
		std::memcpy(&v6.sin6_addr, address.bytes().data(), 16);
		result.length = sizeof(v6);
	}
	return result;
}

namespace {

Result<Fd> open_socket(const Target &target, int type)
{
	Fd fd(socket(target.address.is_v4() ? AF_INET : AF_INET6,
		     type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	if (!fd.valid())
		return fail_errno("socket", errno);
	return fd;
}

std::string from_hex(std::string_view digits) // an even number of them
{
	std::string bytes;
	for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
		unsigned byte = 0;
		std::from_chars(digits.data() + i, digits.data() + i + 2, byte, 16);
		bytes += static_cast<char>(byte);
	}
	return bytes;
}

class Connecting : public Probe {
public:
	Connecting(Loop &loop, Fd fd, Done done)
		: loop_(loop), fd_(std::move(fd)), done_(std::move(done))
	{
	}
	~Connecting() override { loop_.forget(fd_.get()); }
	Status start(const SocketAddress &to)
	{
		if (connect(fd_.get(), to.get(), to.length) && errno != EINPROGRESS)
			return fail_errno("connect", errno);
		return loop_.watch(fd_.get(), EPOLLOUT, [this](std::uint32_t) { ready(); });
	}
	[[nodiscard]] std::string waiting_for() const override { return "the connection"; }

private:
	void ready()
	{
		int error = 0;
		socklen_t length = sizeof(error);
		getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
		loop_.forget(fd_.get());
		// A thousand checks a second would hold 60,000 ports in TIME_WAIT, more than there
		// are: end with a reset.
		const linger reset{.l_onoff = 1, .l_linger = 0};
		setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		done_(error ? Outcome{false, std::strerror(error)} : Outcome{true, "connected"});
	}

	Loop &loop_;
	Fd fd_;
	Done done_;
};

class Exchange : public Probe {
public:
	Exchange(Loop &loop, Fd fd, Judge judge, Done done)
		: loop_(loop), fd_(std::move(fd)), judge_(std::move(judge)), done_(std::move(done))
	{
	}
	~Exchange() override { loop_.forget(fd_.get()); }
	Status start(const SocketAddress &to, std::span<const std::uint8_t> request)
	{
		// Connected: only answers from there arrive, and ICMP errors too.
		if (connect(fd_.get(), to.get(), to.length))
			return fail_errno("connect", errno);
		if (send(fd_.get(), request.data(), request.size(), 0) < 0)
			return fail_errno("send", errno);
		return loop_.watch(fd_.get(), EPOLLIN, [this](std::uint32_t) { ready(); });
	}
	[[nodiscard]] std::string waiting_for() const override { return "an answer"; }

private:
	void ready()
	{
		std::array<std::uint8_t, 65536> buffer;
		const ssize_t got = recv(fd_.get(), buffer.data(), buffer.size(), 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		std::optional<Outcome> outcome;
		if (got < 0)
			outcome = Outcome{false, std::strerror(errno)};
		else
			outcome = judge_({buffer.data(), static_cast<std::size_t>(got)});
		if (!outcome)
			return;
		loop_.forget(fd_.get());
		done_(std::move(*outcome));
	}

	Loop &loop_;
	Fd fd_;
	Judge judge_;
	Done done_;
};

} // namespace

Started start_tcp(Loop &loop, const Target &target, Done done)
{
	auto fd = open_socket(target, SOCK_STREAM);
	if (!fd)
		return tl::unexpected(std::move(fd.error()));
	auto probe = std::make_unique<Connecting>(loop, std::move(*fd), std::move(done));
	AX_TRY(probe->start(socket_address(target.address, target.port)));
	return probe;
}

Started start_exchange(Loop &loop, TunnelProber &tunnel, const Target &target,
		       std::vector<std::uint8_t> request, Judge judge, Done done)
{
	if (target.tunnel)
		return tunnel.exchange(target, request, std::move(judge), std::move(done));
	auto fd = open_socket(target, SOCK_DGRAM);
	if (!fd)
		return tl::unexpected(std::move(fd.error()));
	auto probe =
		std::make_unique<Exchange>(loop, std::move(*fd), std::move(judge), std::move(done));
	AX_TRY(probe->start(socket_address(target.address, target.port), request));
	return probe;
}

Started start_udp(Loop &loop, TunnelProber &tunnel, const Target &target, Done done)
{
	const CheckSpec &spec = target.spec;
	const std::string payload = spec.hex ? from_hex(spec.payload) : spec.payload;
	auto judge = [expect = spec.hex ? from_hex(spec.expect) : spec.expect](
			     std::span<const std::uint8_t> answer) -> std::optional<Outcome> {
		const std::string_view text(reinterpret_cast<const char *>(answer.data()),
					    answer.size());
		if (text.find(expect) != text.npos)
			return Outcome{true, fmt::format("{} bytes", answer.size())};
		return Outcome{false, fmt::format("another answer: \"{}\"", printable(text, 80))};
	};
	return start_exchange(loop, tunnel, target, {payload.begin(), payload.end()},
			      std::move(judge), std::move(done));
}

} // namespace anycast::health
