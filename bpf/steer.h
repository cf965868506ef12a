/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* To the backend of the flow, or else to the one that choose.h finds. */
#ifndef AX_BPF_STEER_H
#define AX_BPF_STEER_H

#include "answer.h"
#include "choose.h"
#include "chance.h"
#include "measure.h"
#include "quic.h"
#include "syn.h"
#include "send.h"

static __always_inline int ax_takes_known(const struct ax_backend *backend)
{
	return backend->state == AX_BACKEND_ACTIVE || backend->state == AX_BACKEND_DRAINING;
}

#ifndef AX_LEGACY
/* Is the backend of the flow's entry a candidate of its slot? 1 where nobody can say. */
__noinline int ax_is_candidate(__u32 family, __u32 entry)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_request *request;
	struct ax_packet pkt = {};
	struct ax_flow *flow = 0;
	struct ax_slot *slot;
	void *addresses;

	if (!scratch || ax_load(&pkt))
		return 1;
	request = &scratch->known;
	addresses = ax_entry(family, entry, &flow);
	if (!addresses || !flow)
		return 1;
	if (family == 4) {
		ax_map4(&request->source, ((struct ax_flow4 *)addresses)->saddr);
		ax_map4(&request->destination, ((struct ax_flow4 *)addresses)->daddr);
	} else {
		request->source = ((struct ax_flow6 *)addresses)->saddr;
		request->destination = ((struct ax_flow6 *)addresses)->daddr;
	}
	request->sport = flow->sport;
	request->dport = flow->dport;
	request->proto = flow->proto;
	request->fragment = 0;
	ax_ask(&pkt, request);
	slot = ax_slot_of(&pkt, request, flow->vip);
	return !slot || slot->count < AX_CANDIDATES || slot->backend[0] == flow->backend ||
	       slot->backend[1] == flow->backend || slot->backend[2] == flow->backend;
}

/* An entry that was made in the middle of its connection says whose the slot was then; who has the
 * connection may be another of its candidates. GUE names two beside the first: with a first who is
 * none of three any more, one of those would go unnamed. */
static __always_inline int ax_hides_candidate(const struct ax_packet *pkt,
					      const struct ax_flow *flow, __u32 family, __u32 at)
{
	return pkt->settings->second_chance && flow->proto == IPPROTO_TCP &&
	       (flow->forward & AX_FORWARD_HOW) == AX_FORWARD_GUE && !(flow->flags & AX_FLOW_SYN) &&
	       !ax_is_candidate(family, at);
}
#else
#define ax_hides_candidate(pkt, flow, family, at) 0
#endif

/* Held against a newer configuration once: does the entry of the scratch's key still say what is
 * so?
 */
__noinline int ax_revalidate(__u32 family, __u32 slot)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_packet pkt = {};
	struct ax_backend *backend;
	struct ax_flow *flow = 0;
	struct ax_vip *vip;

	if (!scratch || ax_load(&pkt) || !ax_entry(family, slot, &flow) || !flow)
		return 0;
	vip = ax_vip_at(&pkt, flow->vip);
	backend = ax_backend_at(&pkt, flow->backend);
	if (!vip || vip->gen != flow->vip_gen || vip->forward == AX_FORWARD_NONE || !backend ||
	    backend->gen != flow->backend_gen || !ax_takes_known(backend) ||
	    (flow->proto == IPPROTO_UDP && ax_goes_by_id(&pkt, vip->pool)) ||
	    ax_hides_candidate(&pkt, flow, family, slot)) {
		ax_note_reason(AX_R_FLOW_RESTEERED, pkt.bytes);
		return 0;
	}
	flow->forward =
		vip->forward | ax_long_way(&scratch->key) | (flow->forward & AX_FORWARD_SACK);
	flow->generation = pkt.generation;
	ax_note_reason(AX_R_FLOW_REVALIDATED, pkt.bytes);
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

