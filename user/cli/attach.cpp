// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp attach, detach
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "agent/control.h"
#include "cli/app.h"
#include "cli/change.h"
#include "kernel/sharing.h"
#include "core/names.h"
#include "kernel/applying.h"
#include "render/status.h"

namespace anycast::cli {

namespace {

struct AttachArguments {
	std::vector<std::string> devices;
	std::string role, mode;
	bool replace = false, reset_flows = false, dry_run = false;
};

render::AttachResult result_of(const AttachReport &report, std::uint32_t roles,
			       std::uint64_t digest)
{
	render::AttachResult result;
	result.hook = hook_of(report.attached);
	result.replaced = report.replaced;
	result.forgotten.assign(report.forgotten.begin(), report.forgotten.end());
	result.roles = roles_name(roles);
	result.generation = report.generation;
	result.digest = digest;
	result.verified_instructions = report.verified_instructions;
	result.memory = memory_of(report.sizes);
	result.warnings = report.warnings;
	return result;
}

// Says which interfaces were done before this one failed.
tl::unexpected<Error> half_done(Error error, const std::vector<render::AttachResult> &done)
{
	if (!done.empty()) {
		error.what += "\n  already attached, and left so:";
		for (const auto &result : done)
			error.what += " " + result.hook.interface;
	}
	return tl::unexpected<Error>(std::move(error));
}

Status run_attach(const Context &context, const AttachArguments &arguments)
{
	const auto config = context.load(context.config_path());
	if (!config)
		return tl::unexpected(config.error());

	std::vector<std::string> devices = arguments.devices;
	if (devices.empty() && !context.device().empty())
		devices = {context.device()};
	if (devices.empty())
		devices = config->interfaces;
	if (devices.empty())
		return fail(Exit::kUsage, "no interface to attach to",
			    "name one (anycast-xdp attach eth0), or set [node] interfaces");

	const Paths paths = context.paths_with(*config);
	const auto group = agent::agent_group(config->agent.group);
	if (!group)
		return tl::unexpected(group.error());
	AttachOptions options{.mode = arguments.mode.empty() ? config->mode : arguments.mode,
			      .roles = arguments.role.empty() ? config->roles
							      : *roles_from(arguments.role),
			      .replace_foreign = arguments.replace,
			      .reset_flows = arguments.reset_flows,
			      .dry_run = true};

	// All are looked at before the first one is touched.
	std::vector<render::AttachResult> results;
	for (const std::string &device : devices) {
		const auto report = attach(paths, device, *config, options);
		if (!report)
			return tl::unexpected(report.error());
		const auto image = image_for(device, *config, options.roles, {});
		if (!image)
			return tl::unexpected(image.error());
		results.push_back(result_of(*report, options.roles, image->digest));
		results.back().hook.interface = device;
	}

	if (!arguments.dry_run) {
		options.dry_run = false;
		results.clear();
		for (const std::string &device : devices) {
			const auto report = attach(paths, device, *config, options);
			if (!report)
				return half_done(report.error(), results);
			const auto instance = open_instance(paths, device);
			if (!instance)
				return half_done(instance.error(), results);
			if (*group)
				if (const auto shared = share_with_group(paths, device, **group);
				    !shared)
					return half_done(shared.error(), results);
			results.push_back(
				result_of(*report, options.roles, instance->applied.digest));
		}
	}

	for (const auto &result : results) {
		for (const std::string &warning : result.warnings)
			context.warn(result.hook.interface, warning);
		if (arguments.reset_flows && result.replaced && result.forgotten.empty())
			context.note(result.hook.interface + ": " + kNothingToReset);
	}
	if (context.json())
		context.print(attach_json(results, arguments.dry_run));
	else
		context.print(attach_text(results, arguments.dry_run));
	return {};
}

struct DetachArguments {
	std::vector<std::string> devices;
	bool all = false;
};

Status run_detach(const Context &context, const DetachArguments &arguments)
{
	const auto paths = context.paths();
	if (!paths)
		return tl::unexpected(paths.error());
	std::vector<std::string> devices = arguments.devices;
	if (devices.empty() && !context.device().empty())
		devices = {context.device()};
	if (devices.empty() && !arguments.all)
		return fail(Exit::kUsage, "which interface?",
			    "name it (anycast-xdp detach eth0), or say --all");
	if (arguments.all) {
		const auto attached = attached_interfaces(*paths);
		if (!attached)
			return tl::unexpected(attached.error());
		if (attached->empty())
			return fail(Exit::kNotAttached, "nothing is attached");
		devices = *attached;
	}

	nlohmann::ordered_json json = nlohmann::ordered_json::array();
	std::string absent;
	for (const std::string &device : devices) {
		const auto report = detach(*paths, device);
		if (!report)
			return tl::unexpected(report.error());
		for (const std::string &warning : report->warnings)
			context.warn(device, warning);
		if (!report->detached && !report->gone)
			absent += (absent.empty() ? "" : ", ") + device;
		if (!context.json())
			context.print(fmt::format(
				"{}: {}\n", device,
				report->detached ? "detached"
				: report->gone	 ? "the device is gone; what was left is removed"
						 : "was not attached"));
		json.push_back({{"interface", device},
				{"detached", report->detached},
				{"device_gone", report->gone},
				{"warnings", report->warnings}});
	}
	if (context.json())
		context.print({{"interfaces", std::move(json)}});
	if (!absent.empty())
		return fail(Exit::kNotAttached, "not attached: " + absent);
	return {};
}

} // namespace

void add_attach(CLI::App &app, Action &chosen)
{
	const auto attaching = std::make_shared<AttachArguments>();
	CLI::App *command = app.add_subcommand(
		"attach", "Put the program on interfaces, or replace it without a gap");
	command->footer(
		"Where the program is attached already it is replaced atomically: maps, flows "
		"and\ncounters stay. Every interface is checked before the first is touched. "
		"Flow tables of\nanother size ([limits] flows_v4, flows_v6, marked_flows) want "
		"--reset-flows: then flows\nare forgotten, and go by their hash as if they were "
		"new.");
	command->add_option("DEV", attaching->devices, "Interfaces [the file's node.interfaces]")
		->type_name("");
	command->add_option("--role", attaching->role, "What to be [the file's node.roles]")
		->check(CLI::IsMember({"edge", "backend", "both"}));
	command->add_option("--mode", attaching->mode, "XDP mode [the file's node.mode]")
		->check(CLI::IsMember({"auto", "native", "generic", "offload"}));
	command->add_flag("--replace", attaching->replace, "Evict an XDP program that is not ours");
	command->add_flag("--reset-flows", attaching->reset_flows,
			  "Make flow tables anew where [limits] want another size");
	command->add_flag("--dry-run", attaching->dry_run, "Check everything, change nothing");
	command->callback([attaching, &chosen] {
		chosen = [attaching](const Context &context) {
			return run_attach(context, *attaching);
		};
	});

	const auto detaching = std::make_shared<DetachArguments>();
	command = app.add_subcommand("detach",
				     "Take the program off interfaces; flows and counters go");
	CLI::Option *devices =
		command->add_option("DEV", detaching->devices, "Interfaces")->type_name("");
	command->add_flag("--all", detaching->all, "All attached interfaces of this namespace")
		->excludes(devices);
	command->callback([detaching, &chosen] {
		chosen = [detaching](const Context &context) {
			return run_detach(context, *detaching);
		};
	});
}

} // namespace anycast::cli
