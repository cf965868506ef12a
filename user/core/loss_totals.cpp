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

LossTotals::LossTotals(const ax_loss_sum &sum, std::uint64_t segments_)
	: segments(segments_), lost(sum.count[AX_LOSS_LOST]), undone(sum.count[AX_LOSS_UNDONE]),
	  reordered(sum.count[AX_LOSS_REORDERED]), rtx_seen(sum.count[AX_LOSS_RTX_SEEN]),
	  duplicated(sum.count[AX_LOSS_DUPLICATED]), evicted(sum.count[AX_LOSS_EVICTED]),
	  resync(sum.count[AX_LOSS_RESYNC]), unrepaired(sum.count[AX_LOSS_UNREPAIRED]),
	  rtp_lost(sum.count[AX_LOSS_RTP_LOST]), rtp_undone(sum.count[AX_LOSS_RTP_UNDONE]),
	  dns_repeat(sum.count[AX_LOSS_DNS_REPEAT]), quic_q(sum.count[AX_LOSS_QUIC_Q]),
	  quic_l(sum.count[AX_LOSS_QUIC_L]), syn_rtx(sum.count[AX_LOSS_SYN_RTX])
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
}

LossReport LossTotals::report() const
{
	if (segments == 0)
		return {};
	LossFigure figure;
	figure.basis = "mixed";
	figure.of = segments;
	figure.evicted = evicted;
	figure.unrepaired = unrepaired;
	figure.resync = resync;

	LossReport report{};
	report.c2s_up_lost = report.c2s_up_reordered = report.c2s_rtx_seen = figure;
	report.c2s_up_lost.kind = "estimate";
	report.c2s_up_lost.value = lost > undone ? lost - undone : 0;
	report.c2s_up_reordered.kind = "estimate";
	report.c2s_up_reordered.value = reordered;
	report.c2s_rtx_seen.kind = "upper_bound";
	report.c2s_rtx_seen.value = rtx_seen;
	return report;
}

std::vector<PrefixTotals> decode_prefixes(std::span<const ax_prefix_loss> rows, std::uint32_t cpus)
{
	std::map<std::optional<Prefix>, LossTotals> sums;
	const std::size_t share = cpus == 0 ? 0 : rows.size() / cpus;
	ax_prefix_loss copy;
	for (std::size_t i = 0; i < share * cpus; i++) {
		if (!copy_stable(rows[i], copy))
			continue;
		const LossTotals totals(copy.sum, copy.segments);
		if (i % share == 0) {
			if (totals != LossTotals())
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
