// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A connection through a tunnel, as a socket that libcurl can use.
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>

#include "health/tunnel.h"
#include "health/tunnel_tcp.h"

namespace anycast::health {

namespace {

constexpr Milliseconds kFirstWait{200}, kLongestWait{2000};
constexpr int kTries = 8;

// Where the VIP is no address of this node, its kernel takes the answers for a connection that it
// does not know, and would reset it. A listener that hears nothing keeps it quiet.
Result<Fd> silence_kernel(const InnerFlow &flow)
{
	Fd fd(socket(flow.source.is_v4() ? AF_INET : AF_INET6,
		     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	const sock_fprog program{1, &drop};
	const SocketAddress own = socket_address(flow.source, flow.source_port);
	if (!fd.valid() ||
	    setsockopt(fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ||
	    bind(fd.get(), own.get(), own.length) || listen(fd.get(), 1))
		return fail_errno("keep a port for the check", errno);
	return fd;
}

// Named by the kernel. (A pair would do, if libcurl 7.88 did not connect what is connected.)
Result<Fd> listen_for_ourselves(std::string &name)
{
	Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	sockaddr_un own{};
	own.sun_family = AF_UNIX;
	socklen_t length = sizeof(own);
	if (!fd.valid() ||
	    bind(fd.get(), reinterpret_cast<const sockaddr *>(&own), sizeof(own.sun_family)) ||
	    listen(fd.get(), 8) ||
	    getsockname(fd.get(), reinterpret_cast<sockaddr *>(&own), &length))
		return fail_errno("socket for the check", errno);
	name.assign(own.sun_path + 1, length - sizeof(own.sun_family) - 1);
	return fd;
}

bool is_ourselves(const Fd &peer)
{
	ucred who{};
	socklen_t length = sizeof(who);
	return getsockopt(peer.get(), SOL_SOCKET, SO_PEERCRED, &who, &length) == 0 &&
	       who.pid == getpid();
}

} // namespace

class TunnelProber::Connection : public Stream {
public:
	Connection(TunnelProber &prober, const InnerFlow &flow, Tunnel tunnel, Fd quiet,
		   Fd listener, std::string name)
		: prober_(prober), flow_(flow), tunnel_(tunnel), quiet_(std::move(quiet)),
		  listener_(std::move(listener)), name_(std::move(name)),
		  tcp_(
			  prober.next_sequence_ += 0x10001,
			  [this](const Segment &segment) { send(segment); },
			  [this](std::span<const std::uint8_t> data) { return take(data); })
	{
	}
	~Connection() override
	{
		tcp_.reset();
		end();
		prober_.waiting_.erase(flow_.source_port);
	}
	Connection(const Connection &) = delete;
	Connection &operator=(const Connection &) = delete;

	Status start()
	{
		AX_TRY(prober_.loop_.watch(listener_.get(), EPOLLIN,
					   [this](std::uint32_t) { take_peer(); }));
		tcp_.open();
		if (!trouble_.empty())
			return fail(Exit::kFailed, trouble_);
		arm();
		const auto look = [this](const TunnelAnswer &answer) -> std::optional<Outcome> {
			tcp_.answer(answer);
			go_on();
			return std::nullopt;
		};
		prober_.waiting_[flow_.source_port] = {flow_, IPPROTO_TCP, look, {}};
		return {};
	}
	[[nodiscard]] const std::string &socket() const override { return name_; }
	[[nodiscard]] std::string trouble() const override { return trouble_; }
	[[nodiscard]] bool connected() const override
	{
		return tcp_.state() != TunnelTcp::State::kOpening;
	}

private:
	void take_peer()
	{
		Fd peer(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
		if (!peer.valid() || !is_ourselves(peer))
			return;
		prober_.loop_.forget(listener_.get());
		listener_.reset();
		peer_ = std::move(peer);
		go_on();
	}
	void send(const Segment &segment)
	{
		const Status sent = prober_.send(tunnel_, tcp_packet(flow_, segment));
		trouble_ = sent ? "" : sent.error().message();
	}
	// As much as libcurl's end has room for; the rest is sent again.
	std::size_t take(std::span<const std::uint8_t> data)
	{
		const ssize_t taken =
			::send(peer_.get(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
		return taken > 0 ? static_cast<std::size_t>(taken) : 0;
	}
	void arm()
	{
		prober_.loop_.cancel(timer_);
		timer_ = prober_.loop_.at(Loop::Clock::now() + wait_, [this] {
			timer_ = 0;
			wait_ = std::min(wait_ * 2, kLongestWait);
			tcp_.again();
			arm();
		});
	}
	// After each answer: what the state asks for.
	void go_on()
	{
		switch (tcp_.state()) {
		case TunnelTcp::State::kOpening:
			return;
		case TunnelTcp::State::kRefused:
			return give_up("refused, through the tunnel");
		case TunnelTcp::State::kReset:
			return give_up("reset, through the tunnel");
		case TunnelTcp::State::kEnded:
			if (peer_.valid())
				shutdown(peer_.get(), SHUT_WR);
			break;
		case TunnelTcp::State::kOpen:
			break;
		}
		if (!tcp_.idle() || !peer_.valid())
			return;
		prober_.loop_.cancel(timer_);
		timer_ = 0;
		wait_ = kFirstWait;
		(void)prober_.loop_.watch(peer_.get(), EPOLLIN,
					  [this](std::uint32_t) { pass_on(); });
	}
	void pass_on()
	{
		std::array<std::uint8_t, TunnelTcp::kPiece> piece;
		const ssize_t got = recv(peer_.get(), piece.data(), piece.size(), MSG_DONTWAIT);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		prober_.loop_.forget(peer_.get()); // until that is acknowledged, or for good
		if (got <= 0)
			return;
		tcp_.write(std::span(piece).first(static_cast<std::size_t>(got)));
		arm();
	}
	void give_up(const char *why)
	{
		trouble_ = why;
		end();
	}
	void end()
	{
		prober_.loop_.cancel(timer_);
		timer_ = 0;
		for (Fd *fd : {&listener_, &peer_})
			if (fd->valid()) {
				prober_.loop_.forget(fd->get());
				fd->reset();
			}
	}

	TunnelProber &prober_;
	InnerFlow flow_;
	Tunnel tunnel_;
	Fd quiet_, listener_, peer_;
	std::string name_;
	TunnelTcp tcp_;
	std::string trouble_;
	Milliseconds wait_ = kFirstWait;
	Loop::Timer timer_ = 0;
};

Result<std::unique_ptr<TunnelProber::Stream>> TunnelProber::connect(const Target &target)
{
	AX_TRY(open(target.address.is_v4()));
	auto flow = flow_to(target);
	auto quiet = flow ? silence_kernel(*flow) : tl::unexpected(flow.error());
	for (int tries = 0; flow && !quiet && tries < kTries; tries++) { // somebody else's port
		flow = flow_to(target);
		quiet = flow ? silence_kernel(*flow) : tl::unexpected(flow.error());
	}
	if (!quiet)
		return tl::unexpected(std::move(quiet.error()));
	std::string name;
	auto listener = listen_for_ourselves(name);
	if (!listener)
		return tl::unexpected(std::move(listener.error()));
	auto connection =
		std::make_unique<Connection>(*this, *flow, *target.tunnel, std::move(*quiet),
					     std::move(*listener), std::move(name));
	AX_TRY(connection->start());
	return connection;
}

} // namespace anycast::health
