/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The backend is chosen: counted, by the way that its VIP wants, and out. */
#ifndef AX_BPF_SEND_H
#define AX_BPF_SEND_H

#include "answer.h"
#include "chance.h"
#include "encap.h"
#include "mark.h"
#include "measure.h"

static __always_inline int ax_send(struct ax_scratch *scratch, __u32 label, int reason,
				   __u32 segments)
{
	scratch->sending.vip = scratch->choice.vip_id;
	scratch->sending.backend = scratch->choice.backend_id;
	scratch->sending.forward = scratch->choice.forward & AX_FORWARD_HOW;
	scratch->sending.label = label;
	scratch->sending.reason = reason;
	scratch->sending.segments = segments;
	scratch->sending.mark = 0;
	return AX_NEXT_SEND;
}

static __always_inline int ax_count_sent(const struct ax_packet *pkt, const struct ax_sending *to,
					 int reason)
{
	__u32 vip = to->vip, backend = to->backend;

	ax_count_traffic(bpf_map_lookup_elem(&ax_vip_ctr, &vip), pkt->bytes, to->segments);
	ax_count_traffic(bpf_map_lookup_elem(&ax_backend_ctr, &backend), pkt->bytes, to->segments);
	return reason;
}

/* The flow's backend is this node. May another one have the flow? */
static __always_inline int ax_has_others(const struct ax_packet *pkt, const struct ax_sending *to)
{
	return (ax_role & AX_ROLE_BACKEND) && to->forward == AX_FORWARD_GUE &&
	       pkt->settings->second_chance && !pkt->fragment &&
	       (pkt->proto == IPPROTO_TCP ||
		(AX_HAS_QUOTE_CHANCE && to->reason == AX_R_STEERED_ICMP));
}

static __always_inline int ax_send_to(struct xdp_md *ctx, struct ax_packet *pkt,
				      struct ax_scratch *scratch)
{
	const struct ax_sending *to = &scratch->sending;
	struct ax_backend *backend = ax_backend_at(pkt, to->backend);
	int reason = to->reason, failure;

	if (!backend)
		return AX_R_INTERNAL;
	ax_trace_vip(pkt, to->vip);
	ax_trace_backend(pkt, to->backend);
	if (backend->flags & AX_BACKEND_LOCAL) {
		if (ax_has_others(pkt, to))
			return AX_NEXT_KEEP;
		reason = AX_R_LOCAL;
	} else {
		failure = to->forward == AX_FORWARD_GUE ? ax_forward_gue(ctx, pkt, scratch)
							: ax_forward(ctx, pkt, backend, to);
		if (failure) {
			if (unlikely(to->mark))
				ax_mark_unsent();
			return failure;
		}
	}
	return ax_count_sent(pkt, to, reason);
}

/* The stage for packets whose backend is this node, where another may have their flow. */
__noinline int ax_keep_stage(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_packet pkt = {};
	int outcome, quoted;

	if (!scratch || ax_load(&pkt))
		return AX_R_INTERNAL;
	quoted = AX_HAS_QUOTE_CHANCE &&
		 scratch->sending.reason == AX_R_STEERED_ICMP; /* as in ax_forward_gue */
	if (!quoted && ax_request_of(ctx, &pkt, &scratch->request))
		return AX_R_INTERNAL;
	ax_name_candidates(scratch->sending.vip, scratch->sending.backend);
	scratch->gue.quoted = quoted;
	outcome = ax_chance(ctx);
	if ((outcome & 0xffff) >= AX_FIRST_DROP)
		return outcome;
	return ax_count_sent(&pkt, &scratch->sending,
			     outcome ? outcome : ax_check_passed(&pkt, AX_R_LOCAL));
}

/* The stage for packets whose backend is chosen; the packet was saved before it was. */
__noinline int ax_send_stage(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_packet pkt = {};

	if (!scratch || ax_load(&pkt))
		return AX_R_INTERNAL;
	return ax_outcome(&pkt, ax_check_passed(&pkt, ax_send_to(ctx, &pkt, scratch)));
}

#endif
