/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* VIP -> pool -> slot -> backend, from the half of the configuration that is in force. */
#ifndef AX_BPF_CHOOSE_H
#define AX_BPF_CHOOSE_H

#include <anycast_xdp/hash.h>

#include "address.h"
#include "odd.h"

/* May the destination be a VIP? One bit in 8 KB; false positives are found out by the look-up. */
static __always_inline int ax_maybe_vip(struct xdp_md *ctx, const struct ax_packet *pkt)
{
	__u32 folded, bit;

	if (pkt->family == 4) {
		struct iphdr *ip = ax_ip4(ctx, pkt);

		if (!ip)
			return 0;
		folded = ip->daddr;
	} else {
		struct ipv6hdr *ip = ax_ip6(ctx, pkt);

		if (!ip)
			return 0;
		folded = ip->daddr.in6_u.u6_addr32[0] ^ ip->daddr.in6_u.u6_addr32[1] ^
			 ip->daddr.in6_u.u6_addr32[2] ^ ip->daddr.in6_u.u6_addr32[3];
	}
	bit = ax_filter_bit(folded) & (AX_VIP_FILTER_BITS - 1);
	return pkt->settings->vip_filter[bit / 64] >> (bit % 64) & 1;
}

/* ---- configuration of the half in force ---------------------------------------------------- */

static __always_inline struct ax_vip *ax_vip_at(const struct ax_packet *pkt, __u32 id)
{
	__u32 at = pkt->half * ax_vips + id;

	return id < ax_vips ? bpf_map_lookup_elem(&ax_vip_info, &at) : 0;
}

static __always_inline struct ax_backend *ax_backend_at(const struct ax_packet *pkt, __u32 id)
{
	__u32 at = pkt->half * ax_backends + id;

	return id < ax_backends ? bpf_map_lookup_elem(&ax_backend, &at) : 0;
}

static __always_inline __u32 *ax_find_vip(const struct ax_packet *pkt, struct ax_vip_key *key,
					  __be16 port, __u8 proto)
{
	key->port = port;
	key->proto = proto;
	key->half = pkt->half;
	return bpf_map_lookup_elem(&ax_vip, key);
}

/* Exact, then any port, then any protocol. Fragments of TCP and UDP have a key of their own. */
static __always_inline __u32 *ax_service(const struct ax_packet *pkt, struct ax_vip_key *key)
{
	int ports = pkt->proto == IPPROTO_TCP || pkt->proto == IPPROTO_UDP;
	__u32 *id = 0;

	if (ports && pkt->fragment)
		id = ax_find_vip(pkt, key, 0, pkt->proto | AX_VIP_FRAGMENT);
	else if (ports)
		id = ax_find_vip(pkt, key, pkt->dport, pkt->proto);
	if (!id && ports && (pkt->settings->flags & AX_SETTINGS_ANY_PORT))
		id = ax_find_vip(pkt, key, 0, pkt->proto);
	if (!id && (pkt->settings->flags & AX_SETTINGS_ANY_PROTO))
		id = ax_find_vip(pkt, key, 0, 0);
	return id;
}

/* ---- what a replay wants to know ----------------------------------------------------------- */

static __always_inline void ax_trace_vip(const struct ax_packet *pkt, __u32 id)
{
	if (ax_is_replay())
		pkt->ctl->trace.vip = id + 1;
}

static __always_inline void ax_trace_slot(const struct ax_packet *pkt, __u32 slot)
{
	if (ax_is_replay())
		pkt->ctl->trace.slot = slot + 1;
}

static __always_inline void ax_trace_backend(const struct ax_packet *pkt, __u32 id)
{
	if (ax_is_replay())
		pkt->ctl->trace.backend = id + 1;
}

/* ---- choosing ------------------------------------------------------------------------------ */

