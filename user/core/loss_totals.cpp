// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/loss_totals.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>

#include <fmt/format.h>

namespace anycast {

namespace {

constexpr int kMappedBits = 96; // RFC 4291 section 2.5.5.2

// A copy that no writer has touched half-way, or nothing.
bool copy_stable(const ax_prefix_loss &row, ax_prefix_loss &copy)
{
	for (int attempt = 0; attempt < 3; attempt++) {
		const std::uint8_t before = __atomic_load_n(&row.version, __ATOMIC_ACQUIRE);
		if (before & 1)
			continue;
		std::memcpy(&copy, &row, sizeof(copy));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&row.version, __ATOMIC_RELAXED) == before)
			return true;
	}
	return false;
}

} // namespace

LossTotals::LossTotals(const ax_loss_sum &sum, std::uint64_t segments_, bool both_ways_)
	: segments(segments_), lost(sum.count[AX_LOSS_LOST]), undone(sum.count[AX_LOSS_UNDONE]),
	  reordered(sum.count[AX_LOSS_REORDERED]), rtx_seen(sum.count[AX_LOSS_RTX_SEEN]),
	  duplicated(sum.count[AX_LOSS_DUPLICATED]), evicted(sum.count[AX_LOSS_EVICTED]),
	  resync(sum.count[AX_LOSS_RESYNC]), unrepaired(sum.count[AX_LOSS_UNREPAIRED]),
	  rtp_lost(sum.count[AX_LOSS_RTP_LOST]), rtp_undone(sum.count[AX_LOSS_RTP_UNDONE]),
	  dns_repeat(sum.count[AX_LOSS_DNS_REPEAT]), quic_q(sum.count[AX_LOSS_QUIC_Q]),
	  quic_l(sum.count[AX_LOSS_QUIC_L]), syn_rtx(sum.count[AX_LOSS_SYN_RTX]),
	  sack_lost(sum.count[AX_LOSS_SACK_LOST]), sack_undone(sum.count[AX_LOSS_SACK_UNDONE]),
	  both_ways(both_ways_), own_segments(sum.count[AX_LOSS_OWN_SEGMENTS]),
	  own_rtx(sum.count[AX_LOSS_OWN_RTX]), server_twice(sum.count[AX_LOSS_SERVER_TWICE]),
	  sent(sum.count[AX_LOSS_SENT]), sent_again(sum.count[AX_LOSS_SENT_AGAIN]),
	  client_twice(sum.count[AX_LOSS_CLIENT_TWICE]), queries(sum.count[AX_LOSS_OWN_QUERIES]),
	  answers(sum.count[AX_LOSS_OWN_ANSWERS])
{
}

void LossTotals::add(const LossTotals &other)
{
	segments += other.segments;
	lost += other.lost;
	undone += other.undone;
	reordered += other.reordered;
	rtx_seen += other.rtx_seen;
	duplicated += other.duplicated;
	evicted += other.evicted;
	resync += other.resync;
	unrepaired += other.unrepaired;
	syn_rtx += other.syn_rtx;
	rtp_lost += other.rtp_lost;
	rtp_undone += other.rtp_undone;
	dns_repeat += other.dns_repeat;
	quic_q += other.quic_q;
	quic_l += other.quic_l;
	sack_lost += other.sack_lost;
	sack_undone += other.sack_undone;
	both_ways |= other.both_ways;
	twins |= other.twins;
	own_segments += other.own_segments;
	own_rtx += other.own_rtx;
	server_twice += other.server_twice;
	sent += other.sent;
	sent_again += other.sent_again;
	client_twice += other.client_twice;
	queries += other.queries;
	answers += other.answers;
}

