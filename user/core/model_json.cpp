// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/model_json.h"

#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace anycast {

namespace {

using nlohmann::json;

// Each struct has one list of its members, used in both directions: Write makes an object of them,
// Read takes an object apart and complains about what is left over.
class Write {
public:
	template <typename T> void operator()(const char *name, const T &value)
	{
		object[name] = encode(value);
	}

	static json encode(const Address &address) { return address.text(); }
	static json encode(Milliseconds time) { return time.count(); }
	template <typename T> static json encode(const std::optional<T> &value)
	{
		return value ? encode(*value) : json();
	}
	template <typename T> static json encode(const std::vector<T> &list)
	{
		json array = json::array();
		for (const T &element : list)
			array.push_back(encode(element));
		return array;
	}
	template <typename T> static json encode(const T &value)
	{
		if constexpr (requires(Write w, T t) { members(w, t); }) {
			Write writer;
			T copy = value;
			members(writer, copy);
			return std::move(writer.object);
		} else {
			return value;
		}
	}

	json object = json::object();
};

class Read {
public:
	explicit Read(const json &from) : object_(from) {}

	template <typename T> void operator()(const char *name, T &value)
	{
		try {
			decode(object_.at(name), value);
		} catch (const std::exception &error) {
			throw std::runtime_error(fmt::format("{}: {}", name, error.what()));
		}
		++seen_;
	}
	void done() const
	{
		if (seen_ != object_.size())
			throw std::runtime_error("members that are not known");
	}

