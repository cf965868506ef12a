/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Loss between the client and this node, from the client's segments alone. The definitions and
 * what they are worth: docs/loss.md.
 *
 * A segment in order touches the flow entry and nothing else, and reads no clock. Everything else
 * goes to ax_loss_anomaly. All arithmetic on sequence numbers and timestamps is serial (RFC 1982).
 */
#ifndef AX_BPF_LOSS_H
#define AX_BPF_LOSS_H

#include <linux/tcp.h>

#include "transport.h"

#define AX_RTT_UNIT_US 64
#define AX_DEFAULT_PATIENCE_US 3000 /* while the RTT is unknown */
#define AX_IPID_NEAR 64		    /* ids this close are the same sender's sequence */
#define AX_IPID_SURE 8		    /* of 15 */

/* The flow entry, whatever its family. */
struct ax_flow_ref {
	struct ax_flow *flow;
	__u32 slot;
	__u32 way;
	__u32 family;
};

/* The entry of a slot; *flow is what the families share. */
static __always_inline void *ax_entry(__u32 family, __u32 slot, struct ax_flow **flow)
{
	__u32 at = bpf_get_smp_processor_id();

	if (family == 4) {
		struct ax_flow4 *entry;

		at = at * ax_buckets4 * AX_WAYS + slot - 1;
		entry = bpf_map_lookup_elem(&ax_flow4, &at);
		if (entry)
			*flow = &entry->flow;
		return entry;
	}
	struct ax_flow6 *entry6;

	at = at * ax_buckets6 * AX_WAYS + slot - 1;
	entry6 = bpf_map_lookup_elem(&ax_flow6, &at);
	if (entry6)
		*flow = &entry6->flow;
	return entry6;
}

static __always_inline __s32 ax_after(__u32 a, __u32 b)
{
	return (__s32)(a - b);
}

static __always_inline int ax_read_segment(struct xdp_md *ctx, const struct ax_packet *pkt,
					   struct ax_segment *segment)
{
	struct tcphdr *tcp = ax_at(ctx, pkt->l4_offset);
	__u32 header;

	if ((void *)(tcp + 1) > ax_data_end(ctx))
		return -1;
	header = tcp->doff * 4;
	segment->seq = bpf_ntohl(tcp->seq);
	segment->payload = pkt->l4_bytes - header;
	segment->end = segment->seq + segment->payload + tcp->syn + tcp->fin;
	segment->ip_id = pkt->ip_id;
	segment->tcp_flags = pkt->tcp_flags;
	if (header >= sizeof(*tcp) + 12) {
		__be32 *word = (void *)(tcp + 1);

		/* what nearly all stacks send: NOP NOP TS */
		if ((void *)(word + 2) <= ax_data_end(ctx) && *word == bpf_htonl(0x0101080a)) {
			segment->ts = bpf_ntohl(word[1]);
			segment->has_ts = 1;
		} else {
			__u64 found = ax_tcp_options(ctx, pkt->l4_offset + sizeof(*tcp),
						     header - sizeof(*tcp));

			segment->ts = found;
			segment->has_ts = !!(found & AX_OPTIONS_TS);
		}
	}
	return 0;
}

/* ---- the anomaly record -------------------------------------------------------------------- */

static __always_inline struct ax_anomaly *ax_anomaly_at(__u32 index)
{
	__u32 at;

	if (index - 1 >= ax_anomalies) /* 0 = none */
		return 0;
	at = bpf_get_smp_processor_id() * ax_anomalies + index - 1;
	return bpf_map_lookup_elem(&ax_anomaly, &at);
}

static __always_inline int ax_owns(const struct ax_anomaly *a, const struct ax_flow_ref *ref)
{
	return a->owner == ref->slot && a->owner_version == ref->flow->version &&
	       a->family == ref->family;
}

/* The flow's record: the one it has, or the one under the clock hand, from whomever it is. The hand
 * moves past up to two records that were used within the last second. */