namespace {

void add_from_clients(LossReport &report, const LossTotals &totals)
{
	LossFigure figure;
	figure.basis = "mixed";
	figure.of = totals.mixed ? 0 : totals.segments;
	figure.evicted = totals.evicted;
	figure.unrepaired = totals.unrepaired;
	figure.resync = totals.resync;

	report.c2s_up_lost = report.c2s_up_reordered = report.c2s_rtx_seen = figure;
	report.c2s_up_lost.kind = "estimate";
	report.c2s_up_lost.value = totals.lost - std::min(totals.lost, totals.undone);
	report.c2s_up_reordered.kind = "estimate";
	report.c2s_up_reordered.value = totals.reordered;
	report.c2s_rtx_seen.kind = "upper_bound";
	report.c2s_rtx_seen.value = totals.rtx_seen;
}

// Of VIPs that declare what their payload is. A sum does not tell QUIC without loss from QUIC
// without the bits.
void add_payload(LossReport &report, const LossTotals &totals)
{
	const auto figure = [&](std::uint64_t value, std::string_view kind, std::string_view basis,
				bool of_sent) {
		LossFigure made;
		made.value = value;
		made.kind = kind;
		made.basis = basis;
		if (totals.measure != AX_MEASURE_NONE && !totals.mixed)
			made.of = totals.segments + (of_sent ? value : 0);
		return made;
	};
	const auto has = [&](ax_measure measure, std::uint64_t count) {
		return (totals.measure == measure && totals.segments != 0) || count != 0;
	};
	if (has(AX_MEASURE_RTP, totals.rtp_lost))
		report.rtp_lost =
			figure(totals.rtp_lost - std::min(totals.rtp_lost, totals.rtp_undone),
			       "exact", "rtp", true);
	if (has(AX_MEASURE_DNS, totals.dns_repeat))
		report.dns_repeat = figure(totals.dns_repeat, "upper_bound", "dns", false);
	if (totals.quic_q + totals.quic_l == 0)
		return;
	report.quic_lost = figure(totals.quic_q, "estimate", "q_bit", true);
	report.quic_lost_end_to_end = figure(totals.quic_l, "estimate", "l_bit", true);
}

LossFigure less(std::uint64_t found, std::uint64_t taken_back, std::uint64_t of,
		std::string_view basis)
{
	LossFigure figure;
	figure.kind = "estimate";
	figure.basis = basis;
	figure.value = found - std::min(found, taken_back);
	figure.of = of;
	return figure;
}

} // namespace

std::string_view LossTotals::one_way_because() const
{
	return !both_ways ? "not_watched" : twins ? "several_own_backends" : "";
}

LossReport LossTotals::report() const
{
	LossReport report{};
	if (segments != 0 && (measure == AX_MEASURE_NONE || mixed))
		add_from_clients(report, *this);
	add_payload(report, *this);
	if (sack_lost != 0) // of how many is not known
		report.s2c_lost_sack = less(sack_lost, sack_undone, 0, "sack");
	if (!one_way_because().empty())
		return report;
	if (own_segments != 0)
		report.c2s_down_lost = less(own_rtx, server_twice, own_segments, "dsack");
	if (sent != 0)
		report.s2c_lost = less(sent_again, client_twice, sent, "dsack");
	if (queries != 0)
		report.dns_unanswered = less(queries, answers, queries, "dns");
	return report;
}

std::vector<PrefixTotals> decode_prefixes(std::span<const ax_prefix_loss> rows, std::uint32_t cpus,
					  bool both_ways)
{
	std::map<std::optional<Prefix>, LossTotals> sums;
	const std::size_t share = cpus == 0 ? 0 : rows.size() / cpus;
	ax_prefix_loss copy;
	for (std::size_t i = 0; i < share * cpus; i++) {
		if (!copy_stable(rows[i], copy))
			continue;
		const LossTotals totals(copy.sum, copy.segments, both_ways);
		if (i % share == 0) {
			if (totals != LossTotals({}, 0, both_ways))
				sums[std::nullopt].add(totals);
			continue;
		}
		if (copy.bits == 0)
			continue;
		const Address address(copy.addr);
		const int bits = address.is_v4() ? copy.bits - kMappedBits : copy.bits;
		sums[Prefix{address, static_cast<std::uint8_t>(bits)}].add(totals);
	}
	std::vector<PrefixTotals> list;
	for (const auto &[prefix, totals] : sums)
		list.push_back({prefix, totals});
	return list;
}

} // namespace anycast
