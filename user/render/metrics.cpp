// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/metrics.h"

#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace anycast::render {

namespace {

using json = nlohmann::ordered_json;
using Labels = std::vector<std::pair<std::string_view, std::string>>;

std::string escaped(std::string_view text)
{
	std::string out;
	for (const char c : text)
		if (c == '\n')
			out += "\\n";
		else if (c == '\\' || c == '"')
			(out += '\\') += c;
		else
			out += c;
	return out;
}

// One metric: its head, then its samples, which have to stand together.
class Family {
public:
	Family(std::string &out, const std::string &name, std::string_view type,
	       std::string_view help)
		: out_(out), name_(name),
		  head_(fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type))
	{
	}
	void add(const Labels &labels, const json &value)
	{
		if (!value.is_number() && !value.is_boolean())
			return; // null: not measurable, never 0
		out_ += std::exchange(head_, {});
		std::string list;
		for (const auto &[key, text] : labels)
			list += fmt::format("{}{}=\"{}\"", list.empty() ? "" : ",", key,
					    escaped(text));
		out_ += fmt::format("{}{} {}\n", name_, list.empty() ? "" : "{" + list + "}",
				    value.is_boolean() ? (value.get<bool>() ? "1" : "0")
						       : value.dump());
	}

private:
	std::string &out_;
	std::string name_;
	std::string head_;
};

const json &list_of(const json &object, const char *key)
{
	static const json none = json::array();
	const auto found = object.find(key);
	return found != object.end() && found->is_array() ? *found : none;
}

