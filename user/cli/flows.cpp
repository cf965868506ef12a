// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp flows, loss
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/app.h"
#include "kernel/flow_reader.h"
#include "render/flows.h"
#include "render/loss.h"

namespace anycast::cli {

namespace {

constexpr std::size_t kTableRows = 40; // unless --limit says otherwise; JSON shows all

struct FlowArguments {
	std::string vip, backend, source, by = "flow";
	std::size_t limit = 0;
	bool limit_given = false;
};

// Instances, their flows, and views into both: to be kept together.
struct FlowSet {
	std::vector<Instance> instances;
	std::vector<std::vector<FlowRecord>> records;
	std::vector<render::NamedFlow> flows;
};

Result<FlowSet> collect(const Context &context, const FlowArguments &arguments)
{
	render::FlowFilter filter{.vip = arguments.vip, .backend = arguments.backend, .source = {}};
	if (!arguments.source.empty()) {
		filter.source = Address::parse(arguments.source);
		if (!filter.source)
			return fail(Exit::kUsage, fmt::format("--source {}: not an IP address",
							      arguments.source));
	}

	FlowSet set;
	auto instances = context.instances();
	if (!instances)
		return tl::unexpected(std::move(instances.error()));
	set.instances = std::move(*instances);
	for (const Instance &instance : set.instances) {
		auto records = read_flows(instance.dataplane);
		if (!records)
			return tl::unexpected(std::move(records.error()));
		set.records.push_back(std::move(*records));
	}
	for (std::size_t i = 0; i < set.instances.size(); i++)
		for (const FlowRecord &record : set.records[i]) {
			const auto named = render::name_flow(record, set.instances[i].interface,
							     set.instances[i].applied.ids);
			if (filter.matches(named))
				set.flows.push_back(named);
		}
	return set;
}

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
	if (context.json())
		render::write_flows_json(context.out(), std::move(set->flows), limit);
	else
		context.print(render::flows_text(std::move(set->flows), limit));
	return {};
}

Status run_loss(const Context &context, const FlowArguments &arguments)
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
	for (const std::string &warning : warnings)
		context.warn(warning);

	const auto by = arguments.by == "vip"	    ? render::LossBy::kVip
			: arguments.by == "backend" ? render::LossBy::kBackend
						    : render::LossBy::kFlow;
	const std::size_t limit = limit_of(context, arguments);
	if (context.json())
		render::write_loss_json(context.out(), set->flows, by, limit, warnings);
	else
		context.print(render::loss_text(set->flows, by, limit));
	return {};
}

void add_filters(CLI::App &command, FlowArguments &arguments)
{
	command.add_option("--vip", arguments.vip, "Only flows to this VIP")->type_name("NAME");
	command.add_option("--backend", arguments.backend, "Only flows on this backend")
		->type_name("[POOL/]NAME");
	command.add_option("--source", arguments.source, "Only flows from this address")
		->type_name("ADDRESS");
	command.add_option("--limit", arguments.limit, "How many lines; 0 = all [40; all as JSON]")
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
		"docs/loss.md says how.");
	add_filters(*command, *loss);
	command->add_option("--by", loss->by, "Sum by [flow]")
		->check(CLI::IsMember({"flow", "vip", "backend"}));
	command->callback([loss, command, &chosen] {
		loss->limit_given = command->count("--limit") != 0;
		chosen = [loss](const Context &context) { return run_loss(context, *loss); };
	});
}

} // namespace anycast::cli