static __always_inline struct ax_anomaly *ax_take_anomaly(const struct ax_flow_ref *ref,
							  __u32 now_us, __u32 bytes)
{
	struct ax_flow *flow = ref->flow;
	struct ax_anomaly *a = ax_anomaly_at(flow->anomaly);
	__u32 cpu = bpf_get_smp_processor_id(), index = 0;
	struct ax_cpu *own;

	if (a && ax_owns(a, ref))
		return a;
	if (flow->anomaly) /* it was ours once: what it held is lost */
		flow->flags |= AX_FLOW_LOSS_LOST;
	own = bpf_map_lookup_elem(&ax_cpu, &cpu);
	if (!own)
		return 0;
	a = 0;
	for (int i = 0; i < 3; i++) {
		index = own->next_anomaly + 1;
		own->next_anomaly = index >= ax_anomalies ? 0 : index;
		a = ax_anomaly_at(index);
		if (!a || !a->owner || now_us - a->last_us > 1000000)
			break;
	}
	if (!a)
		return 0;
	if (a->owner)
		ax_note_reason(AX_R_LOSS_STATE_STOLEN, bytes);
	__builtin_memset(a, 0, sizeof(*a));
	a->owner = ref->slot;
	a->owner_version = flow->version;
	a->family = ref->family;
	flow->anomaly = index;
	return a;
}

static __always_inline __u32 ax_segments(__u32 bytes, __u32 mss)
{
	if (!mss || bytes <= mss)
		return 1;
	return (bytes + mss - 1) / mss;
}

/* Into an empty place, else over the oldest. */
static __always_inline void ax_open_hole(struct ax_anomaly *a, __u32 start, __u32 end,
					 __u32 opened_us, __u32 ts)
{
	struct ax_hole *hole;

	AX_UNSEEN(a->victim) = 0;
	for (__u32 i = 0; i < AX_HOLES; i++) {
		hole = &a->hole[AX_UNSEEN(a->victim) & (AX_HOLES - 1)];
		if (hole->start == hole->end)
			break;
		if (a->hole[i].start == a->hole[i].end ||
		    ax_after(hole->opened_us, a->hole[i].opened_us) > 0)
			AX_UNSEEN(a->victim) = i;
	}
	hole = &a->hole[AX_UNSEEN(a->victim) & (AX_HOLES - 1)];
	if (hole->start != hole->end)
		a->evicted++;
	hole->start = start;
	hole->end = end;
	hole->opened_us = opened_us;
	hole->ts = ts;
}

/* Was the original of what now fills the hole lost, or is this it, late? */
static __always_inline int ax_was_lost(const struct ax_flow *flow, const struct ax_hole *hole,
				       const struct ax_segment *segment)
{
	__u32 patience = AX_DEFAULT_PATIENCE_US;

	if (segment->has_ts && (flow->flags & AX_FLOW_TS)) {
		__s32 newer = ax_after(segment->ts, hole->ts);

		if (newer > 0)
			return 1;
		if (newer < 0)
			return 0;
		/* A retransmission would carry a newer value: the sender's clock has ticked since.
		 */
		if (ax_after(flow->max_ts, hole->ts) > 0)
			return 0;
	}
	if (flow->flags & AX_FLOW_RTT)
		patience = (__u32)flow->rtt * AX_RTT_UNIT_US * 9 / 10;
	return segment->now_us - hole->opened_us > patience;
}

static __always_inline void ax_remember_lost(struct ax_anomaly *a, __u32 start, __u32 end, __u32 ts)
{
	__u32 at = a->undo_next & (AX_UNDO - 1);

	a->undo[at].start = start;
	a->undo[at].end = end;
	a->undo[at].ts = ts;
	a->undo_next = at + 1;
}

/* Fills holes with the segment; returns whether any of its bytes were new. A segment in the middle
 * of a hole leaves two: *rest is the second. */
