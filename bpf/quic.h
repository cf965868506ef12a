/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose a QUIC packet is, by its connection id: draft-ietf-quic-load-balancers section 5.1, plain
 * server ids. A connection id begins with an octet whose three high bits are the configuration
 * rotation; then comes the server id. */
#ifndef AX_BPF_QUIC_H
#define AX_BPF_QUIC_H

#include <linux/udp.h>

#include "choose.h"

#define AX_QUIC_LONG 0x80     /* RFC 8999 section 5.1: a long header */
#define AX_QUIC_LONG_LENGTH 5 /* where it has the length of the destination's connection id */

/* The connection id of the datagram's first packet: bytes that are there, 0 if they are not. */
static __always_inline const __u8 *ax_quic_id(struct xdp_md *ctx, const struct ax_packet *pkt,
					      __u32 wanted)
{
	const __u8 *quic = ax_at(ctx, pkt->l4_offset + sizeof(struct udphdr));
	const void *end = ax_data_end(ctx);

	if ((void *)(quic + AX_QUIC_LONG_LENGTH + 1 + AX_QUIC_SERVER) > end)
		return 0;
	if (!(*quic & AX_QUIC_LONG))
		return quic + 1; /* of a length that only its server knows */
	return quic[AX_QUIC_LONG_LENGTH] > wanted ? quic + AX_QUIC_LONG_LENGTH + 1 : 0;
}

static __always_inline int ax_quic_server(struct xdp_md *ctx, const struct ax_packet *pkt,
					  __u32 pool_id, struct ax_choice *choice)
{
	__u32 at = pkt->half * ax_pools + pool_id;
	struct ax_quic_key key = {.pool = pool_id, .half = pkt->half};
	struct ax_backend *backend;
	struct ax_pool *pool;
	const __u8 *id;
	__u32 *server;

	pool = pool_id < ax_pools ? bpf_map_lookup_elem(&ax_pool, &at) : 0;
	if (!pool)
		return 0;
	id = ax_quic_id(ctx, pkt, pool->quic_length);
	if (!id || id[0] >> 5 != pool->quic_rotation)
		return 0;
#pragma unroll
	for (int i = 0; i < AX_QUIC_SERVER - 1; i++)
		if (i < pool->quic_length)
			key.server[i] = id[1 + i];
	server = bpf_map_lookup_elem(&ax_quic, &key);
	backend = server ? ax_backend_at(pkt, *server) : 0;
	if (!backend ||
	    (backend->state != AX_BACKEND_ACTIVE && backend->state != AX_BACKEND_DRAINING))
		return 0;
	choice->backend_id = *server;
	choice->backend_gen = backend->gen;
	return 1;
}

/* Does the pool go by connection ids now? Then no entry pins its datagrams. */
static __always_inline int ax_goes_by_id(const struct ax_packet *pkt, __u32 pool_id)
{
	__u32 at = pkt->half * ax_pools + pool_id;
	struct ax_pool *pool = pool_id < ax_pools ? bpf_map_lookup_elem(&ax_pool, &at) : 0;

	return pool && pool->hash == AX_HASH_QUIC;
}

/* The chosen backend gives way to the one that the connection id names. */
__noinline int ax_choose_quic(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_packet pkt = {};

	if (!scratch || ax_load(&pkt))
		return AX_R_INTERNAL;
	if (!ax_quic_server(ctx, &pkt, scratch->choice.pool, &scratch->choice)) {
		ax_note_reason(AX_R_QUIC_UNROUTABLE, pkt.bytes);
		return AX_CONTINUE;
	}
	if (ax_is_replay()) /* no slot was asked */
		pkt.ctl->trace.slot = 0;
	return AX_CONTINUE;
}

#endif