static __always_inline __u32 ax_hash_packet(const struct ax_packet *pkt,
					    const struct ax_addr *source,
					    const struct ax_addr *destination)
{
	__u32 ports =
		pkt->fragment ? 0 : (__u32)bpf_ntohs(pkt->sport) << 16 | bpf_ntohs(pkt->dport);

	return ax_steer_hash(
		pkt->settings->hash_seed[0], pkt->settings->hash_seed[1],
		(__u64)bpf_ntohl(source->word[0]) << 32 | bpf_ntohl(source->word[1]),
		(__u64)bpf_ntohl(source->word[2]) << 32 | bpf_ntohl(source->word[3]),
		(__u64)bpf_ntohl(destination->word[0]) << 32 | bpf_ntohl(destination->word[1]),
		(__u64)bpf_ntohl(destination->word[2]) << 32 | bpf_ntohl(destination->word[3]),
		ports, pkt->proto);
}

/* `folded`: the words of the address, and the port. */
static __always_inline struct ax_shortcut *ax_shortcut_of(__u32 folded)
{
	__u32 at = bpf_get_smp_processor_id() * AX_SHORTCUTS +
		   (ax_filter_bit(folded) & (AX_SHORTCUTS - 1));

	return bpf_map_lookup_elem(&ax_shortcut, &at);
}

/* The next flow of this service need not look for it. */
static __always_inline void ax_keep_shortcut(const struct ax_packet *pkt,
					     const struct ax_addr *destination, __u32 vip_id,
					     const struct ax_vip *vip, const struct ax_pool *pool)
{
	const __u32 *word = destination->word;
	struct ax_shortcut *shortcut =
		ax_shortcut_of(word[0] ^ word[1] ^ word[2] ^ word[3] ^ pkt->dport);

	if (!shortcut || pkt->fragment || (pkt->proto != IPPROTO_TCP && pkt->proto != IPPROTO_UDP))
		return;
	/* its short way does not ask again */
	if (pkt->family == 4 && ax_odd_service4(bpf_ntohl(destination->word[3]), pkt->dport))
		return;
	shortcut->addr = *destination;
	shortcut->port = pkt->dport;
	shortcut->proto = pkt->proto;
	shortcut->forward = vip->forward;
	shortcut->generation = pkt->generation;
	shortcut->vip = vip_id;
	shortcut->first = pool->first;
	shortcut->size = pool->size;
	shortcut->vip_gen = vip->gen;
}

/* The packet as far as the request is about another: its service, and its backend there. */
static __always_inline void ax_ask(struct ax_packet *pkt, const struct ax_request *request)
{
	pkt->sport = request->sport;
	pkt->dport = request->dport;
	pkt->proto = request->proto;
	pkt->fragment = request->fragment;
}

/* The same by the prefix that has the requested address, where some VIP is a prefix and the address
 * has no such service of its own. `any`: is there such a prefix at all? */
__noinline int ax_find_in_prefix(__u32 any)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_prefix_key of = {};
	struct ax_vip_key key = {};
	struct ax_prefix *prefix;
	struct ax_packet pkt = {};
	__u32 *id;

	if (!scratch || ax_load(&pkt))
		return -1;
	of.length = AX_PREFIX_BITS + 128;
	of.half = pkt.half;
	of.addr = scratch->request.destination;
	prefix = bpf_map_lookup_elem(&ax_prefix, &of);
	if (!prefix || any)
		return prefix ? 0 : -1;
	ax_ask(&pkt, &scratch->request);
	key.addr = prefix->addr;
	key.bits = prefix->bits;
	id = ax_service(&pkt, &key);
	scratch->service = key;
	return id ? (int)*id : -1;
}

static __always_inline int ax_has_prefixes(const struct ax_packet *pkt)
{
	return unlikely(pkt->settings->flags & AX_SETTINGS_PREFIX);
}

/* The id of the requested service, -1 if there is none. This function and the next are of their own
 * so that verifiers see them once, with all that is known of the packet forgotten. */
__noinline int ax_find_service(void)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_vip_key key = {};
	struct ax_packet pkt = {};
	__u32 *id;

	if (!scratch || ax_load(&pkt))
		return -1;
	ax_ask(&pkt, &scratch->request);
	key.addr = scratch->request.destination;
	id = ax_service(&pkt, &key);
	scratch->service = key;
	if (id)
		return *id;
	return ax_has_prefixes(&pkt) ? ax_find_in_prefix(0) : -1;
}

