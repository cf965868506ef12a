/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fragments to pools that want notes: the first one goes like its flow, and notes where for the
 * rest. That needs one node that sees them all; a fragment without a note goes by addresses and
 * protocol, as all fragments to other pools do. Included by steer.h. */
#ifndef AX_BPF_FRAGMENTS_H
#define AX_BPF_FRAGMENTS_H

static __always_inline int ax_wants_notes(const struct ax_packet *pkt, int vip_id)
{
	struct ax_vip *vip = vip_id < 0 ? 0 : ax_vip_at(pkt, vip_id);
	struct ax_pool *pool;
	__u32 at;

	if (!vip || vip->pool >= ax_pools)
		return 0;
	at = pkt->half * ax_pools + vip->pool;
	pool = bpf_map_lookup_elem(&ax_pool, &at);
	return pool && pool->notes;
}

static __always_inline int ax_follow_note(const struct ax_packet *pkt,
					  const struct ax_fragment_note *note,
					  struct ax_choice *choice)
{
	struct ax_vip *vip = ax_vip_at(pkt, note->vip);
	struct ax_backend *backend = ax_backend_at(pkt, note->backend);

	if (!vip || vip->gen != note->vip_gen || vip->forward == AX_FORWARD_NONE || !backend ||
	    backend->gen != note->backend_gen || !ax_takes_known(backend))
		return 0;
	choice->vip_id = note->vip;
	choice->vip_gen = note->vip_gen;
	choice->backend_id = note->backend;
	choice->backend_gen = note->backend_gen;
	choice->forward = vip->forward;
	return 1;
}

/* The flow of the request, which a first fragment names. */
static __always_inline int ax_choose_flow(const struct ax_packet *pkt, struct ax_scratch *scratch,
					  int id)
{
	struct ax_request *request = &scratch->request;
	struct ax_quote *quote = &scratch->quote;

	/* as a packet of the answer would be quoted */
	quote->saddr = request->destination;
	quote->daddr = request->source;
	quote->sport = request->dport;
	quote->dport = request->sport;
	quote->proto = request->proto;
	quote->family = pkt->family;
	quote->fragment = 0;
	return ax_choose_known() ? AX_CONTINUE : ax_choose(id);
}

/* AX_CONTINUE: no matter of notes. */
static __always_inline int ax_note_fragment(struct xdp_md *ctx, const struct ax_packet *pkt,
					    struct ax_scratch *scratch)
{
	struct ax_fragment_note *found, note = {};
	struct ax_fragment_key key = {};
	int id, reason;

	if (ax_request_of(ctx, pkt, &scratch->request))
		return AX_R_INTERNAL;
	key.source = scratch->request.source;
	key.destination = scratch->request.destination;
	key.id = pkt->family == 4 ? pkt->ip_id : scratch->fragment_id;
	key.proto = pkt->proto;
	if (pkt->fragment == AX_FRAGMENT_LATER) {
		found = bpf_map_lookup_elem(&ax_fragment, &key);
		if (found && ax_follow_note(pkt, found, &scratch->choice))
			return ax_send(scratch, 0, AX_R_STEERED_FRAGMENT, 0);
		if (ax_wants_notes(pkt, ax_find_service()))
			ax_note_reason(AX_R_FRAGMENT_UNNOTED, pkt->bytes);
		return AX_CONTINUE;
	}
	scratch->request.fragment = AX_FRAGMENT_NONE;
	id = ax_find_service();
	if (!ax_wants_notes(pkt, id))
		return AX_CONTINUE;
	reason = ax_choose_flow(pkt, scratch, id);
	if (reason)
		return reason;
	note.vip = scratch->choice.vip_id;
	note.vip_gen = scratch->choice.vip_gen;
	note.backend = scratch->choice.backend_id;
	note.backend_gen = scratch->choice.backend_gen;
	bpf_map_update_elem(&ax_fragment, &key, &note, BPF_ANY);
	return ax_send(scratch, 0, AX_R_STEERED_FRAGMENT, 0);
}

/* The stage for fragments where a pool wants notes. */
__noinline int ax_fragment_stage(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_packet pkt = {};
	int reason;

	if (!scratch || ax_load(&pkt))
		return AX_R_INTERNAL;
	reason = ax_check_steered(&pkt);
	if (!reason)
		reason = ax_note_fragment(ctx, &pkt, scratch);
	if (!reason)
		reason = ax_steer_anew(scratch);
	return ax_outcome(&pkt, ax_check_passed(&pkt, reason));
}

#endif
