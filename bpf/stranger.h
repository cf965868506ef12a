/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The express way of flows that the table does not know, SYNs above all: plain segments and
 * datagrams to a service that was looked up lately (struct ax_shortcut).
 *
 *   look at the segment -> service -> slot -> backend -> remember -> encapsulate -> count
 *
 * The network header was looked at by ax_express. Until the flow is remembered nothing was changed
 * and nothing counted, so that everything else can go the long way. */
#ifndef AX_BPF_STRANGER_H
#define AX_BPF_STRANGER_H

#include "express6.h"
#include "options.h"

/* Nothing for a rule to say; sets what the flow table and the loss tracker want to know. */
static __always_inline int ax_stranger_transport(struct xdp_md *ctx, struct ax_packet *pkt)
{
	struct tcphdr *tcp = ax_data(ctx) + pkt->l4_offset;
	struct udphdr *udp = (void *)tcp;
	__u32 header, kind;

	if ((void *)(udp + 1) > ax_data_end(ctx))
		return 0;
	pkt->sport = udp->source;
	pkt->dport = udp->dest;
	if (pkt->proto == IPPROTO_UDP) {
		header = bpf_ntohs(udp->len);
		if (ax_role & AX_ROLE_BACKEND) /* may be a tunnel's end */
			return 0;
		return header >= sizeof(*udp) && header <= pkt->l4_bytes &&
		       (pkt->family == 4 || udp->check);
	}
	if (pkt->proto != IPPROTO_TCP || (void *)(tcp + 1) > ax_data_end(ctx))
		return 0;
	header = tcp->doff * 4;
	pkt->tcp_flags = ((__u8 *)tcp)[13];
	kind = pkt->tcp_flags & (AX_TCP_ACK | AX_TCP_SYN | AX_TCP_FIN | AX_TCP_RST);
	if (header < sizeof(*tcp) || header > pkt->l4_bytes)
		return 0;
	if (kind == AX_TCP_SYN)
		return ax_syn_options(ctx, tcp, header);
	/* the loss tracker has more to say of congestion */
	return kind == AX_TCP_ACK && !(pkt->tcp_flags & AX_TCP_ECE) &&
	       (pkt->tos & AX_ECN_CE) != AX_ECN_CE && ax_plain_options(ctx, tcp, header);
}

static __always_inline __u32 ax_owner_at(const struct ax_packet *pkt, __u32 slot)
{
	__u32 at = pkt->half * ax_owner_groups(ax_slots) + slot / 4;
	struct ax_owners *owners = bpf_map_lookup_elem(&ax_owner, &at);

	return owners ? owners->backend[slot & 3] : AX_NOBODY;
}

/* Where the flow will most likely go. A store, and nobody waits for it, has the entry's line on its
 * way from memory while the backend is chosen. What it says will be so: used last now. */
static __always_inline void ax_expect_entry(const struct ax_packet *pkt,
					    const struct ax_place *place)
{
	if (place->entry && place->own &&
	    (!pkt->ctl->insert_limit || place->own->inserts < pkt->ctl->insert_limit))
		AX_UNSEEN(place->flow->stamp) = ax_jiffies(pkt->ctl) >> 8;
}

/* Who gets it, if the way there is short. */
static __always_inline int ax_stranger_choice(struct xdp_md *ctx, const struct ax_packet *pkt,
					      const struct ax_place *place __attribute__((unused)),
					      struct ax_choice *choice)
{
	struct ax_addr source, vip;
	struct ax_shortcut *shortcut;
	__u32 at;