static __always_inline void ax_choose_entry(struct ax_scratch *scratch, const struct ax_flow *flow)
{
	scratch->choice.vip_id = flow->vip;
	scratch->choice.backend_id = flow->backend;
	scratch->choice.vip_gen = flow->vip_gen;
	scratch->choice.backend_gen = flow->backend_gen;
	scratch->choice.forward = flow->forward & AX_FORWARD_HOW;
}

/* `generation`: of the configuration that chose. */
static __always_inline void ax_note_choice(struct ax_syn *syn, const struct ax_choice *choice,
					   __u32 generation)
{
	if (!syn)
		return;
	syn->generation = generation;
	syn->vip = choice->vip_id;
	syn->vip_gen = choice->vip_gen;
	syn->backend = choice->backend_id;
	syn->backend_gen = choice->backend_gen;
}

/* The flow table knows it: no VIP, pool or slot is looked at. */
static __always_inline int ax_steer_known(struct xdp_md *ctx, struct ax_packet *pkt,
					  struct ax_scratch *scratch, struct ax_bucket *bucket,
					  struct ax_flow_ref *ref)
{
	struct ax_flow *flow = ref->flow;
	__u32 segments = flow->segments;
	struct ax_backend *backend;

	if (unlikely(flow->generation != pkt->generation) &&
	    !ax_revalidate(ref->family, ref->slot)) {
		ax_forget(bucket, ref);
		return AX_CONTINUE;
	}
	backend = ax_backend_at(pkt, flow->backend);
	if (!backend)
		return AX_R_INTERNAL;
	ax_choose_entry(scratch, flow);
	if (unlikely(ax_is_opening(pkt))) {
		if (!ax_may_reuse(backend, flow)) {
			ax_forget(bucket, ref);
			return AX_CONTINUE;
		}
		/* an older configuration's choice, perhaps */
		ax_note_choice(ax_note_syn(ctx, pkt, &scratch->key), &scratch->choice, 0);
	} else if (AX_LOSS && pkt->proto == IPPROTO_TCP) {
		ax_track(ctx, pkt, ref);
	} else if (unlikely(flow->forward & AX_MEASURE)) {
		ax_measure(ctx, ref->family, ref->slot);
	}
	flow->packets++;
	flow->bytes += pkt->bytes;
	return ax_send(scratch, scratch->key.hash, AX_R_STEERED, flow->segments - segments);
}

/* A handshake that a change of the pool overtook goes on with the backend that has its SYN. */
static __always_inline void ax_keep_choice(struct xdp_md *ctx, const struct ax_packet *pkt,
					   const struct ax_flow_key *key, struct ax_choice *choice)
{
	struct tcphdr *tcp = ax_at(ctx, pkt->l4_offset);
	struct ax_syn *syn = ax_syn_slot(key->hash);
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
	choice->backend_gen = syn->backend_gen;
}

/* How many segments came for the first time: the SYN, too, which only now is known to be one. */
static __always_inline __u32 ax_remember(struct xdp_md *ctx, struct ax_packet *pkt,
					 const struct ax_flow_key *key, struct ax_bucket *bucket,
					 struct ax_place *place, const struct ax_choice *choice,
					 __u8 forward)
{
	struct ax_flow_ref ref = {.flow = place->flow, .slot = place->slot, .family = key->family};
	struct ax_first first = {};
	struct ax_syn *syn;

	if (ax_is_opening(pkt)) {
		ax_note_choice(ax_note_syn(ctx, pkt, key), choice, pkt->generation);
		return 0;
	}
	syn = ax_syn_slot(key->hash);
	if (!ax_open_entry(pkt, bucket, place)) {
		ax_outlive_syn(key, syn);
		place->entry = 0;
		return 0;
	}
	if (pkt->proto == IPPROTO_TCP && AX_LOSS)
		ax_consume_syn(ctx, pkt, key, syn, choice, &first);
	ax_write_entry(pkt, key, bucket, place, choice, forward, &first);
	if (pkt->proto == IPPROTO_TCP && AX_LOSS)
		ax_track(ctx, pkt, &ref);
	return ref.flow->segments;
}

