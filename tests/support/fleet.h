// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The lab as a fleet: backends have the pools and VIPs of the edges in their file.
#pragma once

#include "support/cli.h"

namespace anycast::test {

inline std::string fleet_edges(const Lab &lab)
{
	std::string edges = "edges = [";
	for (const auto &edge : lab.edges)
		edges += "\"" + edge->address + "\", \"" + edge->address6 + "\", ";
	return edges + "]\n";
}

// The edge's file as the backend has it.
inline std::string as_backend(std::string text, const Lab &lab, const Node &backend)
{
	const std::string role = "\"edge\"", tunnel = "\n[tunnel]\n";
	text.replace(text.find(role), role.size(), "\"backend\"");
	return text.insert(text.find(tunnel) + tunnel.size(), fleet_edges(lab) + "addresses = [\"" +
								      backend.address + "\", \"" +
								      backend.address6 + "\"]\n");
}

// `with` changes each node's file.
inline void attach_fleet(const Lab &lab, const Cli &cli, const EdgeSetup &setup,
			 const std::function<std::string(std::string)> &with = {})
{
	const auto file = [&](const Node &node) {
		std::string text = edge_config(lab, node, setup);
		return with ? with(std::move(text)) : text;
	};
	for (const auto &backend : lab.backends)
		lab.resolve_neighbours(*backend);
	lab.resolve_neighbours();
	for (const auto &backend : lab.backends)
		cli.expect(backend->netns,
			   {"attach", "eth0", "--config",
			    write_config(*backend, as_backend(file(*backend), lab, *backend))});
	for (const auto &edge : lab.edges)
		cli.expect(edge->netns,
			   {"attach", "eth0", "--config", write_config(*edge, file(*edge))});
}

// SYN-ACKs of all backends that left with a lower MSS.
inline std::uint64_t clamped_syns(const Lab &lab, const Cli &cli)
{
	std::uint64_t sum = 0;
	for (const auto &backend : lab.backends) {
		const nlohmann::json stats = cli.ask(backend->netns, {"stats"});
		for (const auto &note : stats.at("interfaces").at(0).at("noted"))
			if (note.at("reason") == "mss_clamped")
				sum += note.at("packets").get<std::uint64_t>();
	}
	return sum;
}

} // namespace anycast::test