	if (ax_addresses(ctx, pkt, &source, &vip))
		return 0;
	shortcut = ax_shortcut_of(&vip, pkt->dport);
	if (!shortcut || shortcut->generation != pkt->generation || !shortcut->size ||
	    shortcut->forward != AX_FORWARD_IPIP || shortcut->port != pkt->dport ||
	    shortcut->proto != pkt->proto || shortcut->addr.pair[0] != vip.pair[0] ||
	    shortcut->addr.pair[1] != vip.pair[1])
		return 0;
	ax_expect_entry(pkt, place);
	at = ax_hash_packet(pkt, &source, &vip) % shortcut->size;
	choice->slot = at;
	at += shortcut->first;
	if (at >= ax_slots)
		return 0;
	choice->backend_id = ax_owner_at(pkt, at);
	choice->vip_id = shortcut->vip;
	choice->vip_gen = shortcut->vip_gen;
	choice->forward = AX_FORWARD_IPIP;
	return choice->backend_id < ax_backends; /* AX_NOBODY is none */
}

/* What ax_track would learn of this segment. */
static __always_inline void ax_first_segment(struct xdp_md *ctx, const struct ax_packet *pkt,
					     struct ax_first *first)
{
	struct tcphdr *tcp = ax_data(ctx) + pkt->l4_offset;
	__be32 *option = (void *)(tcp + 1);
	__u32 payload;

	if ((void *)option > ax_data_end(ctx))
		return;
	payload = pkt->l4_bytes - tcp->doff * 4;
	first->nxt = bpf_ntohl(tcp->seq) + payload;
	first->segments = !!payload;
	first->mss = payload;
	first->flags = AX_FLOW_SYNCED;
	if (tcp->doff != 8 || (void *)(option + 2) > ax_data_end(ctx))
		return;
	first->flags |= AX_FLOW_TS;
	first->max_ts = bpf_ntohl(option[1]);
}

/* A handshake that a change of the configuration overtook: ax_keep_choice decides. */
static __always_inline int ax_overtaken(const struct ax_packet *pkt, const struct ax_flow_key *key,
					const struct ax_syn *syn)
{
	return !syn || (syn->hash == key->hash && syn->generation != pkt->generation);
}

/* The way to whoever gets it; 0: a longer one. */
static __always_inline struct ax_hop *ax_stranger_way(struct xdp_md *ctx, struct ax_packet *pkt,
						      const struct ax_place *place,
						      struct ax_choice *choice)
{
	__u32 outer = pkt->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	struct ax_hop *hop;

	if (!ax_stranger_choice(ctx, pkt, place, choice))
		return 0;
	hop = ax_express_hop(pkt->ctl, choice->backend_id, pkt->family);
	if (!hop || pkt->l3_bytes + outer > hop->mtu)
		return 0;
	choice->backend_gen = hop->backend_gen;
	return hop;
}

/* Its SYN is noted, where it can be sent; else 0. */
static __always_inline struct ax_hop *ax_stranger_opens(struct xdp_md *ctx, struct ax_packet *pkt,
							const struct ax_flow_key *key,
							struct ax_choice *choice)
{
	const struct ax_place none = {};
	struct ax_hop *hop = ax_stranger_way(ctx, pkt, &none, choice);

	if (!hop)
		return 0;
	ax_trace_slot(pkt, choice->slot);
	ax_note_choice(ax_note_syn(ctx, pkt, key), choice, pkt->generation);
	return hop;
}

/* Remembered, in the way that ax_steer_new does it, where the packet can be sent; else 0. */
static __always_inline struct ax_hop *ax_stranger_to(struct xdp_md *ctx, struct ax_packet *pkt,
						     struct ax_flow_key *key,
						     struct ax_choice *choice, __u32 *segments)
{
	const int tcp = pkt->proto == IPPROTO_TCP;
	struct ax_bucket *bucket = ax_bucket_of(key);
	struct ax_first first = {};
	struct ax_place place = {};
	struct ax_syn *syn = 0;
	struct ax_hop *hop;

	if (!bucket)
		return 0;
	ax_pick_way(key, ax_victim_of(bucket, key->hash), &place);
	hop = ax_stranger_way(ctx, pkt, &place, choice);
	if (!hop)
		return 0;
	if (tcp) {
		syn = ax_syn_slot(key);
		if (ax_overtaken(pkt, key, syn))
			return 0;
	}
	ax_trace_slot(pkt, choice->slot);
	if (!ax_open_entry(pkt, bucket, &place)) {
		ax_outlive_syn(key, syn);
		return hop;
	}
	if (tcp && ax_loss) {
		ax_first_segment(ctx, pkt, &first);
		ax_consume_syn(ctx, pkt, key, syn, choice, &first);
	}
	ax_write_entry(pkt, key, bucket, &place, choice, AX_FORWARD_IPIP, &first);
	*segments = first.segments;
	return hop;
}

