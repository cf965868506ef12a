// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Four real eBGP sessions of an edge, and forgers at a distance: IPv4 and IPv6 with BFD, one in a
// VLAN, and one with a peer that is a hop further away.
//
//   far 10.9.2.2 ---- router ==== lan0   10.9.0.0/24, 2001:db8:9::/64  eth0 ==== edge
//                            ==== tag0   10.9.1.0/24, tagged           eth1 ====
#pragma once

#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "core/drop_sample.h"
#include "support/cli.h"
#include "support/in_lab.h"
#include "support/protocols.h"
#include "support/raw_sender.h"
#include "support/sniffer.h"

namespace anycast::test {

inline constexpr int kSyns = 200, kFlood = 1000;

// One end of a session as the edge sees it, and the last TTL a forger can have.
struct Peer {
	const char *name; // of BIRD's protocol at the edge
	std::string local, address;
	const char *edge_nic, *router_nic;
	std::uint8_t forged_ttl; // the nearest a forger can be
	[[nodiscard]] bool six() const { return address.find(':') != std::string::npos; }
};

inline const std::vector<Peer> &peers()
{
	static const std::vector<Peer> list{
		{"near4", "10.9.0.2", "10.9.0.1", "eth0", "lan0", 254},
		{"near6", "2001:db8:9::2", "2001:db8:9::1", "eth0", "lan0", 254},
		{"tagged", "10.9.1.2", "10.9.1.1", "eth1", "tag0", 254},
		{"far", "10.9.0.2", "10.9.2.2", "eth0", "lan0", 253},
	};
	return list;
}

inline std::string protocol(const std::string &name, const std::string &local,
			    const std::string &peer, int local_as, int peer_as,
			    const std::string &more)
{
	const char *channel = peer.find(':') == std::string::npos ? "ipv4" : "ipv6";
	return fmt::format("protocol bgp {} {{ local {} as {}; neighbor {} as {}; {} connect delay "
			   "time 1; connect retry time 1; error wait time 1, 2; hold time 240; {} "
			   "{{ import none; export none; }}; }}\n",
			   name, local, local_as, peer, peer_as, more, channel);
}

inline std::string bird_config(const std::string &id, const std::string &interfaces)
{
	const int interval = slowness() > 1 ? 2000 : 300;
	return fmt::format("log stderr all;\nrouter id {};\nprotocol device {{ scan time 1; }}\n"
			   "protocol bfd {{ interface {} {{ min rx interval {} ms; min tx interval "
			   "{} ms; multiplier 5; }}; }}\n",
			   id, interfaces, interval, interval);
}

inline constexpr const char *kNear = "ttl security on; bfd on;";
inline constexpr const char *kFar = "multihop 2; ttl security on;";
// Only the edge connects. Of two connections that meet BIRD closes one, and if the edge's kernel
// still has something to say on it, the peer's answers with RSTs of TTL 64: to GTSM as forged.
inline constexpr const char *kWaits = " passive on;";

// A segment on the wire, of either family.
struct SeenSegment {
	DropSample head;
	std::uint8_t flags = 0;
	std::uint32_t next_seq = 0;
};

inline std::uint32_t long_at(const Bytes &frame, std::size_t at)
{
	return static_cast<std::uint32_t>(frame[at] << 24 | frame[at + 1] << 16 |
					  frame[at + 2] << 8 | frame[at + 3]);
}

inline std::optional<SeenSegment> segment_in(const Bytes &frame)
{
	SeenSegment seen;
	decode_frame(frame, seen.head);
	if (seen.head.protocol != 6 || !seen.head.source_port)
		return std::nullopt;
	const bool four = seen.head.source->is_v4();
	const std::size_t ip = 14 + 4 * seen.head.vlans.size();
	const std::size_t tcp = ip + (four ? (frame[ip] & 15U) * 4 : 40);
	const std::size_t end = ip + (four ? frame[ip + 2] * 256U + frame[ip + 3]
					   : 40 + frame[ip + 4] * 256U + frame[ip + 5]);
	if (frame.size() < tcp + 20)
		return std::nullopt;
	seen.flags = frame[tcp + 13];
	seen.next_seq = long_at(frame, tcp + 4) +
			static_cast<std::uint32_t>(end - tcp - (frame[tcp + 12] >> 4) * 4U) +
			((seen.flags & kSyn) != 0) + ((seen.flags & kFin) != 0);
	return seen;
}

class BgpSessions {
public:
	BgpSessions()
	{
		connect_veth({router, "lan0"}, {edge.netns, "eth0"}, 1500);
		connect_veth({router, "tag0"}, {edge.netns, "eth1"}, 1500);
		connect_veth({router, "far0"}, {far, "eth0"}, 1500);
		router.ip(
			"addr add 10.9.0.1/24 dev lan0\naddr add 2001:db8:9::1/64 dev lan0 nodad\n"
			"addr add 10.9.1.1/24 dev tag0\naddr add 10.9.2.1/24 dev far0");
		edge.netns.ip("addr add 10.9.0.2/24 dev eth0\n"
			      "addr add 2001:db8:9::2/64 dev eth0 nodad\n"
			      "addr add 10.9.1.2/24 dev eth1\nroute add default via 10.9.0.1");
		far.ip("addr add 10.9.2.2/24 dev eth0\nroute add default via 10.9.2.1");
		router.sysctl("net.ipv4.ip_forward", "1");
		edge.netns.sysctl("net.ipv4.tcp_syncookies", "1");
		programs.pass_xdp({router, "lan0"});
		programs.pass_xdp({router, "tag0"});
		programs.tag({router, "tag0"});
		programs.tag({edge.netns, "eth1"});
		for (const char *nic : {"lan0", "tag0"})
			wires_.emplace(nic, Sniffer({router, nic}));
		start_birds();
	}

