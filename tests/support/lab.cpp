// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/lab.h"

#include <sstream>
#include <thread>

#include "support/isolation.h"
#include "support/line.h"

namespace anycast::test {

namespace {

constexpr unsigned kSegmentMtu = 1600; // 1500 and an outer header

std::string bfd_config(const std::string &interface)
{
	const std::string interval = std::to_string(slowness() > 1 ? 2000 : 300) + " ms";
	return "protocol bfd { interface \"" + interface + "\" { min rx interval " + interval +
	       "; min tx interval " + interval + "; multiplier 3; }; }\n";
}

std::string router_config(std::size_t edges)
{
	std::ostringstream out;
	out << "log stderr all;\ndebug protocols { states, events };\n"
	       "router id 10.1.0.1;\n"
	       "protocol device { scan time 1; }\n"
	       "protocol kernel { merge paths on; scan time 2; ipv4 { import none; export all; }; "
	       "}\n"
	    << bfd_config("lan0");
	for (std::size_t edge = 1; edge <= edges; edge++)
		out << "protocol bgp edge" << edge << " {\n"
		    << "\tlocal " << kRouterAddress << " as 64500;\n"
		    << "\tneighbor 10.1.0." << edge + 1
		    << " as 64512;\n"
		    // Only edges connect: of two connections that meet one is closed, about which
		    // kernels may go on speaking, with TTL 64.
		    << "\tttl security on; bfd on; passive on;\n"
		       "\tconnect delay time 1; connect retry time 1; error wait time 1, 2;\n"
		       "\tipv4 { import all; export none; };\n}\n";
	return out.str();
}

std::string edge_config(const std::string &address)
{
	std::ostringstream out;
	out << "log stderr all;\ndebug protocols { states, events };\n"
	    << "router id " << address << ";\n"
	    << "protocol device { scan time 1; }\n"
	       "protocol direct { ipv4; interface \"anycast0\"; }\n"
	    << bfd_config("eth0") << "protocol bgp upstream {\n"
	    << "\tlocal " << address << " as 64512;\n"
	    << "\tneighbor " << kRouterAddress << " as 64500;\n"
	    << "\tttl security on; bfd on;\n"
	       "\tconnect delay time 1; connect retry time 1; error wait time 1, 2;\n"
	       "\tipv4 { import none; export where source = RTS_DEVICE; };\n}\n";
	return out.str();
}

// Traffic must not depend on what the machine's administrator likes: BBR, for one, keeps a window
// of a thousand segments in flight at 1 % loss. Reno is the one every namespace may choose.
void settle_tcp(const Netns &netns)
{
	for (const auto &[key, value] : {std::pair{"tcp_congestion_control", "reno"},
					 {"tcp_rmem", "4096 131072 6291456"},
					 {"tcp_wmem", "4096 16384 4194304"}})
		netns.sysctl(std::string("net.ipv4.") + key, value);
}

// Neighbours are asked from the link-local address, which cannot be used for the second or two that
// its duplicates are looked for: a lab that is up sooner would lose its first IPv6 packets.
void trust_addresses(const Netns &netns)
{
	netns.sysctl("net.ipv6.conf.default.accept_dad", "0");
}

} // namespace

Lab::Lab(std::uint64_t big_bytes, int backend_count, int edge_count)
	: big_file(std::string(kLabDir) + "/big")
{
	make_big_file(big_file, big_bytes, 1);
	big_sha256 = sha256(client, big_file);
	fabric.sysctl("net.ipv6.conf.default.disable_ipv6", "1");
	fabric.ip("link add br0 type bridge mcast_snooping 0\nlink set br0 up");
	// A bridge that calls netfilter drops malformed IP packets before an edge can.
	for (const char *key :
	     {"net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"})
		if (fabric.has_sysctl(key))
			fabric.sysctl(key, "0");
	add_router();
	for (int i = 1; i <= edge_count; i++)
		edges.push_back(std::make_unique<Node>("edge" + std::to_string(i), i + 1));
	for (int i = 1; i <= backend_count; i++)
		backends.push_back(std::make_unique<Node>("b" + std::to_string(i), i + 10));
	for (const auto *group : {&edges, &backends})
		for (const auto &node : *group)
			add_node(*node);
}

// A veth end hands XDP every frame, whereas a NIC looks at the destination address first. Without
// flooding nobody gets the frames of a node that has vanished.
void Lab::plug_in(const LinkEnd &port) const
{
	fabric.ip("link set " + port.name + " master br0\nlink set " + port.name +
		  " type bridge_slave flood off");
}

void Lab::add_router()
{
	const LinkEnd wan{router, "wan0"}, outside{client, "eth0"}, port{fabric, "router"};
	trust_addresses(client);
	trust_addresses(router);
	connect_veth(outside, wan, 1500);
	connect_veth(router_lan(), port, kSegmentMtu);
	plug_in(port);
	client.ip("addr add 203.0.113.10/24 dev eth0\n"
		  "route add default via 203.0.113.1\n"
		  "addr add 2001:db8:203::10/64 dev eth0 nodad\n"
		  "route add ::/0 via 2001:db8:203::1");
	router.ip("addr add 203.0.113.1/24 dev wan0\n"
		  "addr add 10.1.0.1/24 dev lan0\n"
		  "addr add 2001:db8:203::1/64 dev wan0 nodad\n"
		  "addr add 2001:db8:1::1/64 dev lan0 nodad");
	settle_tcp(client);
	router.sysctl("net.ipv4.ip_forward", "1");
	router.sysctl("net.ipv6.conf.all.forwarding", "1");
	router.sysctl("net.ipv4.fib_multipath_hash_policy", "1");
	programs.forget_hash(outside);
	programs.attach_dropper(router_lan());
	receive_on_cpu(wan, Line::cpu());
	receive_on_cpu(port, Line::cpu());
}

void Lab::add_node(Node &node)
{
	const LinkEnd port{fabric, node.netns.name()};
	trust_addresses(node.netns);
	connect_veth(node.nic(), port, kSegmentMtu);
	plug_in(port);
	programs.pass_xdp(port);
	receive_on_cpu(port, Line::cpu());
	node.netns.ip("addr add " + node.address + "/24 dev eth0\nroute add default via " +
		      kRouterAddress + "\naddr add " + node.address6 +
		      "/64 dev eth0 nodad\nroute add ::/0 via " + kRouterAddress6);
	settle_tcp(node.netns);
	// bpf_fib_lookup answers forwarding nodes only.
	node.netns.sysctl("net.ipv4.ip_forward", "1");
	node.netns.sysctl("net.ipv6.conf.all.forwarding", "1");
	node.netns.sysctl("net.ipv4.conf.all.arp_ignore", "1");
	node.netns.sysctl("net.ipv4.conf.all.arp_announce", "2");
	add_dummy(node.netns, "anycast0");
	node.netns.ip(std::string("addr add ") + kVip + "/32 dev anycast0\naddr add " + kVip6 +
		      "/128 dev anycast0 nodad");
}

void Lab::start_edge_bird(std::size_t edge)
{
	edges[edge]->bird.emplace(edges[edge]->netns, edge_config(edges[edge]->address));
}

void Lab::start_routing()
{
	router_bird.emplace(router, router_config(edges.size()));
	for (std::size_t i = 0; i < edges.size(); i++)
		start_edge_bird(i);
	if (!wait_until(milliseconds(15000), [&] { return sessions_established(); }) ||
	    !await_next_hops(edges.size(), milliseconds(5000)))
		throw LabError("routing does not come up:\n" + router_bird->ask("show protocols") +
			       router_bird->ask("show bfd sessions") +
			       router_bird->ask("show route"));
}

void Lab::stop_edge(std::size_t edge, bool withdraw)
{
	Node &node = *edges[edge];
	const std::string unplug = "link set " + node.netns.name() + " down";
	if (withdraw)
		node.bird->stop();
	fabric.ip(unplug);
	node.bird->kill_now();
	node.bird.reset();
}

void Lab::start_edge(std::size_t edge)
{
	fabric.ip("link set " + edges[edge]->netns.name() + " up");
	resolve_neighbours(*edges[edge]); // forgotten with the carrier
	start_edge_bird(edge);
	if (!wait_until(milliseconds(15000), [&] { return sessions_established(); }) ||
	    !await_next_hops(edges.size(), milliseconds(5000)))
		throw LabError(edges[edge]->netns.name() + " does not come back:\n" +
			       router_bird->ask("show protocols"));
}

bool Lab::sessions_established() const
{
	const auto bfd = router_bird->bfd_sessions();
	for (const auto &edge : edges) {
		const auto found = bfd.find(edge->address);
		if (!router_bird->established(edge->netns.name()) || found == bfd.end() ||
		    found->second != "Up")
			return false;
	}
	return true;
}

std::size_t Lab::await_calm() const
{
	const auto calm_now = [&] {
		const std::size_t before = router_bird->count_flaps();
		std::this_thread::sleep_for(milliseconds(1000));
		return sessions_established() && next_hops() == edges.size() &&
		       router_bird->count_flaps() == before;
	};
	if (!wait_until(milliseconds(30000), calm_now))
		throw LabError("routing does not calm down:\n" + router_bird->log());
	return router_bird->count_flaps();
}

std::size_t Lab::next_hops() const
{
	const Output route = run(router, {"ip", "route", "show", kVip});
	std::size_t hops = 0;
	for (std::size_t at = 0; (at = route.out.find("via ", at)) != std::string::npos; at++)
		hops++;
	return hops;
}

bool Lab::await_next_hops(std::size_t number, milliseconds limit) const
{
	return wait_until(limit, [&] { return next_hops() == number; });
}

void Lab::route_to(const Node &node) const
{
	router.ip(std::string("route replace ") + kVip + " via " + node.address +
		  "\nroute replace " + kVip6 + " via " + node.address6);
}

void Lab::start_servers()
{
	for (const auto &backend : backends)
		start_servers(*backend);
}

void Lab::start_servers(Node &node) const
{
	for (const Endpoint &endpoint : {kWww, kWww6})
		node.servers.push_back(serve_http(node.netns, endpoint, big_file));
	for (const Endpoint &endpoint : {kSink, kSink6})
		node.servers.push_back(serve_sink(node.netns, endpoint));
}

void Lab::resolve_neighbours() const
{
	for (const auto &edge : edges)
		resolve_neighbours(*edge);
}

void Lab::resolve_neighbours(const Node &edge) const
{
	for (const auto *group : {&edges, &backends})
		for (const auto &node : *group)
			for (const std::string &address : {node->address, node->address6})
				if (run(edge.netns, {"busybox", "ping", "-c1", "-W2", address})
					    .status != 0)
					throw LabError(edge.netns.name() + " cannot reach " +
						       address);
}

} // namespace anycast::test
