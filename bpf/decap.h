/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The backend role: tunnel packets to one of our tunnel addresses, from configured edges only. */
#ifndef AX_BPF_DECAP_H
#define AX_BPF_DECAP_H

#include <linux/if_ether.h>

#include "address.h"
#include "gue.h"
#include "ip4.h"
#include "mark.h"

static __always_inline int ax_is_gue(const struct ax_packet *pkt)
{
	return pkt->proto == IPPROTO_UDP && pkt->dport == pkt->settings->gue_port;
}

static __always_inline int ax_is_tunnel(const struct ax_packet *pkt)
{
	return pkt->proto == IPPROTO_IPIP || pkt->proto == IPPROTO_IPV6 || ax_is_gue(pkt);
}

/* May it bring us, or a backend behind us, what no guard has seen? Backends pass on to each other
 * what they do not know. */
static __always_inline int ax_is_fellow(const struct ax_addr_key *source, int chance)
{
	__u32 *flags;

	if (bpf_map_lookup_elem(&ax_edge, source))
		return 1;
	if (!chance)
		return 0;
	flags = bpf_map_lookup_elem(&ax_tunnel_dst, source);
	return flags && *flags & AX_TUNNEL_BACKEND;
}

/* The saved packet. AX_NEXT_TUNNEL: ours, and from an edge. AX_CONTINUE: not for us. `chance`: it
 * may be a backend's that passes it on. A function of its own, so that verifiers see it once. */
__noinline int ax_accept_tunnel(struct xdp_md *ctx, __u32 chance)
{
	struct ax_addr_key source = {}, destination = {};
	struct ax_packet *pkt = ax_saved();
	__u32 *flags;

	if (!pkt || ax_addresses(ctx, pkt, &source.addr, &destination.addr))
		return AX_CONTINUE;
	source.half = destination.half = pkt->half;
	flags = bpf_map_lookup_elem(&ax_tunnel_dst, &destination);
	if (!flags)
		return AX_CONTINUE;
	if (!ax_is_fellow(&source, chance))
		return AX_R_TUNNEL_UNTRUSTED;
	if (!(ax_role & AX_ROLE_BACKEND) || !(*flags & AX_TUNNEL_DECAP))
		return AX_CONTINUE;
	/* We never fragment what we encapsulate: DF is set, and IPv6 is sized. */
	return pkt->fragment ? AX_R_TUNNEL_MALFORMED : AX_NEXT_TUNNEL;
}

/* RFC 6040 section 4.2, figure 4: the codepoint that leaves the tunnel; -1 where the packet must be
 * dropped. 0 is not-ECT, 1 ECT(1), 2 ECT(0), 3 CE. */
static __always_inline int ax_merged_ecn(__u8 inner, __u8 outer)
{
	if (outer == 3)
		return inner ? 3 : -1;
	return outer == 1 && inner == 2 ? 1 : inner;
}

static __always_inline int ax_merge_ecn4(struct iphdr *ip, __u8 outer)
{
	int merged = ax_merged_ecn(ip->tos & 3, outer & 3);
	__u8 tos = (ip->tos & ~3) | merged;

	if (merged < 0)
		return AX_R_ECN_ILLEGAL;
	if (tos != ip->tos) {
		/* RFC 1624, equation 3: HC' = ~(~HC + ~m + m') */
		ip->check = ~ax_fold((__u32)(__u16)~ip->check + (__u16)~bpf_htons(ip->tos) +
				     bpf_htons(tos));
		ip->tos = tos;
	}
	return AX_CONTINUE;
}

static __always_inline int ax_merge_ecn6(struct ipv6hdr *ip, __u8 outer)
{
	int merged = ax_merged_ecn(ip->flow_lbl[0] >> 4 & 3, outer & 3);

	if (merged < 0)
		return AX_R_ECN_ILLEGAL;
	ip->flow_lbl[0] = (ip->flow_lbl[0] & ~0x30) | merged << 4;
	return AX_CONTINUE;
}

