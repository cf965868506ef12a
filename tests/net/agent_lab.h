// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A node with BIRD, a web server on its VIP and the agent; and a router that sees its routes.
#pragma once

#include <grp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "support/cli.h"
#include "support/in_lab.h"

namespace anycast::test {

inline std::string big_file() // that serve_http() wants, and nobody asks for here
{
	const std::string path = std::string(kLabDir) + "/big";
	std::ofstream(path, std::ios::app);
	return path;
}

class AgentLab {
public:
	static constexpr const char *kWeb = "198.51.100.80", *kState = "/run/lab/state";

	// What the configuration has below [host] and [bird].
	AgentLab() : AgentLab(default_vip()) {}
	explicit AgentLab(std::string more) : more_(std::move(more))
	{
		connect_veth({node, "eth0"}, {router, "lan0"}, 1500);
		node.ip("addr add 10.1.0.2/24 dev eth0\nroute add default via 10.1.0.1");
		router.ip("addr add 10.1.0.1/24 dev lan0");
		setenv("ANYCAST_XDP_STATE_DIR", kState, 1);
		setenv("ANYCAST_XDP_SYSCTL_DIR", kLabDir, 1);
		write();
		cli.expect(node, {"apply", "--host", "--config", config});
		router_bird.emplace(router, router_config());
	}

	static std::string default_vip() { return default_vip(http_check()); }
	static std::string default_vip(const std::string &checks)
	{
		return "[[pools]]\nname = \"web\"\n[[pools.backends]]\naddress = \"10.1.0.2\"\n"
		       "[[vips]]\nname = \"www\"\naddress = \"198.51.100.80\"\nport = 80\n"
		       "pool = \"web\"\n" +
		       checks;
	}
	static std::string http_check()
	{
		return "[[vips.checks]]\ntype = \"http\"\ninterval = \"1s\"\ntimeout = \"500ms\"\n"
		       "rise = 1\nfall = 2\nbody = \"node\"\n";
	}

	void write() const
	{
		std::ofstream(config)
			<< "[node]\nname = \"node\"\nhash_seed = "
			   "\"6a09e667f3bcc908bb67ae8584caa73b\"\n"
			   "[host]\npersist = true\n"
			   "[bird]\nasn = 64512\nrouter_id = \"10.1.0.2\"\n"
			   "socket = \"/run/lab/bird-node.ctl\"\ninclude = \"/run/lab/ours.conf\"\n"
			   "[[bird.neighbours]]\nname = \"up\"\naddress = \"10.1.0.1\"\nasn = "
			   "64500\n"
			   "bfd = false\n"
			<< agent_section << more_;
	}
	void more(const std::string &text)
	{
		more_ = text;
		write();
	}

	// BIRD as we render it; the agent is not needed for that.
	void start_bird()
	{
		cli.expect(node, {"bird", "render", "--out", "/run/lab/rendered.conf", "--config",
				  config}); // makes the include file too
		std::ostringstream rendered;
		rendered << std::ifstream("/run/lab/rendered.conf").rdbuf();
		node_bird.emplace(node, rendered.str());
		if (!wait_until(milliseconds(20000) * slowness(),
				[&] { return router_bird->established("node"); }))
			throw LabError("BGP does not come up:\n" + node_bird->log());
	}
	void start_server() { server.emplace(serve_http(node, {kWeb, 80}, big_file())); }
	void start_agent(const Argv &more_arguments = {})
	{
		Argv argv{cli.binary(), "agent", "--config", config};
		argv.insert(argv.end(), more_arguments.begin(), more_arguments.end());
		agent.emplace(Process::spawn(node, argv, log_path));
		if (!wait_until(milliseconds(5000) * slowness(), [&] { return asks(); }))
			throw LabError("the agent does not start:\n" + log());
	}
	void start()
	{
		start_server();
		start_bird();
		start_agent();
		await_route(true);
	}
	[[nodiscard]] bool asks() const
	{
		const nlohmann::json reply = ask("status");
		return reply.is_object() && reply.value("ok", false);
	}
	// One request on the control socket.
	[[nodiscard]] nlohmann::json ask(const std::string &command) const
	{
		return ask_raw(R"({"version":1,"command":")" + command + "\"}\n");
	}
	struct Who {
		uid_t uid = 0;
		gid_t gid = 0;
	};
	// Discarded JSON if nothing comes back.
	[[nodiscard]] nlohmann::json ask_raw(const std::string &line) const
	{
		return ask_raw(line, Who());
	}
	[[nodiscard]] nlohmann::json ask_raw(const std::string &line, const Who &who) const
	{
		const std::string file = std::string(kLabDir) + "/answer";
		std::ofstream(file) << "";
		Process client = Process::call(
			node, [&] { return send_line(line, who); }, file);
		client.wait(milliseconds(15000));
		std::ostringstream text;
		text << std::ifstream(file).rdbuf();
		return nlohmann::json::parse(text.str(), nullptr, false);
	}

