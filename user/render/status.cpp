// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/status.h"

#include <fmt/format.h>

#include <anycast_xdp/abi.h>
#include <anycast_xdp/loss.h>

#include "render/table.h"

namespace anycast::render {

namespace {

using nlohmann::ordered_json;

ordered_json hook_json(const Hook &hook)
{
	return {{"interface", hook.interface},
		{"mode", hook.mode},
		{"attached_by",
		 hook.attached_by.empty() ? ordered_json(nullptr) : ordered_json(hook.attached_by)},
		{"program_id", hook.program_id},
		{"hook_program_id", hook.hook_program_id},
		{"program", hook.program_name},
		{"chain", hook.chain},
		{"ours", hook.ours},
		{"egress",
		 hook.egress.empty() ? ordered_json(nullptr) : ordered_json(hook.egress)}};
}

std::string hook_text(const Hook &hook)
{
	std::string text = fmt::format("{} mode, program {}, by {}", hook.mode, hook.program_id,
				       hook.attached_by.empty() ? "nothing" : hook.attached_by);
	if (!hook.egress.empty())
		text += fmt::format(", egress by {}", hook.egress);
	if (!hook.chain.empty())
		text += fmt::format(" ({})", fmt::join(hook.chain, " > "));
	return text;
}

// Of a flow: its entry, its tag and its slot; and what it takes besides once something of it was
// out of order.
constexpr std::size_t kPlace = (sizeof(ax_bucket) + sizeof(ax_slots)) / AX_WAYS;
constexpr std::size_t kFlow4 = sizeof(ax_flow4) + kPlace, kFlow6 = sizeof(ax_flow6) + kPlace;
constexpr std::size_t kLossState = sizeof(ax_anomaly) + sizeof(ax_sack);

ordered_json memory_json(const Memory &memory)
{
	return {{"flow_tables", memory.flow_tables}, {"total", memory.total},
		{"flows_v4", memory.flows4},	     {"flows_v6", memory.flows6},
		{"bytes_per_flow_v4", kFlow4},	     {"bytes_per_flow_v6", kFlow6},
		{"bytes_per_loss_state", kLossState}};
}

std::string memory_text(const Memory &memory)
{
	return fmt::format("flow tables {} ({} IPv4 and {} IPv6 flows of {} and {} bytes, {} more "
			   "for one that lost something), all maps {}",
			   bytes_text(memory.flow_tables), memory.flows4, memory.flows6, kFlow4,
			   kFlow6, kLossState, bytes_text(memory.total));
}

double ratio(std::uint64_t part, std::uint64_t whole)
{
	return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

Total total_named(const InterfaceStatus &status, const std::string &cls)
{
	const auto found = status.totals.find(cls);
	return found == status.totals.end() ? Total{} : found->second;
}

std::string table_load(const InterfaceStatus &status)
{
	const auto one = [](const char *family, std::uint64_t used, std::uint64_t size) {
		return fmt::format("{} {} of {} ({})", family, used, size,
				   percent_text(ratio(used, size)));
	};
	return one("IPv4", status.flows4, status.memory.flows4) + ", " +
	       one("IPv6", status.flows6, status.memory.flows6);
}

} // namespace

ordered_json attach_json(const std::vector<AttachResult> &results, bool dry_run)
{
	ordered_json interfaces = ordered_json::array();
	for (const AttachResult &result : results) {
		ordered_json json = hook_json(result.hook);
		json["replaced"] = result.replaced;
		json["forgotten"] = result.forgotten;
		json["roles"] = result.roles;
		json["generation"] = result.generation;
		json["digest"] = hex_text(result.digest);
		json["verified_instructions"] =
			result.verified_instructions == 0
				? ordered_json(nullptr)
				: ordered_json(result.verified_instructions);
		json["memory"] = memory_json(result.memory);
		json["warnings"] = result.warnings;
		interfaces.push_back(std::move(json));
	}
	return {{"dry_run", dry_run}, {"interfaces", std::move(interfaces)}};
}

std::string attach_text(const std::vector<AttachResult> &results, bool dry_run)
{
	std::string out;
	for (const AttachResult &result : results) {
		const std::string forgotten =
			result.forgotten.empty()
				? "flows kept"
				: fmt::format("{} forgotten", fmt::join(result.forgotten, " and "));
		const std::string verb =
			!result.replaced
				? dry_run ? "would be attached" : "attached"
				: (dry_run ? "would be replaced, " : "replaced, ") + forgotten;
		out += fmt::format("{}: {}", result.hook.interface, verb);
		if (!dry_run)
			out += fmt::format(": {}", hook_text(result.hook));
		out += fmt::format("\n  role        {}\n", result.roles);
		if (!dry_run)
			out += fmt::format("  generation  {}\n", result.generation);
		out += fmt::format("  digest      {}\n  memory      {}\n", hex_text(result.digest),
				   memory_text(result.memory));
		if (result.verified_instructions != 0)
			out += fmt::format("  verifier    {} instructions\n",
					   result.verified_instructions);
	}
	return out;
}

std::string verdict_of(const InterfaceStatus &status)
{
	if (!status.problems.empty())
		return fmt::format("degraded: {}", fmt::join(status.problems, "; "));
	std::uint32_t all = 0, active = 0;
	for (const auto &[state, count] : status.backends) {
		all += count;
		active += state == "active" ? count : 0;
	}
	const Total drop = total_named(status, "drop");
	const std::uint64_t seen = drop.packets + total_named(status, "pass").packets +
				   total_named(status, "steer").packets;
	return fmt::format("ok: {}, {} of {} active, {} of {} dropped ({})",
			   count_text(status.vips, "VIP"), active, count_text(all, "backend"),
			   drop.packets, count_text(seen, "packet"),
			   percent_text(ratio(drop.packets, seen)));
}

ordered_json status_json(const std::vector<InterfaceStatus> &interfaces)
{
	ordered_json list = ordered_json::array();
	for (const InterfaceStatus &status : interfaces) {
		ordered_json json = hook_json(status.hook);
		json["roles"] = status.roles;
		json["generation"] = status.generation;
		json["digest"] = hex_text(status.digest);
		json["memory"] = memory_json(status.memory);
		json["flows"] = {{"v4", status.flows4},
				 {"v6", status.flows6},
				 {"load_v4", ratio(status.flows4, status.memory.flows4)},
				 {"load_v6", ratio(status.flows6, status.memory.flows6)}};
		json["vips"] = status.vips;
		json["backends"] = ordered_json::object();
		for (const auto &[state, count] : status.backends)
			json["backends"][state] = count;
		json["coming_slowly"] = status.coming_slowly;
		json["gtsm_peers"] = ordered_json::array();
		for (const PeerStatus &peer : status.peers)
			json["gtsm_peers"].push_back({{"peer", peer.peer},
						      {"hops", peer.hops},
						      {"accepted", peer.accepted},
						      {"refused", peer.refused}});
		json["totals"] = ordered_json::object();
		for (const auto &[cls, total] : status.totals)
			json["totals"][cls] = {{"packets", total.packets}, {"bytes", total.bytes}};
		json["ok"] = status.problems.empty();
		json["verdict"] = verdict_of(status);
		list.push_back(std::move(json));
	}
	return {{"interfaces", std::move(list)}};
}

std::string status_text(const std::vector<InterfaceStatus> &interfaces)
{
	std::string out;
	for (const InterfaceStatus &status : interfaces) {
		if (!out.empty())
			out += "\n";
		out += fmt::format("{}: {}\n", status.hook.interface, verdict_of(status));
		out += fmt::format("  hook        {}\n", hook_text(status.hook));
		out += fmt::format("  role        {}\n", status.roles);
		out += fmt::format("  generation  {}, digest {}\n", status.generation,
				   hex_text(status.digest));
		out += fmt::format("  memory      {}\n", memory_text(status.memory));
		out += fmt::format("  flows       {}\n", table_load(status));
		out += fmt::format("  services    {}", count_text(status.vips, "VIP"));
		for (const auto &[state, count] : status.backends)
			out += fmt::format(", {} {}", count_text(count, "backend"), state);
		if (status.coming_slowly != 0)
			out += fmt::format(", {} coming slowly", status.coming_slowly);
		out += "\n  packets    ";
		for (const char *cls : {"pass", "steer", "drop", "noted"})
			out += fmt::format(" {} {}", cls, total_named(status, cls).packets);
		out += "\n";
		if (status.peers.empty())
			continue;
		Table peers({{"GTSM PEER"},
			     {"HOPS", Align::kRight},
			     {"ACCEPTED", Align::kRight},
			     {"REFUSED", Align::kRight}});
		for (const PeerStatus &peer : status.peers)
			peers.row({peer.peer, peer.hops == 0 ? "exempt" : std::to_string(peer.hops),
				   std::to_string(peer.accepted), std::to_string(peer.refused)});
		out += "\n" + peers.text(2);
	}
	return out;
}

} // namespace anycast::render
