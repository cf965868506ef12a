// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp drops
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <map>
#include <memory>
#include <set>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/app.h"
#include "cli/tally.h"
#include "core/reasons.h"
#include "kernel/drop_reader.h"
#include "render/drops.h"

namespace anycast::cli {

namespace {

using std::chrono::duration;
using Clock = std::chrono::steady_clock;

struct DropArguments {
	bool all = false, follow = false;
	double interval = 1; // seconds over which rates are measured
	std::uint64_t count = 0;
	std::vector<std::string> reasons;
};

std::uint64_t monotonic_ns()
{
	return static_cast<std::uint64_t>(
		std::chrono::nanoseconds(Clock::now().time_since_epoch()).count());
}

// ---- counts, rates, last samples ---------------------------------------------------------------

Result<std::vector<render::InterfaceStats>> count(const std::vector<Instance> &instances)
{
	std::vector<render::InterfaceStats> list;
	for (const Instance &instance : instances) {
		render::InterfaceStats stats;
		stats.interface = instance.interface;
		AX_TRY(read_reasons(instance, stats));
		list.push_back(std::move(stats));
	}
	return list;
}

void set_rates(std::vector<render::InterfaceStats> &now,
	       const std::vector<render::InterfaceStats> &before, double seconds)
{
	for (std::size_t i = 0; i < now.size(); i++)
		for (std::size_t r = 0; r < now[i].finals.size(); r++)
			now[i].finals[r].per_second =
				static_cast<double>(now[i].finals[r].packets -
						    before[i].finals[r].packets) /
				seconds;
}

Status add_last(const Instance &instance, render::InterfaceStats &stats)
{
	for (render::ReasonRow &row : stats.finals) {
		if (row.packets == 0 || !is_dropped_row(row))
			continue;
		auto sample = last_sample(instance.dataplane, row.info->number);
		if (!sample)
			return tl::unexpected(std::move(sample.error()));
		if (*sample)
			row.last = {**sample, (monotonic_ns() - (*sample)->time_ns) / 1000};
	}
	return {};
}

Status run_once(const Context &context, const DropArguments &arguments)
{
	const auto instances = context.instances();
	if (!instances)
		return tl::unexpected(instances.error());
	auto list = count(*instances);
	if (list && arguments.interval > 0) {
		const auto start = Clock::now();
		std::this_thread::sleep_for(duration<double>(arguments.interval));
		const auto before = std::move(*list);
		list = count(*instances);
		if (list)
			set_rates(*list, before, duration<double>(Clock::now() - start).count());
	}
	if (!list)
		return tl::unexpected(list.error());
	for (std::size_t i = 0; i < list->size(); i++)
		AX_TRY(add_last((*instances)[i], (*list)[i]));
	if (context.json())
		context.print(render::drops_json(*list, arguments.all));
	else
		context.print(render::drops_text(*list, arguments.all));
	return {};
}

// ---- following ---------------------------------------------------------------------------------

// RFC 3339 in UTC, of a time of the monotonic clock.
std::string wall_time(std::uint64_t time_ns)
{
	using std::chrono::system_clock;
	const auto ago = std::chrono::nanoseconds(monotonic_ns() - time_ns);
	const auto then =
		system_clock::now() - std::chrono::duration_cast<system_clock::duration>(ago);
	const auto ms =
		std::chrono::duration_cast<std::chrono::milliseconds>(then.time_since_epoch())
			.count();
	return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
			   fmt::gmtime(static_cast<std::time_t>(ms / 1000)), ms % 1000);
}

class Follow {
public:
	Follow(const Context &context, const DropArguments &arguments,
	       const std::vector<Instance> &instances)
		: context_(context), arguments_(arguments), instances_(instances)
	{
		for (const std::string &label : arguments.reasons)
			wanted_.insert(find_reason(label)->number);
	}

