// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Config -> TOML.
#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "config/config.h"
#include "config/names.h"
#include "core/vip_places.h"

namespace anycast {

namespace {

std::string quoted(std::string_view text)
{
	std::string out = "\"";
	for (const char c : text) {
		const auto byte = static_cast<unsigned char>(c);
		if (byte < 0x20 || byte == 0x7f)
			out += fmt::format("\\u{:04X}", byte);
		else if (c == '"' || c == '\\')
			(out += '\\') += c;
		else
			out += c;
	}
	return out + '"';
}

class Writer {
public:
	void header(std::string_view text)
	{
		if (!out_.empty())
			out_ += '\n';
		out_ += text;
		out_ += '\n';
	}
	void string(std::string_view key, std::string_view value) { line(key, quoted(value)); }
	void number(std::string_view key, std::uint64_t value) { line(key, std::to_string(value)); }
	void boolean(std::string_view key, bool value) { line(key, value ? "true" : "false"); }
	void address(std::string_view key, const Address &value) { string(key, value.text()); }
	void duration(std::string_view key, Milliseconds value)
	{
		string(key, duration_text(value));
	}
	void numbers(std::string_view key, const std::vector<std::uint32_t> &values)
	{
		if (!values.empty())
			line(key, fmt::format("[{}]", fmt::join(values, ", ")));
	}
	void optional(std::string_view key, const std::string &value)
	{
		if (!value.empty())
			string(key, value);
	}
	void strings(std::string_view key, const std::vector<std::string> &values)
	{
		std::string list;
		for (const std::string &value : values)
			list += (list.empty() ? "" : ", ") + quoted(value);
		if (!list.empty())
			line(key, "[" + list + "]");
	}
	void addresses(std::string_view key, const std::vector<Address> &values)
	{
		std::vector<std::string> texts;
		for (const Address &value : values)
			texts.push_back(value.text());
		strings(key, texts);
	}
	std::string take() { return std::move(out_); }

private:
	void line(std::string_view key, std::string_view value)
	{
		fmt::format_to(std::back_inserter(out_), "{} = {}\n", key, value);
	}

