// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/flow_set.h"

#include <algorithm>
#include <functional>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernel/flow_reader.h"
#include "net/interfaces.h"

namespace anycast::cli {

namespace {

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

// A name that is nowhere would say "no flows" for ever.
Status check_names(const std::vector<Instance> &instances, const FlowArguments &arguments)
{
	std::set<std::string> vips, backends, full;
	for (const Instance &instance : instances) {
		for (const Vip &vip : instance.applied.config.vips)
			vips.insert(vip.name);
		for (const Pool &pool : instance.applied.config.pools)
			for (const Backend &backend : pool.backends) {
				backends.insert(backend.name);
				full.insert(pool.name + "/" + backend.name);
			}
	}
	const auto no = [](const char *what, const std::string &name,
			   const std::set<std::string> &all) {
		return fail(Exit::kUsage,
			    fmt::format("--{} {}: no attached interface has it", what, name),
			    all.empty() ? fmt::format("none has a {}", what)
					: fmt::format("one of: {}", fmt::join(all, ", ")));
	};
	if (!arguments.vip.empty() && !vips.contains(arguments.vip))
		return no("vip", arguments.vip, vips);
	if (!arguments.backend.empty() && !backends.contains(arguments.backend) &&
	    !full.contains(arguments.backend))
		return no("backend", arguments.backend, full);
	return {};
}

} // namespace

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
	AX_TRY(check_names(set.instances, arguments));
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

namespace {

// Do the sums since attach answer what was asked for? They know one dimension each.
bool totals_fit(const FlowArguments &arguments)
{
	return (arguments.vip.empty() || arguments.by == "vip") &&
	       (arguments.backend.empty() || arguments.by == "backend") &&
	       (arguments.source.empty() || arguments.by == "prefix");
}

// What the segments of the VIPs that are asked for are.
void say_what(LossTotals &totals, const Instance &instance,
	      const std::function<bool(const Vip &)> &asked)
{
	std::set<ax_measure> kinds;
	for (const Vip &vip : instance.applied.config.vips)
		if (asked(vip))
			kinds.insert(vip.measure);
	totals.mixed |= kinds.size() > 1;
	if (kinds.size() == 1)
		totals.measure = *kinds.begin();
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
		totals[{{}, {}, {}, prefix}].add(row.totals); // segments: TCP's only
	}
	return {};
}

} // namespace

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
		const auto sums = by_vip ? vip_totals(instance.dataplane)
					 : backend_totals(instance.dataplane);
		if (!sums)
			return tl::unexpected(sums.error());
		const auto &names = by_vip ? ids.vips : ids.backends;
		for (std::size_t i = 0; i < names.size() && i < sums->size(); i++) {
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
			LossTotals &sum = totals[group];
			sum.add((*sums)[i]);
			say_what(sum, instance, [&](const Vip &vip) {
				return by_vip ? vip.name == group.vip : vip.pool == group.pool;
			});
		}
	}
	return totals;
}

} // namespace anycast::cli