static __always_inline int ax_fill_holes(const struct ax_flow *flow, struct ax_anomaly *a,
					 const struct ax_segment *segment, struct ax_hole *rest)
{
	int filled = 0;

	rest->start = rest->end;

	for (__u32 i = 0; i < AX_HOLES; i++) {
		struct ax_hole *hole = &a->hole[i];
		__u32 start = hole->start, end = hole->end, segments;

		if (start == end || ax_after(segment->seq, end) >= 0 ||
		    ax_after(segment->end, start) <= 0)
			continue;
		filled = 1;
		if (ax_after(segment->seq, start) > 0) { /* what lies before stays a hole */
			if (ax_after(segment->end, end) < 0) {
				*rest = *hole; /* and so does what lies behind */
				rest->start = segment->end;
			}
			start = segment->seq;
			hole->end = start;
			if (ax_after(segment->end, end) < 0)
				end = segment->end;
		} else if (ax_after(segment->end, end) < 0) {
			hole->start = segment->end;
			end = segment->end;
		} else {
			hole->start = hole->end;
		}
		segments = ax_segments(end - start, flow->mss);
		if (ax_was_lost(flow, hole, segment)) {
			a->lost += segments;
			ax_remember_lost(a, start, end, segment->ts);
		} else {
			a->reordered += segments;
		}
	}
	if (rest->start != rest->end)
		ax_open_hole(a, rest->start, rest->end, rest->opened_us, rest->ts);
	return filled;
}

/* Bytes that were all seen before. */
static __always_inline void ax_seen_before(const struct ax_flow *flow, struct ax_anomaly *a,
					   const struct ax_segment *segment)
{
	__u32 segments = ax_segments(segment->end - segment->seq, flow->mss);
	int copy = 0;

	if (segment->has_ts && (flow->flags & AX_FLOW_TS))
		copy = ax_after(segment->ts, flow->max_ts) < 0;
	if (!copy && (flow->flags & AX_FLOW_IPID))
		copy = (__s16)(segment->ip_id - flow->ip_id) <= 0;
	if (!copy) {
		a->rtx_seen += segments;
		a->rtx_bytes += segment->end - segment->seq;
		return;
	}
	for (__u32 i = 0; i < AX_UNDO; i++) {
		struct ax_undo *undo = &a->undo[i];

		if (undo->start == undo->end || ax_after(segment->seq, undo->end) >= 0 ||
		    ax_after(segment->end, undo->start) <= 0)
			continue;
		a->undone += segments; /* the original after all: late, not lost */
		a->reordered += segments;
		undo->start = undo->end;
		return;
	}
	a->duplicated += segments;
}

static __always_inline int ax_out_of_order(const struct ax_ctl *ctl, const struct ax_flow_ref *ref,
					   struct ax_segment *segment, struct ax_hole *rest,
					   __u32 bytes)
{
	struct ax_flow *flow = ref->flow;
	__s32 ahead = ax_after(segment->seq, flow->nxt);
	struct ax_anomaly *a;
	int fresh;

	if (ahead < 0 && segment->end == segment->seq) /* an old pure ACK carries nothing */
		return 0;
	segment->now_us = ax_now_ns(ctl) / 1000;
	a = ax_take_anomaly(ref, segment->now_us, bytes);
	if (!a)
		return 0;
	a->last_us = segment->now_us;
	if (ahead > AX_RESYNC_BYTES || ahead < -AX_RESYNC_BYTES) {
		a->resync++;
		__builtin_memset(a->hole, 0, sizeof(a->hole));
		__builtin_memset(a->undo, 0, sizeof(a->undo));
		flow->nxt = segment->end;
		return 0;
	}
	if (ahead > 0) {
		ax_open_hole(a, flow->nxt, segment->seq, segment->now_us, segment->ts);
		if (segment->end != segment->seq)
			flow->segments++;
		flow->nxt = segment->end;
		return 0;
	}
	if (ahead == -1 && segment->end - segment->seq == 1) {
		a->keepalives++; /* RFC 9293 section 3.8.4; those without an octet end above */
		return 0;
	}
	fresh = ax_fill_holes(flow, a, segment, rest);
	if (ax_after(segment->end, flow->nxt) > 0) {
		flow->nxt = segment->end;
		fresh = 1;
	}
	if (fresh)
		flow->segments++;
	else
		ax_seen_before(flow, a, segment);
	return 0;
}

