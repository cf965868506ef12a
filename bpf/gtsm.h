/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* GTSM, RFC 5082: what claims to come from a BGP neighbour must have travelled no further than the
 * neighbour is away. Applies to this node's own session addresses only; transit traffic on port 179
 * is not ours. Non-initial fragments cannot be classified and pass (section 3). */
#ifndef AX_BPF_GTSM_H
#define AX_BPF_GTSM_H

#include "address.h"
#include "icmp.h"

static __always_inline int ax_is_bgp(__be16 sport, __be16 dport)
{
	return sport == bpf_htons(AX_PORT_BGP) || dport == bpf_htons(AX_PORT_BGP);
}

static __always_inline int ax_is_session_address(const struct ax_packet *pkt,
						 const struct ax_addr *address)
{
	struct ax_addr_key key = {.addr = *address, .half = pkt->half};

	return bpf_map_lookup_elem(&ax_gtsm_local, &key) != 0;
}

static __always_inline struct ax_gtsm_peer *ax_peer(const struct ax_packet *pkt,
						    const struct ax_addr *address)
{
	struct ax_addr_key key = {.addr = *address, .half = pkt->half};

	return bpf_map_lookup_elem(&ax_gtsm_peer, &key);
}

static __always_inline void ax_count_peer(const struct ax_gtsm_peer *peer, int accepted)
{
	__u32 id = peer->id;
	struct ax_peer_counters *counters = bpf_map_lookup_elem(&ax_peer_ctr, &id);

	if (!counters)
		return;
	if (accepted)
		counters->accepted++;
	else
		counters->refused++;
}

/* A segment to a session address with port 179 on either side. */
static __always_inline int ax_gtsm_session(struct ax_packet *pkt, const struct ax_addr *source)
{
	struct ax_gtsm_peer *peer = ax_peer(pkt, source);

	if (!peer) {
		AX_RULE(pkt->ttl != 255, GTSM_TTL);
		AX_RULE(1, GTSM_UNKNOWN_PEER);
		return AX_R_GTSM_ACCEPTED;
	}
	if (unlikely(pkt->ttl < peer->min_ttl)) {
		ax_count_peer(peer, 0);
		AX_RULE(1, GTSM_TTL);
		return AX_R_GTSM_ACCEPTED;
	}
	ax_count_peer(peer, 1);
	return AX_R_GTSM_ACCEPTED;
}

/* An ICMP error can lower a session's path MTU or reset it (RFC 5082 section 3, RFC 5927). */
static __always_inline int ax_gtsm_icmp(const struct ax_packet *pkt, const struct ax_quote *quote)
{
	struct ax_gtsm_peer *peer;
	__u8 min_ttl = 255;

	/* A chain longer than we read may end in anything: it counts as a session's. */
	if (!(quote->proto == IPPROTO_TCP && quote->fragment != AX_FRAGMENT_LATER &&
	      ax_is_bgp(quote->sport, quote->dport)) &&
	    !(quote->family == 6 && ax_is_ext(quote->proto)))
		return AX_CONTINUE;
	if (!ax_is_session_address(pkt, &quote->saddr))
		return AX_CONTINUE;
	peer = ax_peer(pkt, &quote->daddr);
	if (peer)
		min_ttl = peer->min_ttl;
	if (pkt->ttl < min_ttl) {
		if (peer)
			ax_count_peer(peer, 0);
		AX_RULE(1, GTSM_ICMP);
	}
	return AX_CONTINUE;
}

/* The kernel reassembles what we cannot: no honest error is fragmented. */
static __always_inline int ax_gtsm_icmp_fragment(struct xdp_md *ctx, const struct ax_packet *pkt)
{
	struct ax_addr source, destination;

	if (pkt->ttl != 255 && !ax_addresses(ctx, pkt, &source, &destination) &&
	    ax_is_session_address(pkt, &destination))
		AX_RULE(1, GTSM_ICMP);
	return AX_CONTINUE;
}

__noinline int ax_to_session(struct xdp_md *ctx, __u32 half, __u32 family, __u32 l3_offset)
{
	struct ax_packet pkt = {.half = half, .family = family, .l3_offset = l3_offset};
	struct ax_addr source, destination;

	return !ax_addresses(ctx, &pkt, &source, &destination) &&
	       ax_is_session_address(&pkt, &destination);
}

/* The stage for what goes to a session address. */
__noinline int ax_gtsm_stage(struct xdp_md *ctx)
{
	struct ax_packet *pkt = ax_saved();
	struct ax_addr source, destination;

	if (!pkt || ax_addresses(ctx, pkt, &source, &destination))
		return AX_R_INTERNAL;
	if (pkt->proto == IPPROTO_TCP)
		return ax_check_passed(pkt, ax_gtsm_session(pkt, &source));
	AX_RULE(pkt->ttl != 255, GTSM_BFD);
	return ax_check_passed(pkt, AX_R_GTSM_ACCEPTED);
}

/* Everything that is not BGP or BFD leaves after a few comparisons. */
static __always_inline int ax_gtsm(struct xdp_md *ctx, const struct ax_packet *pkt)
{
	int bgp = pkt->proto == IPPROTO_TCP && ax_is_bgp(pkt->sport, pkt->dport);
	int bfd = pkt->proto == IPPROTO_UDP && pkt->dport == bpf_htons(AX_PORT_BFD);

	if (!ax_guard || likely(!bgp && !bfd) || !(pkt->settings->flags & AX_SETTINGS_GTSM) ||
	    pkt->fragment == AX_FRAGMENT_LATER)
		return AX_CONTINUE;
	return ax_to_session(ctx, pkt->half, pkt->family, pkt->l3_offset) ? AX_NEXT_GTSM
									  : AX_CONTINUE;
}

#endif
