// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The next hop towards a backend, by the kernel's routes and neighbours: what bpf_fib_lookup would
// find for each packet, found once. Where that is not the same for every packet there is none.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/address.h"
#include "util/fd.h"
#include "util/result.h"

struct mnl_socket;

namespace anycast {

struct NextHop {
	int ifindex = 0;
	std::array<std::uint8_t, 6> dmac{}, smac{};
	std::uint16_t mtu = 0; // the largest IP datagram
	bool operator==(const NextHop &) const = default;
};

// One look at the machine: what several backends share is asked for once.
class NextHopFinder {
public:
	// An error says why packets to it are looked up one by one.
	const Result<NextHop> &find(const Address &destination);

private:
	struct Device {
		std::string name, kind;
		std::uint32_t mtu = 0;
		std::array<std::uint8_t, 6> mac{};
		bool ethernet = false, running = false;
	};
	Result<Device> device(int ifindex);
	bool policy_routing(bool v4);
	Result<NextHop> look_up(const Address &destination);

	std::map<Address, Result<NextHop>> found_;
	std::map<int, Device> devices_;
	std::map<bool, bool> policy_; // by family, v4 is true
};

// Tells when a neighbour, a link, a route or a rule may have changed.
class RouteWatch {
public:
	static Result<RouteWatch> open();

	[[nodiscard]] int fd() const; // becomes readable
	// Takes what has come; true if something may have changed. Messages that did not fit into
	// the socket count as a change.
	bool changed();

private:
	struct Close {
		void operator()(mnl_socket *socket) const;
	};
	std::unique_ptr<mnl_socket, Close> socket_;
};

} // namespace anycast
