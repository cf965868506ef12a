// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/change.h"

#include <algorithm>
#include <ctime>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/generations.h"
#include "core/slow_start.h"
#include "kernel/applying.h"
#include "kernel/egress.h"
#include "kernel/sizes.h"
#include "render/diff.h"
#include "render/table.h"

namespace anycast::cli {

namespace {

using nlohmann::ordered_json;

struct Planned {
	std::string device;
	std::vector<render::Change> changes;
	bool changed = false;
	std::set<std::string_view> forgotten; // as ApplyReport's
	std::uint32_t generation = 0;	      // now; apply() says which it becomes
	std::uint64_t digest = 0;
};

// Of what runs, as it is at this moment.
Result<Config> make_config(const Applied &applied, const Edit &edit,
			   std::vector<render::Change> &changes)
{
	auto config = edit(applied);
	if (!config)
		return config;
	AX_TRY(carry_generations(applied.config, *config, std::time(nullptr)));
	carry_slow_starts(applied.config, *config, std::time(nullptr));
	changes = render::changes_between(applied.config, *config);
	return config;
}

// Would it be accepted, and what would come of it?
Result<Planned> plan(const Paths &paths, const std::string &device, const Edit &edit,
		     bool reset_flows)
{
	const auto instance = open_instance(paths, device);
	if (!instance)
		return tl::unexpected(instance.error());
	const Applied &applied = instance->applied;
	Planned planned;
	const auto config = make_config(applied, edit, planned.changes);
	if (!config)
		return tl::unexpected(config.error());
	AX_TRY(check_limits(applied.config.limits, config->limits, reset_flows));
	const auto image = image_for(device, *config, applied.roles, applied.ids);
	if (!image)
		return tl::unexpected(image.error());
	AX_TRY(require_memory_to_reset(applied.config.limits, config->limits,
				       egress::is_wanted(*image)));
	const auto held = instance->dataplane.holds(*image);
	if (!held)
		return tl::unexpected(held.error());
	planned.device = device;
	planned.changed = !*held || *config != applied.config;
	planned.generation = applied.generation;
	planned.digest = image->digest;
	planned.forgotten = groups_to_reset(applied.config.limits, config->limits);
	return planned;
}

ordered_json interface_json(const Planned &planned)
{
	return {{"interface", planned.device},
		{"changed", planned.changed},
		{"forgotten", planned.forgotten},
		{"generation", planned.generation},
		{"digest", render::hex_text(planned.digest)},
		{"changes", render::changes_json(planned.changes)}};
}

void print(const Context &context, const std::vector<Planned> &plans, bool dry_run,
	   const Besides &besides)
{
	if (!context.json()) {
		for (const Planned &planned : plans) {
			context.print(fmt::format("{}: {}{}, generation {}, digest {}\n{}",
						  planned.device, dry_run ? "would be " : "",
						  planned.changed ? "changed" : "unchanged",
						  planned.generation,
						  render::hex_text(planned.digest),
						  render::changes_text(planned.changes)));
			if (!planned.forgotten.empty())
				context.print(fmt::format("{}forgotten: {}\n",
							  dry_run ? "would be " : "",
							  fmt::join(planned.forgotten, ", ")));
		}
		return;
	}
	bool changed = besides.changed;
	ordered_json list = ordered_json::array();
	for (const Planned &planned : plans) {
		changed |= planned.changed;
		list.push_back(interface_json(planned));
	}
	ordered_json document{{"changed", changed},
			      {"generation", plans.front().generation},
			      {"digest", render::hex_text(plans.front().digest)},
			      {"dry_run", dry_run},
			      {"interfaces", std::move(list)}};
	document.update(besides.members);
	context.print(document);
}

} // namespace

Status can_change(const Paths &paths, const std::vector<std::string> &devices, const Edit &edit,
		  bool reset_flows)
{
	for (const std::string &device : devices)
		if (auto planned = plan(paths, device, edit, reset_flows); !planned)
			return tl::unexpected(std::move(planned.error()));
	return {};
}

Result<bool> change(const Context &context, const Paths &paths,
		    const std::vector<std::string> &devices, const Edit &edit,
		    const ChangeOptions &options, const Besides &besides)
{
	std::vector<Planned> plans;
	for (const std::string &device : devices) {
		plans.emplace_back().device = device;
		if (!options.dry_run && !options.reset_flows && devices.size() == 1)
			break; // apply() finds out as well, and soon enough
		auto planned = plan(paths, device, edit, options.reset_flows);
		if (!planned)
			return tl::unexpected(std::move(planned.error()));
		plans.back() = std::move(*planned);
	}

	std::string done;
	for (Planned &planned : plans) {
		if (options.dry_run)
			break;
		// Made of what runs when nobody else can change it: two commands at once do not
		// undo each other.
		auto report = apply(
			paths, planned.device,
			[&](const Applied &applied) {
				return make_config(applied, edit, planned.changes);
			},
			options.reset_flows);
		if (!report) {
			if (!done.empty())
				report.error().what += "\n  already changed, and left so:" + done;
			return tl::unexpected(std::move(report.error()));
		}
		for (const std::string &warning : report->warnings)
			context.warn(planned.device, warning);
		planned.changed = report->changed;
		planned.forgotten = report->forgotten;
		planned.generation = report->generation;
		planned.digest = report->digest;
		done += " " + planned.device;
	}
	for (const Planned &planned : plans)
		if (options.reset_flows && planned.forgotten.empty())
			context.note(planned.device + ": " + kNothingToReset);
	print(context, plans, options.dry_run, besides);
	return std::ranges::any_of(plans, &Planned::changed);
}

} // namespace anycast::cli
