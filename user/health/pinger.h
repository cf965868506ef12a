// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// ICMP and ICMPv6 echo. One raw socket a family serves all checks: a raw socket sees every reply,
// so one for each check would look at the square of their number. Needs CAP_NET_RAW.
#pragma once

#include <cstdint>
#include <map>

#include "health/probe.h"

namespace anycast::health {

class Pinger {
public:
	explicit Pinger(Loop &loop);
	~Pinger();
	Pinger(const Pinger &) = delete;
	Pinger &operator=(const Pinger &) = delete;

	Started start(const Target &target, Done done);

private:
	class Echo;
	struct Waiting {
		Address from;
		Done done;
	};

	Status open(bool v4);
	void receive(bool v4);
	void forget(std::uint32_t key) { waiting_.erase(key); }

	Loop &loop_;
	Fd v4_, v6_;
	std::map<std::uint32_t, Waiting> waiting_; // by identifier and sequence number
	std::uint32_t next_;
};

} // namespace anycast::health