	static void decode(const json &from, Address &address)
	{
		const auto parsed = Address::parse(from.get_ref<const std::string &>());
		if (!parsed)
			throw std::runtime_error("not an address");
		address = *parsed;
	}
	static void decode(const json &from, Milliseconds &time)
	{
		time = Milliseconds(from.get<Milliseconds::rep>());
	}
	template <typename T> static void decode(const json &from, std::optional<T> &value)
	{
		value.reset();
		if (!from.is_null())
			decode(from, value.emplace());
	}
	template <typename T> static void decode(const json &from, std::vector<T> &list)
	{
		if (!from.is_array())
			throw std::runtime_error("not an array");
		list.clear();
		for (const json &element : from)
			decode(element, list.emplace_back());
	}
	template <typename T> static void decode(const json &from, T &value)
	{
		if constexpr (requires(Read r, T t) { members(r, t); }) {
			if (!from.is_object())
				throw std::runtime_error("not an object");
			Read reader(from);
			members(reader, value);
			reader.done();
		} else {
			value = from.get<T>();
			if (json(value) != from) // a number that does not fit the member
				throw std::runtime_error("out of range");
		}
	}

private:
	const json &object_;
	std::size_t seen_ = 0;
};

template <typename Visit> void members(Visit &visit, Backend &v)
{
	visit("name", v.name);
	visit("address", v.address);
	visit("weight", v.weight);
	visit("server_id", v.server_id);
	visit("since", v.since);
	visit("state", v.state);
}

template <typename Visit> void members(Visit &visit, CheckSpec &v)
{
	visit("type", v.type);
	visit("interval", v.interval);
	visit("timeout", v.timeout);
	visit("jitter", v.jitter);
	visit("rise", v.rise);
	visit("fall", v.fall);
	visit("port", v.port);
	visit("target", v.target);
	visit("direct", v.direct);
	visit("payload", v.payload);
	visit("expect", v.expect);
	visit("hex", v.hex);
	visit("host", v.host);
	visit("path", v.path);
	visit("status", v.status);
	visit("body", v.body);
	visit("verify", v.verify);
	visit("name", v.name);
	visit("record", v.record);
	visit("command", v.command);
}

template <typename Visit> void members(Visit &visit, Generation &v)
{
	visit("number", v.number);
	visit("retire", v.retire);
	visit("weights", v.weights);
}

template <typename Visit> void members(Visit &visit, Pool &v)
{
	visit("name", v.name);
	visit("table_size", v.table_size);
	visit("all_down", v.all_down);
	visit("backends", v.backends);
	visit("checks", v.checks);
	visit("hash", v.hash);
	visit("quic_rotation", v.quic_rotation);
	visit("fragment_notes", v.fragment_notes);
	visit("generations", v.generations);
	visit("slow_start", v.slow_start);
	visit("clamp_mss", v.clamp_mss);
}

template <typename Visit> void members(Visit &visit, Community &v)
{
	visit("asn", v.asn);
	visit("value", v.value);
}

template <typename Visit> void members(Visit &visit, LargeCommunity &v)
{
	visit("asn", v.asn);
	visit("first", v.first);
	visit("second", v.second);
}

template <typename Visit> void members(Visit &visit, BgpAttributes &v)
{
	visit("communities", v.communities);
	visit("large_communities", v.large_communities);
	visit("prepend", v.prepend);
	visit("med", v.med);
	visit("local_pref", v.local_pref);
}

template <typename Visit> void members(Visit &visit, BgpNeighbour &v)
{
	visit("name", v.name);
	visit("address", v.address);
	visit("interface", v.interface);
	visit("asn", v.asn);
	visit("local", v.local);
	visit("multihop", v.multihop);
	visit("ttl_security", v.ttl_security);
	visit("bfd", v.bfd);
	visit("hold_time", v.hold_time);
	visit("password", v.password);
	visit("rr_client", v.rr_client);
	visit("ipv4", v.ipv4);
	visit("ipv6", v.ipv6);
	visit("import", v.import);
}

template <typename Visit> void members(Visit &visit, BirdConfig &v)
{
	visit("socket", v.socket);
	visit("include", v.include);
	visit("interface", v.interface);
	visit("asn", v.asn);
	visit("router_id", v.router_id);
	visit("damping", v.damping);
	visit("bfd_interval", v.bfd_interval);
	visit("bfd_multiplier", v.bfd_multiplier);
	visit("neighbours", v.neighbours);
}

template <typename Visit> void members(Visit &visit, Vip &v)
{
	visit("name", v.name);
	visit("address", v.address);
	visit("port", v.port);
	visit("protocol", v.protocol);
	visit("pool", v.pool);
	visit("forward", v.forward);
	visit("measure", v.measure);
	visit("bgp", v.bgp);
	visit("checks", v.checks);
	visit("canary", v.canary);
	visit("prefix", v.prefix);
}

template <typename Visit> void members(Visit &visit, GtsmPeer &v)
{
	visit("address", v.address);
	visit("hops", v.hops);
}

template <typename Visit> void members(Visit &visit, Limits &v)
{
	visit("flows_v4", v.flows_v4);
	visit("flows_v6", v.flows_v6);
	visit("vips", v.vips);
	visit("pools", v.pools);
	visit("backends", v.backends);
	visit("table_slots", v.table_slots);
	visit("peers", v.peers);
	visit("inserts_per_second", v.inserts_per_second);
	visit("loss_prefix_v4", v.loss_prefix_v4);
	visit("loss_prefix_v6", v.loss_prefix_v6);
	visit("marked_flows", v.marked_flows);
	visit("flow_idle", v.flow_idle);
}

template <typename Visit> void members(Visit &visit, IcmpOptions &v)
{
	visit("answers_per_second", v.answers_per_second);
	visit("echo", v.echo);
}

template <typename Visit> void members(Visit &visit, HostOptions &v)
{
	visit("interface", v.interface);
	visit("forwarding", v.forwarding);
	visit("hash_policy", v.hash_policy);
	visit("rmem_max", v.rmem_max);
	visit("wmem_max", v.wmem_max);
	visit("persist", v.persist);
}

template <typename Visit> void members(Visit &visit, Threshold &v)
{
	visit("high", v.high);
	visit("low", v.low);
}

template <typename Visit> void members(Visit &visit, OverloadOptions &v)
{
	visit("action", v.action);
	visit("hold", v.hold);
	visit("cpu", v.cpu);
	visit("cpu_pressure", v.cpu_pressure);
	visit("memory_pressure", v.memory_pressure);
	visit("io_pressure", v.io_pressure);
	visit("temperature", v.temperature);
	visit("loss", v.loss);
}

template <typename Visit> void members(Visit &visit, Endpoint &v)
{
	visit("address", v.address);
	visit("port", v.port);
}

template <typename Visit> void members(Visit &visit, Prefix &v)
{
	visit("address", v.address);
	visit("bits", v.bits);
}

template <typename Visit> void members(Visit &visit, AgentOptions &v)
{
	visit("group", v.group);
	visit("exec_user", v.exec_user);
	visit("http_address", v.http_address);
	visit("http_port", v.http_port);
	visit("marks_listen", v.marks_listen);
	visit("marks_allow", v.marks_allow);
	visit("marks_from", v.marks_from);
	visit("on_stop", v.on_stop);
	visit("canary_hold", v.canary_hold);
	visit("overload", v.overload);
}

template <typename Visit> void members(Visit &visit, Config &v)
{
	visit("name", v.name);
	visit("hash_seed", v.hash_seed);
	visit("interfaces", v.interfaces);
	visit("roles", v.roles);
	visit("mode", v.mode);
	visit("pin_dir", v.pin_dir);
	visit("state_dir", v.state_dir);
	visit("socket", v.socket);
	visit("limits", v.limits);
	visit("source_v4", v.source_v4);
	visit("source_v6", v.source_v6);
	visit("edges", v.edges);
	visit("tunnel_addresses", v.tunnel_addresses);
	visit("gue_port", v.gue_port);
	visit("gue_variant", v.gue_variant);
	visit("second_chance", v.second_chance);
	visit("marking", v.marking);
	visit("marking_period", v.marking_period);
	visit("socket_netns", v.socket_netns);
	visit("gtsm_local", v.gtsm_local);
	visit("gtsm_peers", v.gtsm_peers);
	visit("rules", v.rules);
	visit("icmp", v.icmp);
	visit("pools", v.pools);
	visit("vips", v.vips);
	visit("bird", v.bird);
	visit("host", v.host);
	visit("agent", v.agent);
}

template <typename Visit> void members(Visit &visit, Named &v)
{
	visit("name", v.name);
	visit("identity", v.identity);
	visit("gen", v.gen);
	visit("used", v.used);
}

template <typename Visit> void members(Visit &visit, Ids &v)
{
	visit("vips", v.vips);
	visit("backends", v.backends);
	visit("peers", v.peers);
}

// A member that somebody adds to a struct and forgets above would be lost at the next restart.
static_assert(sizeof(Backend) == 2 * sizeof(std::string) + 16 + 8 + 8);
static_assert(sizeof(GtsmPeer) == 18);
static_assert(sizeof(Limits) == 12 * 4);
static_assert(sizeof(IcmpOptions) == 8);
static_assert(sizeof(Pool) == sizeof(std::string) + 16 + 3 * sizeof(std::vector<Backend>) + 8);
static_assert(sizeof(Generation) == 16 + sizeof(std::vector<int>));
static_assert(sizeof(CheckSpec) == 7 * sizeof(std::string) + 2 * sizeof(std::vector<int>) + 72);
static_assert(sizeof(HostOptions) == sizeof(std::string) + 24);
static_assert(sizeof(OverloadOptions) == 16 + 6 * sizeof(Threshold));
static_assert(sizeof(AgentOptions) == 2 * sizeof(std::string) + 2 * sizeof(std::vector<Endpoint>) +
					      56 + sizeof(OverloadOptions));
static_assert(sizeof(BgpAttributes) == 2 * sizeof(std::vector<Community>) + 24);
static_assert(sizeof(Vip) == 2 * sizeof(std::string) + 16 + 8 + 8 + sizeof(BgpAttributes) +
				     sizeof(std::vector<CheckSpec>) + 8);
static_assert(sizeof(BgpNeighbour) == 3 * sizeof(std::string) + 64);
static_assert(sizeof(BirdConfig) ==
	      4 * sizeof(std::string) + 24 + 8 + sizeof(std::vector<BgpNeighbour>));

template <typename T> Result<T> read(const json &from, const char *what)
{
	T value;

	try {
		Read::decode(from, value);
	} catch (const std::exception &error) {
		return fail(Exit::kFailed, fmt::format("{}: {}", what, error.what()));
	}
	return value;
}

} // namespace

json config_to_json(const Config &config)
{
	return Write::encode(config);
}

Result<Config> config_from_json(const json &from)
{
	return read<Config>(from, "configuration");
}

json ids_to_json(const Ids &ids)
{
	return Write::encode(ids);
}

Result<Ids> ids_from_json(const json &from)
{
	return read<Ids>(from, "ids");
}

} // namespace anycast
