// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a flow's counters say of its loss: figures, each with kind, basis and denominator.
#include <algorithm>

#include "core/flow.h"

namespace anycast {

namespace {

constexpr std::uint8_t kTcp = 6;

// Queries that are being answered while the tables are read are among them.
LossFigure unanswered_figure(const FlowRecord &flow)
{
	LossFigure figure;
	if (!flow.egress)
		return figure;
	figure.kind = "estimate";
	figure.basis = "dns";
	figure.of = flow.segments;
	figure.value = flow.segments - std::min(flow.segments, flow.egress->segments);
	return figure;
}

LossReport payload_report(const FlowRecord &flow)
{
	LossReport report{};
	LossFigure figure;
	figure.value = flow.payload_lost;
	figure.of = flow.segments;
	if (flow.measure == AX_MEASURE_DNS) {
		figure.kind = "upper_bound"; // of query or answer, or a slow server
		figure.basis = "dns";
		report.dns_repeat = figure;
		report.dns_unanswered = unanswered_figure(flow);
		return report;
	}
	figure.of += flow.payload_lost;
	if (flow.measure == AX_MEASURE_RTP) {
		figure.kind = "exact";
		figure.basis = "rtp";
		report.rtp_lost = figure;
		return report;
	}
	figure.kind = "estimate";
	figure.basis = "q_bit";
	report.quic_lost = figure;
	figure.value = flow.payload_lost_end_to_end;
	figure.basis = "l_bit";
	report.quic_lost_end_to_end = figure;
	return report;
}

void add_figure(LossFigure &sum, const LossFigure &figure)
{
	if (!figure.value)
		return;
	if (!sum.value) {
		sum = figure;
		return;
	}
	*sum.value += *figure.value;
	if (sum.kind != figure.kind) // the weaker one
		sum.kind = sum.kind == "upper_bound" || figure.kind == "upper_bound" ? "upper_bound"
										     : "estimate";
	if (sum.basis != figure.basis)
		sum.basis = "mixed";
	sum.of += figure.of;
	sum.evicted += figure.evicted;
	sum.unrepaired += figure.unrepaired;
	sum.resync += figure.resync;
}

// Before an ACK has told of a hole, nothing tells whether the client would.
LossFigure sack_figure(const FlowRecord &flow)
{
	LossFigure figure;
	const SackCounters &sack = flow.sack;
	if (!sack.started)
		return figure;
	figure.kind = "estimate";
	figure.basis = "sack";
	figure.value = sack.lost > sack.undone ? sack.lost - sack.undone : 0;
	figure.of = sack.acked_segments;
	figure.evicted = sack.evicted;
	figure.unrepaired = sack.unrepaired;
	return figure;
}

// Have both observers seen the flow from its beginning?
bool seen_whole(const FlowRecord &flow)
{
	return flow.egress && flow.egress->whole && (flow.flags & AX_FLOW_SYN);
}

// What the server sent again, less what came twice. A client that has never sent a SACK block may
// be one that reports no duplicates either.
LossFigure s2c_figure(const FlowRecord &flow)
{
	LossFigure figure;
	if (!seen_whole(flow))
		return figure;
	const std::uint32_t rtx = flow.egress->rtx, twice = flow.sack.duplicates;
	figure.kind = rtx == 0 || flow.sack.started ? "estimate" : "upper_bound";
	figure.basis = "dsack";
	figure.value = rtx - std::min(rtx, twice);
	figure.of = flow.egress->segments;
	figure.resync = flow.egress->resync;
	return figure;
}

// What came again, less what the server says came twice. If this node's other side began to look
// later, it may have missed such reports.
LossFigure down_figure(const FlowRecord &flow)
{
	LossFigure figure;
	if (!flow.egress || (flow.egress->whole && !seen_whole(flow)))
		return figure;
	const std::uint32_t rtx = flow.loss.rtx_seen, twice = flow.egress->duplicates;
	figure.kind = seen_whole(flow) ? "estimate" : "upper_bound";
	figure.basis = "dsack";
	figure.value = rtx - std::min(rtx, twice);
	figure.of = flow.segments;
	figure.resync = flow.loss.resync;
	return figure;
}

} // namespace

std::optional<double> LossFigure::rate() const
{
	if (!value || of == 0)
		return std::nullopt;
	return static_cast<double>(*value) / static_cast<double>(of);
}

std::string_view loss_unknown_because(const FlowRecord &flow)
{
	if (flow.protocol != kTcp && flow.measure == AX_MEASURE_NONE)
		return "protocol";
	if (flow.multi_cpu)
		return "multi_cpu";
	if (flow.measure == AX_MEASURE_QUIC && (flow.flags & AX_FLOW_LOSS_LOST))
		return "no_loss_bits";
	if (flow.anomaly_lost || (flow.flags & AX_FLOW_LOSS_LOST))
		return "state_stolen";
	if (!(flow.flags & AX_FLOW_SYNCED))
		return "not_synced";
	return "";
}

const LossFigure &lost_before_node(const LossReport &report)
{
	if (report.c2s_up_lost.value)
		return report.c2s_up_lost;
	if (report.rtp_lost.value)
		return report.rtp_lost;
	if (report.quic_lost.value)
		return report.quic_lost;
	return report.c2s_up_lost;
}

LossReport loss_report(const FlowRecord &flow)
{
	if (!loss_unknown_because(flow).empty())
		return {};
	if (flow.measure != AX_MEASURE_NONE)
		return payload_report(flow);

	LossFigure figure;
	figure.basis = flow.flags & AX_FLOW_TS ? "ts" : flow.flags & AX_FLOW_IPID ? "ipid" : "time";
	figure.of = flow.segments;
	figure.evicted = flow.loss.evicted;
	figure.unrepaired = flow.loss.unrepaired;
	figure.resync = flow.loss.resync;

	LossReport report{};
	report.c2s_up_lost = report.c2s_up_reordered = report.c2s_rtx_seen = figure;
	report.s2c_lost_sack = sack_figure(flow);
	report.s2c_lost = s2c_figure(flow);
	report.c2s_down_lost = down_figure(flow);
	const LossCounters &loss = flow.loss;
	report.c2s_up_lost.kind = "estimate";
	report.c2s_up_lost.value = loss.lost > loss.undone ? loss.lost - loss.undone : 0;
	report.c2s_up_reordered.kind = "estimate";
	report.c2s_up_reordered.value = loss.reordered;
	report.c2s_rtx_seen.kind = "upper_bound";
	report.c2s_rtx_seen.value = loss.rtx_seen;
	return report;
}

void LossSum::add(const LossReport &flow)
{
	flows++;
	measured += lost_before_node(flow).value || flow.dns_repeat.value;
	add_figure(report.c2s_up_lost, flow.c2s_up_lost);
	add_figure(report.c2s_up_reordered, flow.c2s_up_reordered);
	add_figure(report.c2s_rtx_seen, flow.c2s_rtx_seen);
	add_figure(report.s2c_lost_sack, flow.s2c_lost_sack);
	add_figure(report.s2c_lost, flow.s2c_lost);
	add_figure(report.c2s_down_lost, flow.c2s_down_lost);
	add_figure(report.rtp_lost, flow.rtp_lost);
	add_figure(report.dns_repeat, flow.dns_repeat);
	add_figure(report.dns_unanswered, flow.dns_unanswered);
	add_figure(report.quic_lost, flow.quic_lost);
	add_figure(report.quic_lost_end_to_end, flow.quic_lost_end_to_end);
}

} // namespace anycast
