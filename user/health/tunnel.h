// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Checks of a backend by the clients' way: to the VIP, in the tunnel to that backend. The answer
// comes from the VIP, which is an address of this node too: its kernel would drop that as forged,
// so raw sockets send and packet sockets listen. Needs CAP_NET_RAW.
#pragma once

#include <cstdint>
#include <map>

#include "health/probe.h"
#include "health/tunnel_packet.h"

namespace anycast::health {

class TunnelProber {
public:
	explicit TunnelProber(Loop &loop);
	~TunnelProber();
	TunnelProber(const TunnelProber &) = delete;
	TunnelProber &operator=(const TunnelProber &) = delete;

	// A SYN; good is a SYN-ACK to it, which is answered by a reset.
	Started start_tcp(const Target &target, Done done);
	Started start_icmp(const Target &target, Done done);
	Started exchange(const Target &target, std::span<const std::uint8_t> request,
			 const Judge &judge, Done done);

	// A connection for somebody who wants a socket (libcurl): who connects to that one.
	class Stream {
	public:
		virtual ~Stream() = default;
		[[nodiscard]] virtual const std::string &socket() const = 0; // abstract
		// Why it came to nothing; empty: it has not.
		[[nodiscard]] virtual std::string trouble() const = 0;
		[[nodiscard]] virtual bool connected() const = 0;
	};
	Result<std::unique_ptr<Stream>> connect(const Target &target);

private:
	class Run;
	class Connection;
	// Nothing: not the answer, or there is more to come. Must not end the run itself.
	using Look = std::function<std::optional<Outcome>(const TunnelAnswer &)>;
	struct Waiting {
		InnerFlow flow;
		std::uint8_t protocol = 0;
		Look look;
		Done done;
	};

	Result<InnerFlow> flow_to(const Target &target);
	Status open(bool v4_answers);
	Status send(const Tunnel &tunnel, const Bytes &inner);
	Started wait(Waiting waiting);
	void receive(bool v4);
	void judge(const TunnelAnswer &answer);

	Loop &loop_;
	Fd send4_, send6_, hear4_, hear6_;
	std::map<std::uint16_t, Waiting> waiting_; // by our port
	std::uint16_t next_port_;
	std::uint32_t next_sequence_;
};

} // namespace anycast::health
