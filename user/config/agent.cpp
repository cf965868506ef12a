// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// [host] and [agent].
#include <fmt/format.h>

#include "config/sections.h"

namespace anycast {

namespace {

using std::chrono::minutes;

void read_threshold(TableReader &overload, std::string_view key, Threshold &threshold,
		    std::int64_t most)
{
	overload.section(key, [&](TableReader &table) {
		table.missing("high");
		if (const auto high = table.integer("high", 1, most))
			threshold.high = static_cast<std::uint32_t>(high->value);
		threshold.low = threshold.high - threshold.high / 5;
		if (const auto low = table.integer("low", 0, most))
			threshold.low = static_cast<std::uint32_t>(low->value);
		// Equal ones would let a node go up and down with every sample.
		if (threshold.high != 0 && threshold.low >= threshold.high)
			table.diagnostics().error(
				table.at("low"),
				fmt::format("agent.overload.{}: low must be below high = {}", key,
					    threshold.high));
	});
}

void read_overload(TableReader &overload, OverloadOptions &options)
{
	if (const auto action = overload.choice("action", kOverloadActions))
		options.action = static_cast<OverloadAction>(action->value);
	if (const auto hold = overload.duration("hold", Milliseconds(0), minutes(60)))
		options.hold = hold->value;
	read_threshold(overload, "cpu", options.cpu, 100);
	read_threshold(overload, "cpu_pressure", options.cpu_pressure, 100);
	read_threshold(overload, "memory_pressure", options.memory_pressure, 100);
	read_threshold(overload, "io_pressure", options.io_pressure, 100);
	read_threshold(overload, "temperature", options.temperature, 150);
	read_threshold(overload, "loss", options.loss, 1000);
}

bool usable_endpoint(TableReader &agent, std::string_view key, const Placed<std::string> &text)
{
	const std::string what = fmt::format("agent.{}", key);
	const auto endpoint = Endpoint::parse(text.value);
	if (!endpoint || endpoint->port == 0) {
		agent.diagnostics().error(
			text.at, fmt::format("{}: \"{}\" is no address with a port, such as "
					     "\"10.1.0.11:9556\" or \"[2001:db8::11]:9556\"",
					     what, text.value));
		return false;
	}
	const std::size_t errors = agent.diagnostics().error_count();
	check_unicast(agent.diagnostics(), what, {endpoint->address, text.at});
	return agent.diagnostics().error_count() == errors;
}

// Does it name anybody?
bool read_allowed(TableReader &agent, AgentOptions &options)
{
	const auto texts = agent.strings("marks_allow");
	for (const Placed<std::string> &text : texts) {
		const auto prefix = parse_prefix(text.value);
		if (prefix)
			options.marks_allow.push_back(*prefix);
		else
			agent.diagnostics().error(
				text.at, fmt::format("agent.marks_allow: \"{}\" is no prefix, such "
						     "as \"10.1.0.0/24\", and no address",
						     text.value));
	}
	return !texts.empty();
}

void read_marks(TableReader &agent, AgentOptions &options)
{
	const auto listen = agent.string("marks_listen");
	if (listen && usable_endpoint(agent, "marks_listen", *listen))
		options.marks_listen = Endpoint::parse(listen->value);
	const bool allows = read_allowed(agent, options);
	if (listen && !allows)
		agent.diagnostics().error(listen->at,
					  "agent.marks_listen: marks_allow must say who may ask, "
					  "such as [\"10.2.0.0/24\"]");
	if (!listen && agent.has("marks_allow"))
		agent.diagnostics().error(agent.at("marks_allow"),
					  "agent.marks_allow: without marks_listen nobody can ask");
	for (const Placed<std::string> &text : agent.strings("marks_from"))
		if (usable_endpoint(agent, "marks_from", text))
			options.marks_from.push_back(*Endpoint::parse(text.value));
}

} // namespace

void read_host(TableReader &root, Config &config)
{
	root.section("host", [&](TableReader &host) {
		HostOptions &options = config.host.emplace();
		if (const auto name = host.string("interface")) {
			options.interface = name->value;
			if (!usable_interface_name(name->value))
				host.diagnostics().error(
					name->at, fmt::format("host.interface: \"{}\" cannot be an "
							      "interface",
							      name->value));
		}
		if (const auto forwarding = host.boolean("forwarding"))
			options.forwarding = forwarding->value;
		if (const auto policy = host.integer("hash_policy", 0, 3))
			options.hash_policy = static_cast<std::uint32_t>(policy->value);
		for (const auto &[key, member] : {std::pair{"rmem_max", &options.rmem_max},
						  std::pair{"wmem_max", &options.wmem_max}})
			if (const auto bytes = host.integer(key, 4096, INT32_MAX))
				*member = static_cast<std::uint32_t>(bytes->value);
		if (const auto persist = host.boolean("persist"))
			options.persist = persist->value;
	});
}

void read_agent(TableReader &root, Config &config)
{
	AgentOptions &options = config.agent;
	root.section("agent", [&](TableReader &agent) {
		if (const auto group = agent.string("group"))
			options.group = group->value;
		if (const auto user = agent.string("exec_user")) {
			options.exec_user = user->value;
			if (user->value == "root" || user->value.empty())
				agent.diagnostics().error(user->at,
							  "agent.exec_user: exec checks must not "
							  "run as root");
		}
		if (const auto address = agent.address("http_address")) {
			options.http_address = address->value;
			if (!address->value.is_loopback())
				agent.diagnostics().error(
					address->at,
					fmt::format(
						"agent.http_address: {} is no loopback address; "
						"put a proxy that asks for a password in front",
						address->value.text()));
		}
		if (const auto port = agent.integer("http_port", 1, 65535))
			options.http_port = static_cast<std::uint16_t>(port->value);
		read_marks(agent, options);
		if (const auto on_stop = agent.choice("on_stop", kOnStop))
			options.on_stop = static_cast<OnStop>(on_stop->value);
		if (const auto hold = agent.duration("canary_hold", Milliseconds(0), minutes(1440)))
			options.canary_hold = hold->value;
		agent.section("overload", [&](TableReader &overload) {
			read_overload(overload, options.overload);
		});
	});
}

} // namespace anycast