	std::string out_;
};

void write_node(Writer &out, const Config &config)
{
	out.header("[node]");
	if (!config.name.empty())
		out.string("name", config.name);
	if (config.hash_seed != decltype(config.hash_seed){})
		out.string("hash_seed",
			   fmt::format("{:016x}{:016x}", config.hash_seed[0], config.hash_seed[1]));
	out.strings("interfaces", config.interfaces);
	std::vector<std::string> roles;
	for (const Choice &role : kRoles)
		if (config.roles & static_cast<std::uint32_t>(role.value))
			roles.emplace_back(role.word);
	out.strings("roles", roles);
	out.string("mode", config.mode);

	if (config.pin_dir || config.state_dir || config.socket)
		out.header("[paths]");
	if (config.pin_dir)
		out.string("pins", *config.pin_dir);
	if (config.state_dir)
		out.string("state", *config.state_dir);
	if (config.socket)
		out.string("socket", *config.socket);

	out.header("[limits]");
	for (const LimitKey &limit : kLimits)
		out.number(limit.key, config.limits.*limit.member);
}

void write_tunnel(Writer &out, const Config &config)
{
	const Config defaults;
	if (config.source_v4 || config.source_v6 || !config.edges.empty() ||
	    !config.tunnel_addresses.empty() || config.gue_port != defaults.gue_port ||
	    config.gue_variant != defaults.gue_variant || !config.second_chance || config.marking ||
	    config.marking_period != defaults.marking_period ||
	    config.socket_netns != defaults.socket_netns)
		out.header("[tunnel]");
	if (config.source_v4)
		out.address("source_v4", *config.source_v4);
	if (config.source_v6)
		out.address("source_v6", *config.source_v6);
	out.addresses("edges", config.edges);
	out.addresses("addresses", config.tunnel_addresses);
	if (config.gue_port != defaults.gue_port)
		out.number("gue_port", config.gue_port);
	if (config.gue_variant != defaults.gue_variant)
		out.number("gue_variant", config.gue_variant);
	if (!config.second_chance)
		out.boolean("second_chance", false);
	if (config.marking)
		out.boolean("marking", true);
	if (config.marking_period != defaults.marking_period)
		out.string("marking_period", duration_text(config.marking_period));
	if (config.socket_netns != defaults.socket_netns)
		out.number("socket_netns", static_cast<std::uint32_t>(config.socket_netns));
}

void write_icmp(Writer &out, const IcmpOptions &icmp)
{
	if (icmp == IcmpOptions{})
		return;
	out.header("[icmp]");
	out.number("answers_per_second", icmp.answers_per_second);
	out.boolean("echo", icmp.echo);
}

void write_guard(Writer &out, const Config &config)
{
	if (!config.gtsm_local.empty())
		out.header("[gtsm]");
	out.addresses("local", config.gtsm_local);
	for (const GtsmPeer &peer : config.gtsm_peers) {
		out.header("[[gtsm.peers]]");
		out.address("address", peer.address);
		out.number("hops", peer.hops);
	}

	if (!config.rules.empty())
		out.header("[guard.rules]");
	for (const auto &[label, action] : config.rules)
		out.string(label, word_of(kActions, action));
}

void write_check(Writer &out, std::string_view header, const CheckSpec &check)
{
	const CheckType type = check.type;
	const bool http = type == CheckType::kHttp || type == CheckType::kHttps;
	out.header(header);
	out.string("type", check_type_name(type));
	out.duration("interval", check.interval);
	out.duration("timeout", check.timeout);
	out.number("jitter", check.jitter);
	out.number("rise", check.rise);
	out.number("fall", check.fall);
	if (check.port != 0)
		out.number("port", check.port);
	if (check.target)
		out.address("target", *check.target);
	if (check.direct)
		out.boolean("direct", true);
	out.optional("payload", check.payload);
	out.optional("expect", check.expect);
	if (check.hex)
		out.boolean("hex", true);
	out.optional("host", check.host);
	if (http)
		out.string("path", check.path);
	out.numbers("status", check.status);
	out.optional("body", check.body);
	if (type == CheckType::kHttps)
		out.boolean("verify", check.verify);
	out.optional("name", check.name);
	if (type == CheckType::kDns)
		out.string("record", check.record);
	out.strings("command", check.command);
}

void write_host(Writer &out, const HostOptions &host)
{
	out.header("[host]");
	out.string("interface", host.interface);
	out.boolean("forwarding", host.forwarding);
	out.number("hash_policy", host.hash_policy);
	if (host.rmem_max != 0)
		out.number("rmem_max", host.rmem_max);
	if (host.wmem_max != 0)
		out.number("wmem_max", host.wmem_max);
	out.boolean("persist", host.persist);
}

void write_overload(Writer &out, const OverloadOptions &overload)
{
	out.header("[agent.overload]");
	out.string("action", word_of(kOverloadActions, static_cast<int>(overload.action)));
	out.duration("hold", overload.hold);
	for (const auto &[name, threshold] :
	     {std::pair{"cpu", overload.cpu}, std::pair{"cpu_pressure", overload.cpu_pressure},
	      std::pair{"memory_pressure", overload.memory_pressure},
	      std::pair{"io_pressure", overload.io_pressure},
	      std::pair{"temperature", overload.temperature}, std::pair{"loss", overload.loss}}) {
		if (threshold.high == 0)
			continue;
		out.header(fmt::format("[agent.overload.{}]", name));
		out.number("high", threshold.high);
		out.number("low", threshold.low);
	}
}

template <typename T> std::vector<std::string> texts_of(const std::vector<T> &list)
{
	std::vector<std::string> texts;
	for (const T &member : list)
		texts.push_back(member.text());
	return texts;
}

void write_agent(Writer &out, const AgentOptions &agent)
{
	if (agent == AgentOptions{})
		return;
	out.header("[agent]");
	out.optional("group", agent.group);
	out.string("exec_user", agent.exec_user);
	if (agent.http_address)
		out.address("http_address", *agent.http_address);
	out.number("http_port", agent.http_port);
	if (agent.marks_listen)
		out.string("marks_listen", agent.marks_listen->text());
	out.strings("marks_allow", texts_of(agent.marks_allow));
	out.strings("marks_from", texts_of(agent.marks_from));
	out.string("on_stop", word_of(kOnStop, static_cast<int>(agent.on_stop)));
	out.duration("canary_hold", agent.canary_hold);
	write_overload(out, agent.overload);
}

void write_pool(Writer &out, const Pool &pool)
{
	out.header("[[pools]]");
	out.string("name", pool.name);
	out.number("table_size", pool.table_size);
	if (pool.hash != AX_HASH_FLOW)
		out.string("hash", word_of(kHashes, pool.hash));
	if (pool.hash == AX_HASH_QUIC)
		out.number("quic_rotation", pool.quic_rotation);
	if (pool.fragment_notes)
		out.string("fragments", "notes");
	out.string("all_down", word_of(kAllDown, pool.all_down));
	if (pool.slow_start != 0)
		out.duration("slow_start", std::chrono::seconds(pool.slow_start));
	if (pool.clamp_mss != 0)
		out.number("clamp_mss_to_mtu", pool.clamp_mss);
	for (const Backend &backend : pool.backends) {
		out.header("[[pools.backends]]");
		out.string("name", backend.name);
		out.address("address", backend.address);
		out.number("weight", backend.weight);
		out.optional("server_id", backend.server_id);
		if (backend.since != 0)
			out.number("since", backend.since);
		out.string("state", word_of(kStates, backend.state));
	}
	for (const CheckSpec &check : pool.checks)
		write_check(out, "[[pools.checks]]", check);
	for (const Generation &generation : pool.generations) {
		std::vector<std::string> backends;
		for (const auto &[name, weight] : generation.weights)
			backends.push_back(fmt::format("{}={}", name, weight));
		out.header("[[pools.generations]]");
		out.number("number", generation.number);
		out.number("retire", static_cast<std::uint64_t>(generation.retire));
		out.strings("backends", backends);
	}
}

void write_attributes(Writer &out, const BgpAttributes &attributes)
{
	if (attributes == BgpAttributes{})
		return;
	out.header("[vips.bgp]");
	out.strings("communities", texts_of(attributes.communities));
	out.strings("large_communities", texts_of(attributes.large_communities));
	if (attributes.prepend != 0)
		out.number("prepend", attributes.prepend);
	if (attributes.med)
		out.number("med", *attributes.med);
	if (attributes.local_pref)
		out.number("local_pref", *attributes.local_pref);
}

void write_vip(Writer &out, const Vip &vip)
{
	out.header("[[vips]]");
	out.string("name", vip.name);
	out.string("address", place_of(vip));
	if (vip.port == 0)
		out.string("port", "any");
	else
		out.number("port", vip.port);
	out.string("protocol", word_of(kProtocols, vip.protocol));
	out.string("pool", vip.pool);
	out.string("forward", word_of(kForwards, vip.forward));
	if (vip.measure != AX_MEASURE_NONE)
		out.string("measure", word_of(kMeasures, vip.measure));
	if (vip.canary)
		out.boolean("canary", true);
	write_attributes(out, vip.bgp);
	for (const CheckSpec &check : vip.checks)
		write_check(out, "[[vips.checks]]", check);
}

void write_neighbour(Writer &out, const BgpNeighbour &neighbour)
{
	out.header("[[bird.neighbours]]");
	out.string("name", neighbour.name);
	out.address("address", neighbour.address);
	if (!neighbour.interface.empty())
		out.string("interface", neighbour.interface);
	out.number("asn", neighbour.asn);
	if (neighbour.local)
		out.address("local", *neighbour.local);
	out.number("multihop", neighbour.multihop);
	out.boolean("ttl_security", neighbour.ttl_security);
	out.boolean("bfd", neighbour.bfd);
	out.number("hold_time", neighbour.hold_time);
	if (!neighbour.password.empty())
		out.string("password", neighbour.password);
	if (neighbour.rr_client)
		out.boolean("rr_client", true);
	std::vector<std::string> families;
	if (neighbour.ipv4)
		families.emplace_back("ipv4");
	if (neighbour.ipv6)
		families.emplace_back("ipv6");
	out.strings("families", families);
	out.string("import", word_of(kImports, static_cast<int>(neighbour.import)));
}

void write_bird(Writer &out, const BirdConfig &bird)
{
	if (bird.asn == 0)
		return;
	out.header("[bird]");
	out.number("asn", bird.asn);
	if (bird.router_id)
		out.address("router_id", *bird.router_id);
	out.string("socket", bird.socket);
	out.string("include", bird.include);
	out.string("interface", bird.interface);
	out.string("damping", bird.damping);
	out.number("bfd_interval_ms", bird.bfd_interval);
	out.number("bfd_multiplier", bird.bfd_multiplier);
	for (const BgpNeighbour &neighbour : bird.neighbours)
		write_neighbour(out, neighbour);
}

} // namespace

std::string to_toml(const Config &config)
{
	Writer out;
	write_node(out, config);
	write_tunnel(out, config);
	write_guard(out, config);
	write_icmp(out, config.icmp);
	if (config.host)
		write_host(out, *config.host);
	write_agent(out, config.agent);
	for (const Pool &pool : config.pools)
		write_pool(out, pool);
	for (const Vip &vip : config.vips)
		write_vip(out, vip);
	write_bird(out, config.bird);
	return out.take();
}

} // namespace anycast
