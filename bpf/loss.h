/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Loss between the client and this node, from the client's segments alone. The definitions and
 * what they are worth: docs/loss.md.
 *
 * A segment in order touches the flow entry and nothing else, and reads no clock. Everything else
 * goes to ax_loss_stage (anomaly.h). All arithmetic on sequence numbers and timestamps is serial
 * (RFC 1982).
 */
#ifndef AX_BPF_LOSS_H
#define AX_BPF_LOSS_H

#include <linux/tcp.h>

#include "serial.h"
#include "transport.h"

#define AX_RTT_UNIT_US 64
#define AX_IPID_NEAR 64 /* ids this close are the same sender's sequence */
#define AX_IPID_SURE 8	/* of 15 */

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

/* It lies in the scratch from the start: what was read from memory tells verifiers nothing, so that
 * all ways to have read it look alike behind. */
static __always_inline struct ax_segment *
ax_read_segment(struct xdp_md *ctx, const struct ax_packet *pkt, struct ax_scratch *scratch)
{
	struct ax_segment *segment = &scratch->segment;
	struct tcphdr *tcp = ax_at(ctx, pkt->l4_offset);
	__u32 header;

	if ((void *)(tcp + 1) > ax_data_end(ctx))
		return 0;
	header = tcp->doff * 4;
	segment->seq = bpf_ntohl(tcp->seq);
	segment->payload = pkt->l4_bytes - header;
	segment->end = segment->seq + segment->payload + tcp->syn + tcp->fin;
	segment->ip_id = pkt->ip_id;
	segment->tcp_flags = pkt->tcp_flags;
	segment->tos = pkt->tos;
	segment->ack = bpf_ntohl(tcp->ack_seq);
	segment->has_ts = 0;
	segment->blocks = 0;
	segment->echoes = 0;
	if (header >= sizeof(*tcp) + 12) {
		__be32 *word = (void *)(tcp + 1);

		/* what nearly all stacks send: NOP NOP TS */
		if (header == sizeof(*tcp) + 12 && (void *)(word + 3) <= ax_data_end(ctx) &&
		    *word == bpf_htonl(0x0101080a)) {
			segment->ts = bpf_ntohl(word[1]);
			if (AX_HAS_CLOCKS)
				segment->echo = bpf_ntohl(word[2]);
			segment->has_ts = 1;
		} else {
			__u64 found = ax_tcp_options(ctx, pkt->l4_offset + sizeof(*tcp),
						     header - sizeof(*tcp));

			segment->ts = found;
			segment->has_ts = !!(found & AX_OPTIONS_TS);
			segment->blocks = ax_read_sack(ctx, pkt->l4_offset + sizeof(*tcp));
		}
	}
	return segment;
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
	if (AX_UNSEEN(segment->has_ts))
		ax_learn_ts(flow, segment->ts);
	if (family == 4)
		ax_learn_ip_id(flow, segment->ip_id);
}

/* RFC 3168: met congestion, or tells of some. */
static __always_inline int ax_congested(const struct ax_segment *segment)
{
	/* without a branch: verifiers would follow both */
	return (segment->tos & segment->tos >> 1 & 1) | (segment->tcp_flags & AX_TCP_ECE);
}

/* Out of order, the flow's end, or more to tell: left in the scratch for ax_loss_stage, which runs
 * when this stage's stack is free. */
static __always_inline void ax_defer(struct ax_packet *pkt, const struct ax_flow_ref *ref,
				     struct ax_scratch *scratch)
{
	scratch->slot = ref->slot;
	scratch->family = ref->family;
	pkt->flags |= AX_PACKET_ANOMALY;
}

static __always_inline void ax_track(struct xdp_md *ctx, struct ax_packet *pkt,
				     const struct ax_flow_ref *ref)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_flow *flow = ref->flow;
	struct ax_segment *segment;

	if (!scratch || !(segment = ax_read_segment(ctx, pkt, scratch)))
		return;
	scratch->ended = 0;
	if (unlikely(segment->tcp_flags & (AX_TCP_FIN | AX_TCP_RST))) {
		scratch->ended = !(flow->flags & (AX_FLOW_FIN | AX_FLOW_RST));
		flow->flags |= segment->tcp_flags & AX_TCP_FIN ? AX_FLOW_FIN : AX_FLOW_RST;
		/* RFC 9293 section 3.10.7.3: a reset's number need not be the next one. */
		if (segment->tcp_flags & AX_TCP_RST) {
			if (AX_UNSEEN(scratch->ended))
				ax_defer(pkt, ref, scratch);
			return;
		}
	}
	if (unlikely(segment->payload > flow->mss && segment->payload <= 65535))
		flow->mss = segment->payload;
	if (unlikely(!(flow->flags & AX_FLOW_SYNCED))) {
		flow->flags |= AX_FLOW_SYNCED;
		flow->nxt = segment->seq;
	}
	segment->in_order = segment->seq == AX_UNSEEN(flow->nxt) && !AX_UNSEEN(scratch->ended);
	if (likely(AX_UNSEEN(segment->in_order))) {
		flow->nxt = segment->end;
		if (segment->end != segment->seq)
			flow->segments++;
		ax_learn(flow, ref->family, segment);
	}
	/* or'ed: verifiers would follow each branch */
	if (unlikely(!AX_UNSEEN(segment->in_order) | AX_UNSEEN(segment->blocks) |
		     (flow->forward & AX_FORWARD_SACK) | ax_congested(segment)))
		ax_defer(pkt, ref, scratch);
}

#endif