	void await_up() const
	{
		const auto up = [&] {
			const auto bfd = edge.bird->bfd_sessions();
			return std::ranges::all_of(peers(), [&](const Peer &peer) {
				return edge.bird->established(peer.name) &&
				       (peer.address == "10.9.2.2" ||
					(bfd.contains(peer.address) &&
					 bfd.at(peer.address) == "Up"));
			});
		};
		if (!wait_until(milliseconds(30000), up))
			throw LabError("sessions do not come up:\n" +
				       edge.bird->ask("show protocols") +
				       edge.bird->ask("show bfd sessions"));
	}

	void attach() const
	{
		std::ostringstream out;
		out << "[node]\nname = \"edge\"\nhash_seed = \"0123456789abcdef0123456789abcdef\"\n"
		       "interfaces = [\"eth0\", \"eth1\"]\nroles = [\"edge\"]\n[gtsm]\n"
		       "local = [\"10.9.0.2\", \"10.9.1.2\", \"2001:db8:9::2\"]\n";
		for (const Peer &peer : peers())
			out << "[[gtsm.peers]]\naddress = \"" << peer.address
			    << "\"\nhops = " << 255 - peer.forged_ttl << "\n";
		cli.expect(edge.netns, {"attach", "--config", write_config(edge, out.str())});
	}

	// In the peer's name, onto the wire that leads to the edge.
	void forge(const Peer &peer, std::uint8_t ttl, const Tcp &tcp) const
	{
		send(peer, packet(peer.address, peer.local, ttl, tcp, peer.six()));
	}
	// The same of a packet that is no segment of the session, or does not look like one, and by
	// way of another address of the edge. MTU 600 and 1300, as forge_too_big().
	void forge_too_big_about(const Peer &peer, std::uint8_t ttl, const Packet &quoted) const
	{
		send(peer, too_big(peer, ttl, quoted));
	}
	// In two fragments, the first of which has `bytes` of the message.
	void forge_fragmented(const Peer &peer, std::uint8_t ttl, const Packet &quoted,
			      std::size_t bytes) const
	{
		const Packet whole = too_big(peer, ttl, quoted);
		const Ip4 ip{.src = "203.0.113.66", .dst = peer.local, .id = 77, .ttl = ttl};
		Ip4 first = ip, second = ip;
		first.mf = true;
		first.protocol = second.protocol = kIcmp;
		second.offset = static_cast<std::uint16_t>(bytes / 8);
		send(peer, Eth{} / first / whole.slice(34, bytes));
		send(peer, Eth{} / second / whole.slice(34 + bytes));
	}
	// A router on the way says that our segments are too large.
	void forge_too_big(const Peer &peer, std::uint8_t ttl, const SeenSegment &ours) const
	{
		const Packet quoted = packet(peer.local, peer.address, 255,
					     {.sport = *ours.head.source_port,
					      .dport = *ours.head.destination_port,
					      .seq = ours.next_seq},
					     peer.six());
		send(peer, too_big(peer, ttl, quoted));
	}

	// From an address where nobody answers the answers.
	void flood() const
	{
		for (int i = 0; i < kFlood; i++)
			send(peers()[0], packet("10.9.0.77", peers()[0].local, 64,
						{.sport = static_cast<std::uint16_t>(1024 + i),
						 .dport = 179,
						 .flags = kSyn},
						false));
	}

	// How many of kSyns SYNs are answered.
	int answered(const Peer &peer, std::uint8_t ttl, std::uint16_t first_port)
	{
		Sniffer &wire = wires_.at(peer.router_nic);
		wire.frames();
		for (int i = 0; i < kSyns; i++)
			forge(peer, ttl,
			      {.sport = static_cast<std::uint16_t>(first_port + i),
			       .dport = 179,
			       .seq = 1000,
			       .flags = kSyn});
		std::vector<bool> answered(kSyns);
		const auto count = [&] {
			for (const Bytes &frame : wire.frames()) {
				const auto seen = segment_in(frame);
				if (!seen || seen->flags != (kSyn | kAck))
					continue;
				const int port = *seen->head.destination_port - first_port;
				if (port >= 0 && port < kSyns)
					answered[static_cast<std::size_t>(port)] = true;
			}
			return static_cast<int>(std::ranges::count(answered, true));
		};
		wait_until(milliseconds(2000), [&] { return count() == kSyns; });
		return count();
	}

