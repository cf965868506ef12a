// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp validate, apply, diff
#include <algorithm>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/app.h"
#include "cli/change.h"
#include "net/host.h"
#include "render/diff.h"
#include "render/table.h"

namespace anycast::cli {

namespace {

struct FileArguments {
	std::string file;
	bool dry_run = false, host_only = false;
};

// The positional FILE, --config, or the default.
std::string file_of(const Context &context, const FileArguments &arguments)
{
	return arguments.file.empty() ? context.config_path() : arguments.file;
}

// The attached interfaces that the file is for: all, if it names none.
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

Status run_validate(const Context &context, const FileArguments &arguments)
{
	const std::string path = file_of(context, arguments);
	const auto parsed = load_config(path);
	if (!parsed)
		return tl::unexpected(parsed.error());
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
	std::vector<Address> vips;
	for (const Vip &vip : config.vips)
		if (std::ranges::find(vips, vip.address) == vips.end())
			vips.push_back(vip.address);
	const auto report = set_up_host(*config.host, vips, dry_run);
	if (!report)
		return tl::unexpected(report.error());
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

Status apply_host_only(const Context &context, const Config &config, bool dry_run)
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
	return {};
}

Status run_apply(const Context &context, const FileArguments &arguments)
{
	const auto config = context.load(file_of(context, arguments));
	if (!config)
		return tl::unexpected(config.error());
	const Paths paths = context.paths_with(*config);
	if (arguments.host_only)
		return apply_host_only(context, *config, arguments.dry_run);
	const auto devices = devices_for(context, paths, *config);
	if (!devices)
		return tl::unexpected(devices.error());
	// The data plane is compiled against the host's addresses: the host comes first.
	const auto host = apply_host(context, *config, arguments.dry_run);
	if (!host)
		return tl::unexpected(host.error());
	AX_TRY(change(
		context, paths, *devices,
		[&](const Applied &) -> Result<Config> { return *config; }, arguments.dry_run,
		*host));
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
		"names, else all attached.");
	command->add_flag("--dry-run", applying->dry_run, "Say what would change, change nothing");
	command->add_flag("--host", applying->host_only,
			  "Only [host]: the VIPs' interface and the kernel's settings");

	file_command(app, "diff", "What `apply` would change, object by object",
		     std::make_shared<FileArguments>(), run_diff, chosen);
}

} // namespace anycast::cli
