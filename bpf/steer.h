/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* To the backend of the flow, or else to the one that choose.h finds; then out. */
#ifndef AX_BPF_STEER_H
#define AX_BPF_STEER_H

#include "choose.h"
#include "encap.h"
#include "flow.h"

/* ---- going out ----------------------------------------------------------------------------- */

/* The kernel's own checks are bypassed from here on. */
static __always_inline int ax_check_steered(const struct ax_packet *pkt)
{
	if (pkt->flags & AX_PACKET_CHECKED)
		return AX_CONTINUE;
	AX_RULE(pkt->flags & AX_PACKET_BAD_CSUM, IP4_CHECKSUM);
	if (unlikely(!pkt->ttl)) {
		if (pkt->family == 4)
			AX_RULE(1, IP4_TTL_ZERO);
		else
			AX_RULE(1, IP6_HOP_ZERO);
	}
	return AX_CONTINUE;
}

static __always_inline int ax_send(__u32 vip, __u32 backend, __u8 forward, __u32 label, int reason)
{
	struct ax_scratch *scratch = ax_own_scratch();

	if (!scratch)
		return AX_R_INTERNAL;
	scratch->sending.vip = vip;
	scratch->sending.backend = backend;
	scratch->sending.label = label;
	scratch->sending.reason = reason;
	scratch->sending.forward = forward;
	return AX_NEXT_SEND;
}

static __always_inline int ax_send_to(struct xdp_md *ctx, struct ax_packet *pkt,
				      const struct ax_sending *to)
{
	__u32 vip = to->vip, backend_id = to->backend;
	struct ax_backend *backend = ax_backend_at(pkt, backend_id);
	int reason = to->reason;

	if (!backend)
		return AX_R_INTERNAL;
	ax_trace_vip(pkt, vip);
	ax_trace_backend(pkt, backend_id);
	if (backend->flags & AX_BACKEND_LOCAL) {
		reason = AX_R_LOCAL;
	} else {
		int failure = ax_forward(ctx, pkt, backend, to);

		if (failure)
			return failure;
	}
	ax_count(bpf_map_lookup_elem(&ax_vip_ctr, &vip), pkt->bytes);
	ax_count(bpf_map_lookup_elem(&ax_backend_ctr, &backend_id), pkt->bytes);
	return reason;
}

/* The stage for packets whose backend is chosen; the packet was saved before it was. */
__noinline int ax_send_stage(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_packet pkt = {};

	if (!scratch || ax_load(&pkt))
		return AX_R_INTERNAL;
	return ax_outcome(&pkt, ax_check_passed(&pkt, ax_send_to(ctx, &pkt, &scratch->sending)));
}

static __always_inline int ax_takes_known(const struct ax_backend *backend)
{
	return backend->state == AX_BACKEND_ACTIVE || backend->state == AX_BACKEND_DRAINING;
}

/* Held against a newer configuration once: does the entry still say what is so? */
static __always_inline int ax_revalidate(const struct ax_packet *pkt, const struct ax_flow_key *key,
					 struct ax_flow *flow)
{
	struct ax_vip *vip = ax_vip_at(pkt, flow->vip);
	struct ax_backend *backend = ax_backend_at(pkt, flow->backend);

	if (!vip || vip->gen != flow->vip_gen || vip->forward == AX_FORWARD_NONE || !backend ||
	    backend->gen != flow->backend_gen || !ax_takes_known(backend)) {
		ax_note_reason(AX_R_FLOW_RESTEERED, pkt->bytes);
		return 0;
	}
	flow->forward = vip->forward | ax_long_way(key);
	flow->generation = pkt->generation;
	ax_note_reason(AX_R_FLOW_REVALIDATED, pkt->bytes);
	return 1;
}

/* A SYN opens a new connection on a known tuple: the old entry must not pin it to a backend that
 * takes no new flows, nor may a forged SYN unpin a flow that lives. */
static __always_inline int ax_may_reuse(const struct ax_backend *backend,
					const struct ax_flow *flow)
{
	return backend->state == AX_BACKEND_ACTIVE && !(flow->flags & (AX_FLOW_FIN | AX_FLOW_RST));
}

static __always_inline int ax_is_opening(const struct ax_packet *pkt)
{
	return pkt->proto == IPPROTO_TCP &&
	       (pkt->tcp_flags & (AX_TCP_SYN | AX_TCP_ACK)) == AX_TCP_SYN;
}

/* The flow table knows it: no VIP, pool or slot is looked at. */
static __always_inline int ax_steer_known(struct xdp_md *ctx, struct ax_packet *pkt,
					  const struct ax_flow_key *key, struct ax_bucket *bucket,
					  struct ax_flow_ref *ref)
{
	struct ax_flow *flow = ref->flow;
	struct ax_backend *backend;

