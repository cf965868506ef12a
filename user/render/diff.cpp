// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/diff.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/names.h"
#include "core/vip_places.h"
#include "core/reasons.h"
#include "render/table.h"

namespace anycast::render {

namespace {

constexpr std::string_view kNever = "never"; // worth a word only where it changes

// Attributes in a fixed order, as text: whatever differs is a change.
using Attributes = std::vector<std::pair<std::string, std::string>>;

struct Object {
	std::string kind, name;
	Attributes attributes;
};

std::string port_text(std::uint16_t port)
{
	return port == 0 ? "any" : std::to_string(port);
}

std::string list_text(std::vector<std::string> items)
{
	std::ranges::sort(items);
	return items.empty() ? "default" : fmt::format("{}", fmt::join(items, " "));
}

std::string addresses_text(const std::vector<Address> &addresses)
{
	std::vector<std::string> items;
	for (const Address &address : addresses)
		items.push_back(address.text());
	return list_text(std::move(items));
}

template <typename T> std::string texts_of(const std::vector<T> &list)
{
	std::vector<std::string> items;
	for (const T &member : list)
		items.push_back(member.text());
	return list.empty() ? "none" : list_text(std::move(items));
}

std::string address_text(const std::optional<Address> &address)
{
	return address ? address->text() : "default";
}

std::string checks_text(const std::vector<CheckSpec> &checks)
{
	std::vector<std::string> items;
	for (const CheckSpec &check : checks)
		items.push_back(fmt::format(
			"({}{} every {} for {} rise {} fall {}{})", describe(check),
			check.port != 0 ? fmt::format(" port {}", check.port) : "",
			anycast::duration_text(check.interval),
			anycast::duration_text(check.timeout), check.rise, check.fall,
			check.expect.empty() && check.body.empty()
				? ""
				: fmt::format(" expecting \"{}{}\"", check.expect, check.body)));
	return items.empty() ? "none" : fmt::format("{}", fmt::join(items, " "));
}

// Most backends have no server id: then there is nothing to say about it.
std::string backend_place(const Backend &backend)
{
	const std::string server =
		backend.server_id.empty() ? "" : " (server_id " + backend.server_id + ")";
	return backend.address.text() + server;
}

std::string threshold_text(const Threshold &threshold)
{
	return threshold.high == 0 ? "off" : fmt::format("{}/{}", threshold.high, threshold.low);
}

void add_node_options(std::vector<Object> &objects, const Config &config)
{
	if (config.host)
		objects.push_back({"host",
				   "",
				   {{"interface", config.host->interface},
				    {"forwarding", config.host->forwarding ? "yes" : "as it is"},
				    {"hash_policy", std::to_string(config.host->hash_policy)},
				    {"rmem_max", std::to_string(config.host->rmem_max)},
				    {"wmem_max", std::to_string(config.host->wmem_max)},
				    {"persist", config.host->persist ? "yes" : "no"}}});
	const AgentOptions &agent = config.agent;
	const OverloadOptions &overload = agent.overload;
	constexpr std::string_view kActionNames[] = {"none", "drain", "withdraw"};
	objects.push_back(
		{"agent",
		 "",
		 {{"group", agent.group.empty() ? "root" : agent.group},
		  {"exec_user", agent.exec_user},
		  {"http",
		   agent.http_address
			   ? fmt::format("{} port {}", agent.http_address->text(), agent.http_port)
			   : "off"},
		  {"marks_listen", agent.marks_listen ? agent.marks_listen->text() : "off"},
		  {"marks_allow", texts_of(agent.marks_allow)},
		  {"marks_from", texts_of(agent.marks_from)},
		  {"on_stop", agent.on_stop == OnStop::kLeave ? "leave" : "withdraw"},
		  {"canary_hold", anycast::duration_text(agent.canary_hold)},
		  {"overload", std::string(kActionNames[static_cast<int>(overload.action)])},
		  {"hold", anycast::duration_text(overload.hold)},
		  {"cpu", threshold_text(overload.cpu)},
		  {"cpu_pressure", threshold_text(overload.cpu_pressure)},
		  {"memory_pressure", threshold_text(overload.memory_pressure)},
		  {"io_pressure", threshold_text(overload.io_pressure)},
		  {"temperature", threshold_text(overload.temperature)},
		  {"loss", threshold_text(overload.loss)}}});
}

std::vector<Object> objects_of(const Config &config)
{
	const Limits &limits = config.limits;
	std::vector<Object> objects{
		{"node",
		 "",
		 {{"name", config.name},
		  {"hash_seed", config.hash_seed == std::array<std::uint64_t, 2>{}
					? "none"
					// Who knows the seed can aim at one backend: never shown.
					: fmt::format("(secret {:04x})",
						      (config.hash_seed[0] ^ config.hash_seed[1]) *
								      0x9e3779b97f4a7c15 >>
							      48)},
		  {"interfaces", list_text(config.interfaces)},
		  {"role", roles_name(config.roles)},
		  {"mode", config.mode},
		  {"pin_dir", config.pin_dir.value_or("default")},
		  {"state_dir", config.state_dir.value_or("default")},
		  {"socket", config.socket.value_or("default")}}},
		{"limits",
		 "",
		 {{"flows_v4", std::to_string(limits.flows_v4)},
		  {"flows_v6", std::to_string(limits.flows_v6)},
		  {"vips", std::to_string(limits.vips)},
		  {"pools", std::to_string(limits.pools)},
		  {"backends", std::to_string(limits.backends)},
		  {"table_slots", std::to_string(limits.table_slots)},
		  {"peers", std::to_string(limits.peers)},
		  {"inserts_per_second", std::to_string(limits.inserts_per_second)},
		  {"loss_prefix_v4", std::to_string(limits.loss_prefix_v4)},
		  {"loss_prefix_v6", std::to_string(limits.loss_prefix_v6)},
		  {"marked_flows", std::to_string(limits.marked_flows)},
		  {"flow_idle", std::to_string(limits.flow_idle)}}},
		{"tunnel",
		 "",
		 {{"source_v4", address_text(config.source_v4)},
		  {"source_v6", address_text(config.source_v6)},
		  {"edges", addresses_text(config.edges)},
		  {"addresses", addresses_text(config.tunnel_addresses)},
		  {"gue_port", std::to_string(config.gue_port)},
		  {"gue_variant", std::to_string(config.gue_variant)},
		  {"second_chance", config.second_chance ? "yes" : "no"},
		  {"marking", config.marking ? "yes" : "no"},
		  {"marking_period", anycast::duration_text(config.marking_period)},
		  {"socket_netns",
		   config.socket_netns < 0 ? "own" : std::to_string(config.socket_netns)}}},
		{"gtsm", "", {{"local", addresses_text(config.gtsm_local)}}},
		{"icmp",
		 "",
		 {{"answers_per_second", std::to_string(config.icmp.answers_per_second)},
		  {"echo", config.icmp.echo ? "answered" : "the stack's"}}},
	};
	for (const GtsmPeer &peer : config.gtsm_peers)
		objects.push_back(
			{"gtsm peer", peer.address.text(), {{"hops", std::to_string(peer.hops)}}});
	for (const ReasonInfo &reason : reasons()) {
		if (reason.cls != AX_CLASS_RULE)
			continue;
		const auto rule = config.rules.find(std::string(reason.label));
		const ax_action action =
			rule != config.rules.end() ? rule->second : reason.default_action;
		objects.push_back({"rule",
				   std::string(reason.label),
				   {{"action", std::string(action_name(action))}}});
	}
	for (const Pool &pool : config.pools) {
		objects.push_back({"pool",
				   pool.name,
				   {{"table_size", std::to_string(pool.table_size)},
				    {"all_down", std::string(all_down_name(pool.all_down))},
				    {"hash", std::string(hash_input_name(pool.hash))},
				    {"quic_rotation", std::to_string(pool.quic_rotation)},
				    {"slow_start", fmt::format("{} s", pool.slow_start)},
				    {"clamp_mss_to_mtu",
				     pool.clamp_mss == 0 ? "off" : std::to_string(pool.clamp_mss)},
				    {"fragments", pool.fragment_notes ? "notes" : "tuple"},
				    {"checks", checks_text(pool.checks)}}});
		for (const Backend &backend : pool.backends)
			objects.push_back(
				{"backend",
				 pool.name + "/" + backend.name,
				 {{"address", backend_place(backend)},
				  {"weight", std::to_string(backend.weight)},
				  {"state", std::string(state_name(backend.state))},
				  {"since", backend.since == 0 ? std::string(kNever)
							       : std::to_string(backend.since)}}});
	}
	for (const Vip &vip : config.vips)
		objects.push_back({"vip",
				   vip.name,
				   {{"address", place_of(vip)},
				    {"port", port_text(vip.port)},
				    {"protocol", protocol_name(vip.protocol)},
				    {"pool", vip.pool},
				    {"forward", std::string(forward_name(vip.forward))},
				    {"measure", std::string(measure_name(vip.measure))},
				    {"checks", checks_text(vip.checks)},
				    {"canary", vip.canary ? "yes" : "no"}}});
	add_node_options(objects, config);
	return objects;
}

std::string all_attributes(const Object &object)
{
	std::vector<std::string> parts;
	for (const auto &[key, value] : object.attributes)
		if (value != kNever)
			parts.push_back(key + " " + value);
	return fmt::format("{}", fmt::join(parts, ", "));
}

std::string differing_attributes(const Object &from, const Object &to)
{
	std::vector<std::string> parts;
	for (std::size_t i = 0; i < to.attributes.size(); i++)
		if (from.attributes[i].second != to.attributes[i].second)
			parts.push_back(fmt::format("{} {} -> {}", to.attributes[i].first,
						    from.attributes[i].second,
						    to.attributes[i].second));
	return fmt::format("{}", fmt::join(parts, ", "));
}

using Index = std::map<std::pair<std::string_view, std::string_view>, const Object *>;

Index index_of(const std::vector<Object> &objects)
{
	Index index;
	for (const Object &object : objects)
		index.emplace(
			std::pair(std::string_view(object.kind), std::string_view(object.name)),
			&object);
	return index;
}

} // namespace

std::vector<Change> changes_between(const Config &from, const Config &to)
{
	const std::vector<Object> before = objects_of(from), after = objects_of(to);
	const Index old_ones = index_of(before), new_ones = index_of(after);
	std::vector<Change> changes;
	for (const Object &object : before)
		if (!new_ones.contains({object.kind, object.name}))
			changes.push_back({'-', object.kind, object.name, all_attributes(object)});
	for (const Object &object : after) {
		const auto old = old_ones.find({object.kind, object.name});
		if (old == old_ones.end()) {
			changes.push_back({'+', object.kind, object.name, all_attributes(object)});
			continue;
		}
		std::string detail = differing_attributes(*old->second, object);
		if (!detail.empty())
			changes.push_back({'~', object.kind, object.name, std::move(detail)});
	}
	return changes;
}

std::string changes_text(const std::vector<Change> &changes)
{
	std::string out;
	for (const Change &change : changes)
		out += fmt::format("{} {}{}{}  {}\n", change.sign, change.object,
				   change.name.empty() ? "" : " ", change.name, change.detail);
	return out;
}

nlohmann::ordered_json changes_json(const std::vector<Change> &changes)
{
	nlohmann::ordered_json list = nlohmann::ordered_json::array();
	for (const Change &change : changes)
		list.push_back({{"change", change.sign == '+'	? "add"
					   : change.sign == '-' ? "remove"
								: "modify"},
				{"object", change.object},
				{"name", change.name},
				{"detail", change.detail}});
	return list;
}

} // namespace anycast::render
