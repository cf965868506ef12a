/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Loss between the server and the client, from the client's selective acknowledgements alone
 * (RFC 2018, 2883): this node need not see what the server sends. Holes in what is acknowledged,
 * and whether they were filled so late that it must have been sent again. docs/loss.md.
 *
 * Runs behind anomaly.h for a segment with SACK blocks, and for every segment of a flow while it
 * has holes: AX_FORWARD_SACK keeps those from the express ways. */
#ifndef AX_BPF_SACK_H
#define AX_BPF_SACK_H

#include "anomaly.h"

#define AX_CLOCK_SURE_US (1 << 18)   /* after which the server's clock has shown its pace */
#define AX_CLOCK_WINDOW_US (1 << 24) /* 100 ppm of it are 1.7 ms */

static __always_inline void ax_forget_holes(struct ax_sack *s, __u32 ack)
{
	__builtin_memset(s->hole, 0, sizeof(s->hole));
	__builtin_memset(s->undo, 0, sizeof(s->undo));
	s->high = ack;
}

/* As ax_open_hole. */
__noinline int ax_open_sack(__u32 start, __u32 end, __u32 opened_us)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_sack *s;
	struct ax_gap *hole;

	if (!scratch || !(s = ax_sack_at(scratch->record)))
		return 0;
	AX_UNSEEN(s->victim) = 0;
	for (__u32 i = 0; i < AX_HOLES; i++) {
		hole = &s->hole[AX_UNSEEN(s->victim) & (AX_HOLES - 1)];
		if (hole->start == hole->end)
			break;
		if (s->hole[i].start == s->hole[i].end ||
		    ax_after(hole->opened_us, s->hole[i].opened_us) > 0)
			AX_UNSEEN(s->victim) = i;
	}
	hole = &s->hole[AX_UNSEEN(s->victim) & (AX_HOLES - 1)];
	if (hole->start != hole->end)
		s->evicted++;
	hole->start = start;
	hole->end = end;
	hole->opened_us = opened_us;
	return 0;
}

/* RFC 7323: who acknowledges something new echoes the timestamp of what has just come. The least
 * time from sending to such an ACK tells what the server's clock shows now. Clocks drift, so what
 * is older than two windows does not count. */
static __always_inline void ax_read_clock(struct ax_sack *s, const struct ax_segment *segment)
{
	__u32 ahead = segment->now_us - segment->echo * 1000, took, ticks;

	if (s->clock == AX_CLOCK_UNKNOWN) {
		s->clock = AX_CLOCK_MS;
		s->ahead_us[0] = s->ahead_us[1] = ahead;
		s->window_us = segment->now_us;
		s->window_echo = segment->echo;
	}
	if (ax_after(ahead, s->ahead_us[0]) < 0)
		s->ahead_us[0] = ahead;
	if (ax_after(segment->ack, s->ack) <= 0) /* an old echo */
		return;
	took = segment->now_us - s->window_us;
	ticks = segment->echo - s->window_echo;
	if (took >= AX_CLOCK_SURE_US)
		s->clock =
			ticks >= took / 2000 && ticks <= took / 500 ? AX_CLOCK_MS : AX_CLOCK_OTHER;
	if (took >= AX_CLOCK_WINDOW_US) {
		s->ahead_us[1] = s->ahead_us[0];
		s->ahead_us[0] = ahead;
		s->window_us = segment->now_us;
		s->window_echo = segment->echo;
	}
}

/* How much later than the hole was seen, in the server's time, what now fills it was sent. Up to 0
 * if it is the original, which was sent before what showed the hole; a round trip at least if it
 * was sent because the client had told of the hole. */
static __always_inline __s32 ax_sent_after(const struct ax_sack *s,
					   const struct ax_segment *segment, __u32 opened_us)
{
	__u32 ahead = s->ahead_us[0];

	if (ax_after(s->ahead_us[1], ahead) < 0)
		ahead = s->ahead_us[1];
	return ax_after(segment->echo * 1000 + ahead, opened_us);
}

/* Was it sent again, or was it late? Half the RTT is less than sending again can take; where the
 * client echoes when it was sent, it does not matter how long it was under way. */
static __always_inline int ax_was_sent_again(const struct ax_scratch *scratch,
					     const struct ax_sack *s, __u32 opened_us)
{
	const struct ax_segment *segment = &scratch->segment;
	__s32 patience = AX_DEFAULT_PATIENCE_US, took = segment->now_us - opened_us;

	if (!(scratch->flow.flags & AX_FLOW_RTT))
		return took > patience;
	patience = (__u32)scratch->flow.rtt * AX_RTT_UNIT_US / 2;
	if (!AX_HAS_CLOCKS || !segment->echoes || s->clock != AX_CLOCK_MS ||
	    scratch->flow.rtt < AX_SLOW_RTT)
		return took > patience;
	return took > patience / 2 && ax_sent_after(s, segment, opened_us) > patience / 2;
}