	if (unlikely(flow->generation != pkt->generation) && !ax_revalidate(pkt, key, flow)) {
		ax_forget(bucket, ref);
		return AX_CONTINUE;
	}
	backend = ax_backend_at(pkt, flow->backend);
	if (!backend)
		return AX_R_INTERNAL;
	if (unlikely(ax_is_opening(pkt))) {
		ax_note_syn(ctx, pkt, key);
		if (!ax_may_reuse(backend, flow)) {
			ax_forget(bucket, ref);
			return AX_CONTINUE;
		}
	} else if (ax_loss && pkt->proto == IPPROTO_TCP) {
		ax_track(ctx, pkt, ref);
	}
	flow->packets++;
	flow->bytes += pkt->bytes;
	return ax_send(flow->vip, flow->backend, flow->forward & ~AX_FORWARD_LONG, key->hash,
		       AX_R_STEERED);
}

static __always_inline void ax_note_choice(const struct ax_packet *pkt, struct ax_syn *syn,
					   const struct ax_choice *choice)
{
	if (!syn)
		return;
	syn->generation = pkt->generation;
	syn->vip = choice->vip_id;
	syn->vip_gen = choice->vip_gen;
	syn->backend = choice->backend_id;
	syn->backend_gen = choice->backend->gen;
}

/* A handshake that a change of the pool overtook goes on with the backend that has its SYN. */
static __always_inline void ax_keep_choice(struct xdp_md *ctx, const struct ax_packet *pkt,
					   const struct ax_flow_key *key, struct ax_choice *choice)
{
	struct tcphdr *tcp = ax_at(ctx, pkt->l4_offset);
	struct ax_syn *syn = ax_syn_slot(key);
	struct ax_backend *backend;

	if (!syn || syn->hash != key->hash || syn->generation == pkt->generation ||
	    syn->vip != choice->vip_id || syn->vip_gen != choice->vip_gen)
		return;
	if ((void *)(tcp + 1) > ax_data_end(ctx) || bpf_ntohl(tcp->seq) != syn->isn + 1)
		return;
	backend = ax_backend_at(pkt, syn->backend);
	if (!backend || backend->gen != syn->backend_gen || !ax_takes_known(backend))
		return;
	choice->backend_id = syn->backend;
	choice->backend = backend;
}

static __always_inline void ax_remember(struct xdp_md *ctx, struct ax_packet *pkt,
					const struct ax_flow_key *key, struct ax_bucket *bucket,
					const struct ax_place *place,
					const struct ax_choice *choice)
{
	struct ax_flow_ref ref = {};

	if (ax_is_opening(pkt)) {
		ax_note_choice(pkt, ax_note_syn(ctx, pkt, key), choice);
		return;
	}
	ax_insert(pkt, key, bucket, place, &ref);
	if (!ref.flow)
		return;
	ref.flow->forward = choice->forward | ax_long_way(key);
	ref.flow->generation = pkt->generation;
	ref.flow->backend = choice->backend_id;
	ref.flow->backend_gen = choice->backend->gen;
	ref.flow->vip = choice->vip_id;
	ref.flow->vip_gen = choice->vip_gen;
	ref.flow->packets = 1;
	ref.flow->bytes = pkt->bytes;
	if (pkt->proto == IPPROTO_TCP && ax_loss) {
		ax_consume_syn(pkt, key, ref.flow);
		ax_track(ctx, pkt, &ref);
	}
}

/* Can the flow table hold it? Fragments are steered without it, since only first ones have ports.
 */
static __always_inline int ax_has_flow(const struct ax_packet *pkt)
{
	return !pkt->fragment && (pkt->proto == IPPROTO_TCP || pkt->proto == IPPROTO_UDP);
}

/* A VIP's address, but no service of it. */
static __always_inline int ax_unserved(const struct ax_packet *pkt, struct ax_vip_key *key)
{
	if (!ax_find_vip(pkt, key, 0, AX_VIP_ADDRESS))
		return AX_R_NOT_VIP;
	return ax_is_icmp(pkt) ? AX_R_VIP_ICMP : AX_R_VIP_NO_SERVICE;
}

/* What the flow table says of the flow that is quoted; AX_CONTINUE: nothing. */
static __always_inline int ax_choose_known(const struct ax_packet *pkt,
					   const struct ax_packet *quoted,
					   const struct ax_quote *quote, struct ax_choice *choice)
{
	struct ax_flow_key key = {};
	struct ax_flow_ref ref = {};
	struct ax_bucket *bucket;

	if (!ax_has_flow(quoted))
		return 0;
	ax_make_quote_key(pkt->ctl, quote, &key);
	bucket = ax_bucket_of(&key);
	if (!bucket)
		return 0;
	ax_find(pkt, &key, bucket, &ref);
	if (!ref.flow ||
	    (ref.flow->generation != pkt->generation && !ax_revalidate(pkt, &key, ref.flow)))
		return 0;
	choice->backend_id = ref.flow->backend;
	choice->backend = ax_backend_at(pkt, choice->backend_id);
	choice->vip_id = ref.flow->vip;
	choice->forward = ref.flow->forward & ~AX_FORWARD_LONG;
	return choice->backend != 0;
}