__noinline int ax_stranger4(struct xdp_md *ctx, __u32 bytes, __u64 hash)
{
	struct ax_packet pkt = {.bytes = bytes, .family = 4, .l3_offset = ETH_HLEN};
	struct iphdr *ip = ax_plain_ip4(ctx);
	struct ax_flow_key key = {};
	struct ax_choice choice = {};
	__u32 segments = 0;
	struct ax_hop *hop;
	int reason;

	if (!ip || !ax_take_settings(&pkt))
		return AX_UNUSUAL;
	pkt.tos = ip->tos;
	pkt.proto = ip->protocol;
	pkt.ip_id = bpf_ntohs(ip->id);
	pkt.l3_bytes = bpf_ntohs(ip->tot_len);
	pkt.l4_offset = ETH_HLEN + sizeof(*ip);
	pkt.l4_bytes = pkt.l3_bytes - sizeof(*ip);
	if (!ax_stranger_transport(ctx, &pkt) || ax_read_key(ctx, &pkt, &key) ||
	    ax_odd_source4(bpf_ntohl(ip->saddr)) || ip->saddr == ip->daddr ||
	    ax_odd_port(pkt.sport)) /* the rest: ax_keep_shortcut */
		return AX_UNUSUAL;
	ax_place_key(&key, hash);
	hop = ax_is_opening(&pkt) ? ax_stranger_opens(ctx, &pkt, &key, &choice)
				  : ax_stranger_to(ctx, &pkt, &key, &choice, &segments);
	if (!hop)
		return AX_UNUSUAL;
	reason = ax_express_outer4(ctx, hop, pkt.l3_bytes + sizeof(*ip), pkt.tos);
	if (!reason)
		reason = ax_express_sent(ctx, hop, choice.vip_id, choice.backend_id, bytes,
					 segments);
	return reason;
}

__noinline int ax_stranger6(struct xdp_md *ctx, __u32 bytes)
{
	struct ax_packet pkt = {.bytes = bytes, .family = 6, .l3_offset = ETH_HLEN};
	struct ipv6hdr *ip = ax_plain_ip6(ctx);
	struct ax_flow_key key = {};
	struct ax_choice choice = {};
	__u32 segments = 0;
	struct ax_hop *hop;
	__u32 length;
	int reason;

	if (!ip || !ax_take_settings(&pkt))
		return AX_UNUSUAL;
	length = bpf_ntohs(ip->payload_len);
	pkt.tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	pkt.proto = ip->nexthdr;
	pkt.l3_bytes = length + sizeof(*ip);
	pkt.l4_offset = ETH_HLEN + sizeof(*ip);
	pkt.l4_bytes = length;
	if (!ax_stranger_transport(ctx, &pkt) || ax_read_key(ctx, &pkt, &key) ||
	    ax_odd6(key.pair[0], key.pair[1], key.pair[2], key.pair[3], key.ports))
		return AX_UNUSUAL;
	ax_hash_key(pkt.ctl, &key);
	hop = ax_is_opening(&pkt) ? ax_stranger_opens(ctx, &pkt, &key, &choice)
				  : ax_stranger_to(ctx, &pkt, &key, &choice, &segments);
	if (!hop)
		return AX_UNUSUAL;
	ip = ax_plain_ip6(ctx);
	if (!ip)
		return AX_R_INTERNAL;
	reason = ax_express_outer6(
		ctx, pkt.settings, hop,
		ax_outer6_start(ip, length + sizeof(*ip), IPPROTO_IPV6, key.hash));
	if (!reason)
		reason = ax_express_sent(ctx, hop, choice.vip_id, choice.backend_id, bytes,
					 segments);
	return reason;
}

#endif
