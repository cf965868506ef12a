// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/cli.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "support/isolation.h"

namespace anycast::test {

using nlohmann::json;

namespace {

constexpr const char *kHashSeed = "6a09e667f3bcc908bb67ae8584caa73b";

// Where tunnels end at this node, and who may send them.
std::string tunnel_end(const Lab &lab, const Node &node)
{
	std::ostringstream out;
	out << "addresses = [\"" << node.address << "\", \"" << node.address6 << "\"]\nedges = [";
	for (const auto &edge : lab.edges)
		out << "\"" << edge->address << "\", \"" << edge->address6 << "\", ";
	out << "]\n";
	return out.str();
}

std::string backend_config(const Lab &lab, const Node &backend)
{
	std::ostringstream out;
	out << "[node]\nname = \"" << backend.netns.name() << "\"\n"
	    << "hash_seed = \"" << kHashSeed << "\"\n"
	    << "interfaces = [\"eth0\"]\nroles = [\"backend\"]\n\n"
	    << "[tunnel]\n"
	    << tunnel_end(lab, backend)
	    << "[[pools]]\nname = \"here\"\n[[pools.backends]]\naddress = \"" << backend.address
	    << "\"\n";
	for (const char *vip : {kVip, kVip6}) // what tunnels may bring
		out << "[[vips]]\nname = \"" << (vip == kVip ? "all" : "all6") << "\"\naddress = \""
		    << vip << "\"\nprotocol = \"any\"\nport = \"any\"\npool = \"here\"\n";
	return out.str();
}

void add_pool(std::ostream &out, const Lab &lab, const EdgeSetup &setup, bool six)
{
	out << "\n[[pools]]\nname = \"" << (six ? "web6" : "web") << "\"\n" << setup.pool_options;
	const auto &backends = setup.own_backends ? lab.edges : lab.backends;
	for (std::size_t i = 0; i < backends.size(); i++)
		out << "[[pools.backends]]\nname = \"" << backends[i]->netns.name()
		    << "\"\naddress = \""
		    << (six != setup.other_family ? backends[i]->address6 : backends[i]->address)
		    << "\"\nweight = " << setup.weights[i] << "\n";
	for (const auto &[name, port, protocol] : {std::tuple{"www", kWww.port, "tcp"},
						   {"sink", kSink.port, "tcp"},
						   {"echo", kEcho.port, "udp"}})
		if (setup.udp || protocol != std::string("udp"))
			out << "\n[[vips]]\nname = \"" << name << (six ? "6" : "")
			    << "\"\naddress = \"" << (six ? kVip6 : kVip) << "\"\nport = " << port
			    << "\nprotocol = \"" << protocol << "\"\npool = \""
			    << (six ? "web6" : "web") << "\"\nforward = \"" << setup.forward
			    << "\"\n";
}

json parse(const std::string &text, const Argv &arguments)
{
	try {
		return json::parse(text);
	} catch (const json::exception &error) {
		throw LabError(arguments.back() + ": not the JSON that was expected: " +
			       error.what() + "\n" + text.substr(0, 400));
	}
}

Stats read_stats(const json &document)
{
	Stats stats;
	for (const json &interface : document.at("interfaces")) {
		stats.packets += interface.value("packets", std::uint64_t{0});
		const char *rows = interface.contains("reasons") ? "reasons" : "drops";
		for (const json &reason : interface.at(rows))
			stats.reasons[reason.at("reason")] +=
				reason.at("packets").get<std::uint64_t>();
		for (const json &backend : interface.value("backends", json::array()))
			stats.backends.push_back({backend.at("pool"), backend.at("backend"),
						  backend.at("packets"), backend.at("share")});
	}
	return stats;
}

std::uint64_t number(const json &metric, const char *key)
{
	const auto found = metric.find(key);
	return found != metric.end() && found->is_number() ? found->get<std::uint64_t>() : 0;
}

} // namespace

std::string edge_config(const Lab &lab, const Node &edge, const EdgeSetup &setup)
{
	std::ostringstream out;
	out << "[node]\nname = \"" << edge.netns.name() << "\"\nhash_seed = \"" << kHashSeed
	    << "\"\ninterfaces = [\"eth0\"]\nroles = [\"edge\""
	    << (setup.own_backends ? ", \"backend\"" : "") << "]\n\n"
	    << "[tunnel]\nsource_v4 = \"" << edge.address << "\"\nsource_v6 = \"" << edge.address6
	    << "\"\n"
	    << (setup.own_backends ? tunnel_end(lab, edge) : "") << setup.tunnel
	    << "\n[gtsm]\nlocal = [\"" << edge.address << "\"]\n[[gtsm.peers]]\naddress = \""
	    << kRouterAddress << "\"\nhops = 1\n"
	    << setup.sections;
	add_pool(out, lab, setup, false);
	if (setup.six)
		add_pool(out, lab, setup, true);
	return out.str();
}

std::string write_config(const Node &node, const std::string &text)
{
	const std::string path = std::string(kLabDir) + "/" + node.netns.name() + ".toml";
	std::ofstream(path) << text;
	return path;
}

std::uint64_t Stats::of(const std::string &reason) const
{
	const auto found = reasons.find(reason);
	return found == reasons.end() ? 0 : found->second;
}

LossTotals &LossTotals::operator+=(const LossTotals &other)
{
	flows += other.flows;
	unmeasured += other.unmeasured;
	lost += other.lost;
	of += other.of;
	reordered += other.reordered;
	rtx_seen += other.rtx_seen;
	evicted += other.evicted;
	unrepaired += other.unrepaired;
	resync += other.resync;
	for (const auto &[kind, flows_of_kind] : other.kinds)
		kinds[kind] += flows_of_kind;
	for (const auto &[basis, flows_of_basis] : other.bases)
		bases[basis] += flows_of_basis;
	return *this;
}

Cli::Cli()
{
	const char *given = std::getenv("ANYCAST_XDP");
	binary_ = given ? given
			: std::filesystem::read_symlink("/proc/self/exe").parent_path() /
				  "anycast-xdp";
	// One bpffs and one /run serve all nodes: pins are keyed by namespace and interface.
	setenv("ANYCAST_XDP_PIN_DIR", "/sys/fs/bpf/anycast-xdp", 1);
	setenv("ANYCAST_XDP_STATE_DIR", "/run/anycast-xdp", 1);
}

bool Cli::exists() const
{
	return access(binary_.c_str(), X_OK) == 0;
}

Output Cli::run(const Netns &netns, Argv arguments) const
{
	arguments.insert(arguments.begin(), binary_);
	return ::anycast::test::run(netns, arguments);
}

Output Cli::expect(const Netns &netns, const Argv &arguments) const
{
	Output output = run(netns, arguments);
	if (output.status != 0) {
		std::string line = "anycast-xdp";
		for (const std::string &argument : arguments)
			line += " " + argument;
		throw LabError(line + " on " + netns.name() + " ended with " +
			       std::to_string(output.status) + ":\n" + output.out + output.err);
	}
	return output;
}

json Cli::ask(const Netns &netns, const Argv &arguments) const
{
	Argv with_json{"--json"};
	with_json.insert(with_json.end(), arguments.begin(), arguments.end());
	return parse(expect(netns, with_json).out, with_json);
}

std::string Cli::attach_edge(const Lab &lab, const Node &edge, const EdgeSetup &setup) const
{
	return expect(edge.netns, {"attach", "eth0", "--config",
				   write_config(edge, edge_config(lab, edge, setup))})
		.out;
}

std::string Cli::attach_backend(const Lab &lab, const Node &backend) const
{
	return expect(backend.netns, {"attach", "eth0", "--config",
				      write_config(backend, backend_config(lab, backend))})
		.out;
}

void Cli::attach_all(const Lab &lab, const EdgeSetup &setup) const
{
	lab.resolve_neighbours();
	for (const auto &backend : lab.backends)
		attach_backend(lab, *backend);
	for (const auto &edge : lab.edges)
		attach_edge(lab, *edge, setup);
}

Stats Cli::stats(const Netns &netns) const
{
	return read_stats(ask(netns, {"stats"}));
}

Stats Cli::drops(const Netns &netns) const
{
	return read_stats(ask(netns, {"drops", "--interval", "0"}));
}

LossTotals Cli::loss(const Netns &netns, const std::string &vip) const
{
	const json document = ask(netns, {"loss"});
	LossTotals totals;
	for (const json &flow : document.at("flows")) {
		if (flow.value("vip", json()) != vip)
			continue;
		totals.flows++;
		const json &lost = flow.at("c2s_up_lost");
		if (!lost.is_object() || !lost.at("value").is_number()) {
			totals.unmeasured++;
			continue;
		}
		totals.lost += number(lost, "value");
		totals.of += number(lost, "of");
		totals.evicted += number(lost, "evicted");
		totals.unrepaired += number(lost, "unrepaired");
		totals.resync += number(lost, "resync");
		totals.reordered += number(flow.at("c2s_up_reordered"), "value");
		totals.rtx_seen += number(flow.at("c2s_rtx_seen"), "value");
		totals.kinds[lost.value("kind", "?")]++;
		totals.bases[lost.value("basis", "?")]++;
	}
	return totals;
}

} // namespace anycast::test
