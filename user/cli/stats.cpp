// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp stats
#include <memory>

#include <CLI/CLI.hpp>

#include "cli/app.h"
#include "cli/tally.h"
#include "render/reasons.h"

namespace anycast::cli {

namespace {

Status run_stats(const Context &context, bool all)
{
	const auto instances = context.instances();
	if (!instances)
		return tl::unexpected(instances.error());
	std::vector<render::InterfaceStats> list;
	for (const Instance &instance : *instances) {
		auto stats = stats_of(instance);
		if (!stats)
			return tl::unexpected(stats.error());
		list.push_back(std::move(*stats));
	}
	if (context.json())
		context.print(render::stats_json(list, all));
	else
		context.print(render::stats_text(list, all));
	return {};
}

} // namespace

void add_stats(CLI::App &app, Action &chosen)
{
	const auto all = std::make_shared<bool>(false);
	CLI::App *command =
		app.add_subcommand("stats", "Packets by reason, VIP and backend, since attach");
	command->footer(
		"Every packet is counted under exactly one reason, so the rows add up to the "
		"packets\nseen. \"Noted besides\" says something about packets that a row "
		"above has counted.");
	command->add_flag("--all", *all, "Rows that counted nothing, too");
	command->callback([all, &chosen] {
		chosen = [all](const Context &context) { return run_stats(context, *all); };
	});
}

} // namespace anycast::cli