/* What was opened by this very segment had been filled before: its blocks come in any order. */
static __always_inline void ax_judge_sack(struct ax_scratch *scratch, struct ax_sack *s,
					  __u32 start, __u32 end, __u32 opened_us)
{
	__u32 segments = ax_segments(end - start, s->mss), at = s->undo_next & (AX_UNDO - 1);

	if (scratch->segment.now_us == opened_us)
		return;
	if (!ax_was_sent_again(scratch, s, opened_us)) {
		s->reordered += segments;
		return;
	}
	s->lost += segments;
	s->undo[at].start = start;
	s->undo[at].end = end;
	s->undo_next = at + 1;
}

/* Fills the hole as far as [start, end) reaches into it. */
__noinline int ax_fill_sack(__u32 index, __u32 start, __u32 end)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_sack *s;
	struct ax_gap *hole;

	if (!scratch || !(s = ax_sack_at(scratch->record)))
		return 0;
	hole = &s->hole[index & (AX_HOLES - 1)];
	if (hole->start == hole->end || ax_after(start, hole->end) >= 0 ||
	    ax_after(end, hole->start) <= 0)
		return 0;
	if (ax_after(start, hole->start) < 0)
		start = hole->start;
	if (ax_after(end, hole->end) > 0)
		end = hole->end;
	ax_judge_sack(scratch, s, start, end, hole->opened_us);
	if (start == hole->start) {
		hole->start = end;
	} else if (end == hole->end) {
		hole->end = start;
	} else { /* one in the middle leaves two */
		scratch->rest.start = end;
		scratch->rest.end = hole->end;
		scratch->rest.opened_us = hole->opened_us;
		hole->end = start;
	}
	return 1;
}

/* [start, end) has arrived. */
__noinline int ax_acknowledged(__u32 start, __u32 end)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_hole *rest;

	if (!scratch)
		return 0;
	rest = &scratch->rest;
	rest->start = rest->end;
	for (__u32 i = 0; i < AX_HOLES; i++)
		ax_fill_sack(i, start, end);
	if (rest->start != rest->end)
		ax_open_sack(rest->start, rest->end, rest->opened_us);
	return 0;
}

/* Has arrived twice. If we called it lost, it was not: the original came, or else so did two of its
 * copies. */
__noinline int ax_duplicate(__u32 start, __u32 end)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_sack *s;
	__u32 segments;

	if (!scratch || !(s = ax_sack_at(scratch->record)))
		return 0;
	if (end - start <= 1 || end - start > AX_RESYNC_BYTES) /* a keep-alive was answered */
		return 0;
	segments = ax_segments(end - start, s->mss);
	s->duplicates += segments;
	for (__u32 i = 0; i < AX_UNDO; i++) {
		struct ax_range *undo = &s->undo[i];

		if (undo->start == undo->end || ax_after(start, undo->end) >= 0 ||
		    ax_after(end, undo->start) <= 0)
			continue;
		s->undone += segments;
		s->reordered += segments;
		undo->start = undo->end;
		return 0;
	}
	return 0;
}

/* RFC 2883 section 4: below the acknowledgement, or within the second block. */
static __always_inline int ax_is_duplicate(const struct ax_scratch *scratch)
{
	const struct ax_range *first = &scratch->block[0], *second = &scratch->block[1];

	if (ax_after(first->end, scratch->segment.ack) <= 0)
		return 1;
	return scratch->segment.blocks > 1 && ax_after(first->start, second->start) >= 0 &&
	       ax_after(first->end, second->end) <= 0;
}

__noinline int ax_sack_block(__u32 index)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_range *block;
	struct ax_sack *s;
	__u32 high;

	if (!scratch || !(s = ax_sack_at(scratch->record)))
		return 0;
	block = &scratch->block[index & (AX_SACK_BLOCKS - 1)];
	if (!index && ax_is_duplicate(scratch))
		return ax_duplicate(block->start, block->end);
	high = s->high;
	if (block->end - block->start - 1 >= AX_RESYNC_BYTES ||
	    ax_after(block->end, high) > AX_RESYNC_BYTES)
		return 0;
	if (ax_after(block->start, high) > 0)
		ax_open_sack(high, block->start, scratch->segment.now_us);
	else
		ax_acknowledged(block->start, block->end);
	if (ax_after(block->end, high) > 0)
		s->high = block->end;
	return 0;
}

