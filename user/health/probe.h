// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One run of one check. The engine starts it, and destroys it when it is done or out of time.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/address.h"
#include "core/check.h"
#include "util/fd.h"
#include "util/loop.h"
#include "util/result.h"

namespace anycast::health {

// To the VIP, but in the tunnel to this backend.
struct Tunnel {
	Address backend;
	std::optional<Address> source; // outer; none: the kernel's choice
	// Of ours in the other family: to ask a VIP from that is of another family than the
	// backend.
	std::optional<Address> other_source{};
	std::uint16_t gue_port = 0; // 0: IP in IP
	bool operator==(const Tunnel &) const = default;
};

// A check, and where it goes.
struct Target {
	std::string id; // "vip/www/0", "pool/web/b1/0"
	CheckSpec spec;
	Address address;
	std::uint16_t port = 0;
	std::optional<Tunnel> tunnel{}; // not for exec
	bool operator==(const Target &) const = default;
};

struct Outcome {
	bool good = false;
	std::string detail; // "connected", "status 503"; a line, made of what others sent
};
using Done = std::function<void(Outcome)>;

class TunnelProber;

class Probe {
public:
	virtual ~Probe() = default;
	[[nodiscard]] virtual std::string waiting_for() const = 0; // "an answer", for time-outs
};

// Done is called once, later, never from within these. An error is a bad outcome at once.
using Started = Result<std::unique_ptr<Probe>>;
Started start_tcp(Loop &loop, const Target &target, Done done);
Started start_udp(Loop &loop, TunnelProber &tunnel, const Target &target, Done done);
Started start_dns(Loop &loop, TunnelProber &tunnel, const Target &target, Done done);

// What an answer means; nothing: it is not ours, go on waiting.
using Judge = std::function<std::optional<Outcome>(std::span<const std::uint8_t>)>;
Started start_exchange(Loop &loop, TunnelProber &tunnel, const Target &target,
		       std::vector<std::uint8_t> request, Judge judge, Done done);

// Of somebody else's bytes: printable ASCII, at most `limit` of them.
std::string printable(std::string_view text, std::size_t limit);

struct SocketAddress {
	sockaddr_storage storage{};
	socklen_t length = 0;
	[[nodiscard]] const sockaddr *get() const
	{
		return reinterpret_cast<const sockaddr *>(&storage);
	}
};
SocketAddress socket_address(const Address &address, std::uint16_t port);

} // namespace anycast::health
