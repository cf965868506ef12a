// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp plan: what `apply` would do to flows. Changes nothing.
#include <ctime>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/app.h"
#include "cli/change.h"
#include "core/generations.h"
#include "core/slow_start.h"
#include "kernel/applying.h"
#include "kernel/egress.h"
#include "kernel/flow_reader.h"
#include "kernel/sizes.h"
#include "render/plan.h"

namespace anycast::cli {

namespace {

std::size_t backend_count(const Config &config)
{
	std::size_t count = 0;
	for (const Pool &pool : config.pools)
		count += pool.backends.size();
	return count;
}

std::vector<render::Room> rooms_of(const Config &before, const Config &after, const Image &from,
				   const Image &to)
{
	const Limits &limits = after.limits;
	return {{"vips", before.vips.size(), after.vips.size(), limits.vips},
		{"pools", before.pools.size(), after.pools.size(), limits.pools},
		{"backends", backend_count(before), backend_count(after), limits.backends},
		{"table_slots", from.slots.size(), to.slots.size(), limits.table_slots},
		{"peers", before.gtsm_peers.size(), after.gtsm_peers.size(), limits.peers}};
}

Result<render::PlannedInterface> plan_for(const Paths &paths, const std::string &device,
					  Config config, bool reset_flows)
{
	const auto instance = open_instance(paths, device);
	if (!instance)
		return tl::unexpected(instance.error());
	const Applied &applied = instance->applied;
	AX_TRY(carry_generations(applied.config, config, std::time(nullptr)));
	carry_slow_starts(applied.config, config, std::time(nullptr));
	const Limits &limits = applied.config.limits;
	AX_TRY(check_limits(limits, config.limits, reset_flows));
	auto running = image_for(device, applied.config, applied.roles, applied.ids);
	if (!running)
		return tl::unexpected(std::move(running.error()));
	const auto wanted = image_for(device, config, applied.roles, applied.ids);
	if (!wanted)
		return tl::unexpected(wanted.error());
	const bool both_ways = egress::is_wanted(*wanted);
	AX_TRY(require_memory_to_reset(limits, config.limits, both_ways));
	// What packets meet is what the maps hold.
	const auto count = static_cast<std::uint32_t>(running->slots.size());
	auto slots = instance->dataplane.read_slots(0, count);
	if (!slots)
		return tl::unexpected(std::move(slots.error()));
	running->slots = std::move(*slots);
	const auto flows = read_flows(instance->dataplane);
	if (!flows)
		return tl::unexpected(flows.error());

	render::PlannedInterface planned;
	planned.interface = device;
	planned.changes = render::changes_between(applied.config, config);
	const auto reset = groups_to_reset(limits, config.limits);
	planned.plan = plan_change({applied.config, *running}, {config, *wanted}, *flows,
				   reset.contains("flows"));
	planned.memory = instance->dataplane.sizes().bytes;
	if (!reset.empty())
		planned.more_memory = static_cast<std::int64_t>(
			sizes_for(config.limits, possible_cpus(), both_ways).bytes -
			sizes_for(limits, possible_cpus(), both_ways).bytes);
	planned.rooms = rooms_of(applied.config, config, *running, *wanted);
	return planned;
}

struct PlanArguments {
	std::string file;
	bool reset_flows = false;
};

Status run_plan(const Context &context, const PlanArguments &arguments)
{
	const auto config =
		context.load(arguments.file.empty() ? context.config_path() : arguments.file);
	if (!config)
		return tl::unexpected(config.error());
	const Paths paths = context.paths_with(*config);
	const auto devices = devices_for(context, paths, *config);
	if (!devices)
		return tl::unexpected(devices.error());

	nlohmann::ordered_json list = nlohmann::ordered_json::array();
	for (const std::string &device : *devices) {
		const auto planned = plan_for(paths, device, *config, arguments.reset_flows);
		if (!planned)
			return tl::unexpected(planned.error());
		if (context.json())
			list.push_back(plan_json(*planned));
		else
			context.print(plan_text(*planned));
	}
	if (context.json())
		context.print({{"interfaces", std::move(list)}});
	return {};
}

} // namespace

void add_plan(CLI::App &app, Action &chosen)
{
	const auto arguments = std::make_shared<PlanArguments>();
	CLI::App *command =
		app.add_subcommand("plan", "What `apply` would do to flows, before it does");
	command->footer("Shares are of the pool's slots, and hold for flows that nobody knows. "
			"Known flows are those\nin this node's table. Changes nothing.");
	command->add_option("FILE", arguments->file, "Configuration [--config's]")->type_name("");
	command->add_flag("--reset-flows", arguments->reset_flows,
			  "What `apply --reset-flows` would do");
	command->callback([arguments, &chosen] {
		chosen = [arguments](const Context &context) {
			return run_plan(context, *arguments);
		};
	});
}

} // namespace anycast::cli
