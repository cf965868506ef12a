// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/flows.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/names.h"
#include "render/json_list.h"
#include "render/loss.h"
#include "render/table.h"

namespace anycast::render {

namespace {

using nlohmann::ordered_json;

std::string_view name_of(const std::vector<Named> &names, std::uint16_t id, std::uint16_t gen)
{
	if (id >= names.size() || !names[id].used || names[id].gen != gen)
		return {};
	return names[id].name;
}

ordered_json text_or_null(std::string_view text)
{
	return text.empty() ? ordered_json(nullptr) : ordered_json(text);
}

template <typename T> ordered_json value_or_null(const std::optional<T> &value)
{
	return value ? ordered_json(*value) : ordered_json(nullptr);
}

std::string endpoint(const Address &address, std::uint16_t port)
{
	return address.is_v4() ? fmt::format("{}:{}", address.text(), port)
			       : fmt::format("[{}]:{}", address.text(), port);
}

// The busiest `limit` of them, in order; all if limit is 0.
void keep_busiest(std::vector<NamedFlow> &flows, std::size_t limit)
{
	const auto busier = [](const NamedFlow &a, const NamedFlow &b) {
		return a.flow->packets > b.flow->packets;
	};
	const std::size_t shown = limit == 0 ? flows.size() : std::min(limit, flows.size());
	std::partial_sort(flows.begin(), flows.begin() + static_cast<std::ptrdiff_t>(shown),
			  flows.end(), busier);
	flows.resize(shown);
}

// What the client's ACKs told, and what the tc program has seen; null: nothing yet, or it does not
// look.
ordered_json sack_json(const SackCounters &sack)
{
	if (!sack.started)
		return nullptr;
	return {{"lost", sack.lost},
		{"undone", sack.undone},
		{"reordered", sack.reordered},
		{"evicted", sack.evicted},
		{"duplicates", sack.duplicates},
		{"unrepaired", sack.unrepaired},
		{"acked_segments", sack.acked_segments}};
}

ordered_json egress_json(const std::optional<EgressCounters> &egress)
{
	if (!egress)
		return nullptr;
	return {{"whole", egress->whole},
		{"segments", egress->segments},
		{"sent_again", egress->rtx},
		{"duplicates", egress->duplicates},
		{"resync", egress->resync}};
}

} // namespace

NamedFlow name_flow(const FlowRecord &flow, std::string_view interface, const Ids &ids)
{
	NamedFlow named{&flow, interface, name_of(ids.vips, flow.vip, flow.vip_gen), {}, {}, 0};
	const std::string_view backend = name_of(ids.backends, flow.backend, flow.backend_gen);
	const std::size_t slash = backend.find('/');
	named.pool = backend.substr(0, slash);
	named.backend = slash == backend.npos ? backend : backend.substr(slash + 1);
	return named;
}

bool FlowFilter::matches(const NamedFlow &flow) const
{
	if (!vip.empty() && vip != flow.vip)
		return false;
	if (!backend.empty() && backend != flow.backend &&
	    backend != fmt::format("{}/{}", flow.pool, flow.backend))
		return false;
	if (active_ms != 0 && flow.flow->idle_ms.value_or(0) > active_ms)
		return false;
	return !source || (source->address.is_v4() == flow.flow->source.is_v4() &&
			   prefix_of(flow.flow->source, source->bits) == *source);
}

ordered_json key_json(const FlowRecord &flow)
{
	return {{"source", flow.source.text()},
		{"source_port", flow.source_port},
		{"destination", flow.destination.text()},
		{"destination_port", flow.destination_port},
		{"protocol", protocol_name(flow.protocol)}};
}

std::string key_text(const FlowRecord &flow)
{
	return fmt::format("{} > {} {}", endpoint(flow.source, flow.source_port),
			   endpoint(flow.destination, flow.destination_port),
			   protocol_name(flow.protocol));
}

ordered_json flow_json(const NamedFlow &named)
{
	const FlowRecord &flow = *named.flow;
	const LossReport loss = loss_report(flow);
	ordered_json json{
		{"flow", key_json(flow)},
		{"vip", text_or_null(named.vip)},
		{"pool", text_or_null(named.pool)},
		{"backend", text_or_null(named.backend)},
		{"forward", forward_name(static_cast<ax_forward>(flow.forward))},
		{"flags", flow_flag_names(flow.flags)},
		{"packets", flow.packets},
		{"bytes", flow.bytes},
		{"segments", flow.segments},
		{"mss", flow.mss == 0 ? ordered_json(nullptr) : ordered_json(flow.mss)},
		{"rtt_us", value_or_null(flow.rtt_us)},
		{"syn_rtx", flow.syn_rtx},
		{"idle_ms", value_or_null(flow.idle_ms)},
		{"cpu", flow.multi_cpu ? ordered_json(nullptr) : ordered_json(flow.cpu)},
		{"multi_cpu", flow.multi_cpu},
		{"generation", flow.generation},
		{"measure", measure_name(static_cast<ax_measure>(flow.measure))},
		{"loss_unknown", text_or_null(loss_unknown_because(flow))},
		{"c2s_up_lost", figure_json(loss.c2s_up_lost)},
		{"c2s_up_reordered", figure_json(loss.c2s_up_reordered)},
		{"c2s_rtx_seen", figure_json(loss.c2s_rtx_seen)},
		{"s2c_lost_sack", figure_json(loss.s2c_lost_sack)},
		{"s2c_lost", figure_json(loss.s2c_lost)},
		{"c2s_down_lost", figure_json(loss.c2s_down_lost)},
		{"s2c_reordered", flow.sack.reordered},
		{"s2c_duplicates", flow.sack.duplicates},
		{"ecn_ce", flow.sack.ce},
		{"ecn_ece", flow.sack.ece},
		{"duplicated", flow.loss.duplicated},
		{"keepalives", flow.loss.keepalives},
		{"state",
		 {{"next_seq", flow.next_seq},
		  {"max_ts", flow.max_ts},
		  {"ip_id", flow.ip_id},
		  {"ip_id_score", flow.ip_id_score},
		  {"vip_gen", flow.vip_gen},
		  {"backend_gen", flow.backend_gen},
		  {"lost", flow.loss.lost},
		  {"undone", flow.loss.undone},
		  {"rtx_bytes", flow.loss.rtx_bytes},
		  {"evicted", flow.loss.evicted},
		  {"unrepaired", flow.loss.unrepaired},
		  {"resync", flow.loss.resync},
		  {"sack", sack_json(flow.sack)},
		  {"egress", egress_json(flow.egress)}}},
	};
	if (!named.interface.empty())
		json["interface"] = named.interface;
	json.update(payload_json(loss));
	return json;
}

void write_flows_json(std::ostream &out, std::vector<NamedFlow> flows, std::size_t limit,
		      const nlohmann::ordered_json &rest)
{
	const std::size_t total = flows.size();
	keep_busiest(flows, limit);
	JsonList list(out, "flows");
	for (const NamedFlow &flow : flows)
		list.add(flow_json(flow));
	nlohmann::ordered_json end{{"total", total}};
	end.update(rest);
	list.close(end);
}

std::string flows_text(std::vector<NamedFlow> flows, std::size_t limit)
{
	if (flows.empty())
		return "no flows\n";
	const std::size_t total = flows.size();
	keep_busiest(flows, limit);
	Table table({{"FLOW"},
		     {"VIP"},
		     {"BACKEND"},
		     {"VIA"},
		     {"PACKETS", Align::kRight},
		     {"BYTES", Align::kRight},
		     {"SEGMENTS", Align::kRight},
		     {"MSS", Align::kRight},
		     {"RTT", Align::kRight},
		     {"IDLE", Align::kRight},
		     {"CPU", Align::kRight},
		     {"FLAGS"}});
	for (const NamedFlow &named : flows) {
		const FlowRecord &flow = *named.flow;
		table.row({key_text(flow), std::string(named.vip), std::string(named.backend),
			   std::string(forward_name(static_cast<ax_forward>(flow.forward))),
			   std::to_string(flow.packets), bytes_text(flow.bytes),
			   std::to_string(flow.segments),
			   flow.mss != 0 ? std::to_string(flow.mss) : "",
			   flow.rtt_us ? rtt_text(*flow.rtt_us) : "",
			   flow.idle_ms ? duration_text(*flow.idle_ms * 1000ULL) : "",
			   flow.multi_cpu ? "many" : std::to_string(flow.cpu),
			   fmt::format("{}", fmt::join(flow_flag_names(flow.flags), ","))});
	}
	return table.text() + more_text(flows.size(), total);
}

} // namespace anycast::render
