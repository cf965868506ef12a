// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/lab_costs.h"

#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include "support/cli.h"
#include "support/isolation.h"

#include "bench/lab_child.h"

namespace anycast::bench {

namespace {

using test::Argv, test::LabError, test::Netns, test::Process;

constexpr const char *kConfig = "/run/lab/node.toml", *kLog = "/run/lab/agent.log";
constexpr int kChecks = 1000; // a second

class Node {
public:
	Node()
	{
		test::connect_veth({node_, "eth0"}, {router_, "lan0"}, 1500);
		node_.ip("addr add 10.1.0.2/24 dev eth0\nroute add default via 10.1.0.1");
		router_.ip("addr add 10.1.0.1/24 dev lan0");
		setenv("ANYCAST_XDP_STATE_DIR", "/run/lab/state", 1);
		setenv("ANYCAST_XDP_SYSCTL_DIR", test::kLabDir, 1);
	}

	nlohmann::json attaching(std::size_t times)
	{
		nlohmann::json attach = nlohmann::json::array(), again = attach;

		configure(1);
		for (std::size_t i = 0; i < times; ++i) {
			attach.push_back(ms_of({"attach", "eth0", "--config", kConfig}));
			again.push_back(ms_of({"apply", kConfig}));
			cli_.expect(node_, {"detach", "eth0"});
		}
		return {{"attach", attach}, {"again", again}};
	}

	// The agent with so many checks a second.
	nlohmann::json agent(int checks, std::size_t rounds)
	{
		nlohmann::json cpu = nlohmann::json::array(), memory = cpu;

		configure(checks);
		cli_.expect(node_, {"apply", "--host", "--config", kConfig});
		Process agent =
			Process::spawn(node_, {cli_.binary(), "agent", "--config", kConfig}, kLog);
		std::this_thread::sleep_for(std::chrono::seconds(3));
		for (std::size_t i = 0; i < rounds; ++i) {
			const double before = cpu_seconds(agent.pid());
			const auto start = std::chrono::steady_clock::now();
			std::this_thread::sleep_for(std::chrono::seconds(2));
			const std::chrono::duration<double> took =
				std::chrono::steady_clock::now() - start;
			cpu.push_back((cpu_seconds(agent.pid()) - before) / took.count() * 100);
			memory.push_back(megabytes(agent.pid()));
		}
		if (!agent.running())
			throw LabError("the agent ended: " + text_of(kLog));
		return {{"cpu", cpu}, {"memory", memory}};
	}

private:
	static std::string text_of(const std::string &path)
	{
		std::ostringstream text;
		text << std::ifstream(path).rdbuf();
		return text.str();
	}
	static void configure(int checks)
	{
		std::ofstream file(kConfig);
		file << "[node]\nname = \"node\"\nhash_seed = "
			"\"6a09e667f3bcc908bb67ae8584caa73b\"\n"
			"[host]\npersist = true\n"
			"[bird]\nasn = 64512\nrouter_id = \"10.1.0.2\"\n"
			"socket = \"/run/lab/bird.ctl\"\ninclude = \"/run/lab/ours.conf\"\n"
			"[[pools]]\nname = \"web\"\n[[pools.backends]]\naddress = \"10.1.0.1\"\n"
			"[[vips]]\nname = \"www\"\naddress = \"198.51.100.80\"\nport = 80\n"
			"pool = \"web\"\n";
		for (int i = 0; i < checks; ++i)
			file << "[[vips.checks]]\ntype = \"icmp\"\ninterval = \"1s\"\n"
				"timeout = \"900ms\"\n";
	}
	double ms_of(const Argv &argv) const
	{
		const auto start = std::chrono::steady_clock::now();
		cli_.expect(node_, argv);
		return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() -
								 start)
			.count();
	}
	// User and system time of a process, fields 14 and 15 of its stat.
	static double cpu_seconds(pid_t pid)
	{
		const std::string stat = text_of(fmt::format("/proc/{}/stat", pid));
		std::istringstream fields(stat.substr(std::min(stat.size(), stat.rfind(')') + 1)));
		std::string skipped;
		double user = 0, system = 0;

		for (int i = 3; i < 14; ++i)
			fields >> skipped;
		fields >> user >> system;
		return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
	}
	static double megabytes(pid_t pid)
	{
		std::ifstream status(fmt::format("/proc/{}/status", pid));
		for (std::string line; std::getline(status, line);)
			if (line.starts_with("VmRSS:"))
				return std::stod(line.substr(6)) / 1024;
		return 0;
	}

	test::Cli cli_;
	Netns node_{"node"}, router_{"router"};
};

} // namespace

Status lab_costs(bool quick, std::vector<Cost> &costs)
{
	const std::size_t times = quick ? 2 : 5;
	const auto json = in_lab([&] {
		Node node;
		nlohmann::json all = node.attaching(times);
		all["idle"] = node.agent(0, times);
		all["busy"] = node.agent(kChecks, times);
		return all;
	});
	if (!json)
		return tl::unexpected(json.error());
	const auto add = [&](const nlohmann::json &values, const std::string &name,
			     const std::string &about, const std::string &unit) {
		costs.push_back({name, about, summarise(values.get<std::vector<double>>()), unit});
	};
	const std::string busy = fmt::format("{} ICMP checks a second", kChecks);
	add((*json)["attach"], "attach (command)", "1 VIP, default limits", "ms");
	add((*json)["again"], "apply (command)", "1 VIP, unchanged", "ms");
	add((*json)["idle"]["cpu"], "agent, CPU", "idle: 1 VIP, no check", "% of a core");
	add((*json)["idle"]["memory"], "agent, memory", "idle", "MB");
	add((*json)["busy"]["cpu"], "agent, CPU", busy, "% of a core");
	add((*json)["busy"]["memory"], "agent, memory", busy, "MB");
	return {};
}

} // namespace anycast::bench