/* ---- every segment of a tracked flow ------------------------------------------------------- */

/* How far IPv4 ids can be trusted to be this flow's own sequence. */
static __always_inline void ax_learn_ip_id(struct ax_flow *flow, __u16 ip_id)
{
	__u16 step = ip_id - flow->ip_id;

	if ((__s16)step <= 0) /* a copy, a late one, or a sender that does not count */
		return;
	flow->ip_id = ip_id;
	if (step < AX_IPID_NEAR) {
		if (flow->ipid_score < 15 && ++flow->ipid_score == AX_IPID_SURE)
			flow->flags |= AX_FLOW_IPID;
	} else if (flow->ipid_score && --flow->ipid_score == 0) {
		flow->flags &= ~AX_FLOW_IPID;
	}
}

static __always_inline void ax_learn_ts(struct ax_flow *flow, __u32 ts)
{
	if (unlikely(!(flow->flags & AX_FLOW_TS))) {
		flow->flags |= AX_FLOW_TS;
		flow->max_ts = ts;
	} else if (ax_after(ts, flow->max_ts) > 0) {
		flow->max_ts = ts;
	}
}

static __always_inline void ax_learn(struct ax_flow *flow, __u32 family,
				     const struct ax_segment *segment)
{
	if (segment->has_ts)
		ax_learn_ts(flow, segment->ts);
	if (family == 4)
		ax_learn_ip_id(flow, segment->ip_id);
}

/* Out of order: left in the scratch for ax_loss_stage, which runs when this stage's stack is free.
 */
static __always_inline void ax_defer(struct ax_packet *pkt, const struct ax_flow_ref *ref,
				     const struct ax_segment *segment)
{
	struct ax_scratch *scratch = ax_own_scratch();

	if (!scratch)
		return;
	scratch->segment = *segment;
	scratch->slot = ref->slot;
	scratch->family = ref->family;
	pkt->flags |= AX_PACKET_ANOMALY;
}

__noinline int ax_loss_stage(__u32 bytes)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_ctl *ctl = ax_control();
	struct ax_flow_ref ref = {};

	if (!ctl || !scratch)
		return 0;
	ref.slot = scratch->slot;
	ref.family = scratch->family;
	if (!ax_entry(ref.family, ref.slot, &ref.flow) || !ref.flow)
		return 0;
	ax_out_of_order(ctl, &ref, &scratch->segment, &scratch->rest, bytes);
	ax_learn(ref.flow, ref.family, &scratch->segment);
	return 0;
}

static __always_inline void ax_track(struct xdp_md *ctx, struct ax_packet *pkt,
				     const struct ax_flow_ref *ref)
{
	struct ax_flow *flow = ref->flow;
	struct ax_segment segment = {};

	if (ax_read_segment(ctx, pkt, &segment))
		return;
	if (unlikely(segment.tcp_flags & (AX_TCP_FIN | AX_TCP_RST))) {
		flow->flags |= segment.tcp_flags & AX_TCP_FIN ? AX_FLOW_FIN : AX_FLOW_RST;
		/* RFC 9293 section 3.10.7.3: a reset's number need not be the next one. */
		if (segment.tcp_flags & AX_TCP_RST)
			return;
	}
	if (unlikely(segment.payload > flow->mss && segment.payload <= 65535))
		flow->mss = segment.payload;
	if (unlikely(!(flow->flags & AX_FLOW_SYNCED))) {
		flow->flags |= AX_FLOW_SYNCED;
		flow->nxt = segment.seq;
	}
	if (likely(segment.seq == flow->nxt)) {
		flow->nxt = segment.end;
		if (segment.end != segment.seq)
			flow->segments++;
	} else {
		ax_defer(pkt, ref, &segment);
		return;
	}
	ax_learn(flow, ref->family, &segment);
}

#endif
