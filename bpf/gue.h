/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* To a backend by GUE, and a GUE header taken apart. Format: <anycast_xdp/gue.h>. */
#ifndef AX_BPF_GUE_H
#define AX_BPF_GUE_H

#include <linux/udp.h>

#include <anycast_xdp/gue.h>

#include "choose.h"
#include "encap.h"

static __always_inline void ax_add_candidate(const struct ax_packet *pkt, struct ax_gue_way *way,
					     __u32 id)
{
	__u32 at = pkt->half * ax_backends + id, *tag;

	if (id >= ax_backends || way->count >= AX_GUE_OTHERS)
		return;
	tag = bpf_map_lookup_elem(&ax_gue_tag, &at);
	if (tag)
		way->other[way->count++ & (AX_GUE_OTHERS - 1)] = bpf_htonl(*tag);
}

/* The slot of the request, of which `pkt` says ports and protocol. */
static __always_inline struct ax_slot *ax_slot_of(const struct ax_packet *pkt,
						  const struct ax_request *request, __u32 vip_id)
{
	struct ax_vip *vip = ax_vip_at(pkt, vip_id);
	struct ax_pool *pool;
	__u32 at;

	if (!vip || vip->pool >= ax_pools)
		return 0;
	at = pkt->half * ax_pools + vip->pool;
	pool = bpf_map_lookup_elem(&ax_pool, &at);
	if (!pool || !pool->size)
		return 0;
	at = ax_hash_request(pkt, pool->hash, request) % pool->size;
	at += pool->first;
	if (at >= ax_slots)
		return 0;
	at += pkt->half * ax_slots;
	return bpf_map_lookup_elem(&ax_slot, &at);
}

/* Who else may have the flow of the request: the other candidates of its slot. */
static __always_inline void ax_add_candidates(const struct ax_packet *pkt,
					      const struct ax_request *request, __u32 vip_id,
					      __u32 chosen, struct ax_gue_way *way)
{
	struct ax_slot *slot = ax_slot_of(pkt, request, vip_id);

	if (!slot)
		return;
#pragma unroll
	for (int i = 0; i < AX_CANDIDATES; i++)
		if (i < slot->count && slot->backend[i] != chosen)
			ax_add_candidate(pkt, way, slot->backend[i]);
}

/* The same of the saved packet and the scratch's request. */
__noinline int ax_name_candidates(__u32 vip_id, __u32 chosen)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_packet pkt = {};

	if (!scratch)
		return 0;
	__builtin_memset(&scratch->gue, 0, sizeof(scratch->gue));
	if (ax_load(&pkt) || !pkt.settings->second_chance)
		return 0;
	ax_ask(&pkt, &scratch->request);
	ax_add_candidates(&pkt, &scratch->request, vip_id, chosen, &scratch->gue);
	return 0;
}

/* No checksum: of IPv4 RFC 768 leaves it to the sender; of IPv6 RFC 6935 and 6936 allow it, since
 * the packet inside has checksums of its own, and one over all of it would mean to read all of it.
 */
static __always_inline void ax_write_gue(struct udphdr *udp, const struct ax_packet *pkt,
					 const struct ax_gue_way *way, __u32 length, __u32 hash,
					 int variant0)
{
	struct ax_gue *gue = (void *)(udp + 1);

	udp->source = bpf_htons(0xc000 | (hash & 0x3fff));
	udp->dest = pkt->settings->gue_port;
	udp->len = bpf_htons(length);
	udp->check = 0;
	if (!variant0)
		return;
	gue->length = sizeof(*gue) / 4 - 1;
	gue->proto = pkt->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	gue->flags = 0;
	gue->option = AX_GUE_OPTION;
	gue->hops = way->hops;
	gue->count = way->count;
	gue->mark = way->mark;
	gue->other[0] = way->other[0];
	gue->other[1] = way->other[1];
}

/* A backend that passes a packet on does so from the address where it got it: its fellows know that
 * one from their configuration. */
