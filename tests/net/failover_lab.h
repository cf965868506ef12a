// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The lab of support/lab.h with an agent and the BIRD configuration that we render on each edge,
// and a client that notices every request that is not answered.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "support/cli.h"
#include "support/in_lab.h"
#include "support/lab.h"

namespace anycast::test {

using std::chrono::steady_clock;

// 50 requests a second on 40 flows: UDP, so that nothing is sent twice.
class Prober {
public:
	static constexpr int kFlows = 40;
	static constexpr milliseconds kPeriod{20};

	struct Loss {
		int sent = 0, lost = 0;
		double outage = 0; // seconds from the first lost request to the last one
	};

	Prober(const Netns &client, const Endpoint &to)
	{
		client.run([&] {
			const SocketAddress server(to);
			for (Fd &flow : flows_) {
				flow = Fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
						 0));
				if (connect(flow.get(), server.get(), server.size))
					throw_errno("connect");
			}
		});
		thread_ = std::jthread([this](const std::stop_token &stop) { work(stop); });
	}
	// Waits a second for answers that are late.
	Loss stop()
	{
		thread_.request_stop();
		thread_.join();
		Loss loss{.sent = static_cast<int>(sent_.size())};
		std::optional<steady_clock::time_point> first, last;
		for (const Request &request : sent_)
			if (!request.answered) {
				loss.lost++;
				first = first.value_or(request.at);
				last = request.at;
			}
		if (first)
			loss.outage =
				std::chrono::duration<double>(*last - *first + kPeriod).count();
		return loss;
	}

private:
	struct Request {
		steady_clock::time_point at;
		bool answered = false;
	};
	void work(const std::stop_token &stop)
	{
		auto due = steady_clock::now();
		while (!stop.stop_requested()) {
			ask();
			due += kPeriod;
			listen_until(due);
		}
		listen_until(steady_clock::now() + milliseconds(1000) * slowness());
	}
	void ask()
	{
		const auto number = static_cast<std::uint32_t>(sent_.size());
		const int flow = flows_[number % kFlows].get();
		sent_.push_back({steady_clock::now()});
		// The first one may only tell of an ICMP error that came before.
		if (send(flow, &number, sizeof(number), 0) < 0)
			(void)!send(flow, &number, sizeof(number), 0);
	}
	void listen_until(steady_clock::time_point due)
	{
		std::array<pollfd, kFlows> waiting;
		for (std::size_t i = 0; i < waiting.size(); i++)
			waiting[i] = {flows_[i].get(), POLLIN, 0};
		for (auto now = steady_clock::now(); now < due; now = steady_clock::now()) {
			const auto left = std::chrono::ceil<milliseconds>(due - now).count();
			poll(waiting.data(), waiting.size(), static_cast<int>(left));
			for (const pollfd &one : waiting) {
				std::uint32_t number = 0;
				if (one.revents &&
				    recv(one.fd, &number, sizeof(number), 0) == sizeof(number) &&
				    number < sent_.size())
					sent_[number].answered = true;
			}
		}
	}

	std::array<Fd, kFlows> flows_;
	std::vector<Request> sent_; // the thread's until it has ended
	std::jthread thread_;	    // last: it uses the others
};

class FailoverLab {
public:
	static constexpr std::uint16_t kPort = 7000;

	struct Options {
		bool bfd = false; // on a busy machine it raises false alarms
		// Each edge on a port of the router of its own, beside the LAN with the backends.
		bool own_ports = false;
		// Health of the VIP itself on each edge, as [[vips.checks]] has it.
		std::string vip_checks;
		std::string on_stop = "leave";
	};
	explicit FailoverLab(const Options &options) : options_(options)
	{
		lab.resolve_neighbours();
		for (const auto &backend : lab.backends)
			cli.attach_backend(lab, *backend);
		for (std::size_t i = 0; i < lab.backends.size(); i++)
			start_service(i);
		for (std::size_t i = 0; options.own_ports && i < lab.edges.size(); i++) {
			const std::string port = fmt::format("port{}", i);
			connect_veth({lab.router, port}, {lab.edges[i]->netns, "eth1"}, 1500);
			lab.router.ip(fmt::format("addr add {}/24 dev {}", router_end(i), port));
			lab.edges[i]->netns.ip(fmt::format("addr add {}/24 dev eth1", edge_end(i)));
		}
		lab.router_bird.emplace(lab.router, router_config());
		for (std::size_t i = 0; i < lab.edges.size(); i++)
			start_edge(i);
		if (!lab.await_next_hops(2, milliseconds(30000) * slowness()))
			throw LabError("the edges are not announced:\n" + log(0) + log(1) +
				       lab.router_bird->ask("show route all"));
		for (const std::size_t edge : {0U, 1U})
			if (!wait_until(milliseconds(20000) * slowness(),
					[&] { return next_hops_known(edge); }))
				throw LabError("next hops are not known:\n" + log(edge));
	}

