// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/cases.h"

#include <algorithm>

#include <anycast_xdp/mark.h>
#include <fmt/format.h>

#include "support/builds.h"

namespace anycast::bench {

namespace {

using test::Arp, test::Eth, test::Icmp4, test::Icmp6, test::Ip4, test::Ip6Frag, test::Ip6,
	test::Packet, test::Payload, test::Tcp, test::Udp, test::Vlan;

constexpr std::uint32_t k1K = 1 << 10, k16K = 1 << 14, k131K = 1 << 17, k1M = 1 << 20,
			k4M = 1 << 22;

Tcp segment(std::uint8_t flags = test::kAck)
{
	return {.dport = 80,
		.flags = flags,
		.options = test::join({test::nop(), test::nop(), test::timestamps(1, 1)})};
}

Tcp first_segment()
{
	return {.dport = 80,
		.flags = test::kSyn,
		.options = test::join({test::mss(1460), test::sack_permitted(),
				       test::timestamps(1, 0), test::nop(), test::Bytes{3, 3, 7}})};
}

// The wrapper rotates sources from here on.
Ip4 to_vip4(const char *address = kVip4)
{
	return {.src = "104.1.0.1", .dst = address};
}

Packet tcp4(Packet link = Eth{}, std::uint8_t flags = test::kAck)
{
	return link / Packet(to_vip4()) / Packet(segment(flags));
}

// Linux's first segment.
Packet syn4()
{
	return Eth{} / Packet(to_vip4()) / Packet(first_segment());
}

Packet tcp6(Packet link = Eth{}, std::uint8_t flags = test::kAck)
{
	return link / Packet(Ip6{.dst = kVip6}) / Packet(segment(flags));
}

Packet tagged()
{
	return Eth{} / Vlan{100};
}

Packet udp4(Packet link = Eth{})
{
	return link / Packet(to_vip4()) / Packet(Udp{}) / Packet(Payload(64));
}

// Enough rounds for the verdict; in each enough packets to see every flow, but where the flows are
// so many that none would be in a cache anyway.
Rounds rounds_for(std::uint32_t flows)
{
	if (flows <= k1K)
		return {40, 30000, 2048};
	if (flows <= k16K)
		return {30, 2 * k16K, k16K};
	if (flows <= k131K)
		return {16, k131K, k131K};
	return {24, k131K, 0};
}

Case known(const std::string &name, const std::string &about, Packet packet, std::uint32_t flows)
{
	const bool vlan = packet[12] == 0x81, v6 = packet[vlan ? 16 : 12] == 0x86;
	Case c;

	c.name = name;
	c.about = about;
	c.traffic.packet = std::move(packet);
	c.traffic.rotation = v6 ? BENCH_FLOWS6 : BENCH_FLOWS4;
	c.traffic.flows = flows;
	c.flows = Flows::kKnown;
	(v6 ? c.node.flows6 : c.node.flows4) = std::max(flows, k1K);
	c.proxy = !vlan; // Katran passes tagged frames on
	c.lru_entries = std::max(c.lru_entries, 2 * flows);
	c.rounds = rounds_for(flows);
	return c;
}

Case in_order(Case c)
{
	c.name += "-order";
	c.about += ", in the order they were made";
	c.in_order = true;
	return c;
}

// Each packet another flow. The table has its default size (model.h:
// flows_v4, flows_v6) on a node of two CPUs unless it is said.
Case endless(const std::string &name, const std::string &about, Packet packet, Flows flows,
	     std::uint32_t size = k131K)
{
	Case c = known(name, about, std::move(packet), k4M);
	NodeOptions &node = c.node;

	c.traffic.flows = 2 * k4M; // more than the rounds have packets, so that none comes back
	node.flows4 = std::min(node.flows4, size);
	node.flows6 = std::min(node.flows6, size / 4);
	c.flows = flows;
	if (flows == Flows::kFull)
		c.lru_entries = 2 * size;
	// as many before, not measured: other contenders had the caches meanwhile, and the index of
	// tags, where it fits, is in them while new flows keep coming
	c.rounds = {24, 12000, 12000};
	return c;
}

Case stateless(const std::string &name, const std::string &about, Packet packet, int reason,
	       bool proxy = false)
{
	Case c;

	c.name = name;
	c.about = about;
	c.traffic.packet = std::move(packet);
	c.reason = reason;
	c.proxy = proxy;
	c.lru_entries = k1K; // which nobody looks at
	c.rounds = rounds_for(1);
	return c;
}

// Where a program lies in memory makes some nanoseconds difference: much where there are few.
Case with(Case c, const Requirement &required)
{
	c.required = required;
	c.rounds.patience = 3;
	if (c.traffic.flows <= k1K) {
		c.rounds.rounds = 5;
		c.rounds.loads = 12;
	}
	return c;
}

// What the guard may cost, and tracking a flow in order: issues 6 and 7.
constexpr double kGuardLimit = 15, kTrackedLimit = 10;

// What guard and loss report cost.
Case with_switches(Case c)
{
	c.variants = {{"guard off", c.node, kGuardLimit},
		      {"not tracked (loss off)", c.node, kTrackedLimit},
		      {"both off", c.node}};
	c.variants[0].node.build = test::build_without_guard();
	c.variants[1].node.build = test::build_without_loss();
	c.variants[2].node.build = test::build_without_either();
	return c;
}

// With and without alternate marking, whatever the case has.
Case with_marking(Case c)
{
	c.variants.push_back({c.node.marking ? "not marked" : "marked", c.node});
	c.variants.back().node.marking = !c.node.marking;
	return c;
}

// With tables made for more flows than there are, or a stand-in with less room than Katran has.
Case sized(const std::string &name, const std::string &about, std::uint32_t ours,
	   std::uint32_t lru_entries)
{
	Case c = known(name, about, tcp4(), k16K);

	c.node.flows4 = ours;
	c.lru_entries = lru_entries;
	return c;
}

// With as many entries as our own table has on the one CPU that is used.
Case beside_kernel_lru(Case c)
{
	c.kernel_lru = 2 * c.node.flows4;
	return c;
}

// The stand-in has no GUE: judged by Katran's own figure alone.
Case by_gue(Case c)
{
	c.node.forward = AX_FORWARD_GUE;
	c.proxy = false;
	return c;
}

Case loss_anomaly()
{
	Case c = known("loss-anomaly", "TCP data, every second segment late",
		       tcp4() / Packet(Payload(BENCH_PAYLOAD)), 1);

	c.traffic.rotation = BENCH_SEQUENCE;
	c.traffic.flows = k4M;
	c.proxy = false;
	return c;
}

Case many_vips(std::uint32_t vips)
{
	Case c = known(fmt::format("vips-{}", vips), fmt::format("16k flows to {} VIPs", vips),
		       Eth{} / to_vip4("198.51.64.0") / segment(), k16K);

	c.node.vips = c.traffic.vips = vips;
	c.proxy = false;
	return c;
}

Case many_backends(std::uint32_t backends)
{
	Case c = known(fmt::format("backends-{}", backends),
		       fmt::format("16k flows, {} backends", backends), tcp4(), k16K);

	c.node.backends = backends;
	return c;
}

Case syn(Case c)
{
	c.node.inserts_per_second = 50000;
	return c;
}

Case decapsulation(const std::string &name, const std::string &about, const Packet &outer,
		   const Packet &inner)
{
	Case c = stateless(name, about + ", role backend", Packet(outer) / Packet(inner),
			   AX_R_DECAPSULATED);

	c.node.roles = AX_ROLE_BACKEND;
	return c;
}

// What an edge sends that marks.
Case marked_arrival()
{
	constexpr std::uint16_t kMark = AX_MARK_ID << 8 | AX_MARK_SUM | AX_MARK_FLOW | 5;
	const Packet outer = Eth{} / Ip4{.src = kEdge, .dst = kTunnel, .id = kMark, .df = true};
	Case c = decapsulation("decap-marked", "marked tunnel packet from an edge", outer,
			       Packet(Ip4{.dst = kVip4}) / segment());

	c.node.marking = true;
	return with_marking(c);
}

Packet icmp_error()
{
	const Packet quoted = Ip4{.src = kVip4, .dst = "203.0.113.5"} / Tcp{.sport = 80};

	return Eth{} / Ip4{.src = "203.0.113.1", .dst = kVip4} /
	       Packet(Icmp4{.type = 3, .code = 4, .seq = 1400}) / Packet(quoted.slice(0, 28));
}

Packet icmp6_error()
{
	const Packet quoted = Ip6{.src = kVip6, .dst = "2001:db8:9::5"} / Tcp{.sport = 80};

	return Eth{} / Ip6{.src = "2001:db8:9::1", .dst = kVip6} /
	       Packet(Icmp6{.type = 2, .mtu = 1400}) / Packet(quoted);
}

std::vector<Case> required_cases()
{
	return {
		with(with_marking(with_switches(
			     known("tcp4-1", "IPv4 TCP ACK, 1 known flow", tcp4(), 1))),
		     {1.8, 95, 134}),
		with(known("tcp4-1k", "1k flows", tcp4(), k1K), {2.0, 106, 128}),
		with(beside_kernel_lru(with_switches(known("tcp4-16k", "16k flows", tcp4(), k16K))),
		     {2.4, 173, 209}),
		with(known("tcp4-131k", "131k flows", tcp4(), k131K), {2.0, 298, 371}),
		with(beside_kernel_lru(known("tcp4-1m", "1M flows", tcp4(), k1M)), {1.6, 357, 489}),
		with(known("udp4", "IPv4 UDP, 1 known flow", udp4(), 1), {1.8, 129, 184}),
		with(known("tcp6", "IPv6 TCP ACK, 1 known flow", tcp6(), 1), {1.5, 88, 132}),
		with(endless("new-filling", "new flow, table filling", tcp4(), Flows::kFilling),
		     {2.5, 553, 775}),
		with(beside_kernel_lru(endless("new-full", "new flow, table full", tcp4(),
					       Flows::kFull, k1M / 2)),
		     {2.8, 991, 1137}),
		with(syn(endless("syn", "SYN, every packet a new flow", syn4(), Flows::kForgotten)),
		     {1.2, 117, 167}),
		with(with_marking(
			     by_gue(known("gue", "IPv4 TCP ACK, 1 known flow, GUE", tcp4(), 1))),
		     {2.5, 166, 274}),
		with(stateless("not-vip", "traffic that is not for a VIP",
			       Eth{} / Ip4{.dst = kNoVip4} / segment(), AX_R_NOT_VIP, true),
		     {1.0, 36, 63}),
		with(stateless("arp", "ARP", Eth{} / Arp{}, AX_R_NOT_IP, true), {1.0, 11, 20}),
	};
}

std::vector<Case> other_cases()
{
	return {
		known("tcp4-4m", "4M flows", tcp4(), k4M),
		in_order(known("tcp4-16k", "16k flows", tcp4(), k16K)),
		in_order(known("tcp4-131k", "131k flows", tcp4(), k131K)),
		in_order(known("tcp4-1m", "1M flows", tcp4(), k1M)),
		sized("tcp4-16k-large", "16k flows, our table made for 1M", k1M, 4000000),
		sized("tcp4-16k-small", "16k flows, Katran's LRU as small as our table", k16K,
		      2 * k16K),
		known("udp4-16k", "IPv4 UDP, 16k flows", udp4(), k16K),
		known("udp6", "IPv6 UDP, 1 known flow",
		      Eth{} / Ip6{.dst = kVip6} / Udp{} / Packet(Payload(64)), 1),
		known("tcp6-16k", "IPv6 TCP ACK, 16k flows", tcp6(), k16K),
		known("tcp6-131k", "IPv6 TCP ACK, 131k flows", tcp6(), k131K),
		by_gue(known("gue-16k", "IPv4 TCP ACK, 16k flows, GUE", tcp4(), k16K)),
		by_gue(known("gue6", "IPv6 TCP ACK, 1 known flow, GUE", tcp6(), 1)),
		known("tcp4-vlan", "tagged, IPv4 TCP ACK, 1 flow", tcp4(tagged()), 1),
		known("tcp4-vlan-16k", "tagged, IPv4 TCP ACK, 16k flows", tcp4(tagged()), k16K),
		known("udp4-vlan", "tagged, IPv4 UDP, 1 flow", udp4(tagged()), 1),
		by_gue(known("gue-vlan", "tagged, IPv4 TCP ACK, 1 flow, GUE", tcp4(tagged()), 1)),
		endless("new-filling-1m", "new flow, table of a million entries filling", tcp4(),
			Flows::kFilling, k1M / 2),
		endless("new6-filling", "IPv6, new flow, table filling", tcp6(), Flows::kFilling),
		endless("new6-full", "IPv6, new flow, table full", tcp6(), Flows::kFull),
		syn(endless("syn6", "IPv6 SYN, every packet a new flow",
			    Eth{} / Packet(Ip6{.dst = kVip6}) / Packet(first_segment()),
			    Flows::kForgotten)),
		stateless("not-vip-vlan", "tagged, not for a VIP",
			  tagged() / Packet(Ip4{.dst = kNoVip4}) / Packet(segment()), AX_R_NOT_VIP),
		stateless("not-vip6", "IPv6, not for a VIP",
			  Eth{} / Ip6{.dst = kNoVip6} / segment(), AX_R_NOT_VIP, true),
		endless("udp4-new", "IPv4 UDP, new flow, table filling", udp4(), Flows::kFilling),
		known("tcp6-vlan", "tagged, IPv6 TCP ACK, 1 flow", tcp6(tagged()), 1),
		stateless("malformed-vlan", "tagged, SYN and FIN: dropped",
			  tcp4(tagged(), test::kSyn | test::kFin), AX_R_TCP_SYN_FIN),
		stateless("malformed6", "IPv6, SYN and FIN: dropped",
			  tcp6(Eth{}, test::kSyn | test::kFin), AX_R_TCP_SYN_FIN),
		stateless("malformed", "SYN and FIN: dropped", tcp4(Eth{}, test::kSyn | test::kFin),
			  AX_R_TCP_SYN_FIN),
		stateless("gtsm-drop", "BGP with TTL 64: dropped",
			  Eth{} / Ip4{.src = kPeer, .dst = kSession} / Tcp{.dport = 179},
			  AX_R_GTSM_TTL),
		stateless("fragment", "first fragment to a VIP",
			  Eth{} / Ip4{.dst = kVip4, .mf = true} / Udp{} / Packet(Payload(64)),
			  AX_R_STEERED_FRAGMENT),
		stateless("icmp-error", "ICMP error that quotes a VIP's flow", icmp_error(),
			  AX_R_STEERED_ICMP),
		stateless("gtsm-drop6", "IPv6, BGP with hop limit 64: dropped",
			  Eth{} / Ip6{.src = kPeer6, .dst = kSession6} / Tcp{.dport = 179},
			  AX_R_GTSM_TTL),
		stateless("fragment6", "IPv6, first fragment to a VIP",
			  Eth{} / Ip6{.dst = kVip6} / Ip6Frag{.mf = true} / Udp{} /
				  Packet(Payload(64)),
			  AX_R_STEERED_FRAGMENT),
		stateless("icmp6-error", "IPv6, ICMP error that quotes a VIP's flow", icmp6_error(),
			  AX_R_STEERED_ICMP),
		endless("new-vlan", "tagged, new flow, table filling", tcp4(tagged()),
			Flows::kFilling),
		syn(endless("syn-vlan", "tagged SYN, every packet a new flow",
			    tagged() / Packet(to_vip4()) / Packet(first_segment()),
			    Flows::kForgotten)),
		decapsulation("decap", "tunnel packet from an edge",
			      Eth{} / Ip4{.src = kEdge, .dst = kTunnel},
			      Packet(Ip4{.dst = kVip4}) / segment()),
		decapsulation("decap6", "IPv6 in a tunnel of IPv6 from an edge",
			      Eth{} / Ip6{.src = kEdge6, .dst = kTunnel6},
			      Packet(Ip6{.dst = kVip6}) / segment()),
		decapsulation("decap-vlan", "tagged, tunnel packet from an edge",
			      tagged() / Packet(Ip4{.src = kEdge, .dst = kTunnel}),
			      Packet(Ip4{.dst = kVip4}) / segment()),
		marked_arrival(),
		loss_anomaly(),
		many_vips(1),
		many_vips(4096),
		many_backends(3),
		many_backends(4096),
	};
}

} // namespace

std::vector<Case> all_cases()
{
	std::vector<Case> cases = required_cases();

	for (Case &other : other_cases())
		cases.push_back(std::move(other));
	return cases;
}

} // namespace anycast::bench
