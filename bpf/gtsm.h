/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* GTSM, RFC 5082: what claims to come from a BGP neighbour must have travelled no further than the
 * neighbour is away. Applies to this node's own session addresses only; transit traffic on port 179
 * is not ours. Non-initial fragments cannot be classified and pass (section 3), but for a switch.
 */
#ifndef AX_BPF_GTSM_H
#define AX_BPF_GTSM_H

#include "address.h"
#include "choose.h"
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

/* How near it says its sender is. Routers on the way count down the tunnel's TTL, not that of what
 * is inside, and the outer source is easily forged: a decapsulated packet may come from anywhere
 * (RFC 5082 section 5.2). No edge sends one to a session address, which is never a VIP. */
static __always_inline __u8 ax_nearness(const struct ax_packet *pkt)
{
	return pkt->flags & AX_PACKET_INNER ? 0 : pkt->ttl;
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
		AX_RULE(ax_nearness(pkt) != 255, GTSM_TTL);
		AX_RULE(1, GTSM_UNKNOWN_PEER);
		return AX_R_GTSM_ACCEPTED;
	}
	if (unlikely(ax_nearness(pkt) < peer->min_ttl)) {
		ax_count_peer(peer, 0);
		AX_RULE(1, GTSM_TTL);
		return AX_R_GTSM_ACCEPTED;
	}
	ax_count_peer(peer, 1);
	return AX_R_GTSM_ACCEPTED;
}

/* Of a session of ours? Linux reads the ports of what is quoted whatever its version and fragment
 * offset are. A chain longer than we read may end in anything: it counts as a session's. */
static __always_inline int ax_quotes_session(const struct ax_quote *quote)
{
	if (quote->family == 6 && ax_is_ext(quote->proto))
		return 1;
	return quote->proto == IPPROTO_TCP &&
	       (quote->fragment == AX_FRAGMENT_LATER || ax_is_bgp(quote->sport, quote->dport));
}

/* An ICMP error can lower a session's path MTU or reset it (RFC 5082 section 3, RFC 5927). The path
 * MTU is the peer's, not the session's: Linux believes an error about any packet to the peer, and
 * asks for no socket if that was our answer to a ping. */
static __always_inline int ax_is_forged_error(struct xdp_md *ctx, const struct ax_packet *pkt,
					      const struct ax_quote *quote)
{
	struct ax_gtsm_peer *peer;

	if (!ax_is_session_address(pkt, &quote->saddr))
		return 0;
	peer = ax_peer(pkt, &quote->daddr);
	if (!(peer && ax_is_too_big(ctx, pkt)) && !ax_quotes_session(quote))
		return 0;
	if (!peer)
		return 1;
	if (ax_nearness(pkt) >= peer->min_ttl)
		return 0;
	ax_count_peer(peer, 0);
	return 1;
}

/* The kernel reassembles what we cannot, and an error counts at whichever of the node's addresses
 * it arrives. No honest error to a session address is fragmented, and no link cuts one so short
 * that what it quotes cannot be read. */
static __always_inline int ax_is_forged_fragment(struct xdp_md *ctx, const struct ax_packet *pkt,
						 int quoted)
{
	struct ax_addr source, destination;

	return !quoted || (!ax_addresses(ctx, pkt, &source, &destination) &&
			   ax_is_session_address(pkt, &destination));
}

static __always_inline int ax_gtsm_icmp(struct xdp_md *ctx, const struct ax_packet *pkt,
					const struct ax_quote *quote, int quoted)
{
	if (ax_nearness(pkt) == 255)
		return AX_CONTINUE;
	AX_RULE((pkt->fragment && ax_is_forged_fragment(ctx, pkt, quoted)) ||
			(quoted && ax_is_forged_error(ctx, pkt, quote)),
		GTSM_ICMP);
	return AX_CONTINUE;
}

__noinline int ax_to_session(struct xdp_md *ctx, __u32 half, __u32 family, __u32 l3_offset)
{
	struct ax_packet pkt = {.half = half, .family = family, .l3_offset = l3_offset};
	struct ax_addr source, destination;

	return !ax_addresses(ctx, &pkt, &source, &destination) &&
	       ax_is_session_address(&pkt, &destination);
}

/* RFC 5082 section 3: what comes from next door and has lost a hop is forged, whatever it is. No
 * session is at stake, since the first fragment is bound; the kernel's memory for reassembly is. */
static __always_inline int ax_gtsm_later(struct ax_packet *pkt, const struct ax_addr *source)
{
	struct ax_gtsm_peer *peer = ax_peer(pkt, source);

	if (peer && peer->min_ttl == 255 && ax_nearness(pkt) != 255) {
		ax_count_peer(peer, 0);
		AX_RULE(1, GTSM_FRAGMENT);
	}
	return pkt->flags & AX_PACKET_INNER ? AX_R_DECAPSULATED : AX_R_NOT_VIP;
}

static __always_inline int ax_gtsm_bfd(const struct ax_packet *pkt)
{
	AX_RULE(ax_nearness(pkt) != 255, GTSM_BFD);
	return AX_R_GTSM_ACCEPTED;
}

/* The stage for what goes to a session address. */
__noinline int ax_gtsm_stage(struct xdp_md *ctx)
{
	struct ax_packet *pkt = ax_saved();
	struct ax_addr source, destination;
	int reason, inner;

	if (!pkt || ax_addresses(ctx, pkt, &source, &destination))
		return AX_R_INTERNAL;
	if (pkt->fragment == AX_FRAGMENT_LATER)
		reason = ax_gtsm_later(pkt, &source);
	else if (pkt->proto == IPPROTO_TCP)
		reason = ax_gtsm_session(pkt, &source);
	else
		reason = ax_gtsm_bfd(pkt);
	if (reason >= AX_FIRST_STEER)
		return reason;
	inner = ax_check_inner(ctx, pkt);
	return inner ? inner : ax_check_passed(pkt, reason);
}

/* A fragment that may be of TCP, if the switch is on. */
static __always_inline int ax_may_be_session(const struct ax_packet *pkt)
{
	return pkt->settings->action[AX_R_GTSM_FRAGMENT] != AX_ACTION_OFF &&
	       (pkt->proto == IPPROTO_TCP || (pkt->family == 6 && ax_is_ext(pkt->proto)));
}

/* Everything that is not BGP or BFD leaves after a few comparisons. */
static __always_inline int ax_gtsm(struct xdp_md *ctx, const struct ax_packet *pkt)
{
	int bgp = pkt->proto == IPPROTO_TCP && ax_is_bgp(pkt->sport, pkt->dport);
	int bfd = pkt->proto == IPPROTO_UDP && pkt->dport == bpf_htons(AX_PORT_BFD);
	int later = pkt->fragment == AX_FRAGMENT_LATER;

	if (!AX_GUARD || likely(!bgp && !bfd && !later) ||
	    !(pkt->settings->flags & AX_SETTINGS_GTSM) || (later && !ax_may_be_session(pkt)))
		return AX_CONTINUE;
	return ax_to_session(ctx, pkt->half, pkt->family, pkt->l3_offset) ? AX_NEXT_GTSM
									  : AX_CONTINUE;
}

#endif