static __always_inline int ax_write_gue4(struct xdp_md *ctx, const struct ax_packet *pkt,
					 const struct ax_backend *backend,
					 const struct ax_gue_way *way, __u32 extra, __u32 hash,
					 const struct ax_next_hop *hop)
{
	struct ethhdr *eth = ax_data(ctx);
	struct iphdr *outer = (void *)(eth + 1);

	if ((void *)(outer + 1) + AX_GUE_BYTES0 > ax_data_end(ctx))
		return AX_R_INTERNAL;
	ax_write_ethernet(eth, hop, bpf_htons(ETH_P_IP));
	*(__u8 *)outer = 0x45;
	outer->tos = pkt->tos;
	outer->tot_len = bpf_htons(pkt->l3_bytes + extra + sizeof(*outer));
	outer->id = 0;
	outer->frag_off = bpf_htons(AX_IP4_DF);
	outer->ttl = AX_OUTER_TTL;
	outer->protocol = IPPROTO_UDP;
	outer->check = 0;
	outer->saddr =
		ax_is_v4(&way->source) ? way->source.word[3] : pkt->settings->source4.word[3];
	outer->daddr = backend->addr.word[3];
	outer->check = ~ax_fold(ax_sum_ip4(outer));
	ax_write_gue((void *)(outer + 1), pkt, way, pkt->l3_bytes + extra, hash,
		     extra == AX_GUE_BYTES0);
	return AX_CONTINUE;
}

static __always_inline int ax_write_gue6(struct xdp_md *ctx, const struct ax_packet *pkt,
					 const struct ax_backend *backend,
					 const struct ax_gue_way *way, __u32 extra, __u32 hash,
					 const struct ax_next_hop *hop)
{
	struct ethhdr *eth = ax_data(ctx);
	struct ipv6hdr *outer = (void *)(eth + 1);

	if ((void *)(outer + 1) + AX_GUE_BYTES0 > ax_data_end(ctx))
		return AX_R_INTERNAL;
	ax_write_ethernet(eth, hop, bpf_htons(ETH_P_IPV6));
	*(__be32 *)outer = bpf_htonl(6u << 28 | (__u32)pkt->tos << 20 | (hash & 0xfffff));
	outer->payload_len = bpf_htons(pkt->l3_bytes + extra);
	outer->nexthdr = IPPROTO_UDP;
	outer->hop_limit = AX_OUTER_TTL;
	if (!ax_is_v4(&way->source) && (way->source.pair[0] || way->source.pair[1]))
		__builtin_memcpy(&outer->saddr, &way->source, 16);
	else
		__builtin_memcpy(&outer->saddr, &pkt->settings->source6, 16);
	__builtin_memcpy(&outer->daddr, &backend->addr, 16);
	ax_write_gue((void *)(outer + 1), pkt, way, pkt->l3_bytes + extra, hash,
		     extra == AX_GUE_BYTES0);
	return AX_CONTINUE;
}

/* The saved packet to backend `id`, with what the scratch's way says; an ax_outcome. */
__noinline int ax_send_gue(struct xdp_md *ctx, __u32 id, __u32 hash)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_next_hop hop = {};
	struct ax_packet pkt = {};
	struct ax_backend *backend;
	__u32 extra = AX_GUE_BYTES0, overhead, reserve = 0;
	struct ax_vip *vip;
	int reason, to4;

	if (!scratch || ax_load(&pkt))
		return AX_R_INTERNAL;
	backend = ax_backend_at(&pkt, id);
	if (!backend)
		return AX_R_INTERNAL;
	if (pkt.settings->gue_variant && !scratch->gue.relayed)
		extra = AX_GUE_BYTES1;
	to4 = ax_is_v4(&backend->addr);
	overhead = extra + (to4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	vip = scratch->gue.relayed ? 0 : ax_vip_at(&pkt, scratch->sending.vip);
	if (vip)
		reserve = vip->reserve;
	if (reserve < overhead)
		reserve = overhead;
	reason = ax_resolve(ctx, &pkt, backend, reserve, &hop);
	if (reason)
		return reason;
	if (vip) {
		hop.mtu -= reserve - overhead; /* as ax_forward_ipip */
		ax_keep_hop(&pkt, backend, id, AX_HOP_GUE, &hop);
	}
	/* The outer headers take the place of the VLAN tags. */
	if (bpf_xdp_adjust_head(ctx, (int)pkt.l3_offset - (int)overhead - ETH_HLEN))
		return AX_R_ENCAP_FAILED;
	if (!hash)
		hash = ax_mix((__u64)pkt.sport << 16 | pkt.dport) >> 32;
	reason = to4 ? ax_write_gue4(ctx, &pkt, backend, &scratch->gue, extra, hash, &hop)
		     : ax_write_gue6(ctx, &pkt, backend, &scratch->gue, extra, hash, &hop);
	if (reason)
		return reason;
	reason = ax_leave(ctx, &pkt, &hop);
	return reason ? reason : ax_outcome(&pkt, AX_CONTINUE);
}

