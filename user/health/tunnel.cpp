// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "health/tunnel.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/epoll.h>

#include <array>
#include <random>

#include <fmt/format.h>

namespace anycast::health {

namespace {

// Above what Linux gives to others by default (ip_local_port_range); the filter knows them.
constexpr std::uint16_t kFirstPort = 64512, kPorts = 1024;

// TCP and UDP to those ports, and echo replies with such an identifier, no fragments; what else
// arrives costs these few instructions.
Status listen_for_answers(const Fd &fd, bool v4)
{
	constexpr std::uint32_t kWhole = 0x40000, kLast = kFirstPort + kPorts - 1;
	std::array<sock_filter, 16> v4_code{{
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 13, 0),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMP, 2, 8),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
		BPF_JUMP(BPF_JMP | BPF_JA, 3, 0, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP_ECHOREPLY, 0, 4),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 4),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kFirstPort, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, kLast, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, kWhole),
		BPF_STMT(BPF_RET | BPF_K, 0),
	}};
	std::array<sock_filter, 13> v6_code{{
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 2, 8),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 42),
		BPF_JUMP(BPF_JMP | BPF_JA, 3, 0, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 40),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP6_ECHO_REPLY, 0, 4),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 44),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kFirstPort, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, kLast, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, kWhole),
		BPF_STMT(BPF_RET | BPF_K, 0),
	}};
	const sock_fprog program =
		v4 ? sock_fprog{static_cast<unsigned short>(v4_code.size()), v4_code.data()}
		   : sock_fprog{static_cast<unsigned short>(v6_code.size()), v6_code.data()};
	if (setsockopt(fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		return fail_errno("filter of the checks' answers", errno);
	// Only now may it hear anything.
	sockaddr_ll at{};
	at.sll_family = AF_PACKET;
	at.sll_protocol = htons(v4 ? ETH_P_IP : ETH_P_IPV6);
	if (bind(fd.get(), reinterpret_cast<const sockaddr *>(&at), sizeof(at)))
		return fail_errno("listen for the checks' answers", errno);
	return {};
}

// What the kernel would send from; unspecified: there is no way there.
Address source_towards(const Address &destination)
{
	const Fd fd(socket(destination.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	const SocketAddress to = socket_address(destination, 9);
	sockaddr_storage own{};
	socklen_t length = sizeof(own);
	if (!fd.valid() || connect(fd.get(), to.get(), to.length) ||
	    getsockname(fd.get(), reinterpret_cast<sockaddr *>(&own), &length))
		return {};
	if (own.ss_family == AF_INET)
		return Address::v4(
			ntohl(reinterpret_cast<const sockaddr_in &>(own).sin_addr.s_addr));
	ax_addr raw{};
	std::memcpy(&raw, &reinterpret_cast<const sockaddr_in6 &>(own).sin6_addr, sizeof(raw));
	return Address(raw);
}

} // namespace

class TunnelProber::Run : public Probe {
public:
	Run(TunnelProber &prober, std::uint16_t port) : prober_(prober), port_(port) {}
	~Run() override { prober_.waiting_.erase(port_); }
	[[nodiscard]] std::string waiting_for() const override
	{
		return "an answer from the VIP, through the tunnel";
	}

private:
	TunnelProber &prober_;
	std::uint16_t port_;
};

TunnelProber::TunnelProber(Loop &loop) : loop_(loop)
{
	std::random_device entropy;
	next_port_ = static_cast<std::uint16_t>(entropy() % kPorts);
	next_sequence_ = entropy();
}

TunnelProber::~TunnelProber()
{
	for (const Fd *fd : {&hear4_, &hear6_})
		if (fd->valid())
			loop_.forget(fd->get());
}

Status TunnelProber::open(bool v4)
{
	Fd &hear = v4 ? hear4_ : hear6_;
	if (hear.valid())
		return {};
	// Protocol 0: deaf until its filter is there.
	Fd opened(socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	if (!opened.valid())
		return fail_errno("packet socket", errno,
				  "checks through the tunnel need the capability CAP_NET_RAW");
	AX_TRY(listen_for_answers(opened, v4));
	AX_TRY(loop_.watch(opened.get(), EPOLLIN, [this, v4](std::uint32_t) { receive(v4); }));
	hear = std::move(opened);
	return {};
}

Status TunnelProber::send(const Tunnel &tunnel, const Bytes &inner)
{
	const bool v4 = tunnel.backend.is_v4();
	Fd &fd = v4 ? send4_ : send6_;
	if (!fd.valid()) // IPPROTO_RAW: with our own IP header
		fd = Fd(socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
			       IPPROTO_RAW));
	if (!fd.valid())
		return fail_errno("raw socket", errno,
				  "checks through the tunnel need the capability CAP_NET_RAW");
	Address source = tunnel.source.value_or(Address());
	if (!tunnel.source && !v4)
		source = source_towards(tunnel.backend);
	const Bytes outer = in_tunnel(source, tunnel.backend, inner, tunnel.gue_port);
	const SocketAddress to = socket_address(tunnel.backend, 0);
	if (sendto(fd.get(), outer.data(), outer.size(), 0, to.get(), to.length) < 0)
		return fail_errno("send to " + tunnel.backend.text(), errno);
	return {};
}

// From an address that the backend can answer to.
Result<InnerFlow> TunnelProber::flow_to(const Target &target)
{
	const Tunnel &tunnel = *target.tunnel;
	const bool v4 = target.address.is_v4();
	InnerFlow flow{
		.source = {}, .vip = target.address, .source_port = 0, .vip_port = target.port};
	if (tunnel.backend.is_v4() == v4)
		flow.source = source_towards(tunnel.backend);
	else if (tunnel.other_source && tunnel.other_source->is_v4() == v4)
		flow.source = *tunnel.other_source;
	if (flow.source.is_unspecified() || flow.source.is_v4() != v4)
		return fail(Exit::kFailed,
			    fmt::format("no address of its own to ask {} from through {}",
					target.address.text(), tunnel.backend.text()),
			    "give [tunnel] source_v4 and source_v6");
	for (unsigned tries = 0; tries < kPorts; tries++) {
		next_port_ = static_cast<std::uint16_t>((next_port_ + 1) % kPorts);
		flow.source_port = static_cast<std::uint16_t>(kFirstPort + next_port_);
		if (!waiting_.contains(flow.source_port))
			return flow;
	}
	return fail(Exit::kFailed, fmt::format("{} checks wait for their answers already", kPorts));
}

Started TunnelProber::wait(Waiting waiting)
{
	const std::uint16_t port = waiting.flow.source_port;
	waiting_[port] = std::move(waiting);
	return std::make_unique<Run>(*this, port);
}

Started TunnelProber::start_tcp(const Target &target, Done done)
{
	AX_TRY(open(target.address.is_v4()));
	const auto flow = flow_to(target);
	if (!flow)
		return tl::unexpected(flow.error());
	next_sequence_ += 0x10001;
	AX_TRY(send(*target.tunnel,
		    tcp_packet(*flow, {.sequence = next_sequence_, .flags = kTcpSyn})));
	const auto look = [this, flow = *flow, tunnel = *target.tunnel, after = next_sequence_ + 1](
				  const TunnelAnswer &answer) -> std::optional<Outcome> {
		if (!(answer.flags & kTcpAck) || answer.acknowledged != after)
			return std::nullopt;
		if (!(answer.flags & kTcpSyn) || answer.flags & kTcpReset)
			return Outcome{false, "refused, through the tunnel"};
		// Do not leave the server with half a connection.
		(void)send(tunnel, tcp_packet(flow, {.sequence = after, .flags = kTcpReset}));
		return Outcome{true, "answers through the tunnel"};
	};
	return wait({*flow, IPPROTO_TCP, look, std::move(done)});
}

Started TunnelProber::start_icmp(const Target &target, Done done)
{
	const bool v4 = target.address.is_v4();
	AX_TRY(open(v4));
	const auto flow = flow_to(target);
	if (!flow)
		return tl::unexpected(flow.error());
	const auto number = static_cast<std::uint16_t>(++next_sequence_);
	AX_TRY(send(*target.tunnel, echo_packet(*flow, number)));
	const auto look = [number](const TunnelAnswer &answer) -> std::optional<Outcome> {
		if (answer.sequence != number)
			return std::nullopt;
		return Outcome{true, "echo reply, through the tunnel"};
	};
	return wait({*flow, v4 ? std::uint8_t{IPPROTO_ICMP} : std::uint8_t{IPPROTO_ICMPV6}, look,
		     std::move(done)});
}

Started TunnelProber::exchange(const Target &target, std::span<const std::uint8_t> request,
			       const Judge &judge, Done done)
{
	AX_TRY(open(target.address.is_v4()));
	const auto flow = flow_to(target);
	if (!flow)
		return tl::unexpected(flow.error());
	AX_TRY(send(*target.tunnel, udp_packet(*flow, request)));
	return wait({*flow, IPPROTO_UDP,
		     [judge](const TunnelAnswer &answer) { return judge(answer.payload); },
		     std::move(done)});
}

void TunnelProber::receive(bool v4)
{
	std::array<std::uint8_t, 65536> buffer;
	for (int packets = 0; packets < 64; packets++) { // the loop has other work too
		const ssize_t got =
			recv((v4 ? hear4_ : hear6_).get(), buffer.data(), buffer.size(), 0);
		if (got <= 0)
			return;
		if (const auto answer =
			    parse_answer({buffer.data(), static_cast<std::size_t>(got)}))
			judge(*answer);
	}
}

void TunnelProber::judge(const TunnelAnswer &answer)
{
	const auto found = waiting_.find(answer.flow.source_port);
	if (found == waiting_.end() || found->second.flow != answer.flow ||
	    answer.protocol != found->second.protocol)
		return;
	auto outcome = found->second.look(answer);
	if (!outcome)
		return;
	const Done done = std::move(found->second.done);
	waiting_.erase(found);
	done(std::move(*outcome));
}

} // namespace anycast::health
