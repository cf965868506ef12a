// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A network namespace of the lab, and the links in it. Only for use inside run_isolated().
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "util/fd.h"

namespace anycast::test {

class Netns {
public:
	explicit Netns(std::string name); // also visible as /run/netns/NAME inside the lab

	[[nodiscard]] const std::string &name() const { return name_; }
	[[nodiscard]] int fd() const { return fd_.get(); }

	// Calls `function` with this thread in the namespace. Sockets made there stay there.
	template <typename F> decltype(auto) run(F &&function) const
	{
		const Inside inside(fd_.get());
		return std::forward<F>(function)();
	}

	void ip(std::string_view commands) const; // one `ip` command a line, without "ip"
	void sysctl(const std::string &key,
		    const std::string &value) const; // "net.ipv4.ip_forward"
	[[nodiscard]] bool has_sysctl(const std::string &key) const;

	// The namespace's own view of /sys, mounted below the lab's directory at first use.
	[[nodiscard]] std::string sysfs() const;

private:
	class Inside {
	public:
		explicit Inside(int target);
		~Inside();
		Inside(const Inside &) = delete;
		Inside &operator=(const Inside &) = delete;

	private:
		Fd back_;
	};

	std::string name_;
	Fd fd_;
};

// One end of a veth pair.
struct LinkEnd {
	const Netns &netns;
	std::string name;
};

// Both ends up, and without any offload: XDP must see wire packets with finished checksums.
void connect_veth(const LinkEnd &a, const LinkEnd &b, unsigned mtu);
void disable_offloads(const LinkEnd &end);

// Packets that arrive here are handled on that CPU from here on, as a queue pinned to one CPU does
// it. Per-CPU flow tables see a flow on one CPU only if all its packets take the same one.
void receive_on_cpu(const LinkEnd &end, unsigned cpu);

// A line of that many Mbit/s instead of an endless one: packets queue where they leave `end`, and a
// loaded line's round trips take milliseconds.
void shape(const LinkEnd &end, unsigned mbit);

// An interface that carries addresses and no traffic: dummy, or a bridge without ports where the
// kernel has no dummy.
void add_dummy(const Netns &netns, const std::string &name);

} // namespace anycast::test
