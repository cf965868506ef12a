/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the payload of UDP services that declare it says of loss. A flow entry's members are then:
 *
 *             rtp                           dns              quic (1-RTT packets)
 *   segments  packets of its source         queries          packets
 *   nxt       numbers they should have had  -                that the sender says it lost (L)
 *   max_ts    SSRC                          repeats          lost before this node (Q), signed
 *   mss, rtt  next number; restarts         -                packets of Q = 1 and 0 in this block
 *   ip_id     number after a jump           -                -
 *   ipid_score  foreign packets in a row    -                AX_QUIC_*
 */
#ifndef AX_BPF_MEASURE_H
#define AX_BPF_MEASURE_H

#include "totals.h"

#define AX_MEASURED_BYTES 12 /* of an RTP and of a DNS header */
#define AX_RTP_DROPOUT 3000  /* RFC 3550 section A.1 */
#define AX_RTP_MISORDER 100
#define AX_RTP_FOREIGN 15 /* so many packets in a row of another source: that one then */
#define AX_DNS_US 5000000
#define AX_QUIC_BLOCK 64    /* RFC 9506 section 4.1 */
#define AX_QUIC_BEHIND 8    /* packets of the next block: what is late now is lost */
#define AX_QUIC_SHORTEST 16 /* so few of a block: whoever sends does not mark */

enum ax_quic_state {
	AX_QUIC_Q = 1,	   /* of the block that is being counted */
	AX_QUIC_WHOLE = 2, /* its beginning was seen */
};

/* RFC 3550 sections A.1 and A.3, for the source that was seen first; one that changes is followed.
 * RFC 5761 section 4: the types that are RTCP's. */
static __always_inline void ax_measure_rtp(const __u8 *payload, struct ax_flow *flow,
					   struct ax_loss_news *news)
{
	__u16 seq = (__u16)payload[2] << 8 | payload[3], step;
	__u32 ssrc = *(const __u32 *)(payload + 8);
	__u8 type = payload[1] & 0x7f;

	if (payload[0] >> 6 != 2 || (type >= 64 && type < 96))
		return;
	if (!(flow->flags & AX_FLOW_SYNCED)) {
		flow->flags |= AX_FLOW_SYNCED;
		flow->max_ts = ssrc;
		flow->mss = seq;
	}
	if (ssrc != flow->max_ts) {
		if (flow->ipid_score < AX_RTP_FOREIGN) {
			flow->ipid_score++;
			return;
		}
		flow->max_ts = ssrc;
		flow->mss = seq;
		flow->rtt++;
	}
	flow->ipid_score = 0;
	step = seq - flow->mss;
	if (step < AX_RTP_DROPOUT) {
		news->count[AX_LOSS_RTP_LOST] = step;
		flow->nxt += step + 1;
		flow->mss = seq + 1;
	} else if (step >= 65536 - AX_RTP_MISORDER) {
		news->count[AX_LOSS_RTP_UNDONE] = 1; /* late, or a copy: section A.3 */
	} else if (seq == flow->ip_id) {	     /* two in a row: it has begun anew */
		flow->rtt++;
		flow->nxt++;
		flow->mss = seq + 1;
	} else {
		flow->ip_id = seq + 1;
		return;
	}
	flow->segments++;
}

/* RFC 1035 section 4.1.1. */
static __always_inline void ax_measure_dns(const struct ax_ctl *ctl, const __u8 *payload,
					   struct ax_flow *flow, __u32 slot,
					   struct ax_loss_news *news)
{
	__u32 id = (__u32)payload[0] << 8 | payload[1], now_us = ax_now_ns(ctl) / 1000, hash, at;
	struct ax_dns *dns;

