// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/change.h"

#include <algorithm>
#include <ctime>

#include <fmt/format.h>

#include "core/generations.h"
#include "core/slow_start.h"
#include "kernel/applying.h"
#include "render/diff.h"
#include "render/table.h"

namespace anycast::cli {

namespace {

using nlohmann::ordered_json;

constexpr int kAttempts = 100; // each that fails is another command's that did not

struct Planned {
	std::string device;
	Config running, config; // what runs, and what shall
	std::vector<render::Change> changes;
	bool changed = false;
	std::uint32_t generation = 0; // now; apply() says which it becomes
	std::uint64_t digest = 0;
};

// Whether it would be accepted, and what would come of it, costs as much as `apply` itself, which
// finds out again: with one interface that is soon enough.
enum class Look { kAhead, kAtChangesOnly };

Result<Planned> plan(const Paths &paths, const std::string &device, const Edit &edit, Look look)
{
	const auto instance = open_instance(paths, device);
	if (!instance)
		return tl::unexpected(instance.error());
	const Applied &applied = instance->applied;
	auto config = edit(applied);
	if (!config)
		return tl::unexpected(config.error());

	AX_TRY(carry_generations(applied.config, *config, std::time(nullptr)));
	carry_slow_starts(applied.config, *config, std::time(nullptr));
	Planned planned;
	planned.device = device;
	planned.running = applied.config;
	planned.config = std::move(*config);
	planned.changes = render::changes_between(applied.config, planned.config);
	planned.generation = applied.generation;
	if (look == Look::kAtChangesOnly)
		return planned;
	AX_TRY(check_limits_unchanged(applied.config.limits, planned.config.limits));
	const auto image = image_for(device, planned.config, applied.roles, applied.ids);
	if (!image)
		return tl::unexpected(image.error());
	const auto held = instance->dataplane.holds(*image);
	if (!held)
		return tl::unexpected(held.error());
	planned.changed = !*held || planned.config != applied.config;
	planned.digest = image->digest;
	return planned;
}

// Two commands at once: the second is made anew of what the first has left, so that none undoes the
// other's change, or forgets its generation.
Result<ApplyReport> apply_to_what_runs(const Paths &paths, Planned &planned, const Edit &edit)
{
	for (int attempt = 0; attempt < kAttempts; attempt++) {
		auto report = apply(paths, planned.device, planned.config, &planned.running);
		if (!report || !report->outdated)
			return report;
		auto again = plan(paths, planned.device, edit, Look::kAtChangesOnly);
		if (!again)
			return tl::unexpected(std::move(again.error()));
		planned = std::move(*again);
	}
	return fail(Exit::kFailed,
		    fmt::format("{}: other commands change what runs all the time", planned.device),
		    "see who does: ps -C anycast-xdp");
}

ordered_json interface_json(const Planned &planned)
{
	return {{"interface", planned.device},
		{"changed", planned.changed},
		{"generation", planned.generation},
		{"digest", render::hex_text(planned.digest)},
		{"changes", render::changes_json(planned.changes)}};
}

void print(const Context &context, const std::vector<Planned> &plans, bool dry_run,
	   const Besides &besides)
{
	if (!context.json()) {
		for (const Planned &planned : plans)
			context.print(fmt::format("{}: {}{}, generation {}, digest {}\n{}",
						  planned.device, dry_run ? "would be " : "",
						  planned.changed ? "changed" : "unchanged",
						  planned.generation,
						  render::hex_text(planned.digest),
						  render::changes_text(planned.changes)));
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

Status can_change(const Paths &paths, const std::vector<std::string> &devices, const Edit &edit)
{
	for (const std::string &device : devices)
		if (auto planned = plan(paths, device, edit, Look::kAhead); !planned)
			return tl::unexpected(std::move(planned.error()));
	return {};
}

Result<bool> change(const Context &context, const Paths &paths,
		    const std::vector<std::string> &devices, const Edit &edit, bool dry_run,
		    const Besides &besides)
{
	const Look look = dry_run || devices.size() > 1 ? Look::kAhead : Look::kAtChangesOnly;
	std::vector<Planned> plans;
	for (const std::string &device : devices) {
		auto planned = plan(paths, device, edit, look);
		if (!planned)
			return tl::unexpected(std::move(planned.error()));
		plans.push_back(std::move(*planned));
	}

	std::string done;
	for (Planned &planned : plans) {
		if (dry_run)
			break;
		auto report = apply_to_what_runs(paths, planned, edit);
		if (!report) {
			if (!done.empty())
				report.error().what += "\n  already changed, and left so:" + done;
			return tl::unexpected(std::move(report.error()));
		}
		for (const std::string &warning : report->warnings)
			context.warn(planned.device, warning);
		planned.changed = report->changed;
		planned.generation = report->generation;
		planned.digest = report->digest;
		done += " " + planned.device;
	}
	print(context, plans, dry_run, besides);
	return std::ranges::any_of(plans, &Planned::changed);
}

} // namespace anycast::cli