	void start_service(std::size_t backend)
	{
		const Node &node = *lab.backends[backend];
		services.at(backend) = Process::call(
			node.netns, [] { return echo(); }, std::string(kLabDir) + "/echo.log");
	}
	void start_agent(std::size_t edge)
	{
		Argv argv = on(edge, {"agent"});
		argv.insert(argv.begin(), cli.binary());
		agents.at(edge) = Process::spawn(lab.edges[edge]->netns, argv, log_path(edge));
	}
	// With the edge's own files: an edge is a machine, and two of them share this one's.
	[[nodiscard]] Argv on(std::size_t edge, Argv arguments) const
	{
		arguments.insert(arguments.end(),
				 {"--config", config(edge), "--state", state(edge)});
		return arguments;
	}
	[[nodiscard]] std::string config(std::size_t edge) const
	{
		return std::string(kLabDir) + "/" + lab.edges[edge]->netns.name() + ".toml";
	}
	[[nodiscard]] std::string log(std::size_t edge) const
	{
		std::ostringstream text;
		text << std::ifstream(log_path(edge)).rdbuf();
		return text.str();
	}
	[[nodiscard]] Output order(std::size_t edge, const Argv &arguments) const
	{
		return cli.run(lab.edges[edge]->netns, on(edge, arguments));
	}
	// What the router has heard of that edge: routes announced and withdrawn, sessions lost.
	[[nodiscard]] std::string heard(std::size_t edge) const
	{
		const std::string name = lab.edges[edge]->netns.name();
		std::istringstream lines(lab.router_bird->ask("show protocols all " + name));
		std::string counts;
		for (std::string line; std::getline(lines, line);)
			if (line.find("Import updates:") != line.npos ||
			    line.find("Import withdraws:") != line.npos ||
			    line.find("BGP state:") != line.npos)
				counts += line + "\n";
		return counts;
	}
	[[nodiscard]] std::uint64_t steered(std::size_t edge) const
	{
		const auto stats = nlohmann::json::parse(order(edge, {"--json", "stats"}).out);
		std::uint64_t sum = 0;
		for (const auto &interface : stats.at("interfaces"))
			for (const auto &row : interface.at("reasons"))
				if (row.at("reason") == "steered")
					sum += row.at("packets").get<std::uint64_t>();
		return sum;
	}
	[[nodiscard]] bool next_hops_known(std::size_t edge) const
	{
		const auto status = agent_status(edge);
		return status.is_object() && status.at("next_hops").at("known") == 3;
	}
	[[nodiscard]] nlohmann::json agent_status(std::size_t edge) const
	{
		const std::string path = state(edge) + "/agent.sock";
		const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
		sockaddr_un address{};
		address.sun_family = AF_UNIX;
		path.copy(address.sun_path, sizeof(address.sun_path) - 1);
		const timeval limit{.tv_sec = 10, .tv_usec = 0};
		setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		const std::string line = "{\"version\":1,\"command\":\"status\"}\n";
		if (connect(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof(address)) ||
		    send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL) < 0)
			return {};
		std::string text;
		char buffer[4096];
		for (ssize_t got = 0; (got = recv(fd.get(), buffer, sizeof(buffer), 0)) > 0;)
			text.append(buffer, static_cast<std::size_t>(got));
		const auto reply = nlohmann::json::parse(text, nullptr, false);
		return reply.is_object() ? reply.value("result", nlohmann::json()) : reply;
	}
	// Traffic before, during and after it.
	Prober::Loss measure(const std::function<void()> &event, milliseconds after) const
	{
		Prober prober(lab.client, {kVip, kPort});
		std::this_thread::sleep_for(milliseconds(1500));
		event();
		std::this_thread::sleep_for(after);
		return prober.stop();
	}

	Lab lab{1024};
	Cli cli;
	std::array<Process, 3> services;
	std::array<Process, 2> agents;

