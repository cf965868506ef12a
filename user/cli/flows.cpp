// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp flows, loss
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <sstream>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/app.h"
#include "cli/marks.h"
#include "core/mark_json.h"
#include "kernel/flow_reader.h"
#include "net/interfaces.h"
#include "render/flows.h"
#include "render/loss.h"
#include "render/marks.h"

namespace anycast::cli {

namespace {

using nlohmann::ordered_json;

constexpr std::size_t kTableRows = 40; // unless --limit says otherwise; JSON shows all

struct FlowArguments {
	std::string vip, backend, source, by = "flow";
	std::size_t limit = 0;
	double active = 0; // seconds; 0 = all
	double watch = 0;  // seconds; 0 = once
	std::uint64_t count = 0;
	bool limit_given = false;
	std::vector<std::string> join; // saved reports
};

// Instances, their flows, and views into both: to be kept together.
struct FlowSet {
	std::vector<Instance> instances;
	std::vector<std::vector<FlowRecord>> records;
	std::vector<render::NamedFlow> flows;
};

// Which backend ids of the running half are this node.
std::vector<bool> own_backends(const Instance &instance)
{
	const auto facts = node_facts(instance.interface);
	const std::vector<Named> &ids = instance.applied.ids.backends;
	std::vector<bool> own(ids.size());
	for (const Pool &pool : instance.applied.config.pools)
		for (const Backend &backend : pool.backends)
			for (std::size_t id = 0; id < ids.size(); id++)
				if (facts && ids[id].used &&
				    ids[id].name == pool.name + "/" + backend.name &&
				    std::ranges::count(facts->node_addresses, backend.address) != 0)
					own[id] = true;
	return own;
}

// Joins what arrives with what leaves, by whichever interface.
Status see_both_directions(FlowSet &set)
{
	EgressTables egress;
	for (const Instance &instance : set.instances)
		AX_TRY(read_egress(instance.dataplane, egress));
	if (!egress.watched)
		return {};
	for (std::size_t i = 0; i < set.instances.size(); i++) {
		const std::vector<Named> &ids = set.instances[i].applied.ids.backends;
		const std::vector<bool> own = own_backends(set.instances[i]);
		join_egress(set.records[i], egress, [&](const FlowRecord &flow) {
			return flow.backend < own.size() && own[flow.backend] &&
			       ids[flow.backend].gen == flow.backend_gen;
		});
	}
	return {};
}

Result<FlowSet> collect(const Context &context, const FlowArguments &arguments)
{
	render::FlowFilter filter{.vip = arguments.vip,
				  .backend = arguments.backend,
				  .source = {},
				  .active_ms = static_cast<std::uint64_t>(arguments.active * 1000)};
	if (!arguments.source.empty()) {
		filter.source = parse_prefix(arguments.source);
		if (!filter.source)
			return fail(Exit::kUsage,
				    fmt::format("--source {}: neither an IP address nor a prefix",
						arguments.source),
				    "for example 203.0.113.0/24");
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
	AX_TRY(see_both_directions(set));
	for (std::size_t i = 0; i < set.instances.size(); i++)
		for (const FlowRecord &record : set.records[i]) {
			auto named = render::name_flow(record, set.instances[i].interface,
						       set.instances[i].applied.ids);
			const Limits &limits = set.instances[i].applied.config.limits;
			named.client_bits = static_cast<std::uint8_t>(
				record.family == 4 ? limits.loss_prefix_v4 : limits.loss_prefix_v6);
			named.merged = set.instances[i].attached.mode == XdpMode::kGeneric;
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

// Do the sums since attach answer what was asked for? They know one dimension each.
bool totals_fit(const FlowArguments &arguments)
{
	return (arguments.vip.empty() || arguments.by == "vip") &&
	       (arguments.backend.empty() || arguments.by == "backend") &&
	       (arguments.source.empty() || arguments.by == "prefix");
}

Status add_prefixes(const Instance &instance, const FlowArguments &arguments,
		    render::GroupTotals &totals)
{
	const auto prefixes = read_prefixes(instance.dataplane);
	if (!prefixes)
		return tl::unexpected(prefixes.error());
	const auto wanted = parse_prefix(arguments.source);
	for (const PrefixTotals &row : *prefixes) {
		const Prefix prefix = row.prefix.value_or(Prefix{});
		if (wanted && (wanted->address.is_v4() != prefix.address.is_v4() ||
			       prefix.bits < wanted->bits ||
			       prefix_of(prefix.address, wanted->bits) != *wanted))
			continue;
		totals[{{}, {}, {}, prefix}].add(row.totals);
	}
	return {};
}

// Since attach, over all interfaces. The groups' names view into the instances.
Result<render::GroupTotals> totals_of(const std::vector<Instance> &instances,
				      const FlowArguments &arguments)
{
	render::GroupTotals totals;
	if (arguments.by == "flow" || !totals_fit(arguments))
		return totals;
	for (const Instance &instance : instances) {
		if (arguments.by == "prefix") {
			AX_TRY(add_prefixes(instance, arguments, totals));
			continue;
		}
		const Ids &ids = instance.applied.ids;
		const bool by_vip = arguments.by == "vip";
		const auto loss =
			by_vip ? instance.dataplane.vip_loss() : instance.dataplane.backend_loss();
		const auto traffic = by_vip ? instance.dataplane.vip_counters()
					    : instance.dataplane.backend_counters();
		if (!loss || !traffic)
			return tl::unexpected(!loss ? loss.error() : traffic.error());
		const auto &names = by_vip ? ids.vips : ids.backends;
		for (std::size_t i = 0; i < names.size() && i < loss->size(); i++) {
			if (!names[i].used)
				continue;
			const std::string_view name = names[i].name;
			const std::size_t slash = by_vip ? name.npos : name.find('/');
			render::LossGroup group;
			if (by_vip)
				group.vip = name;
			else
				group = {{}, name.substr(0, slash), name.substr(slash + 1), {}};
			if ((by_vip && !arguments.vip.empty() && arguments.vip != name) ||
			    (!by_vip && !arguments.backend.empty() && arguments.backend != name &&
			     arguments.backend != group.backend))
				continue;
			totals[group].add(LossTotals((*loss)[i], (*traffic)[i].segments,
						     sees_both_ways(instance.dataplane)));
		}
	}
	return totals;
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
	for (const std::string &warning : warnings)
		context.warn(warning);

	const auto by = arguments.by == "vip"	    ? render::LossBy::kVip
			: arguments.by == "backend" ? render::LossBy::kBackend
			: arguments.by == "prefix"  ? render::LossBy::kPrefix
						    : render::LossBy::kFlow;
	const auto totals = totals_of(set->instances, arguments);
	if (!totals)
		return tl::unexpected(totals.error());
	const std::size_t limit = limit_of(context, arguments);
	const bool marks_here = std::ranges::any_of(set->instances, [](const Instance &one) {
		return one.applied.config.marking && (one.applied.config.roles & AX_ROLE_EDGE);
	});
	if (!context.json()) {
		context.print(render::loss_text(set->flows, by, limit, *totals));
		if (marks_here && arguments.source.empty())
			context.print(render::pulled_text(pulled_marks(context, set->instances),
							  arguments.vip, arguments.backend, limit));
		return {};
	}
	const auto marks = marks_of(set->instances);
	if (!marks)
		return tl::unexpected(marks.error());
	const ordered_json rest{{"marking", marks_to_json(*marks)},
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
