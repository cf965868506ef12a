// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the agent knows, as one JSON object: for `status`, the metrics and the page.
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "agent/agent.h"
#include "core/names.h"
#include "core/vip_places.h"

namespace anycast::agent {

using json = nlohmann::ordered_json;

namespace {

json number_or_null(const std::optional<double> &value)
{
	return value ? json(*value) : json();
}

json names(const std::vector<Address> &addresses)
{
	json list = json::array();
	for (const Address &address : addresses)
		list.push_back(address.text());
	return list;
}

} // namespace

json Agent::checks_json(const std::string &prefix, std::size_t checks) const
{
	json list = json::array();
	for (std::size_t i = 0; i < checks; i++) {
		const health::CheckState *state = engine_->find(prefix + std::to_string(i));
		if (!state)
			continue;
		const health::Target &target = state->target;
		list.push_back(
			{{"check", describe(target.spec)},
			 {"type", check_type_name(target.spec.type)},
			 {"address", target.address.text()},
			 {"port", target.port},
			 {"through", target.tunnel ? json(target.tunnel->backend.text()) : json()},
			 {"health", health_name(state->rise_fall.health())},
			 {"good", state->good},
			 {"in_a_row", state->rise_fall.in_a_row()},
			 {"detail", state->detail},
			 {"took_ms", state->took.count()},
			 {"runs", state->runs},
			 {"failures", state->failures}});
	}
	return list;
}

json Agent::vips_json() const
{
	const auto all_facts = facts();
	json list = json::array();
	for (const Vip &vip : config_.vips) {
		const auto fact = all_facts.find(vip.address);
		const auto &memory = announcer_.memory();
		const auto decision = memory.decisions.find(vip.address);
		const auto order = memory.orders.find(vip.address);
		json entry{{"vip", vip.name},
			   {"address", place_of(vip)},
			   {"port", vip.port},
			   {"pool", vip.pool},
			   {"canary", vip.canary},
			   {"health", health_name(fact->second.health)},
			   {"others_announce", fact->second.others_announce}};
		if (decision != memory.decisions.end())
			entry.update({{"state", reach_name(decision->second.reach)},
				      {"reason", decision->second.reason},
				      {"since", decision->second.since},
				      {"wait_s", decision->second.wait}});
		entry["order"] =
			order == memory.orders.end() ? json() : order_to_json(order->second);
		entry["checks"] = checks_json(fmt::format("vip/{}/", vip.name), vip.checks.size());
		list.push_back(std::move(entry));
	}
	return list;
}

json Agent::pools_json() const
{
	json list = json::array();
	for (const Pool &pool : config_.pools) {
		json backends = json::array();
		for (const Backend &backend : pool.backends) {
			const std::string key = fmt::format("pool/{}/{}/", pool.name, backend.name);
			const std::string suffix = "/" + pool.name + "/" + backend.name;
			const bool downed = std::ranges::any_of(
				backends_.downed(),
				[&](const std::string &one) { return one.ends_with(suffix); });
			backends.push_back({{"backend", backend.name},
					    {"address", backend.address.text()},
					    {"health", pool.checks.empty()
							       ? "unchecked"
							       : health_name(health_of(
									 key, pool.checks.size()))},
					    {"taken_out", downed},
					    {"configured", state_name(backend.state)},
					    {"checks", checks_json(key, pool.checks.size())}});
		}
		list.push_back({{"pool", pool.name}, {"backends", std::move(backends)}});
	}
	return list;
}

json Agent::bird_json() const
{
	if (!bird_)
		return json();
	if (!bird_status_)
		return {{"state", "not asked yet"}};
	json sessions = json::array();
	for (const SessionStatus &session : bird_status_->sessions)
		sessions.push_back({{"session", session.name},
				    {"neighbour", session.neighbour},
				    {"local_asn", session.local_asn},
				    {"neighbour_asn", session.neighbour_asn},
				    {"state", session.state},
				    {"since", session.since},
				    {"bfd", session.bfd},
				    {"expected", session.expected},
				    {"exported", session.exported},
				    {"missing", names(session.missing)},
				    {"last_error", session.last_error},
				    {"advice", session.advice}});
	return {{"state", bird_state_name(bird_status_->state)},
		{"verdict", bird_status_->verdict()},
		{"problem", bird_status_->problem},
		{"version", bird_status_->version},
		{"in_force", bird_status_->in_force},
		{"established", bird_status_->established()},
		{"configured", bird_status_->configured()},
		{"problems", bird_status_->problems},
		{"sessions", std::move(sessions)}};
}

json Agent::load_json() const
{
	return {{"overloaded", guard_.overloaded()},
		{"reason", guard_.reason()},
		{"not_measurable", unmeasurable(config_.agent.overload, load_)},
		{"cpu", number_or_null(load_.cpu)},
		{"cpu_pressure", number_or_null(load_.cpu_pressure)},
		{"memory_pressure", number_or_null(load_.memory_pressure)},
		{"io_pressure", number_or_null(load_.io_pressure)},
		{"temperature", number_or_null(load_.temperature)},
		{"loss_per_mille", number_or_null(load_.loss)}};
}

// Segments of the flows in the table that were lost before this node.
json Agent::loss_json() const
{
	if (!loss_before_ || loss_before_->second == 0)
		return json();
	return {{"lost", loss_before_->first},
		{"of", loss_before_->second},
		{"per_mille", 1000 * loss_before_->first / loss_before_->second}};
}

json Agent::status() const
{
	const health::Lateness &late = engine_->lateness();
	std::vector<std::string> problems;
	for (const auto &[key, text] : problems_)
		problems.push_back(text);
	json document{
		{"node", config_.name},
		{"version", AX_VERSION},
		{"pid", getpid()},
		{"since", began_},
		{"config", around_.config_path},
		{"problems", problems},
		{"vips", vips_json()},
		{"pools", pools_json()},
		{"next_hops", backends_.next_hops()},
		{"load", load_json()},
		{"bird", bird_json()},
		{"loss", loss_json()},
		{"marks", marks_->status()},
		{"checks",
		 {{"runs", late.runs},
		  {"late_mean_ms", late.runs == 0 ? 0.0
						  : static_cast<double>(late.total.count()) / 1000 /
							    static_cast<double>(late.runs)},
		  {"late_longest_ms", static_cast<double>(late.longest.count()) / 1000},
		  {"late_over_10ms", late.over_10ms}}}};
	document.update(traffic_);
	return document;
}

} // namespace anycast::agent