/* The cumulative acknowledgement. */
static __always_inline void ax_advance_ack(struct ax_scratch *scratch, struct ax_sack *s, __u32 ack)
{
	__s32 ahead = ax_after(ack, s->ack);

	if (ahead <= 0)
		return;
	s->acked += ahead;
	s->ack = ack;
	scratch->segment.echoes = AX_HAS_CLOCKS && scratch->segment.has_ts;
	ax_acknowledged(ack - AX_RESYNC_BYTES, ack);
	scratch->segment.echoes = 0;
	if (ax_after(ack, s->high) > 0)
		s->high = ack;
}

static __always_inline int ax_open_holes(const struct ax_sack *s)
{
	__u32 open = 0;

	for (__u32 i = 0; i < AX_HOLES; i++)
		open |= s->hole[i].start ^ s->hole[i].end;
	return open != 0;
}

/* Returns whether holes are open: then every segment of the flow comes here. */
__noinline int ax_sack_stage(void)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_sack *s;
	__u32 ack;

	if (!scratch || !(s = ax_sack_at(scratch->record)))
		return 0;
	ack = scratch->segment.ack;
	if (!s->started) {
		s->started = 1;
		s->ack = s->high = ack;
		s->mss = scratch->flow.flags & AX_FLOW_SYN && scratch->flow.mss
				 ? scratch->flow.mss
				 : AX_DEFAULT_SERVER_MSS;
		if (scratch->segment.has_ts && s->mss > 2 * AX_TIMESTAMP_BYTES)
			s->mss -= AX_TIMESTAMP_BYTES;
	}
	if (ax_after(ack, s->high) > AX_RESYNC_BYTES || ax_after(ack, s->high) < -AX_RESYNC_BYTES) {
		/* much has gone the express way, which is nothing, or another connection */
		ax_forget_holes(s, ack);
		s->acked += ax_after(ack, s->ack) > 0 ? ack - s->ack : 0;
		s->ack = ack;
	}
	if (AX_HAS_CLOCKS && scratch->segment.has_ts)
		ax_read_clock(s, &scratch->segment);
	ax_advance_ack(scratch, s, ack);
	for (__u32 i = 0; i < AX_SACK_BLOCKS; i++) {
		if (i >= scratch->segment.blocks)
			break;
		ax_sack_block(i);
	}
	return ax_open_holes(s);
}

static __always_inline void ax_count_congestion(struct ax_sack *s, const struct ax_segment *segment)
{
	s->ce += (segment->tos & AX_ECN_CE) == AX_ECN_CE;
	s->ece += !!(segment->tcp_flags & AX_TCP_ECE);
}

/* What the segment acknowledges, and what it says of congestion. */
static __always_inline void ax_feedback(const struct ax_flow_ref *ref, struct ax_scratch *scratch,
					__u32 bytes)
{
	struct ax_flow *flow = ref->flow;
	struct ax_sack *s;

	if (!scratch->segment.blocks && !(flow->forward & AX_FORWARD_SACK) &&
	    !ax_congested(&scratch->segment))
		return;
	if (!ax_own_record(bytes) || !(s = ax_sack_at(scratch->record)))
		return;
	ax_count_congestion(s, &scratch->segment);
	if (!scratch->segment.blocks && !s->started)
		flow->forward &= ~AX_FORWARD_SACK; /* the record with the holes was stolen */
	else if (ax_sack_stage())
		flow->forward |= AX_FORWARD_SACK;
	else
		flow->forward &= ~AX_FORWARD_SACK;
}

/* For what ax_defer left. */
__noinline int ax_loss_stage(__u32 bytes)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_ctl *ctl = ax_control();
	struct ax_flow_ref ref = {};
	__u32 segments;

	if (!scratch)
		return 0;
	ref.slot = scratch->slot;
	ref.family = scratch->family;
	if (!ax_entry(ref.family, ref.slot, &ref.flow) || !ref.flow)
		return 0;
	segments = ref.flow->segments;
	if (!(scratch->segment.tcp_flags & AX_TCP_RST)) {
		scratch->segment.now_us = ax_now_ns(ctl) / 1000;
		if (!scratch->segment.in_order) {
			ax_out_of_order(&ref, scratch, bytes);
			ax_learn(ref.flow, ref.family, &scratch->segment);
		}
		ax_feedback(&ref, scratch, bytes);
	}
	ax_collect(scratch, &ref, segments);
	ax_add_to_services(ref.flow->vip, ref.flow->backend);
	ax_add_to_prefix(ref.family, ref.slot);
	return 0;
}

#endif
