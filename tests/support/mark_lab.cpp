// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/mark_lab.h"

#include <fstream>
#include <mutex>
#include <sstream>
#include <thread>

#include "support/isolation.h"

namespace anycast::test {

namespace {

constexpr unsigned kMtu = 1600; // 1500 and outer headers
// Nothing but the line loses anything.
constexpr int kBuffer = 96 << 10;
constexpr const char *kEdge = "10.2.0.2", *kEdge6 = "2001:db8:2::2";
constexpr const char *kBackend = "10.1.0.11", *kBackend6 = "2001:db8:1::11";
// A period, the half behind it, and what clocks may differ by.
constexpr milliseconds kOver{4500};
constexpr std::uint16_t kChecked = 9001;
constexpr const char *kCheck = "[[pools.checks]]\ntype = \"tcp\"\nport = 9001\ndirect = true\n"
			       "interval = \"200ms\"\ntimeout = \"150ms\"\njitter = 0\n";

} // namespace

std::optional<std::pair<std::uint64_t, std::uint64_t>> MarkOutcome::of(const char *list) const
{
	std::pair<std::uint64_t, std::uint64_t> sum;
	for (const auto &entry : join.at(list)) {
		const auto &figure = entry.at("lb_backend_lost");
		if (!figure.at("value").is_number())
			return std::nullopt;
		sum.first += figure.at("value").get<std::uint64_t>();
		sum.second += figure.at("of").get<std::uint64_t>();
	}
	return sum;
}

MarkLab::MarkLab(const MarkConditions &conditions) : conditions_(conditions)
{
	const LinkEnd lan{router, "lan0"}, wan{router, "wan0"}, outside{client, "eth0"},
		to_backend{router, "lan1"};
	connect_veth(outside, wan, 1500);
	line.emplace(lan, edge.nic(), kMtu);
	programs.pass_xdp(line->end_at_b());
	receive_on_cpu(line->end_at_b(), Line::cpu());
	connect_veth(backend.nic(), to_backend, kMtu);
	client.ip("addr add 203.0.113.10/24 dev eth0\nroute add default via 203.0.113.1\n"
		  "addr add 2001:db8:203::10/64 dev eth0 nodad\n"
		  "route add ::/0 via 2001:db8:203::1");
	router.ip("addr add 203.0.113.1/24 dev wan0\naddr add 2001:db8:203::1/64 dev wan0 nodad\n"
		  "addr add 10.2.0.1/24 dev lan0\naddr add 2001:db8:2::1/64 dev lan0 nodad\n"
		  "addr add 10.1.0.1/24 dev lan1\naddr add 2001:db8:1::1/64 dev lan1 nodad");
	edge.netns.ip("addr add 10.2.0.2/24 dev eth0\nroute add default via 10.2.0.1\n"
		      "addr add 2001:db8:2::2/64 dev eth0 nodad\nroute add ::/0 via 2001:db8:2::1");
	backend.netns.ip(
		"addr add 10.1.0.11/24 dev eth0\nroute add default via 10.1.0.1\n"
		"addr add 2001:db8:1::11/64 dev eth0 nodad\nroute add ::/0 via 2001:db8:1::1");
	for (const Netns *netns : {&client, &router, &edge.netns, &backend.netns}) {
		netns->sysctl("net.ipv4.ip_forward", "1");
		netns->sysctl("net.ipv6.conf.all.forwarding", "1");
		netns->sysctl("net.ipv4.tcp_congestion_control", "reno");
		netns->sysctl("net.ipv4.tcp_rmem", "4096 131072 1048576");
		netns->sysctl("net.ipv4.tcp_no_metrics_save", "1");
	}
	router.ip(std::string("route add ") + kVip + " via 10.2.0.2\nroute add " + kVip6 +
		  " via 2001:db8:2::2");
	add_dummy(backend.netns, "anycast0");
	backend.netns.ip(std::string("addr add ") + kVip + "/32 dev anycast0\naddr add " + kVip6 +
			 "/128 dev anycast0 nodad");
	backend.servers.push_back(serve_sink(backend.netns, conditions_.six ? kSink6 : kSink));
	for (const char *to : {kBackend, kBackend6}) // duplicate address detection takes a second
		if (!wait_until(milliseconds(8000), [&] {
			    return ::anycast::test::run(edge.netns,
							{"busybox", "ping", "-c1", "-W1", to})
					   .status == 0;
		    }))
			throw LabError(std::string("the edge cannot reach ") + to);
	for (Node *node : {&backend, &edge})
		cli.expect(node->netns,
			   with_state(*node, {"attach", "eth0", "--config",
					      write_config(*node, config_of(node == &edge))}));
	disable_offloads(edge.nic());
	disable_offloads(backend.nic());
	if (conditions_.agents) {
		backend.servers.push_back(serve_sink(backend.netns, {kBackend, kChecked}));
		start_agent(backend);
		start_agent(edge);
	}
	// The edge is compared from when the backend counted for longer than clocks may differ by.
	std::this_thread::sleep_for(milliseconds(2500));
}

std::string MarkLab::config_of(bool is_edge) const
{
	std::ostringstream out;
	out << "[node]\nname = \"" << (is_edge ? "edge" : "b1")
	    << "\"\nhash_seed = \"6a09e667f3bcc908bb67ae8584caa73b\"\ninterfaces = [\"eth0\"]\n"
	    << "roles = [\"" << (is_edge ? "edge" : "backend") << "\"]\n[tunnel]\nmarking = true\n"
	    << "marking_period = \"500ms\"\nedges = [\"" << kEdge << "\", \"" << kEdge6 << "\"]\n";
	if (is_edge)
		out << "source_v4 = \"" << kEdge << "\"\nsource_v6 = \"" << kEdge6 << "\"\n";
	else
		out << "addresses = [\"" << kBackend << "\", \"" << kBackend6 << "\"]\n";
	if (conditions_.agents && is_edge)
		out << "[agent]\nmarks_from = [\"" << kBackend << ":9556\"]\n";
	else if (conditions_.agents)
		out << "[agent]\nmarks_listen = \"" << kBackend
		    << ":9556\"\nmarks_allow = [\"10.2.0.0/24\"]\n";
	for (const bool six : {false, true}) {
		const char *tail = six ? "6" : "";
		out << "[[pools]]\nname = \"web" << tail
		    << "\"\n[[pools.backends]]\nname = \"b1\"\naddress = \""
		    << (six ? kBackend6 : kBackend) << "\"\n"
		    << (conditions_.agents && is_edge && !six ? kCheck : "")
		    << "[[vips]]\nname = \"sink" << tail << "\"\naddress = \""
		    << (six ? kVip6 : kVip) << "\"\nport = " << kSink.port
		    << "\nprotocol = \"tcp\"\npool = \"web" << tail << "\"\nforward = \""
		    << conditions_.forward << "\"\n";
	}
	return out.str();
}

void MarkLab::transfer(std::vector<std::string> &errors)
{
	std::mutex mutex;
	std::vector<std::jthread> threads;
	for (unsigned i = 0; i < conditions_.flows; i++)
		threads.emplace_back([&] {
			const Upload sent =
				upload(client, conditions_.six ? kSink6 : kSink, conditions_.bytes,
				       {.limit = milliseconds(60000), .send_buffer = kBuffer});
			const std::lock_guard lock(mutex);
			if (!sent.ok)
				errors.push_back(sent.error);
		});
}

// Two agents of one machine: pins are told apart by namespace, an agent's lock and socket are not.
Argv MarkLab::with_state(const Node &node, const Argv &arguments) const
{
	if (!conditions_.agents)
		return arguments;
	Argv all{"--state", std::string(kLabDir) + "/state-" + node.netns.name()};
	all.insert(all.end(), arguments.begin(), arguments.end());
	return all;
}

std::string MarkLab::agent_log(const Node &node) const
{
	std::ostringstream text;
	text << std::ifstream(std::string(kLabDir) + "/" + node.netns.name() + ".agent").rdbuf();
	return text.str();
}

void MarkLab::start_agent(Node &node)
{
	Argv argv = with_state(
		node,
		{"--config", std::string(kLabDir) + "/" + node.netns.name() + ".toml", "agent"});
	argv.insert(argv.begin(), cli.binary());
	(&node == &edge ? edge_agent : backend_agent)
		.emplace(Process::spawn(node.netns, argv,
					std::string(kLabDir) + "/" + node.netns.name() + ".agent"));
	if (!wait_until(milliseconds(10000) * slowness(), [&] {
		    return run_on(node, {"metrics"}).out.find("anycast_agent_up") !=
			   std::string::npos;
	    }))
		throw LabError("the agent does not start:\n" + agent_log(node));
}

Output MarkLab::run_on(const Node &node, const Argv &arguments) const
{
	return cli.run(node.netns, with_state(node, arguments));
}

nlohmann::json MarkLab::ask_on(const Node &node, const Argv &arguments) const
{
	return cli.ask(node.netns, with_state(node, arguments));
}

nlohmann::json MarkLab::join() const
{
	for (const Node *node : {&edge, &backend})
		std::ofstream(std::string(kLabDir) + "/" + node->netns.name() + ".json")
			<< cli.expect(node->netns, with_state(*node, {"--json", "loss"})).out;
	return cli.ask(client, {"loss", "--join", std::string(kLabDir) + "/edge.json",
				std::string(kLabDir) + "/b1.json"});
}

MarkOutcome MarkLab::run()
{
	MarkOutcome outcome;
	line->impair(Line::kBack, conditions_.line);
	transfer(outcome.errors);
	std::this_thread::sleep_for(kOver);
	outcome.truth = line->counts(Line::kBack);
	outcome.join = join();
	return outcome;
}

} // namespace anycast::test