/* The request that the packet itself is. */
static __always_inline int ax_request_of(struct xdp_md *ctx, const struct ax_packet *pkt,
					 struct ax_request *request)
{
	if (ax_addresses(ctx, pkt, &request->source, &request->destination))
		return -1;
	request->sport = pkt->sport;
	request->dport = pkt->dport;
	request->proto = pkt->proto;
	request->fragment = pkt->fragment;
	return 0;
}

static __always_inline int ax_forward_gue(struct xdp_md *ctx, struct ax_packet *pkt,
					  struct ax_scratch *scratch)
{
	const struct ax_sending *to = &scratch->sending;
	int outcome;

	/* An ICMP error goes where the flow does that it quotes: that is the request. */
	if (to->reason != AX_R_STEERED_ICMP && ax_request_of(ctx, pkt, &scratch->request))
		return AX_R_INTERNAL;
	ax_name_candidates(to->vip, to->backend);
	scratch->gue.mark = to->mark;
	outcome = ax_send_gue(ctx, to->backend, to->label);
	pkt->verdict = outcome >> 16 & 0xff;
	return outcome & 0xffff;
}

/* ---- taken apart --------------------------------------------------------------------------- */

/* How many bytes of the saved packet, UDP header first, stand before the inner packet; 0: it is no
 * GUE that we understand. What it says goes to the scratch: the option, and the inner packet's
 * protocol and length. */
__noinline __u32 ax_read_gue(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	__u32 header = sizeof(struct udphdr), length;
	struct udphdr *udp;
	struct ax_gue *gue;
	__u8 first;

	if (!scratch)
		return 0;
	udp = ax_at(ctx, scratch->packet.l4_offset);
	gue = (void *)(udp + 1);
	if ((void *)gue + sizeof(struct iphdr) > ax_data_end(ctx))
		return 0;
	length = bpf_ntohs(udp->len);
	if (length > scratch->packet.l4_bytes)
		return 0;
	first = gue->length;
	if (first >> 4 == 4) {
		scratch->packet.proto = IPPROTO_IPIP;
	} else if (first >> 4 == 6) {
		scratch->packet.proto = IPPROTO_IPV6;
	} else {
		/* draft section 3.1: what one does not understand is dropped */
		if (first & (AX_GUE_VARIANT | AX_GUE_CONTROL) || gue->flags ||
		    (gue->proto != IPPROTO_IPIP && gue->proto != IPPROTO_IPV6))
			return 0;
		header += 4 + (first & AX_GUE_LENGTH_MASK) * 4;
		scratch->packet.proto = gue->proto;
		if (first == sizeof(*gue) / 4 - 1 && gue->option == AX_GUE_OPTION) {
			if (gue->count > AX_GUE_OTHERS || gue->hops > gue->count)
				return 0;
			scratch->gue.hops = gue->hops;
			scratch->marked = gue->mark;
			scratch->gue.count = gue->count;
			scratch->gue.other[0] = gue->other[0];
			scratch->gue.other[1] = gue->other[1];
		}
	}
	if (length < header + sizeof(struct iphdr))
		return 0;
	scratch->packet.l4_bytes = length - header;
	return header;
}

#endif