/* Can the flow table hold it? Fragments are steered without it, since only first ones have ports.
 */
static __always_inline int ax_has_flow(const struct ax_packet *pkt)
{
	return !pkt->fragment && (pkt->proto == IPPROTO_TCP || pkt->proto == IPPROTO_UDP);
}

/* The request is for a VIP's address, but for no service of it. */
__noinline int ax_unserved(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_vip_key key = {};
	struct ax_packet pkt = {};

	if (!scratch || ax_load(&pkt))
		return AX_R_INTERNAL;
	key.addr = scratch->request.destination;
	if (!ax_find_vip(&pkt, &key, 0, AX_VIP_ADDRESS) &&
	    (!ax_has_prefixes(&pkt) || ax_find_in_prefix(1)))
		return AX_R_NOT_VIP;
	if (!ax_is_icmp(&pkt))
		return AX_R_VIP_NO_SERVICE;
	if ((pkt.settings->flags & AX_SETTINGS_ECHO) && ax_is_echo_request(ctx, &pkt)) {
		int reason = ax_check_steered(&pkt);

		return reason ? reason : AX_NEXT_ECHO;
	}
	return AX_R_VIP_ICMP;
}

/* What the flow table says of the flow that is quoted, to the scratch; 0: nothing. */
__noinline int ax_choose_known(void)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_flow_ref ref = {};
	struct ax_packet pkt = {};
	struct ax_bucket *bucket;

	if (!scratch || ax_load(&pkt) || scratch->quote.fragment ||
	    (scratch->quote.proto != IPPROTO_TCP && scratch->quote.proto != IPPROTO_UDP))
		return 0;
	ax_make_quote_key(pkt.ctl, &scratch->quote, &scratch->key);
	bucket = ax_bucket_of(&scratch->key);
	if (!bucket)
		return 0;
	ax_find(&pkt, &scratch->key, bucket, &ref);
	if (!ref.flow)
		return 0;
	if (ref.flow->generation != pkt.generation && !ax_revalidate(ref.family, ref.slot)) {
		ax_forget(bucket, &ref);
		return 0;
	}
	ax_choose_entry(scratch, ref.flow);
	return ax_backend_at(&pkt, ref.flow->backend) != 0;
}

/* ICMP errors go where the flow they quote goes; the quoted packet came from the VIP. Looked up as
 * what the client sends to this flow: the quote with its ends swapped. AX_CONTINUE: no flow of
 * ours. */
static __always_inline int ax_steer_icmp(const struct ax_packet *pkt, struct ax_scratch *scratch)
{
	const struct ax_quote *quote = &scratch->quote;
	struct ax_request *request = &scratch->request;
	int reason, id;

	request->source = quote->daddr;
	request->proto = quote->proto;
	request->fragment = quote->fragment;
	request->sport = quote->dport;
	request->dport = quote->sport;
	id = ax_find_service();
	if (id < 0)
		return AX_CONTINUE;
	reason = ax_check_steered(pkt);
	if (!reason && !ax_choose_known())
		reason = ax_choose(id);
	return reason ? reason : ax_send(scratch, 0, AX_R_STEERED_ICMP, 0);
}

/* The stage for flows that are new: remembers what was chosen. */
__noinline int ax_remember_stage(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_place place = {};
	struct ax_packet pkt = {};
	struct ax_bucket *bucket;
	__u32 segments;

	if (!scratch || ax_load(&pkt))
		return AX_R_INTERNAL;
	bucket = ax_bucket_of(&scratch->key);
	if (!bucket)
		return AX_R_INTERNAL;
	if (pkt.proto == IPPROTO_TCP && !ax_is_opening(&pkt))
		ax_keep_choice(ctx, &pkt, &scratch->key, &scratch->choice);
	ax_pick(&scratch->key, &place);
	segments = ax_remember(ctx, &pkt, &scratch->key, bucket, &place, &scratch->choice,
			       scratch->choice.forward | ax_long_way(&scratch->key));
	if (unlikely(scratch->choice.forward & AX_MEASURE) && place.entry)
		segments = ax_measure(ctx, pkt.family, place.slot);
	return ax_outcome(&pkt, ax_send(scratch, scratch->key.hash, AX_R_STEERED, segments));
}