/* ICMP errors go where the flow they quote goes; the quoted packet came from the VIP. Looked up as
 * what the client sends to this flow: the quote with its ends swapped. AX_CONTINUE: no flow of
 * ours. */
static __always_inline int ax_steer_icmp(struct ax_packet *pkt, const struct ax_quote *quote)
{
	struct ax_packet quoted = *pkt;
	struct ax_vip_key key = {.addr = quote->saddr};
	struct ax_choice choice = {};
	int reason;
	__u32 *id;

	quoted.proto = quote->proto;
	quoted.fragment = quote->fragment;
	quoted.sport = quote->dport;
	quoted.dport = quote->sport;
	id = ax_service(&quoted, &key);
	if (!id)
		return AX_CONTINUE;
	reason = ax_check_steered(pkt);
	if (!reason && !ax_choose_known(pkt, &quoted, quote, &choice))
		reason = ax_choose(&quoted, *id, &quote->daddr, &quote->saddr, &choice);
	if (reason)
		return reason;
	return ax_send(choice.vip_id, choice.backend_id, choice.forward, 0, AX_R_STEERED_ICMP);
}

static __always_inline int ax_steer_new(struct xdp_md *ctx, struct ax_packet *pkt,
					const struct ax_flow_key *key, struct ax_bucket *bucket)
{
	struct ax_vip_key vip = {};
	struct ax_choice choice = {};
	struct ax_place place = {};
	struct ax_addr source;
	__u32 *id;
	int reason;

	if (ax_addresses(ctx, pkt, &source, &vip.addr))
		return AX_R_INTERNAL;
	id = ax_service(pkt, &vip);
	if (!id)
		return ax_unserved(pkt, &vip);
	reason = ax_check_steered(pkt);
	if (!reason)
		reason = ax_choose(pkt, *id, &source, &vip.addr, &choice);
	if (reason)
		return reason;
	if (bucket) {
		if (pkt->proto == IPPROTO_TCP && !ax_is_opening(pkt))
			ax_keep_choice(ctx, pkt, key, &choice);
		ax_pick(key, &place);
		ax_remember(ctx, pkt, key, bucket, &place, &choice);
	}
	return ax_send(choice.vip_id, choice.backend_id, choice.forward, key->hash,
		       pkt->fragment ? AX_R_STEERED_FRAGMENT : AX_R_STEERED);
}

/* The stage for packets of flows that the table does not know. */
__noinline int ax_new_stage(struct xdp_md *ctx)
{
	struct ax_packet pkt = {};
	struct ax_flow_key key = {};
	struct ax_bucket *bucket = 0;

	if (ax_load(&pkt))
		return AX_R_INTERNAL;
	if (ax_has_flow(&pkt)) {
		if (ax_make_key(ctx, &pkt, &key))
			return AX_R_INTERNAL;
		bucket = ax_bucket_of(&key);
		if (!bucket)
			return AX_R_INTERNAL;
	}
	return ax_outcome(&pkt, ax_check_passed(&pkt, ax_steer_new(ctx, &pkt, &key, bucket)));
}

/* The flow's entry was given up; what was counted of the packet is not counted again. */
static __always_inline int ax_steer_anew(void)
{
	struct ax_packet *saved = ax_saved();

	if (!saved)
		return AX_R_INTERNAL;
	saved->flags |= AX_PACKET_CHECKED;
	return AX_NEXT_NEW;
}

static __always_inline int ax_steer_flow(struct xdp_md *ctx, struct ax_packet *pkt)
{
	struct ax_flow_key key = {};
	struct ax_flow_ref ref = {};
	struct ax_bucket *bucket;
	int reason;

	if (ax_make_key(ctx, pkt, &key))
		return AX_R_INTERNAL;
	bucket = ax_bucket_of(&key);
	if (!bucket)
		return AX_R_INTERNAL;
	ax_find(pkt, &key, bucket, &ref);
	if (!ref.flow)
		return AX_NEXT_NEW;
	reason = ax_check_steered(pkt);
	if (!reason)
		reason = ax_steer_known(ctx, pkt, &key, bucket, &ref);
	return reason ? reason : ax_steer_anew();
}

/* The stage for packets that may be of a known flow and did not go the express way. AX_NEXT_NEW
 * finds the packet saved as it was. */
__noinline int ax_flow_stage(struct xdp_md *ctx)
{
	struct ax_packet pkt = {};

	if (ax_load(&pkt))
		return AX_R_INTERNAL;
	return ax_outcome(&pkt, ax_steer_flow(ctx, &pkt));
}

static __always_inline int ax_steer(struct xdp_md *ctx, struct ax_packet *pkt)
{
	if (likely(!ax_maybe_vip(ctx, pkt)))
		return AX_R_NOT_VIP;
	return ax_has_flow(pkt) ? AX_NEXT_FLOW : AX_NEXT_NEW;
}

#endif