std::string text_of(const json &object, const char *key)
{
	const auto found = object.find(key);
	return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

const json &member(const json &object, const char *key)
{
	static const json none;
	const auto found = object.find(key);
	return found != object.end() ? *found : none;
}

// Every state a sample of its own, one of them 1: as Prometheus' guide for enumerations says.
void add_states(Family &family, Labels labels, std::string_view now,
		std::initializer_list<std::string_view> all)
{
	labels.emplace_back("state", "");
	for (const std::string_view state : all) {
		labels.back().second = state;
		family.add(labels, state == now ? 1 : 0);
	}
}

void add_vips(std::string &out, const json &status)
{
	Family state(out, "anycast_vip_state", "gauge", "What is asked of BGP for the VIP.");
	for (const json &vip : list_of(status, "vips"))
		add_states(state,
			   {{"vip", text_of(vip, "vip")}, {"address", text_of(vip, "address")}},
			   text_of(vip, "state"), {"announced", "draining", "withdrawn"});
	Family health(out, "anycast_vip_healthy", "gauge", "1 if all checks of the VIP are good.");
	for (const json &vip : list_of(status, "vips"))
		health.add({{"vip", text_of(vip, "vip")}}, text_of(vip, "health") == "up");
	Family wait(out, "anycast_vip_damping_wait_seconds", "gauge",
		    "Until announcing is safe from damping upstream.");
	for (const json &vip : list_of(status, "vips"))
		wait.add({{"vip", text_of(vip, "vip")}}, member(vip, "wait_s"));
}

void add_backends(std::string &out, const json &status)
{
	Family healthy(out, "anycast_backend_healthy", "gauge",
		       "1 if all checks of the backend are good; absent without checks.");
	for (const json &pool : list_of(status, "pools"))
		for (const json &backend : list_of(pool, "backends"))
			if (text_of(backend, "health") != "unchecked")
				healthy.add({{"pool", text_of(pool, "pool")},
					     {"backend", text_of(backend, "backend")}},
					    text_of(backend, "health") == "up");
}

void add_next_hops(std::string &out, const json &status)
{
	Family family(out, "anycast_next_hops", "gauge",
		      "Backends by whether the kernel knows their next hop.");
	const json &hops = member(status, "next_hops");
	if (hops.is_object())
		for (const char *key : {"known", "not_known"})
			family.add({{"state", key}}, member(hops, key));
}

void add_checks(std::string &out, const json &status)
{
	const json &checks = member(status, "checks");
	if (!checks.is_object())
		return;
	Family runs(out, "anycast_check_runs_total", "counter", "Health checks begun.");
	runs.add({}, member(checks, "runs"));
	Family late(out, "anycast_check_late_over_10ms_total", "counter",
		    "Health checks that began more than 10 ms after they were due.");
	late.add({}, member(checks, "late_over_10ms"));
	Family longest(out, "anycast_check_late_longest_ms", "gauge",
		       "The latest that a health check began.");
	longest.add({}, member(checks, "late_longest_ms"));
}

void add_bird(std::string &out, const json &status)
{
	const json &bird = member(status, "bird");
	if (!bird.is_object())
		return;
	Family in_force(out, "anycast_bird_in_force", "gauge",
			"1 if BIRD announces exactly what is wanted.");
	in_force.add({}, member(bird, "in_force"));
	Family up(out, "anycast_bgp_session_established", "gauge", "1 if the session is up.");
	for (const json &session : list_of(bird, "sessions"))
		up.add({{"session", text_of(session, "session")},
			{"neighbour", text_of(session, "neighbour")}},
		       text_of(session, "state") == "Established");
	Family exported(out, "anycast_bgp_exported", "gauge", "VIPs exported to the neighbour.");
	for (const json &session : list_of(bird, "sessions"))
		exported.add({{"session", text_of(session, "session")}},
			     member(session, "exported"));
	Family expected(out, "anycast_bgp_expected", "gauge",
			"VIPs that should be exported to the neighbour.");
	for (const json &session : list_of(bird, "sessions"))
		expected.add({{"session", text_of(session, "session")}},
			     member(session, "expected"));
}

void add_load(std::string &out, const json &status)
{
	const json &load = member(status, "load");
	if (!load.is_object())
		return;
	Family overloaded(out, "anycast_overloaded", "gauge", "1 if the overload guard acts.");
	overloaded.add({}, member(load, "overloaded"));
	Family value(out, "anycast_load", "gauge",
		     "Percent, degrees Celsius, or per mille, as the overload guard sees it.");
	for (const char *key : {"cpu", "cpu_pressure", "memory_pressure", "io_pressure",
				"temperature", "loss_per_mille"})
		value.add({{"of", key}}, member(load, key));
}

struct LossMetric {
	const char *key, *direction, *kind;
};
constexpr LossMetric kLossMetrics[] = {
	{"c2s_up_lost", "c2s", "estimate"},
	{"c2s_up_lost_undone", "c2s", "estimate"},
	{"c2s_up_reordered", "c2s", "estimate"},
	{"c2s_rtx_seen", "c2s", "upper_bound"},
	{"c2s_duplicated", "c2s", "estimate"},
	{"syn_rtx", "both", "upper_bound"},
	{"s2c_lost_sack", "s2c", "estimate"},
	{"s2c_lost_sack_undone", "s2c", "estimate"},
	{"s2c_segments", "s2c", "exact"},
	{"s2c_sent_again", "s2c", "upper_bound"},
	{"s2c_duplicates", "s2c", "exact"},
	{"c2s_down_segments", "c2s", "exact"},
	{"c2s_down_rtx", "c2s", "upper_bound"},
	{"c2s_down_duplicates", "c2s", "exact"},
	{"dns_queries", "both", "exact"},
	{"dns_answers", "both", "exact"},
	{"rtp_lost", "c2s", "exact"},
	{"rtp_lost_undone", "c2s", "exact"},
	{"dns_repeat", "both", "upper_bound"},
	{"quic_lost", "c2s", "estimate"},
	{"quic_lost_end_to_end", "c2s", "estimate"},
	{"evicted", "c2s", "unseen"},
	{"unrepaired", "c2s", "unseen"},
	{"resync", "c2s", "unseen"},
};

// Of the VIPs or backends in `list`; `labels` names one.
template <typename Each>
void add_loss(std::string &out, const json &status, const char *list, const std::string &what,
	      Each labels)
{
	Family segments(
		out, "anycast_" + what + "_segments_total", "counter",
		"What loss is a part of: unique TCP segments, RTP packets, DNS queries, QUIC "
		"packets.");
	for (const json &interface : list_of(status, "interfaces"))
		for (const json &row : list_of(interface, list)) {
			Labels all = labels(text_of(interface, "interface"), row);
			all.emplace_back("direction", "c2s");
			segments.add(all, member(member(row, "loss"), "segments"));
		}
	Family lost(out, "anycast_" + what + "_loss_total", "counter",
		    "Segments by what happened to them; docs/loss.md has the metrics and kinds. "
		    "Lost is c2s_up_lost less c2s_up_lost_undone; on the way back s2c_sent_again "
		    "less s2c_duplicates of s2c_segments; beyond this node c2s_down_rtx less "
		    "c2s_down_duplicates of c2s_down_segments.");
	for (const json &interface : list_of(status, "interfaces"))
		for (const json &row : list_of(interface, list))
			for (const LossMetric &metric : kLossMetrics) {
				Labels all = labels(text_of(interface, "interface"), row);
				all.emplace_back("metric", metric.key);
				all.emplace_back("direction", metric.direction);
				all.emplace_back("kind", metric.kind);
				lost.add(all, member(member(row, "loss"), metric.key));
			}
}

// Services of one name and backend are one: of several ports, or the addresses of a prefix.
void add_marks(std::string &out, const json &status)
{
	struct Sum {
		std::uint64_t lost = 0, of = 0;
		bool measured = true;
	};
	const json &marks = member(status, "marks");
	if (!marks.is_object())
		return;
	std::map<std::pair<std::string, std::string>, Sum> sums;
	for (const json &row : list_of(marks, "services")) {
		std::string backend = text_of(row, "backend_name");
		if (backend.empty())
			backend = text_of(row, "backend");
		Sum &sum = sums[{text_of(row, "vip"), backend}];
		const json &so_far = member(row, "so_far");
		sum.lost += member(so_far, "lost").get<std::uint64_t>();
		sum.of += member(so_far, "of").get<std::uint64_t>();
		sum.measured &= member(member(row, "lb_backend_lost"), "value").is_number();
	}
	const auto labels = [](const auto &key) {
		const std::size_t slash = key.second.find('/');
		return slash == key.second.npos
			       ? Labels{{"vip", key.first}, {"pool", ""}, {"backend", key.second}}
			       : Labels{{"vip", key.first},
					{"pool", key.second.substr(0, slash)},
					{"backend", key.second.substr(slash + 1)}};
	};
	Family lost(out, "anycast_lb_backend_lost_total", "counter",
		    "Packets lost between this edge and the backend, by alternate marking: exact.");
	for (const auto &[key, sum] : sums)
		lost.add(labels(key), sum.lost);
	Family of(out, "anycast_lb_backend_compared_total", "counter",
		  "Packets sent to the backend that anycast_lb_backend_lost_total is of.");
	for (const auto &[key, sum] : sums)
		of.add(labels(key), sum.of);
	Family measured(out, "anycast_lb_backend_measured", "gauge",
			"1 if the backend's agent answers and both sides can be compared.");
	for (const auto &[key, sum] : sums)
		measured.add(labels(key), sum.measured);
}

template <typename Each>
void add_rows(const json &status, const char *list, Family &packets, Each labels)
{
	for (const json &interface : list_of(status, "interfaces"))
		for (const json &row : list_of(interface, list))
			packets.add(labels(text_of(interface, "interface"), row),
				    member(row, "packets"));
}

void add_traffic(std::string &out, const json &status)
{
	const auto reason = [](const std::string &interface, const json &row) {
		return Labels{{"interface", interface},
			      {"reason", text_of(row, "reason")},
			      {"class", text_of(row, "class")}};
	};
	Family packets(out, "anycast_packets_total", "counter",
		       "Packets by what became of them; each is counted once.");
	add_rows(status, "reasons", packets, reason);
	Family noted(out, "anycast_noted_packets_total", "counter",
		     "Packets with something worth a note, which are counted above too.");
	add_rows(status, "noted", noted, reason);
	Family vips(out, "anycast_vip_packets_total", "counter", "Packets to the VIP.");
	const auto of_vip = [](const std::string &interface, const json &row) {
		return Labels{{"interface", interface}, {"vip", text_of(row, "vip")}};
	};
	add_rows(status, "vips", vips, of_vip);
	Family backends(out, "anycast_backend_packets_total", "counter",
			"Packets sent to the backend.");
	const auto of_backend = [](const std::string &interface, const json &row) {
		return Labels{{"interface", interface},
			      {"pool", text_of(row, "pool")},
			      {"backend", text_of(row, "backend")}};
	};
	add_rows(status, "backends", backends, of_backend);
	add_loss(out, status, "vips", "vip", of_vip);
	add_loss(out, status, "backends", "backend", of_backend);
}

} // namespace

std::string metrics_text(const json &status)
{
	std::string out;
	if (status.contains("pid")) {
		Family up(out, "anycast_agent_up", "gauge", "1 if the agent runs.");
		up.add({{"version", text_of(status, "version")}}, 1);
		Family problems(out, "anycast_agent_problems", "gauge",
				"What the agent cannot do now, see its status.");
		problems.add({}, list_of(status, "problems").size());
	}
	// `vips` of the agent's status have a state; those of the data plane stand by interface.
	add_vips(out, status);
	add_backends(out, status);
	add_next_hops(out, status);
	add_checks(out, status);
	add_bird(out, status);
	add_load(out, status);
	add_marks(out, status);
	add_traffic(out, status);
	return out;
}

} // namespace anycast::render
