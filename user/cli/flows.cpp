// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp flows, loss
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <set>
#include <sstream>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/app.h"
#include "cli/flow_set.h"
#include "cli/marks.h"
#include "cli/tally.h"
#include "core/mark_json.h"
#include "render/flows.h"
#include "render/loss.h"
#include "render/node_drops.h"
#include "render/marks.h"

namespace anycast::cli {

namespace {

using nlohmann::ordered_json;

constexpr std::size_t kTableRows = 40; // unless --limit says otherwise; JSON shows all

std::size_t limit_of(const Context &context, const FlowArguments &arguments)
{
	return arguments.limit_given ? arguments.limit : context.json() ? 0 : kTableRows;
}

Status run_flows(const Context &context, const FlowArguments &arguments)
{
	auto set = collect(context, arguments);
	if (!set)
		return tl::unexpected(set.error());
	const std::size_t limit = limit_of(context, arguments);
	if (context.json()) {
		const auto marks = marks_of(set->instances);
		if (!marks)
			return tl::unexpected(marks.error());
		render::write_flows_json(context.out(), std::move(set->flows), limit,
					 {{"marking", marks_to_json(*marks)}});
	} else
		context.print(render::flows_text(std::move(set->flows), limit));
	return {};
}

Status report_loss(const Context &context, const FlowArguments &arguments)
{
	const auto set = collect(context, arguments);
	if (!set)
		return tl::unexpected(set.error());
	std::vector<std::string> warnings;
	for (const Instance &instance : set->instances)
		if (instance.attached.mode == XdpMode::kGeneric)
			warnings.push_back(fmt::format("{}: generic mode sees merged segments, so "
						       "segments are undercounted",
						       instance.interface));
	const auto totals = totals_of(set->instances, arguments);
	if (!totals)
		return tl::unexpected(totals.error());
	std::set<std::string_view> twins;
	for (const auto &[group, sum] : *totals)
		if (sum.twins && twins.insert(group.pool).second)
			warnings.push_back(fmt::format(
				"several backends of pool {} are this node: which of them answered "
				"is "
				"known of flows, not of their sums since attach (EVER BEYOND, EVER "
				"S2C); `loss --by vip` has these",
				group.pool));
	for (const std::string &warning : warnings)
		context.warn(warning);

	const auto by = arguments.by == "vip"	    ? render::LossBy::kVip
			: arguments.by == "backend" ? render::LossBy::kBackend
			: arguments.by == "prefix"  ? render::LossBy::kPrefix
						    : render::LossBy::kFlow;
	const std::size_t limit = limit_of(context, arguments);
	const bool marks_here = std::ranges::any_of(set->instances, [](const Instance &one) {
		return one.applied.config.marking && (one.applied.config.roles & AX_ROLE_EDGE);
	});
	std::vector<render::InterfaceStats> stats(set->instances.size());
	for (std::size_t i = 0; i < stats.size(); i++)
		AX_TRY(read_reasons(set->instances[i], stats[i]));
	if (!context.json()) {
		context.print(render::loss_text(set->flows, by, limit, *totals,
						render::node_drop_text(stats)));
		if (marks_here && arguments.source.empty())
			context.print(render::pulled_text(pulled_marks(context, set->instances),
							  arguments.vip, arguments.backend, limit));
		return {};
	}
	const auto marks = marks_of(set->instances);
	if (!marks)
		return tl::unexpected(marks.error());
	const ordered_json rest{{"node_drop", render::node_drop_json(stats)},
				{"marking", marks_to_json(*marks)},
				{"lb_backend_lost", pulled_marks(context, set->instances)}};
	if (arguments.watch == 0) {
		render::write_loss_json(context.out(), set->flows, by, limit, warnings, *totals,
					rest);
		return {};
	}
	std::ostringstream report; // a stream is a line each
	render::write_loss_json(report, set->flows, by, limit, warnings, *totals, rest);
	context.print_line(nlohmann::ordered_json::parse(report.str()));
	return {};
}

Status run_loss(const Context &context, const FlowArguments &arguments)
{
	if (!arguments.join.empty())
		return join_reports(context, arguments.join, limit_of(context, arguments));
	const bool clears = !context.json() && ::isatty(STDOUT_FILENO) != 0;
	for (std::uint64_t shown = 1;; shown++) {
		if (arguments.watch != 0 && clears)
			context.out() << "\033[H\033[2J";
		else if (shown > 1 && !context.json())
			context.out() << "\n";
		AX_TRY(report_loss(context, arguments));
		if (arguments.watch == 0 || shown == arguments.count)
			return {};
		context.out().flush();
		if (!context.out()) // the reader of a pipe has gone
			return {};
		std::this_thread::sleep_for(std::chrono::duration<double>(arguments.watch));
	}
}

void add_filters(CLI::App &command, FlowArguments &arguments)
{
	command.add_option("--vip", arguments.vip, "Only flows to this VIP")->type_name("NAME");
	command.add_option("--backend", arguments.backend, "Only flows on this backend")
		->type_name("[POOL/]NAME");
	command.add_option("--source", arguments.source, "Only flows from this address or prefix")
		->type_name("ADDRESS[/BITS]");
	command.add_option("--active", arguments.active,
			   "Only flows that were used within the last seconds")
		->check(CLI::Range(1.0, 1e6))
		->type_name("SECONDS");
	command.add_option("--limit", arguments.limit, "How many lines; 0 = all [40; all as JSON]")
		->check(CLI::NonNegativeNumber)
		->type_name("N");
}

} // namespace

void add_flows(CLI::App &app, Action &chosen)
{
	const auto flows = std::make_shared<FlowArguments>();
	CLI::App *command = app.add_subcommand("flows", "The flow table: every flow and its state");
	command->footer(
		"Busiest first. A flow that several CPUs have seen is one line, without loss "
		"figures.");
	add_filters(*command, *flows);
	command->callback([flows, command, &chosen] {
		flows->limit_given = command->count("--limit") != 0;
		chosen = [flows](const Context &context) { return run_flows(context, *flows); };
	});

	const auto loss = std::make_shared<FlowArguments>();
	command = app.add_subcommand("loss", "Packets lost between clients and this node, by flow");
	command->footer(
		"Worst first. LOST: first transmissions that never came, estimated from what was "
		"sent "
		"again.\nREORDERED: late, not lost. RTX<=: segments seen twice: lost beyond this "
		"node, "
		"or repeated\nfor nothing; an upper bound. \"-\" (JSON: null) means it cannot be "
		"measured, never zero.\nUNREPAIRED: gaps nobody filled: packets that took another "
		"way. "
		"docs/loss.md says how.\nEVER: since attach, ended and forgotten flows included.");
	add_filters(*command, *loss);
	command->add_option("--by", loss->by, "Sum by [flow]")
		->check(CLI::IsMember({"flow", "vip", "backend", "prefix"}));
	command->add_option("--watch", loss->watch,
			    "Again every so many seconds, until interrupted")
		->check(CLI::Range(0.1, 3600.0))
		->type_name("SECONDS");
	command->add_option("--join", loss->join,
			    "Instead: what edges sent and backends got, from saved --json reports")
		->check(CLI::ExistingFile)
		->excludes("--watch")
		->type_name("FILE...");
	command->add_option("--count,-n", loss->count, "Leave after that many reports")
		->needs("--watch");
	command->callback([loss, command, &chosen] {
		loss->limit_given = command->count("--limit") != 0;
		chosen = [loss](const Context &context) { return run_loss(context, *loss); };
	});
}

} // namespace anycast::cli
