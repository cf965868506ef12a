// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// check: the agent, and what the counters say.
#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/check.h"
#include "cli/tally.h"
#include "net/control_client.h"
#include "net/counters.h"
#include "render/table.h"

namespace anycast::cli {

namespace {

constexpr std::uint64_t kSomeErrors = 100; // fewer say nothing
constexpr double kManyErrors = 0.01;	   // of all packets

double part(std::uint64_t of, std::uint64_t all)
{
	return all == 0 ? 0 : static_cast<double>(of) / static_cast<double>(all);
}

void check_next_hops(const nlohmann::ordered_json &status, Findings &findings)
{
	const auto hops = status.value("next_hops", nlohmann::ordered_json::object());
	for (const auto &[address, why] : hops.value("why", std::map<std::string, std::string>()))
		findings.warn("next_hop", fmt::format("backend {}: {}", address, why),
			      "its packets are dropped: is it up, and is there a route?");
}

} // namespace

bool wants_agent(const Config &config)
{
	const auto checked = [](const auto &owner) { return !owner.checks.empty(); };
	return std::ranges::any_of(config.vips, checked) ||
	       std::ranges::any_of(config.pools, checked);
}

void check_agent(const CheckInput &input, Findings &findings)
{
	ControlRequest request;
	request.command = "status";
	const auto reply = ask_agent(input.paths.socket, request, std::chrono::milliseconds(3000));
	if (!reply) {
		findings.fail("agent", reply.error().what, reply.error().hint);
		return;
	}
	if (!*reply) {
		if (wants_agent(input.config))
			findings.fail("agent", "health checks are configured, but no agent runs",
				      "systemctl start anycast-xdp-agent");
		else
			findings.ok("agent", "none runs, none is needed");
		return;
	}
	if (!(*reply)->status) {
		findings.fail("agent", (*reply)->status.error().what,
			      (*reply)->status.error().hint);
		return;
	}
	const nlohmann::ordered_json &status = (*reply)->result;
	bool fine = true;
	for (const auto &problem : status.value("problems", std::vector<std::string>{})) {
		findings.fail("agent", problem, "see: journalctl -u anycast-xdp-agent");
		fine = false;
	}
	for (const auto &vip : status.value("vips", nlohmann::ordered_json::array()))
		if (vip.value("health", "") == "down") {
			findings.fail("health",
				      fmt::format("VIP {} is down: its checks fail",
						  vip.value("vip", "?")),
				      "repair the service; `anycast-xdp status` has the checks' "
				      "last results");
			fine = false;
		}
	for (const auto &vip : status.value("vips", nlohmann::ordered_json::array()))
		if (vip.value("reason", "").starts_with("not served")) {
			findings.fail("vip",
				      fmt::format("VIP {} is not announced: {}",
						  vip.value("vip", "?"), vip.value("reason", "")),
				      "anycast-xdp attach, or apply the file that has it");
			fine = false;
		}
	check_next_hops(status, findings);
	if (fine)
		findings.ok("agent", fmt::format("runs, process {}", status.value("pid", 0)));
}

void check_backends(const CheckInput &input, Findings &findings)
{
	for (const Instance &instance : input.instances) {
		const auto stats = stats_of(instance);
		if (!stats)
			continue;
		std::map<std::string, std::vector<Share>> pools;
		for (const render::BackendCount &backend : stats->backends)
			pools[backend.pool].push_back(
				{backend.backend, backend.packets, backend.share});
		for (const auto &[pool, shares] : pools) {
			const std::vector<std::string> lines = uneven(shares);
			if (!lines.empty())
				findings.warn("balance",
					      fmt::format("{}: pool {}: {}", instance.interface,
							  pool, fmt::join(lines, "; ")),
					      "a few large flows do that, and weights that have "
					      "changed; else compare with the other nodes");
			else
				findings.ok("balance", fmt::format("{}: pool {} is as even as its "
								   "weights",
								   instance.interface, pool));
		}
	}
}

void check_icmp(const CheckInput &input, Findings &findings)
{
	NetCounters counters = net_counters();
	for (const char *version : {"", "6"}) {
		const std::string icmp = fmt::format("Icmp{}.", version);
		const std::uint64_t packets = counters[fmt::format("Ip{}.InReceives", version)];
		for (const auto &[direction, meaning] :
		     {std::pair{"In", "others cannot reach something that this node sends to"},
		      std::pair{"Out",
				"packets come here for ports or hosts that are not there"}}) {
			const std::uint64_t errors = counters[icmp + direction + "DestUnreachs"] +
						     counters[icmp + direction + "PktTooBigs"];
			if (errors < kSomeErrors || part(errors, packets) < kManyErrors)
				continue;
			findings.warn("icmp",
				      fmt::format("ICMP{} unreachables: {} {} for {} packets "
						  "received",
						  version, errors,
						  direction[0] == 'I' ? "received" : "sent",
						  packets),
				      fmt::format("{}: compare MTUs along the path, and the ports "
						  "of VIPs with what listens",
						  meaning));
		}
	}
	for (const Instance &instance : input.instances) {
		const auto reasons = instance.dataplane.reasons();
		if (!reasons)
			continue;
		std::uint64_t errors = 0, steered = 0;
		for (const ReasonCount &row : *reasons) {
			errors += row.reason == AX_R_STEERED_ICMP ? row.packets : 0;
			steered += row.reason == AX_R_STEERED ? row.packets : 0;
		}
		if (errors >= kSomeErrors && part(errors, steered) >= kManyErrors)
			findings.warn(
				"icmp",
				fmt::format("{}: {} ICMP errors about VIP flows for {} packets "
					    "steered",
					    instance.interface, errors, steered),
				"clients' paths are narrower than the backends think: clamp "
				"the MSS, or lower the backends' MTU");
	}
	if (std::ranges::find(findings.list(), "icmp", &Finding::check) == findings.list().end())
		findings.ok("icmp", "no excess of unreachables");
}

void check_digest(const CheckInput &input, Findings &findings)
{
	if (input.peer_digest.empty())
		return;
	for (const Instance &instance : input.instances) {
		const std::string own = render::hex_text(instance.applied.digest);
		if (own == input.peer_digest)
			findings.ok("digest", fmt::format("{}: steers like the other node ({})",
							  instance.interface, own));
		else
			findings.fail("digest",
				      fmt::format("{}: digest {}, the other node has {}",
						  instance.interface, own, input.peer_digest),
				      "compare the files: [node] hash_seed, pools, weights and "
				      "VIPs must be equal on all nodes");
	}
}

} // namespace anycast::cli