	[[nodiscard]] std::string route() const
	{
		return router_bird->ask(fmt::format("show route {}/32 all", kWeb));
	}
	[[nodiscard]] bool has_route() const
	{
		return route().find("BGP.as_path") != std::string::npos;
	}
	void await_route(bool there, milliseconds limit = milliseconds(15000)) const
	{
		if (!wait_until(limit * slowness(), [&] { return has_route() == there; }))
			throw LabError(fmt::format("the route is {}:\n{}{}",
						   there ? "not there" : "there", route(), log()));
	}
	// UPDATE messages' routes that the router has seen: announced and withdrawn ones.
	[[nodiscard]] std::string updates() const
	{
		std::istringstream lines(router_bird->ask("show protocols all node"));
		std::string counts;
		for (std::string line; std::getline(lines, line);)
			if (line.find("Import updates:") != line.npos ||
			    line.find("Import withdraws:") != line.npos)
				counts += line + "\n";
		return counts;
	}
	[[nodiscard]] std::string log() const
	{
		std::ostringstream text;
		text << std::ifstream(log_path).rdbuf();
		return text.str();
	}

	Cli cli;
	Netns node{"node"}, router{"router"};
	std::optional<Bird> node_bird, router_bird;
	std::optional<Process> server, agent;
	std::string config = "/run/lab/node.toml", log_path = "/run/lab/agent.log";
	std::string agent_section; // set it, then write()

private:
	// In a process of its own: the answer goes to its output.
	static int send_line(const std::string &line, const Who &who)
	{
		if (who.uid != 0 && (setgroups(0, nullptr) || setgid(who.gid) || setuid(who.uid)))
			return 3;
		const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
		sockaddr_un address{};
		address.sun_family = AF_UNIX;
		const std::string path = std::string(kState) + "/agent.sock";
		path.copy(address.sun_path, sizeof(address.sun_path) - 1);
		if (connect(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof(address)))
			return 2;
		(void)!send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL);
		shutdown(fd.get(), SHUT_WR);
		char buffer[4096];
		for (ssize_t got = 0; (got = ::read(fd.get(), buffer, sizeof(buffer))) > 0;)
			(void)!::write(1, buffer, static_cast<std::size_t>(got));
		return 0;
	}
	static std::string router_config()
	{
		return "log stderr all;\nrouter id 10.1.0.1;\nprotocol device { scan time 1; }\n"
		       "protocol kernel { ipv4 { export all; import none; }; }\n"
		       "protocol bgp node {\n\tlocal 10.1.0.1 as 64500;\n"
		       "\tneighbor 10.1.0.2 as 64512;\n\tttl security on;\n"
		       "\tconnect delay time 1; connect retry time 1; error wait time 1, 2;\n"
		       "\tipv4 { import all; export none; };\n}\n";
	}
	std::string more_;
};

} // namespace anycast::test
