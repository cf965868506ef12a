/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Segments out of order: holes, what fills them, what was lost. The stage runs behind all others,
 * for the segment and the flow that ax_defer left in the scratch.
 *
 * Its steps are functions of their own that begin from the scratch, so that verifiers see each once
 * and not once for every way that leads there. */
#ifndef AX_BPF_ANOMALY_H
#define AX_BPF_ANOMALY_H

#include "totals.h"

#define AX_DEFAULT_PATIENCE_US 3000 /* while the RTT is unknown */
#define AX_RECENT_US 1000000
#define AX_CLOCK_US 64000 /* after which a sender's clock has shown how fine it is */
#define AX_SLOW_RTT (4000 / AX_RTT_UNIT_US) /* of several ticks of a millisecond */
#define AX_ADMIT_BITS 3			    /* one flow in eight, when all records are in use */
#define AX_RECENT (1u << 31)		    /* of ax_next_record: was used within AX_RECENT_US */

/* The deferred segment's. */
static __always_inline struct ax_anomaly *ax_record(const struct ax_scratch *scratch)
{
	return ax_anomaly_at(scratch->record);
}

/* Moves the clock hand; the index of the record it shows. */
__noinline __u32 ax_next_record(__u32 now_us)
{
	__u32 cpu = bpf_get_smp_processor_id(), index;
	struct ax_cpu *own = bpf_map_lookup_elem(&ax_cpu, &cpu);
	struct ax_anomaly *a;

	if (!own)
		return 0;
	index = own->next_anomaly + 1;
	own->next_anomaly = index >= ax_anomalies ? 0 : index;
	a = ax_anomaly_at(index);
	return a && a->owner && now_us - a->last_us <= AX_RECENT_US ? index | AX_RECENT : index;
}

/* By its hash: so that, where there is not enough for all, the same flows are measured all the
 * time, and whole. */
static __always_inline int ax_is_admitted(const struct ax_flow_ref *ref)
{
	__u32 name = ref->slot + *(const __u32 *)ref->flow; /* the ports */

	return !(ref->flow->flags & AX_FLOW_LOSS_LOST) &&
	       name * 0x9e3779b1 >> (32 - AX_ADMIT_BITS) == 0;
}

/* Is the flow whose record this is still there, and has it not ended? */
__noinline int ax_owner_lives(__u32 index)
{
	struct ax_anomaly *a = ax_anomaly_at(index);
	struct ax_flow *flow = 0;

	if (!a || !ax_entry(a->family, a->owner, &flow) || !flow)
		return 0;
	return flow->version == a->owner_version && !(flow->flags & (AX_FLOW_FIN | AX_FLOW_RST));
}

/* The flow's record: the one it has, or the one under the clock hand, from whomever it is. The hand
 * moves past up to two records that were used within the last second; a third one is taken for
 * flows that are admitted. */
static __always_inline struct ax_anomaly *ax_take_anomaly(const struct ax_flow_ref *ref,
							  __u32 now_us, __u32 ended, __u32 bytes)
{
	struct ax_flow *flow = ref->flow;
	struct ax_anomaly *a = ax_anomaly_at(flow->anomaly);
	struct ax_sack *sack;
	__u32 index = 0;

	if (a && ax_owns(a, ref))
		return a;
	if (flow->anomaly) /* it was ours once: what it held is lost */
		flow->flags |= AX_FLOW_LOSS_LOST;
	for (int i = 0; i < 3; i++) {
		index = ax_next_record(now_us);
		if (!(index & AX_RECENT))
			break;
	}
	if (index & AX_RECENT && !ax_is_admitted(ref)) {
		flow->flags |= AX_FLOW_LOSS_LOST;
		ax_note_reason(AX_R_LOSS_NOT_ADMITTED, bytes);
		return 0;
	}
	index &= ~AX_RECENT;
	a = ax_anomaly_at(index);
	sack = ax_sack_at(index);
	if (!a || !sack)
		return 0;
	if (a->owner) {
		if (!AX_HAS_CLOCKS || ax_owner_lives(index))
			ax_note_reason(AX_R_LOSS_STATE_STOLEN, bytes);
		ax_count_unrepaired(index);
	}
	__builtin_memset(a, 0, sizeof(*a));
	__builtin_memset(sack, 0, sizeof(*sack));
	a->owner = ref->slot;
	a->owner_version = flow->version;
	a->family = ref->family;
	a->vip = flow->vip;
	a->backend = flow->backend;
	if (AX_HAS_CLOCKS) {
		a->clock_us = now_us;
		a->clock_ts = flow->max_ts;
	}
	if (flow->flags & AX_FLOW_LOSS_LOST || ended)
		a->folded_segments = flow->segments; /* its last record's, or at its end */
	flow->anomaly = index;
	return a;
}

