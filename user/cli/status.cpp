// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp status
#include <algorithm>
#include <chrono>
#include <ctime>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/app.h"
#include "cli/check.h"
#include "cli/tally.h"
#include "core/names.h"
#include "core/slow_start.h"
#include "kernel/flow_reader.h"
#include "net/control_client.h"
#include "render/agent.h"
#include "render/status.h"

namespace anycast::cli {

namespace {

Status add_peers(const Instance &instance, render::InterfaceStatus &status)
{
	const auto counters = instance.dataplane.peer_counters();
	if (!counters)
		return tl::unexpected(counters.error());
	const std::vector<Named> &ids = instance.applied.ids.peers;
	for (const GtsmPeer &configured : instance.applied.config.gtsm_peers) {
		render::PeerStatus peer{.peer = configured.address.text(), .hops = configured.hops};
		for (std::size_t id = 0; id < ids.size() && id < counters->size(); id++)
			if (ids[id].used && ids[id].name == peer.peer) {
				peer.accepted = (*counters)[id].accepted;
				peer.refused = (*counters)[id].refused;
			}
		status.peers.push_back(std::move(peer));
	}
	return {};
}

void add_backends(const Config &config, render::InterfaceStatus &status)
{
	for (const ax_backend_state state :
	     {AX_BACKEND_ACTIVE, AX_BACKEND_DRAINING, AX_BACKEND_DOWN, AX_BACKEND_MAINTENANCE}) {
		std::uint32_t count = 0;
		for (const Pool &pool : config.pools)
			count += static_cast<std::uint32_t>(
				std::ranges::count(pool.backends, state, &Backend::state));
		if (count != 0)
			status.backends.emplace_back(state_name(state), count);
	}
	for (const Pool &pool : config.pools)
		for (const Backend &backend : pool.backends)
			if (backend.state == AX_BACKEND_ACTIVE &&
			    warmth(pool, backend, std::time(nullptr)) < kWarm)
				status.coming_slowly++;
	for (const Pool &pool : config.pools)
		if (std::ranges::none_of(pool.backends, [](const Backend &backend) {
			    return backend.state == AX_BACKEND_ACTIVE;
		    }))
			status.problems.push_back(
				fmt::format("pool {} has no active backend", pool.name));
}

// Packets for a VIP that found nobody to go to, where they are more than one in a hundred.
void judge_steering(const render::InterfaceStats &stats, render::InterfaceStatus &status)
{
	std::uint64_t sent = status.totals["steer"].packets, failed = 0;
	std::string which;
	for (const render::ReasonRow &row : stats.finals)
		switch (row.info->number) {
		case AX_R_NO_BACKEND:
		case AX_R_NO_ROUTE:
		case AX_R_NO_NEIGHBOUR:
		case AX_R_ENCAP_FAILED:
			failed += row.packets;
			if (row.packets != 0)
				which += fmt::format("{}{} {}", which.empty() ? "" : ", ",
						     row.info->label, row.packets);
			break;
		case AX_R_LOCAL:
			sent += row.packets;
			break;
		default:
			break;
		}
	if (failed * 100 > sent + failed)
		status.problems.push_back(
			fmt::format("{} of {} packets for VIPs found no way to a backend ({})",
				    failed, sent + failed, which));
}

Status add_totals(const Instance &instance, render::InterfaceStatus &status)
{
	render::InterfaceStats stats;
	AX_TRY(read_reasons(instance, stats));
	const auto add = [&](const char *key, const render::ReasonRow &row) {
		status.totals[key].packets += row.packets;
		status.totals[key].bytes += row.bytes;
	};
	for (const char *key : {"pass", "steer", "drop", "noted"})
		status.totals[key];
	for (const render::ReasonRow &row : stats.finals) {
		add(is_dropped_row(row)		      ? "drop"
		    : row.info->cls == AX_CLASS_STEER ? "steer"
						      : "pass",
		    row);
		if (row.info->number == AX_R_INTERNAL && row.packets != 0)
			status.problems.push_back(
				fmt::format("{} packets met a missing map entry (reason internal)",
					    row.packets));
	}
	for (const render::ReasonRow &row : stats.notes)
		add("noted", row);
	judge_steering(stats, status);
	return {};
}

Result<render::InterfaceStatus> status_of(const Instance &instance)
{
	const Applied &applied = instance.applied;
	render::InterfaceStatus status;
	status.hook = hook_of(instance.attached);
	status.hook.interface = instance.interface;
	status.roles = roles_name(applied.roles);
	status.generation = applied.generation;
	status.digest = applied.digest;
	status.memory = memory_of(instance.dataplane.sizes());
	status.vips = static_cast<std::uint32_t>(applied.config.vips.size());

	if (instance.attached.mode == XdpMode::kNone)
		status.problems.emplace_back("nothing is on the interface's hook: our pins are "
					     "leftovers (attach again)");
	else if (!instance.attached.ours)
		status.problems.push_back(
			fmt::format("another XDP program ({}, id {}) is on the hook",
				    instance.attached.program_name, instance.attached.program_id));
	if ((applied.roles & AX_ROLE_EDGE) && applied.config.vips.empty())
		status.problems.emplace_back("no VIP is configured");
	add_backends(applied.config, status);

	const auto control = instance.dataplane.control();
	if (!control)
		return tl::unexpected(control.error());
	if (control->generation != applied.generation)
		status.problems.push_back(fmt::format(
			"the maps run generation {}, the state directory knows {} (apply again)",
			control->generation, applied.generation));
	const auto load = table_load(instance.dataplane);
	if (!load)
		return tl::unexpected(load.error());
	status.flows4 = load->used4;
	status.flows6 = load->used6;
	AX_TRY(add_peers(instance, status));
	AX_TRY(add_totals(instance, status));
	return status;
}

// What the agent says of itself. Null: none runs, or it does not answer, which is said.
nlohmann::ordered_json agent_status(const Context &context, const Paths &paths)
{
	ControlRequest request;
	request.command = "status";
	const auto reply = ask_agent(paths.socket, request, std::chrono::milliseconds(3000));
	if (reply && !*reply)
		return {};
	const Status asked = reply ? (*reply)->status : tl::unexpected(reply.error());
	if (!asked) {
		context.warn(fmt::format("the agent cannot be asked: {}", asked.error().what));
		return {};
	}
	nlohmann::ordered_json status = (*reply)->result;
	status.erase("interfaces"); // what `stats` shows
	return status;
}

// One interface that cannot be looked at hides neither the others nor the agent.
Status run_status(const Context &context)
{
	const auto paths = context.paths();
	if (!paths)
		return tl::unexpected(paths.error());
	const auto names = context.devices(*paths);
	std::vector<render::InterfaceStatus> list;
	Status failed = names ? Status{} : tl::unexpected(names.error());
	bool checks = false;
	for (const std::string &name : names ? *names : std::vector<std::string>{}) {
		const auto instance = open_instance(*paths, name);
		auto status = instance ? status_of(*instance) : tl::unexpected(instance.error());
		if (!status) {
			Error error = std::move(status.error());
			if (error.what.find(name) == error.what.npos)
				error.what = fmt::format("{}: {}", name, error.what);
			if (!failed)
				context.warn(failed.error().message());
			failed = tl::unexpected(std::move(error));
			continue;
		}
		checks = checks || wants_agent(instance->applied.config);
		list.push_back(std::move(*status));
	}
	const nlohmann::ordered_json agent = agent_status(context, *paths);
	if (context.json()) {
		nlohmann::ordered_json document = render::status_json(list);
		document["agent"] = agent;
		context.print(document);
		return failed;
	}
	std::string text = render::status_text(list);
	if (!agent.is_null())
		text += (text.empty() ? "" : "\n") + render::agent_text(agent);
	else if (checks)
		text += "\nagent: none answers, and health checks are configured\n";
	context.print(text);
	return failed;
}

} // namespace

void add_status(CLI::App &app, Action &chosen)
{
	CLI::App *command = app.add_subcommand(
		"status", "What is attached, how it is configured and how it does");
	command->footer(
		"Exits with 3 if nothing is attached. The digest is equal on nodes that steer "
		"alike.\nBelow the interfaces: the agent, if one runs, with its VIPs and failing "
		"checks.");
	command->callback([&chosen] { chosen = run_status; });
}

} // namespace anycast::cli