/* Is the saved packet for a VIP, whatever its service? */
__noinline int ax_is_for_vip(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_vip_key key = {};
	struct ax_packet pkt = {};

	if (!scratch || ax_load(&pkt) ||
	    ax_addresses(ctx, &pkt, &scratch->request.source, &scratch->request.destination))
		return 0;
	key.addr = scratch->request.destination;
	return ax_find_vip(&pkt, &key, 0, AX_VIP_ADDRESS) ||
	       (ax_has_prefixes(&pkt) && !ax_find_in_prefix(1));
}

/* Anybody can write an edge's address into the outer header. What a tunnel brings gets no further
 * than to VIPs, which everybody may reach anyway. */
static __always_inline int ax_check_inner(struct xdp_md *ctx, const struct ax_packet *pkt)
{
	return (ax_role & AX_ROLE_BACKEND) && (pkt->flags & AX_PACKET_INNER) && !ax_is_for_vip(ctx)
		       ? AX_R_TUNNEL_NOT_VIP
		       : AX_CONTINUE;
}

/* For pools whose slots do not follow from addresses and ports: whose clients, or clients' sockets,
 * stay together. */
static __always_inline __u32 ax_hash_source(const struct ax_packet *pkt,
					    const struct ax_addr *source, int with_port)
{
	return ax_steer_hash(
		pkt->settings->hash_seed[0], pkt->settings->hash_seed[1],
		(__u64)bpf_ntohl(source->word[0]) << 32 | bpf_ntohl(source->word[1]),
		(__u64)bpf_ntohl(source->word[2]) << 32 | bpf_ntohl(source->word[3]), 0, 0,
		with_port && !pkt->fragment ? (__u32)bpf_ntohs(pkt->sport) << 16 : 0, 0);
}

/* Which slot is the request's, before the division. */
static __always_inline __u32 ax_hash_request(const struct ax_packet *pkt, __u32 input,
					     const struct ax_request *request)
{
	if (input == AX_HASH_SOURCE || input == AX_HASH_SOURCE_PORT)
		return ax_hash_source(pkt, &request->source, input == AX_HASH_SOURCE_PORT);
	return ax_hash_packet(pkt, &request->source, &request->destination);
}

/* The owner of the request's slot, to the scratch. */
__noinline int ax_choose(__u32 vip_id)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_packet pkt = {};
	struct ax_request *request;
	struct ax_backend *backend;
	struct ax_choice *choice;
	struct ax_pool *pool;
	struct ax_slot *slot;
	struct ax_vip *vip;
	__u32 at;

	if (!scratch || ax_load(&pkt))
		return AX_R_INTERNAL;
	request = &scratch->request;
	choice = &scratch->choice;
	ax_ask(&pkt, request);
	vip = ax_vip_at(&pkt, vip_id);
	if (!vip || vip->pool >= ax_pools)
		return AX_R_INTERNAL;
	at = pkt.half * ax_pools + vip->pool;
	pool = bpf_map_lookup_elem(&ax_pool, &at);
	if (!pool)
		return AX_R_INTERNAL;
	ax_trace_vip(&pkt, vip_id);
	if (!pool->size)
		return pool->all_down == AX_ALL_DOWN_PASS ? AX_R_ALL_DOWN_PASS : AX_R_NO_BACKEND;
	choice->pool = vip->pool;
	choice->hash = pool->hash;
	choice->notes = pool->notes;
	/* the short way knows this hash only */
	if (likely(pool->hash == AX_HASH_FLOW))
		ax_keep_shortcut(&pkt, &request->destination, vip_id, vip, pool);
	at = ax_hash_request(&pkt, pool->hash, request) % pool->size;
	ax_trace_slot(&pkt, at);
	at += pool->first;
	if (at >= ax_slots)
		return AX_R_INTERNAL;
	at += pkt.half * ax_slots;
	slot = bpf_map_lookup_elem(&ax_slot, &at);
	if (!slot)
		return AX_R_INTERNAL;
	if (!slot->count)
		return AX_R_NO_BACKEND;
	backend = ax_backend_at(&pkt, slot->backend[0]);
	if (!backend)
		return AX_R_INTERNAL;
	choice->backend_id = slot->backend[0];
	choice->backend_gen = backend->gen;
	choice->vip_id = vip_id;
	choice->vip_gen = vip->gen;
	choice->forward = vip->forward;
	return AX_CONTINUE;
}

#endif