static __always_inline int ax_steer_new(struct xdp_md *ctx, struct ax_packet *pkt)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_request *request;
	struct ax_vip_key key = {};
	int reason, quic, id;
	__u32 *found;

	if (!scratch)
		return AX_R_INTERNAL;
	request = &scratch->request;
	if (ax_request_of(ctx, pkt, request))
		return AX_R_INTERNAL;
	key.addr = request->destination;
	found = ax_service(pkt, &key);
	id = found ? (int)*found : ax_has_prefixes(pkt) ? ax_find_in_prefix(0) : -1;
	if (id < 0)
		return ax_unserved(ctx);
	reason = ax_check_steered(pkt);
	if (!reason)
		reason = ax_choose(id);
	if (reason)
		return reason;
	quic = scratch->choice.hash == AX_HASH_QUIC && pkt->proto == IPPROTO_UDP && !pkt->fragment;
	if (unlikely(quic)) {
		reason = ax_choose_quic(ctx);
		if (reason)
			return reason;
	}
	/* A client may move, and several connections may share a socket: no entry for QUIC. */
	if (ax_has_flow(pkt) && !quic)
		return ax_make_key(ctx, pkt, &scratch->key) ? AX_R_INTERNAL : AX_NEXT_REMEMBER;
	return ax_send(scratch, 0, pkt->fragment ? AX_R_STEERED_FRAGMENT : AX_R_STEERED, 0);
}

/* What was counted of the packet is not counted again. */
static __always_inline int ax_steer_anew(struct ax_scratch *scratch)
{
	scratch->packet.flags |= AX_PACKET_CHECKED;
	return AX_NEXT_NEW;
}

/* The stage for packets of flows that the table does not know. */
__noinline int ax_new_stage(struct xdp_md *ctx)
{
	struct ax_packet pkt = {};

	if (ax_load(&pkt))
		return AX_R_INTERNAL;
	return ax_outcome(&pkt, ax_check_passed(&pkt, ax_steer_new(ctx, &pkt)));
}

static __always_inline int ax_steer_flow(struct xdp_md *ctx, struct ax_packet *pkt)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_flow_ref ref = {};
	struct ax_bucket *bucket;
	int reason;

	if (!scratch || ax_make_key(ctx, pkt, &scratch->key))
		return AX_R_INTERNAL;
	bucket = ax_bucket_of(&scratch->key);
	if (!bucket)
		return AX_R_INTERNAL;
	ax_find(pkt, &scratch->key, bucket, &ref);
	if (!ref.flow)
		return AX_NEXT_NEW;
	reason = ax_check_steered(pkt);
	if (!reason)
		reason = ax_steer_known(ctx, pkt, scratch, bucket, &ref);
	return reason ? reason : ax_steer_anew(scratch);
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

#include "fragments.h"

static __always_inline int ax_steer(struct xdp_md *ctx, struct ax_packet *pkt)
{
	if (likely(!ax_maybe_vip(ctx, pkt)))
		return AX_R_NOT_VIP;
	if (unlikely(pkt->fragment) && (pkt->settings->flags & AX_SETTINGS_NOTES) &&
	    (pkt->proto == IPPROTO_TCP || pkt->proto == IPPROTO_UDP))
		return AX_NEXT_FRAGMENT;
	return ax_has_flow(pkt) ? AX_NEXT_FLOW : AX_NEXT_NEW;
}

#endif