/* Into an empty place, else over the oldest. */
__noinline int ax_open_hole(__u32 start, __u32 end, __u32 opened_us, __u32 ts)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_anomaly *a;
	struct ax_hole *hole;

	if (!scratch || !(a = ax_record(scratch)))
		return 0;
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
	return 0;
}

/* Does the sender's clock tick every two milliseconds at least, and does sending again take longer
 * than that? Then what is sent again carries a newer timestamp than what showed the hole. */
static __always_inline int ax_has_fine_clock(const struct ax_anomaly *a, const struct ax_flow *flow,
					     const struct ax_hole *hole)
{
	__s32 took = hole->opened_us - a->clock_us;

	if (!AX_HAS_CLOCKS || !(flow->flags & AX_FLOW_RTT) || flow->rtt < AX_SLOW_RTT)
		return 0;
	return took < AX_CLOCK_US || ax_after(hole->ts, a->clock_ts) >= took / 2000;
}

/* Was the original of what now fills the hole lost, or is this it, late? */
static __always_inline int ax_was_lost(const struct ax_anomaly *a, const struct ax_flow *flow,
				       const struct ax_hole *hole, const struct ax_segment *segment)
{
	__u32 patience = AX_DEFAULT_PATIENCE_US;

	if (segment->has_ts && (flow->flags & AX_FLOW_TS)) {
		__s32 newer = ax_after(segment->ts, hole->ts);

		if (newer > 0)
			return 1;
		if (newer < 0)
			return 0;
	}
	/* Sent behind everything that has come so far? Ids tick with each packet. */
	if (flow->flags & AX_FLOW_IPID)
		return (__s16)(segment->ip_id - flow->ip_id) > 0;
	if (segment->has_ts && (flow->flags & AX_FLOW_TS)) {
		/* A retransmission would carry a newer value: the sender's clock has ticked since.
		 */
		if (ax_after(flow->max_ts, hole->ts) > 0 || ax_has_fine_clock(a, flow, hole))
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

static __always_inline int ax_overlaps(const struct ax_hole *hole, const struct ax_segment *segment)
{
	return hole->start != hole->end && ax_after(segment->seq, hole->end) < 0 &&
	       ax_after(segment->end, hole->start) > 0;
}

/* Fills a hole with the segment. One in the middle of the hole leaves two: the second is then
 * scratch->rest. */
__noinline int ax_fill_hole(__u32 index)
{
	struct ax_scratch *scratch = ax_own_scratch();
	__u32 start, end, segments;
	struct ax_segment *segment;
	struct ax_anomaly *a;
	struct ax_hole *hole;

	if (!scratch || !(a = ax_record(scratch)))
		return 0;
	segment = &scratch->segment;
	hole = &a->hole[index & (AX_HOLES - 1)];
	start = hole->start;
	end = hole->end;
	if (ax_after(segment->seq, start) > 0) { /* what lies before stays a hole */
		if (ax_after(segment->end, end) < 0) {
			scratch->rest = *hole; /* and so does what lies behind */
			scratch->rest.start = segment->end;
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
	segments = ax_segments(end - start, scratch->flow.mss);
	if (ax_was_lost(a, &scratch->flow, hole, segment)) {
		a->lost += segments;
		ax_remember_lost(a, start, end, segment->ts);
	} else {
		a->reordered += segments;
	}
	return 1;
}

/* All holes; returns whether any of the segment's bytes were new. */
__noinline int ax_fill_holes(void)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_anomaly *a;
	struct ax_hole *rest;
	int filled = 0;

	if (!scratch || !(a = ax_record(scratch)))
		return 0;
	rest = &scratch->rest;
	rest->start = rest->end;
	for (__u32 i = 0; i < AX_HOLES; i++)
		if (ax_overlaps(&a->hole[i], &scratch->segment))
			filled |= ax_fill_hole(i);
	if (rest->start != rest->end)
		ax_open_hole(rest->start, rest->end, rest->opened_us, rest->ts);
	return filled;
}

/* Bytes that were all seen before. */
__noinline int ax_seen_before(void)
{
	struct ax_scratch *scratch = ax_own_scratch();
	const struct ax_segment *segment;
	const struct ax_flow *flow;
	struct ax_anomaly *a;
	__u32 segments;
	int copy = 0;

	if (!scratch || !(a = ax_record(scratch)))
		return 0;
	flow = &scratch->flow;
	segment = &scratch->segment;
	segments = ax_segments(segment->end - segment->seq, flow->mss);
	if (segment->has_ts && (flow->flags & AX_FLOW_TS))
		copy = ax_after(segment->ts, flow->max_ts) < 0;
	if (!copy && (flow->flags & AX_FLOW_IPID))
		copy = (__s16)(segment->ip_id - flow->ip_id) <= 0;
	if (!copy) {
		a->rtx_seen += segments;
		a->rtx_bytes += segment->end - segment->seq;
		return 0;
	}
	for (__u32 i = 0; i < AX_UNDO; i++) {
		struct ax_undo *undo = &a->undo[i];

		if (undo->start == undo->end || ax_after(segment->seq, undo->end) >= 0 ||
		    ax_after(segment->end, undo->start) <= 0)
			continue;
		a->undone += segments; /* the original after all: late, not lost */
		a->reordered += segments;
		undo->start = undo->end;
		return 0;
	}
	a->duplicated += segments;
	return 0;
}

/* The record of the scratch's flow, taken if it has none; the steps find it by the scratch. 0: none
 * is to be had. */
__noinline int ax_own_record(__u32 bytes)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_flow_ref ref = {};
	struct ax_anomaly *a;
	__u32 gone;

	if (!scratch)
		return 0;
	ref.slot = scratch->slot;
	ref.family = scratch->family;
	if (!ax_entry(ref.family, ref.slot, &ref.flow) || !ref.flow)
		return 0;
	gone = ref.flow->flags & (AX_FLOW_FIN | AX_FLOW_RST) && !scratch->ended;
	a = ax_take_anomaly(&ref, scratch->segment.now_us, gone, bytes);
	if (!a)
		return 0;
	a->last_us = scratch->segment.now_us;
	scratch->record = ref.flow->anomaly;
	scratch->flow = *ref.flow;
	return 1;
}

static __always_inline int ax_out_of_order(const struct ax_flow_ref *ref,
					   struct ax_scratch *scratch, __u32 bytes)
{
	struct ax_segment *segment = &scratch->segment;
	struct ax_flow *flow = ref->flow;
	__s32 ahead = ax_after(segment->seq, flow->nxt);
	struct ax_anomaly *a;
	int fresh;

	if (ahead < 0 && segment->end == segment->seq) /* an old pure ACK carries nothing */
		return 0;
	if (!ahead) { /* the FIN */
		flow->segments += segment->end != segment->seq;
		flow->nxt = segment->end;
		return 0;
	}
	if (!ax_own_record(bytes) || !(a = ax_record(scratch))) {
		if (ahead > 0 || ax_after(segment->end, flow->nxt) > 0) {
			flow->segments += segment->end != segment->seq;
			flow->nxt = segment->end;
		}
		return 0;
	}
	if (ahead > AX_RESYNC_BYTES || ahead < -AX_RESYNC_BYTES) {
		a->resync++;
		__builtin_memset(a->hole, 0, sizeof(a->hole));
		__builtin_memset(a->undo, 0, sizeof(a->undo));
		flow->nxt = segment->end;
		return 0;
	}
	if (ahead > 0) {
		ax_open_hole(flow->nxt, segment->seq, segment->now_us, segment->ts);
		if (segment->end != segment->seq)
			flow->segments++;
		flow->nxt = segment->end;
		return 0;
	}
	if (ahead == -1 && segment->end - segment->seq == 1) {
		a->keepalives++; /* RFC 9293 section 3.8.4; those without an octet end above */
		return 0;
	}
	fresh = ax_fill_holes();
	if (ax_after(segment->end, flow->nxt) > 0) {
		flow->nxt = segment->end;
		fresh = 1;
	}
	if (fresh)
		flow->segments++;
	else
		ax_seen_before();
	return 0;
}

#endif