	// The last segment of the session that went that way.
	SeenSegment last(const Peer &peer, const std::string &from)
	{
		std::optional<SeenSegment> found;
		const auto look = [&] {
			for (const Bytes &frame : wires_.at(peer.router_nic).frames()) {
				const auto seen = segment_in(frame);
				if (seen && seen->head.source->text() == from &&
				    (seen->head.source->text() == peer.local
					     ? seen->head.destination->text() == peer.address
					     : seen->head.destination->text() == peer.local) &&
				    (seen->flags & (kSyn | kRst)) == 0 && *seen->head.ttl > 200)
					found = seen;
			}
			return found.has_value();
		};
		// A word of BGP at once, instead of waiting for a keepalive.
		look();
		ask_for_words(peer);
		if (!wait_until(milliseconds(5000), look))
			throw LabError(std::string("no segment of ") + peer.name);
		std::this_thread::sleep_for(milliseconds(300));
		look();
		return *found;
	}

	// A counter of the edge's kernel, from /proc/net/netstat.
	[[nodiscard]] std::uint64_t kernel_counter(const std::string &name) const
	{
		return edge.netns.run([&] {
			std::ifstream file("/proc/thread-self/net/netstat");
			for (std::string names, values; std::getline(file, names);) {
				std::getline(file, values);
				std::istringstream a(names), b(values);
				for (std::string key, value; a >> key && b >> value;)
					if (key == name)
						return std::stoull(value);
			}
			throw LabError("no counter " + name);
		});
	}
	[[nodiscard]] bool mtu_was_lowered(const Peer &peer) const
	{
		const Output route = run(edge.netns, {"ip", "route", "get", peer.address});
		return route.out.find(peer.six() ? "mtu 1300" : "mtu 600") != std::string::npos;
	}
	void forget_mtu() const
	{
		for (const char *family : {"-4", "-6"})
			run(edge.netns, {"ip", family, "route", "flush", "cache"});
	}
	Sniffer &wire(const std::string &router_nic) { return wires_.at(router_nic); }
	[[nodiscard]] std::uint64_t dropped(const std::string &rule) const
	{
		return cli.drops(edge.netns).of(rule);
	}

	Netns router{"router"}, far{"far"};
	Node edge{"edge", 2};
	LabPrograms programs;
	Cli cli;
	std::optional<Bird> router_bird, far_bird;

private:
	static Packet packet(const std::string &from, const std::string &to, std::uint8_t ttl,
			     const Tcp &tcp, bool six)
	{
		if (six)
			return Eth{} / Ip6{.src = from, .dst = to, .hop_limit = ttl} / tcp;
		return Eth{} / Ip4{.src = from, .dst = to, .ttl = ttl} / tcp;
	}

	static Packet too_big(const Peer &peer, std::uint8_t ttl, const Packet &quoted)
	{
		if (peer.six())
			return Eth{} /
			       Ip6{.src = "2001:db8:66::6", .dst = peer.local, .hop_limit = ttl} /
			       Icmp6{.type = 2, .mtu = 1300} / quoted.slice(14);
		return Eth{} / Ip4{.src = "203.0.113.66", .dst = peer.local, .ttl = ttl} /
		       Icmp4{.type = 3, .code = 4, .seq = 600} / quoted.slice(14, 28);
	}

	void send(const Peer &peer, const Packet &packet) const
	{
		const RawSender sender({router, peer.router_nic});
		Bytes frame = packet.bytes();
		std::ranges::copy(mac_of({edge.netns, peer.edge_nic}), frame.begin());
		std::ranges::copy(sender.mac(), frame.begin() + 6);
		sender.send(frame);
	}

	// Keepalives come every 80 s; a refresh of routes makes both ends speak.
	void ask_for_words(const Peer &peer) const
	{
		(void)edge.bird->ask(std::string("reload in ") + peer.name);
		(void)router_bird->ask("reload in all");
		(void)far_bird->ask("reload in all");
	}

	void start_birds()
	{
		std::string here = bird_config("10.9.0.2", "\"eth*\"");
		std::string there = bird_config("10.9.0.1", "\"*0\"");
		for (const Peer &peer : peers()) {
			const bool is_far = peer.address == "10.9.2.2";
			here += protocol(peer.name, peer.local, peer.address, 64512,
					 is_far ? 64502 : 64500, is_far ? kFar : kNear);
			if (!is_far)
				there += protocol(peer.name, peer.address, peer.local, 64500, 64512,
						  std::string(kNear) + kWaits);
		}
		edge.bird.emplace(edge.netns, here);
		router_bird.emplace(router, there);
		far_bird.emplace(far, bird_config("10.9.2.2", "\"none\"") +
					      protocol("far", "10.9.2.2", "10.9.0.2", 64502, 64512,
						       std::string(kFar) + kWaits));
	}

	std::map<std::string, Sniffer> wires_;
};

} // namespace anycast::test
