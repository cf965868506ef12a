// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp validate, apply, diff
#include <algorithm>
#include <filesystem>
#include <memory>
#include <sstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/app.h"
#include "cli/change.h"
#include "core/vip_places.h"
#include "net/control_client.h"
#include "net/host.h"
#include "render/diff.h"
#include "render/table.h"

namespace anycast::cli {

namespace {

constexpr std::chrono::milliseconds kAgentPatience{15000};

struct FileArguments {
	std::string file;
	bool dry_run = false, host_only = false, exit_code = false, reset_flows = false;
};

// The positional FILE, --config, or the default.
std::string file_of(const Context &context, const FileArguments &arguments)
{
	return arguments.file.empty() ? context.config_path() : arguments.file;
}

Status run_validate(const Context &context, const FileArguments &arguments)
{
	const std::string path = file_of(context, arguments);
	const auto parsed = load_config(path);
	if (!parsed) {
		std::vector<std::string> errors;
		std::istringstream lines(parsed.error().what);
		for (std::string line; std::getline(lines, line);)
			errors.push_back(line);
		if (context.json())
			context.print({{"valid", false}, {"errors", errors}});
		return tl::unexpected(parsed.error());
	}
	for (const std::string &warning : parsed->warnings)
		context.warn(warning);
	const Config &config = parsed->config;
	std::size_t backends = 0;
	for (const Pool &pool : config.pools)
		backends += pool.backends.size();
	if (context.json())
		context.print({{"valid", true},
			       {"vips", config.vips.size()},
			       {"pools", config.pools.size()},
			       {"backends", backends},
			       {"gtsm_peers", config.gtsm_peers.size()},
			       {"warnings", parsed->warnings}});
	else
		context.print(
			fmt::format("{}: valid: {}, {}, {}, {}\n", path,
				    render::count_text(config.vips.size(), "VIP"),
				    render::count_text(config.pools.size(), "pool"),
				    render::count_text(backends, "backend"),
				    render::count_text(config.gtsm_peers.size(), "GTSM peer")));
	return {};
}

// [host] of the file; nothing if it has none.
Result<Besides> apply_host(const Context &context, const Config &config, bool dry_run)
{
	if (!config.host)
		return Besides{};
	const auto report = set_up_host(*config.host, single_vips(config), dry_run);
	if (!report)
		return tl::unexpected(report.error());
	for (const Prefix &prefix : prefix_vips(config))
		context.note(fmt::format("VIP {0} is on no interface: where its service is this "
					 "node's own, ip route add local {0} dev {1}",
					 prefix.text(), config.host->interface));
	for (const std::string &warning : report->plan.warnings)
		context.warn(warning);
	const std::vector<std::string> lines = describe(*report);
	const bool changed = report->plan.changes();
	if (!context.json())
		context.print(
			fmt::format("host: {}{}\n{}{}", dry_run && changed ? "would be " : "",
				    changed ? "changed" : "unchanged", changed ? "  " : "",
				    changed ? fmt::format("{}\n", fmt::join(lines, "\n  ")) : ""));
	return Besides{.changed = changed,
		       .members = {{"host",
				    {{"changed", changed},
				     {"interface", config.host->interface},
				     {"kind", report->kind},
				     {"changes", lines},
				     {"warnings", report->plan.warnings}}}}};
}

Result<bool> apply_host_only(const Context &context, const Config &config, bool dry_run)
{
	if (!config.host)
		return fail(Exit::kUsage, "the configuration has no [host]",
			    "add a section [host]; its defaults will do");
	const auto host = apply_host(context, config, dry_run);
	if (!host)
		return tl::unexpected(host.error());
	nlohmann::ordered_json document{{"changed", host->changed}, {"dry_run", dry_run}};
	document.update(host->members);
	if (context.json())
		context.print(document);
	return host->changed;
}

// An agent that runs with this file takes its part of it now: checks, VIPs, BIRD.
Status tell_agent(const Context &context, const Paths &paths, const std::string &file)
{
	ControlRequest request;
	request.command = "status";
	const auto status = ask_agent(paths.socket, request, kAgentPatience);
	if (!status)
		return tl::unexpected(status.error());
	if (!*status)
		return {};
	AX_TRY((*status)->status);
	const std::string its = (*status)->result.value("config", "");
	std::error_code error;
	if (!std::filesystem::equivalent(its, file, error)) {
		context.warn(fmt::format("the agent runs with {}: its checks and announcements "
					 "stay as that file says",
					 its));
		return {};
	}
	request.command = "reload";
	const auto reloaded = ask_agent(paths.socket, request, kAgentPatience);
	if (!reloaded)
		return tl::unexpected(reloaded.error());
	if (*reloaded && !(*reloaded)->status)
		return fail(Exit::kFailed,
			    "applied, but the agent does not take it: " +
				    (*reloaded)->status.error().what,
			    (*reloaded)->status.error().hint);
	return {};
}

Result<bool> apply_all(const Context &context, const FileArguments &arguments, const Paths &paths,
		       const Config &config)
{
	const auto devices = devices_for(context, paths, config);
	if (!devices)
		return tl::unexpected(devices.error());
	const Edit to_file = [&](const Applied &) -> Result<Config> { return config; };
	if (config.host)
		AX_TRY(can_change(paths, *devices, to_file,
				  arguments.reset_flows)); // before it is touched
	// The data plane is compiled against the host's addresses: the host comes first.
	const auto host = apply_host(context, config, arguments.dry_run);
	if (!host)
		return tl::unexpected(host.error());
	const auto changed =
		change(context, paths, *devices, to_file,
		       {.dry_run = arguments.dry_run, .reset_flows = arguments.reset_flows}, *host);
	if (!changed)
		return changed;
	if (!arguments.dry_run)
		AX_TRY(tell_agent(context, paths, file_of(context, arguments)));
	return *changed || host->changed;
}

Status run_apply(const Context &context, const FileArguments &arguments)
{
	const auto config = context.load(file_of(context, arguments));
	if (!config)
		return tl::unexpected(config.error());
	const auto changed =
		arguments.host_only
			? apply_host_only(context, *config, arguments.dry_run)
			: apply_all(context, arguments, context.paths_with(*config), *config);
	if (!changed)
		return tl::unexpected(changed.error());
	if (arguments.exit_code && *changed)
		return fail(Exit::kChanged, "changed");
	return {};
}

Status run_diff(const Context &context, const FileArguments &arguments)
{
	const auto config = context.load(file_of(context, arguments));
	if (!config)
		return tl::unexpected(config.error());
	const Paths paths = context.paths_with(*config);
	const auto devices = devices_for(context, paths, *config);
	if (!devices)
		return tl::unexpected(devices.error());

	const auto host = apply_host(context, *config, true);
	if (!host)
		return tl::unexpected(host.error());

	nlohmann::ordered_json list = nlohmann::ordered_json::array();
	for (const std::string &device : *devices) {
		const auto instance = open_instance(paths, device);
		if (!instance)
			return tl::unexpected(instance.error());
		const auto changes = render::changes_between(instance->applied.config, *config);
		list.push_back({{"interface", device}, {"changes", render::changes_json(changes)}});
		if (!context.json())
			context.print(changes.empty() ? fmt::format("{}: no difference\n", device)
						      : fmt::format("{}:\n{}", device,
								    render::changes_text(changes)));
	}
	if (context.json()) {
		nlohmann::ordered_json document{{"interfaces", std::move(list)}};
		document.update(host->members);
		context.print(document);
	}
	return {};
}

CLI::App *file_command(CLI::App &app, const char *name, const char *about,
		       const std::shared_ptr<FileArguments> &arguments,
		       Status (*run)(const Context &, const FileArguments &), Action &chosen)
{
	CLI::App *command = app.add_subcommand(name, about);
	command->add_option("FILE", arguments->file, "Configuration [--config's]")->type_name("");
	command->callback([arguments, run, &chosen] {
		chosen = [arguments, run](const Context &context) {
			return run(context, *arguments);
		};
	});
	return command;
}

} // namespace

Result<std::vector<std::string>> devices_for(const Context &context, const Paths &paths,
					     const Config &config)
{
	auto devices = context.devices(paths);
	if (!devices || !context.device().empty() || config.interfaces.empty())
		return devices;
	std::vector<std::string> named;
	for (const std::string &device : *devices)
		if (std::ranges::find(config.interfaces, device) != config.interfaces.end())
			named.push_back(device);
	if (named.empty())
		return fail(Exit::kNotAttached,
			    fmt::format("none of the file's interfaces is attached: {}",
					fmt::join(config.interfaces, ", ")),
			    fmt::format("attached: {}", fmt::join(*devices, ", ")));
	return named;
}

void add_config(CLI::App &app, Action &chosen)
{
	file_command(app, "validate", "Check a configuration; all errors in one go",
		     std::make_shared<FileArguments>(), run_validate, chosen);

	const auto applying = std::make_shared<FileArguments>();
	CLI::App *command =
		file_command(app, "apply", "Make attached interfaces run a configuration", applying,
			     run_apply, chosen);
	command->footer(
		"All of it is switched at once, or nothing is. Says whether anything changed; "
		"applying\nthe same again changes nothing. Interfaces: those that the file "
		"names, else all attached.\nFlow tables of another size ([limits] flows_v4, "
		"flows_v6, marked_flows) want --reset-flows:\nthe program is replaced without a "
		"gap, counters stay; flows are forgotten, and go by\ntheir hash as if they were "
		"new.");
	command->add_flag("--dry-run", applying->dry_run, "Say what would change, change nothing");
	command->add_flag("--exit-code", applying->exit_code,
			  "End with 10 where something was (or would be) changed, 0 where nothing "
			  "was");
	CLI::Option *host =
		command->add_flag("--host", applying->host_only,
				  "Only [host]: the VIPs' interface and the kernel's settings");
	command->add_flag("--reset-flows", applying->reset_flows,
			  "Make flow tables anew where [limits] want another size")
		->excludes(host);

	file_command(app, "diff", "What `apply` would change, object by object",
		     std::make_shared<FileArguments>(), run_diff, chosen);
}

} // namespace anycast::cli