private:
	[[nodiscard]] std::string state(std::size_t edge) const
	{
		return std::string(kLabDir) + "/state-" + lab.edges[edge]->netns.name();
	}
	[[nodiscard]] std::string log_path(std::size_t edge) const
	{
		return std::string(kLabDir) + "/agent-" + lab.edges[edge]->netns.name() + ".log";
	}
	void start_edge(std::size_t i)
	{
		Node &edge = *lab.edges[i];
		std::ofstream(config(i)) << toml(i);
		cli.expect(edge.netns, on(i, options_.own_ports ? Argv{"attach", "eth0", "eth1"}
								: Argv{"attach", "eth0"}));
		const std::string rendered = config(i) + ".bird.conf";
		cli.expect(edge.netns, on(i, {"bird", "render", "--out", rendered}));
		std::ostringstream text;
		text << std::ifstream(rendered).rdbuf();
		edge.bird.emplace(edge.netns, text.str());
		start_agent(i);
	}
	[[nodiscard]] std::string toml(std::size_t i) const
	{
		const Node &edge = *lab.edges[i];
		const std::string &name = edge.netns.name();
		std::string pool = "[[pools]]\nname = \"web\"\n";
		for (const auto &backend : lab.backends)
			pool += fmt::format("[[pools.backends]]\nname = \"{}\"\naddress = \"{}\"\n",
					    backend->netns.name(), backend->address);
		return fmt::format(
			"[node]\nname = \"{0}\"\n"
			"hash_seed = \"6a09e667f3bcc908bb67ae8584caa73b\"\n"
			"interfaces = [{9}]\n"
			"[tunnel]\nsource_v4 = \"{2}\"\n[agent]\non_stop = "
			"\"{3}\"\n"
			"[bird]\nasn = 64512\nrouter_id = \"{2}\"\n"
			"socket = \"{4}/bird-{0}.ctl\"\ninclude = \"{4}/ours-{0}.conf\"\n"
			"[[bird.neighbours]]\nname = \"up\"\naddress = \"{10}\"\n"
			"asn = 64500\nbfd = {5}\n{6}"
			"[[pools.checks]]\ntype = \"udp\"\nport = {7}\ntarget = \"{1}\"\npayload = "
			"\"ping\"\n"
			"expect = \"ping\"\ninterval = \"1s\"\ntimeout = \"500ms\"\nrise = 2\n"
			"fall = 2\n"
			"[[vips]]\nname = \"echo\"\naddress = \"{1}\"\nport = {7}\n"
			"protocol = \"udp\"\npool = \"web\"\nforward = \"ipip\"\n{8}",
			name, kVip, edge.address, options_.on_stop, kLabDir, options_.bfd, pool,
			kPort, options_.vip_checks,
			options_.own_ports ? "\"eth0\", \"eth1\"" : "\"eth0\"", router_end(i));
	}
	[[nodiscard]] std::string router_end(std::size_t edge) const
	{
		return options_.own_ports ? fmt::format("10.2.{}.1", edge) : kRouterAddress;
	}
	[[nodiscard]] std::string edge_end(std::size_t edge) const
	{
		return options_.own_ports ? fmt::format("10.2.{}.2", edge)
					  : lab.edges[edge]->address;
	}
	// GRACEFUL_SHUTDOWN as RFC 8326 asks of a router.
	[[nodiscard]] std::string router_config() const
	{
		std::string text = "log stderr all;\nrouter id 10.1.0.1;\n"
				   "protocol device { scan time 1; }\n"
				   "protocol kernel { merge paths on; scan time 2;\n"
				   "\tipv4 { import none; export all; }; }\n"
				   "protocol bfd { interface \"lan0\" { min rx interval 300 ms;\n"
				   "\tmin tx interval 300 ms; multiplier 3; }; }\n"
				   "filter from_edges { if (65535, 0) ~ bgp_community then\n"
				   "\tbgp_local_pref = 0; accept; }\n";
		for (std::size_t i = 0; i < lab.edges.size(); i++)
			text += fmt::format(
				"protocol bgp {} {{\n\tlocal {} as 64500;\n"
				"\tneighbor {} as 64512;\n\tttl security on; bfd {};\n"
				"\tconnect delay time 1; connect retry time 1;\n"
				"\terror wait time 1, 2;\n"
				"\tipv4 {{ import filter from_edges; export none; }};\n}}\n",
				lab.edges[i]->netns.name(), router_end(i), edge_end(i),
				options_.bfd ? "on" : "off");
		return text;
	}
	// On the VIP alone: checks reach it as clients do, through the tunnel.
	static int echo()
	{
		const Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
		const SocketAddress at({kVip, kPort});
		if (bind(fd.get(), at.get(), at.size))
			return 1;
		for (;;) {
			sockaddr_storage from{};
			socklen_t size = sizeof(from);
			char buffer[2048];
			const ssize_t got = recvfrom(fd.get(), buffer, sizeof(buffer), 0,
						     reinterpret_cast<sockaddr *>(&from), &size);
			if (got >= 0)
				(void)!sendto(fd.get(), buffer, static_cast<std::size_t>(got), 0,
					      reinterpret_cast<sockaddr *>(&from), size);
		}
	}

	Options options_;
};

} // namespace anycast::test
