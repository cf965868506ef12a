// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp agent, metrics
#include <arpa/inet.h>

#include <iostream>
#include <memory>
#include <unordered_set>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "agent/agent.h"
#include "cli/app.h"
#include "cli/marks.h"
#include "cli/tally.h"
#include "kernel/flow_reader.h"
#include "kernel/mark_reader.h"
#include "net/control_client.h"
#include "render/metrics.h"

namespace anycast::cli {

namespace {

using nlohmann::ordered_json;

// Of what is attached; nothing attached is no error here.
Result<std::vector<Instance>> attached(const Paths &paths)
{
	const auto names = attached_interfaces(paths);
	if (!names)
		return tl::unexpected(names.error());
	std::vector<Instance> instances;
	for (const std::string &name : *names)
		if (auto instance = open_instance(paths, name))
			instances.push_back(std::move(*instance));
	return instances;
}

ordered_json traffic_of(const Paths &paths)
{
	std::vector<render::InterfaceStats> list;
	if (const auto instances = attached(paths))
		for (const Instance &instance : *instances)
			if (auto stats = stats_of(instance))
				list.push_back(std::move(*stats));
	return render::stats_json(list, false);
}

// Flows of alternate marking that are idle make room for others.
void forget_idle_marks(const Paths &paths)
{
	if (auto instances = attached(paths))
		for (Instance &instance : *instances)
			if (const auto aged = age_marks(instance.dataplane, mark_clock()); !aged)
				std::cerr << aged.error().message() << std::endl;
}

// Since attach, of all VIPs. Not of the flows in the table: new ones replace them, and such a sum
// would go back while traffic is lost.
std::optional<std::pair<double, double>> loss_of(const Paths &paths)
{
	LossTotals sum;
	if (const auto instances = attached(paths))
		for (const Instance &instance : *instances)
			if (const auto stats = stats_of(instance))
				for (const render::VipCount &vip : stats->vips)
					sum.add(vip.loss);
	const LossFigure lost = sum.report().c2s_up_lost;
	if (!lost.value || lost.of == 0)
		return std::nullopt;
	return std::pair(static_cast<double>(*lost.value), static_cast<double>(lost.of));
}

// Without text: there may be millions.
std::uint64_t hash_of(const FlowRecord &flow)
{
	const auto of = [](const Address &address) {
		const auto &bytes = address.bytes();
		return std::hash<std::string_view>{}(
			{reinterpret_cast<const char *>(bytes.data()), bytes.size()});
	};
	const std::uint64_t ends = std::uint64_t{flow.source_port} << 32 |
				   std::uint64_t{flow.destination_port} << 8 | flow.protocol;
	return (of(flow.source) * 31 + of(flow.destination)) * 31 +
	       std::hash<std::uint64_t>{}(ends * 0x9e3779b97f4a7c15);
}

std::map<std::string, std::vector<std::uint64_t>> flows_of(const Paths &paths)
{
	std::map<std::string, std::vector<std::uint64_t>> by_vip;
	if (const auto instances = attached(paths))
		for (const Instance &instance : *instances) {
			const auto flows = read_flows(instance.dataplane);
			const auto &vips = instance.applied.ids.vips;
			if (!flows)
				continue;
			for (const FlowRecord &flow : *flows)
				if (flow.vip < vips.size())
					by_vip[vips[flow.vip].name].push_back(hash_of(flow));
		}
	return by_vip;
}

std::uint64_t hash_of(const ax_egress_key &key)
{
	FlowRecord flow;
	flow.source = Address(key.client);
	flow.destination = Address(key.vip);
	flow.source_port = ntohs(key.client_port);
	flow.destination_port = ntohs(key.vip_port);
	flow.protocol = key.proto;
	return hash_of(flow);
}

// Is such a flow in one of the tables? They are read when that is asked for first.
class ArrivingFlows {
public:
	explicit ArrivingFlows(const std::vector<Instance> &instances) : instances_(instances) {}
	bool contains(const ax_egress_key &key)
	{
		if (!read_)
			read();
		return unknown_ || hashes_.contains(hash_of(key));
	}

private:
	void read()
	{
		read_ = true;
		for (const Instance &instance : instances_) {
			const auto flows = read_flows(instance.dataplane);
			unknown_ |= !flows;
			if (flows)
				for (const FlowRecord &flow : *flows)
					hashes_.insert(hash_of(flow));
		}
	}
	const std::vector<Instance> &instances_;
	std::unordered_set<std::uint64_t> hashes_;
	bool read_ = false, unknown_ = false;
};

void age_all(const Paths &paths, std::uint32_t idle_s)
{
	const auto say = [](const Result<std::uint64_t> &aged) { // tried again in a minute
		if (!aged)
			std::cerr << aged.error().message() << std::endl;
	};
	auto instances = attached(paths);
	if (!instances)
		return;
	for (Instance &instance : *instances)
		say(age_flows(instance.dataplane, idle_s));
	ArrivingFlows arriving(*instances);
	for (Instance &instance : *instances)
		say(age_egress(instance.dataplane, idle_s,
			       [&](const ax_egress_key &key) { return arriving.contains(key); }));
}

struct AgentArguments {
	bool withdraw = false, forget = false;
};

Status run_agent(const Context &context, const AgentArguments &arguments)
{
	const std::string path = context.config_path();
	const auto config = context.load(path);
	if (arguments.forget || arguments.withdraw) {
		// For when things are broken: a file that is wrong must not keep routes announced.
		const Paths paths = context.paths_with(config ? *config : Config());
		const BirdConfig bird = config ? config->bird : agent::Agent::last_bird(paths);
		if (!config)
			context.warn(
				fmt::format("{}\n  -> goes on with BIRD's socket {} and include "
					    "file {}",
					    config.error().message(), bird.socket, bird.include));
		return arguments.forget ? agent::Agent::forget_last_boot(bird, paths)
					: agent::Agent::withdraw_all(bird, paths);
	}
	if (!config)
		return tl::unexpected(config.error());
	const agent::Surroundings surroundings{
		.config_path = path,
		.paths = context.paths_with(*config),
		.load = [&] { return context.load(path); },
		.traffic = [paths = context.paths_with(*config)] { return traffic_of(paths); },
		.loss =
			[paths = context.paths_with(*config)] {
				forget_idle_marks(paths);
				return loss_of(paths);
			},
		.marks = [paths = context.paths_with(*config)]() -> Result<MarkReport> {
			const auto instances = attached(paths);
			return instances ? marks_of(*instances, false)
					 : tl::unexpected(instances.error());
		},
		.age = [paths = context.paths_with(*config)](
			       std::uint32_t idle_s) { age_all(paths, idle_s); },
		.flows = [paths = context.paths_with(*config)] { return flows_of(paths); },
		.log = [](std::string_view line) { std::cerr << line << std::endl; }};
	return agent::Agent::run(surroundings);
}

// The agent's, or what there is without one.
Status run_metrics(const Context &context)
{
	const auto paths = context.paths();
	if (!paths)
		return tl::unexpected(paths.error());
	if (context.json())
		return fail(Exit::kUsage, "metrics are Prometheus' text, not JSON",
			    "for JSON: anycast-xdp --json stats, or status");
	ControlRequest request;
	request.command = "status";
	const auto reply = ask_agent(paths->socket, request, std::chrono::milliseconds(5000));
	if (reply && *reply && (*reply)->status) {
		context.print(render::metrics_text((*reply)->result));
		return {};
	}
	const auto names = context.devices(*paths);
	if (!names)
		return tl::unexpected(names.error());
	for (const std::string &name : *names)
		if (const auto instance = open_instance(*paths, name); !instance)
			context.warn(name, instance.error().message());
	context.print(render::metrics_text(traffic_of(*paths)));
	return {};
}

} // namespace

void add_agent(CLI::App &app, Action &chosen)
{
	const auto arguments = std::make_shared<AgentArguments>();
	CLI::App *command = app.add_subcommand(
		"agent",
		"Health checks, announcements, overload guard, metrics: in the foreground");
	command->add_flag("--withdraw", arguments->withdraw,
			  "Take all routes back and end: for when the agent cannot run");
	command->add_flag(
		       "--forget", arguments->forget,
		       "Once after booting, before BIRD starts: announce nothing until the agent "
		       "says so. Later: nothing")
		->excludes("--withdraw");
	command->footer(
		"SIGHUP reads the configuration again and applies it; SIGTERM ends, with or "
		"without withdrawing,\nas [agent] on_stop says. kill -9 changes nothing on "
		"the wire.");
	command->callback([arguments, &chosen] {
		chosen = [arguments](const Context &context) {
			return run_agent(context, *arguments);
		};
	});

	app.add_subcommand("metrics", "Counters and states in Prometheus' text format")
		->callback([&chosen] { chosen = run_metrics; });
}

} // namespace anycast::cli