	Status run()
	{
		std::vector<pollfd> polled;
		for (const Instance &instance : instances_) {
			auto follower = DropFollower::open(
				instance.dataplane,
				[this, &instance](const DropSample &s) { show(instance, s); });
			if (!follower)
				return tl::unexpected(std::move(follower.error()));
			for (const int fd : follower->fds())
				polled.push_back({fd, POLLIN, 0});
			followers_.push_back(std::move(*follower));
		}
		while (!done()) {
			if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR)
				return fail_errno("wait for samples", errno);
			for (DropFollower &follower : followers_)
				AX_TRY(follower.consume());
			context_.out().flush();
			if (!context_.out()) // the reader of a pipe has gone
				return {};
		}
		return {};
	}

private:
	struct Before {
		std::uint64_t packets, time_ns;
	};

	[[nodiscard]] bool done() const
	{
		return arguments_.count != 0 && shown_ >= arguments_.count;
	}

	void show(const Instance &instance, const DropSample &sample)
	{
		if (done() || (!wanted_.empty() && !wanted_.contains(sample.reason)))
			return;
		render::FollowedDrop drop{.sample = sample,
					  .interface = instance.interface,
					  .time = wall_time(sample.time_ns)};
		const auto counter = instance.dataplane.reason(static_cast<int>(sample.reason));
		if (counter)
			drop.packets = counter->packets;
		const std::uint64_t now = monotonic_ns();
		const auto [before, first] = before_.try_emplace(
			{instance.interface, sample.reason}, Before{drop.packets, now});
		// Samples that were read together say nothing about a rate.
		constexpr std::uint64_t kShortest = 10'000'000;
		if (!first && now - before->second.time_ns >= kShortest) {
			drop.per_second =
				static_cast<double>(drop.packets - before->second.packets) * 1e9 /
				static_cast<double>(now - before->second.time_ns);
			before->second = {drop.packets, now};
		}
		if (context_.json())
			context_.print_line(render::followed_json(drop));
		else
			context_.print(render::followed_text(drop));
		shown_++;
	}

	const Context &context_;
	const DropArguments &arguments_;
	const std::vector<Instance> &instances_;
	std::vector<DropFollower> followers_;
	std::set<int> wanted_;
	std::map<std::pair<std::string, int>, Before> before_;
	std::uint64_t shown_ = 0;
};

Status check_reasons(const DropArguments &arguments)
{
	for (const std::string &label : arguments.reasons)
		if (find_reason(label) == nullptr)
			return fail(Exit::kUsage, fmt::format("no reason is called {}", label),
				    fmt::format("the nearest are {}",
						fmt::join(nearest_labels(label, 3), ", ")));
	return {};
}

Status run_drops(const Context &context, const DropArguments &arguments)
{
	AX_TRY(check_reasons(arguments));
	if (!arguments.follow)
		return run_once(context, arguments);
	const auto instances = context.instances();
	if (!instances)
		return tl::unexpected(instances.error());
	return Follow(context, arguments, *instances).run();
}

} // namespace

void add_drops(CLI::App &app, Action &chosen)
{
	const auto arguments = std::make_shared<DropArguments>();
	CLI::App *command = app.add_subcommand(
		"drops", "What was dropped, and why: counts, rates and the last source");
	command->footer(
		"A rule's action (drop, count, off) is set by [guard.rules] of the "
		"configuration.\nLast sources and --follow are samples: a few a second for each "
		"reason and CPU,\nhowever many packets are dropped. One --follow at a time gets "
		"all of them.");
	command->add_flag("--all", arguments->all, "Reasons that dropped nothing, too");
	command->add_option("--interval", arguments->interval,
			    "Seconds over which rates are measured; 0: no rates, no waiting")
		->check(CLI::Range(0.0, 3600.0))
		->capture_default_str();
	CLI::Option *follow =
		command->add_flag("--follow,-f", arguments->follow,
				  "Show samples as they come, a line each, until interrupted");
	command->add_option("--count,-n", arguments->count, "Leave after that many samples")
		->needs(follow);
	command->add_option("--reason", arguments->reasons, "Samples of these reasons only")
		->needs(follow)
		->type_name("REASON");
	command->callback([arguments, &chosen] {
		chosen = [arguments](const Context &context) {
			return run_drops(context, *arguments);
		};
	});
}

} // namespace anycast::cli