	if (payload[2] & 0x80)
		return;
	flow->flags |= AX_FLOW_SYNCED;
	hash = (slot << 8 | flow->version) * 0x9e3779b1 ^ id * 0x85ebca6b;
	hash ^= hash >> 15;
	at = bpf_get_smp_processor_id() * AX_DNS_SLOTS + (hash & (AX_DNS_SLOTS - 1));
	dns = bpf_map_lookup_elem(&ax_dns, &at);
	if (!dns)
		return;
	if (dns->at_us && dns->hash == hash && now_us - dns->at_us <= AX_DNS_US) {
		news->count[AX_LOSS_DNS_REPEAT] = 1;
		flow->max_ts++;
	} else {
		flow->segments++;
		news->count[AX_LOSS_OWN_QUERIES] =
			AX_HAS_BOTH_WAYS && ax_is_own(flow->backend) != 0;
	}
	dns->hash = hash;
	dns->at_us = now_us | 1;
}

/* A block of the Q bit is over: 64 packets were sent in it. */
static __always_inline void ax_end_block(struct ax_flow *flow, __u32 seen,
					 struct ax_loss_news *news)
{
	if (!(flow->ipid_score & AX_QUIC_WHOLE))
		return;
	if (seen < AX_QUIC_SHORTEST || seen > AX_QUIC_BLOCK + AX_QUIC_BEHIND) {
		flow->flags |= AX_FLOW_LOSS_LOST;
		return;
	}
	flow->max_ts += AX_QUIC_BLOCK - seen;
	if (seen < AX_QUIC_BLOCK)
		news->count[AX_LOSS_QUIC_Q] = AX_QUIC_BLOCK - seen;
}

/* RFC 9506: the first byte of a short header is 0 1 S Q L K P P, Q and L without protection. */
static __always_inline void ax_measure_quic(__u8 first, struct ax_flow *flow,
					    struct ax_loss_news *news)
{
	__u32 q = first >> 4 & 1, behind;

	if (first >> 6 != 1)
		return;
	if (!(flow->flags & AX_FLOW_SYNCED)) {
		flow->flags |= AX_FLOW_SYNCED;
		flow->ipid_score = q;
	}
	flow->segments++;
	if (first & 8) {
		flow->nxt++;
		news->count[AX_LOSS_QUIC_L] = 1;
	}
	if (q)
		flow->mss++;
	else
		flow->rtt++;
	if (q == (flow->ipid_score & AX_QUIC_Q))
		return;
	behind = q ? flow->mss : flow->rtt;
	if (behind < AX_QUIC_BEHIND)
		return;
	ax_end_block(flow, q ? flow->rtt : flow->mss, news);
	if (q)
		flow->rtt = 0;
	else
		flow->mss = 0;
	flow->ipid_score = AX_QUIC_WHOLE | q;
}

/* The saved packet's payload, for its flow's entry. Returns by how much its segments grew. */
__noinline __u32 ax_measure(struct xdp_md *ctx, __u32 family, __u32 slot)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_ctl *ctl = ax_control();
	struct ax_flow *flow = 0;
	__u32 found = 0, segments;
	const __u8 *payload;

	if (!scratch || !ax_entry(family, slot, &flow) || !flow)
		return 0;
	payload = ax_at(ctx, scratch->packet.l4_offset) + sizeof(struct udphdr);
	if (scratch->packet.proto != IPPROTO_UDP ||
	    (void *)(payload + AX_MEASURED_BYTES) > ax_data_end(ctx))
		return 0;
	segments = flow->segments;
	__builtin_memset(&scratch->news, 0, sizeof(scratch->news));
	switch (flow->forward & AX_MEASURE) {
	case AX_MEASURE_RTP:
		ax_measure_rtp(payload, flow, &scratch->news);
		break;
	case AX_MEASURE_DNS:
		ax_measure_dns(ctl, payload, flow, slot, &scratch->news);
		break;
	default:
		ax_measure_quic(*payload, flow, &scratch->news);
	}
	for (int i = AX_LOSS_RTP_LOST; i < AX_COUNTED_KINDS; i++)
		found |= scratch->news.count[i];
	if (found) {
		ax_add_to_services(flow->vip, flow->backend);
		ax_add_to_prefix(family, slot);
	}
	return flow->segments - segments;
}

#endif