/* IPIP's; GUE has its own place for it. */
static __always_inline __u32 ax_outer_mark(struct xdp_md *ctx, const struct ax_packet *pkt)
{
	struct iphdr *ip;

	if (pkt->family != 4 || pkt->proto == IPPROTO_UDP)
		return 0;
	ip = ax_ip4(ctx, pkt);
	return ip && ip->frag_off == bpf_htons(AX_IP4_DF) && bpf_ntohs(ip->id) >> 8 == AX_MARK_ID
		       ? bpf_ntohs(ip->id) & 0xff
		       : 0;
}

/* The stage for tunnel packets of edges: takes the outer header away; Ethernet header and VLAN tags
 * stay. Returns how many bytes the frame has now, 0 if that cannot be. */
__noinline __u32 ax_tunnel_stage(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_addr edge;
	struct ax_packet *pkt;
	/* Ethernet header and two tags, as words: 22 bytes and two more that are cut off again */
	__u16 header[11], *from, *to;
	__be16 type;
	__u32 outer, l2;

	if (!scratch)
		return 0;
	pkt = &scratch->packet;
	l2 = pkt->l3_offset;
	outer = pkt->l4_offset - l2;
	__builtin_memset(&scratch->gue, 0, sizeof(scratch->gue));
	if (ax_addresses(ctx, pkt, &edge, &scratch->gue.source))
		return 0;
	scratch->outer_tos = pkt->tos;
	scratch->marked = ax_outer_mark(ctx, pkt);
	if (pkt->proto == IPPROTO_UDP) {
		__u32 header = ax_read_gue(ctx);

		if (!header)
			return 0;
		outer += header;
	}
	from = ax_data(ctx);
	type = bpf_htons(pkt->proto == IPPROTO_IPIP ? ETH_P_IP : ETH_P_IPV6);
	if (pkt->l4_bytes < sizeof(struct iphdr) || (void *)(from + 11) > ax_data_end(ctx))
		return 0;
	__builtin_memcpy(header, from, sizeof(header));
	if (bpf_xdp_adjust_head(ctx, (int)(outer & AX_MAX_OFFSET)))
		return 0;
	to = ax_data(ctx);
	if ((void *)(to + 11) > ax_data_end(ctx))
		return 0;
	__builtin_memcpy(to, header, ETH_HLEN - 2);
	if (l2 == ETH_HLEN) {
		to[6] = type;
	} else if (l2 == ETH_HLEN + 4) {
		to[6] = header[6];
		to[7] = header[7];
		to[8] = type;
	} else {
		to[6] = header[6];
		to[7] = header[7];
		to[8] = header[8];
		to[9] = header[9];
		to[10] = type;
	}
	if (unlikely(scratch->marked & (AX_MARK_SUM | AX_MARK_FLOW))) {
		scratch->mark_flow.edge = edge;
		scratch->mark_flow.backend = scratch->gue.source;
		ax_mark_received(ctx);
	}
	return l2 + pkt->l4_bytes; /* the frame may have padding behind the tunnel's end */
}

/* Of the packet that was decapsulated. */
__noinline int ax_merge_ecn(struct xdp_md *ctx, __u32 family, __u32 l3_offset)
{
	struct ax_packet pkt = {.l3_offset = l3_offset};
	struct ax_scratch *scratch = ax_own_scratch();

	if (!scratch)
		return AX_R_INTERNAL;
	if (family == 4) {
		struct iphdr *ip = ax_ip4(ctx, &pkt);

		return ip ? ax_merge_ecn4(ip, scratch->outer_tos) : AX_R_INTERNAL;
	}
	struct ipv6hdr *ip = ax_ip6(ctx, &pkt);

	return ip ? ax_merge_ecn6(ip, scratch->outer_tos) : AX_R_INTERNAL;
}

#endif
