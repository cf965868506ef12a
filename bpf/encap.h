/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a backend to a frame on the wire: next hop, MTU, outer header, MAC addresses. */
#ifndef AX_BPF_ENCAP_H
#define AX_BPF_ENCAP_H

#include <linux/if_ether.h>

#include "address.h"
#include "choose.h"
#include "ip4.h"

#ifndef AF_INET
#define AF_INET 2
#define AF_INET6 10
#endif

struct ax_next_hop {
	__u32 ifindex;
	__u32 mtu;
	__u8 smac[ETH_ALEN];
	__u8 dmac[ETH_ALEN];
	__be16 tpid, tci; /* of the tag that frames there need; 0 = none */
};

static __always_inline int ax_is_v4(const struct ax_addr *a)
{
	return !a->word[0] && !a->word[1] && a->word[2] == bpf_htonl(0xffff);
}

/* By the kernel's routes and neighbours. `bytes` is what will be sent, so that the route's MTU is
 * looked at too. */
static __always_inline int ax_fib(struct xdp_md *ctx, const struct ax_backend *backend,
				  const struct ax_settings *settings, __u32 bytes,
				  struct ax_next_hop *hop)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct bpf_fib_lookup *fib;
	long result;

	if (!scratch)
		return AX_R_INTERNAL;
	fib = &scratch->fib;
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->ifindex = ctx->ingress_ifindex;
	fib->tot_len = bytes;
	if (ax_is_v4(&backend->addr)) {
		fib->family = AF_INET;
		fib->ipv4_src = settings->source4.word[3];
		fib->ipv4_dst = backend->addr.word[3];
	} else {
		fib->family = AF_INET6;
		__builtin_memcpy(fib->ipv6_src, &settings->source6, sizeof(fib->ipv6_src));
		__builtin_memcpy(fib->ipv6_dst, &backend->addr, sizeof(fib->ipv6_dst));
	}
	scratch->too_big.fib_flags = 0;
	result = bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
	/* A node that does not forward may still send out of the interface the packet came from. */
	if (result == BPF_FIB_LKUP_RET_FWD_DISABLED) {
		scratch->too_big.fib_flags = BPF_FIB_LOOKUP_OUTPUT;
		result = bpf_fib_lookup(ctx, fib, sizeof(*fib), BPF_FIB_LOOKUP_OUTPUT);
	}
	switch (result) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		break;
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		return AX_R_NO_NEIGHBOUR;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		scratch->too_big.mtu = fib->tot_len; /* before 5.12 what was asked for */
		return AX_R_TOO_BIG;
	default:
		return AX_R_NO_ROUTE;
	}
	hop->ifindex = fib->ifindex;
	hop->mtu = fib->tot_len; /* the route's MTU; before 5.12 what was asked for */
	__builtin_memcpy(hop->smac, fib->smac, ETH_ALEN);
	__builtin_memcpy(hop->dmac, fib->dmac, ETH_ALEN);
	return AX_CONTINUE;
}

/* By the device of the next hop, or by the one beneath it with a tag. */
static __always_inline int ax_choose_device(const struct xdp_md *ctx, struct ax_next_hop *hop)
{
	struct ax_device *device;

	if (likely(hop->ifindex == ctx->ingress_ifindex))
		return AX_CONTINUE;
	device = bpf_map_lookup_elem(&ax_device, &hop->ifindex);
	if (!device)
		return AX_CONTINUE;
	if (!device->ifindex)
		return AX_R_NO_TRANSMIT;
	hop->ifindex = device->ifindex;
	hop->tpid = device->tpid;
	hop->tci = device->tci;
	return AX_CONTINUE;
}

/* The way to the backend for the packet and `reserve` bytes more. */
static __always_inline int ax_resolve(struct xdp_md *ctx, const struct ax_packet *pkt,
				      const struct ax_backend *backend, __u32 reserve,
				      struct ax_next_hop *hop)
{
	struct ax_scratch *scratch = ax_own_scratch();
	__u32 bytes = pkt->l3_bytes + reserve;

	if (!scratch)
		return AX_R_INTERNAL;
	scratch->too_big.bytes = bytes;
	scratch->too_big.reserve = reserve;
	scratch->too_big.mtu = 65535;
	if (bytes > 65535)
		return AX_R_TOO_BIG;
	if (backend->flags & AX_BACKEND_RESOLVED) {
		scratch->too_big.mtu = backend->mtu;
		if (bytes > backend->mtu)
			return AX_R_TOO_BIG;
		hop->ifindex = backend->ifindex;
		hop->mtu = backend->mtu;
		__builtin_memcpy(hop->smac, backend->smac, ETH_ALEN);
		__builtin_memcpy(hop->dmac, backend->dmac, ETH_ALEN);
	} else {
		int reason = ax_fib(ctx, backend, pkt->settings, bytes, hop);

		if (reason)
			return reason;
	}
	return ax_choose_device(ctx, hop);
}

static __always_inline void ax_write_ethernet(struct ethhdr *eth, const struct ax_next_hop *hop,
					      __be16 type)
{
	__builtin_memcpy(eth->h_source, hop->smac, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, hop->dmac, ETH_ALEN);
	eth->h_proto = type;
}

/* A tag (host order: type, then tag) behind the MAC addresses of the frame. */
static __always_inline int ax_push_tag(struct xdp_md *ctx, __u32 tag)
{
	__u8 mac[2 * ETH_ALEN];
	void *data;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(tag)))
		return AX_R_ENCAP_FAILED;
	data = ax_data(ctx);
	if (data + sizeof(tag) + ETH_HLEN > ax_data_end(ctx))
		return AX_R_INTERNAL;
	__builtin_memcpy(mac, data + sizeof(tag), sizeof(mac));
	__builtin_memcpy(data, mac, sizeof(mac));
	*(__be32 *)(data + sizeof(mac)) = bpf_htonl(tag);
	return AX_CONTINUE;
}

/* The frame is whole; where does it go? */
static __always_inline int ax_leave(struct xdp_md *ctx, struct ax_packet *pkt,
				    const struct ax_next_hop *hop)
{
	if (unlikely(hop->tpid)) {
		int reason =
			ax_push_tag(ctx, (__u32)bpf_ntohs(hop->tpid) << 16 | bpf_ntohs(hop->tci));

		if (reason)
			return reason;
	}
	pkt->verdict =
		hop->ifindex == ctx->ingress_ifindex ? XDP_TX : bpf_redirect(hop->ifindex, 0);
	return AX_CONTINUE;
}

/* Direct server return in one segment: the packet as it is, to the backend's MAC address. What a
 * VLAN tag said about the way in says nothing about the way out: it goes. */
static __always_inline int ax_forward_l2dsr(struct xdp_md *ctx, struct ax_packet *pkt,
					    const struct ax_backend *backend, __u32 reserve)
{
	struct ax_next_hop hop = {};
	struct ethhdr *eth;
	int reason = ax_resolve(ctx, pkt, backend, reserve, &hop);

	if (reason)
		return reason;
	if (pkt->l3_offset != ETH_HLEN && bpf_xdp_adjust_head(ctx, (int)pkt->l3_offset - ETH_HLEN))
		return AX_R_ENCAP_FAILED;
	eth = ax_data(ctx);
	if ((void *)(eth + 1) > ax_data_end(ctx))
		return AX_R_INTERNAL;
	ax_write_ethernet(eth, &hop, bpf_htons(pkt->family == 4 ? ETH_P_IP : ETH_P_IPV6));
	return ax_leave(ctx, pkt, &hop);
}

/* RFC 2003: DF set, TOS copied (RFC 6040 normal mode); no identification but a mark (RFC 6864). */
static __always_inline void ax_write_outer4(struct iphdr *outer, const struct ax_packet *pkt,
					    const struct ax_backend *backend, __u32 mark)
{
	__be16 id = mark ? bpf_htons(AX_MARK_ID << 8 | (mark & 0xff)) : 0;
	__u8 proto = pkt->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	__be16 total = bpf_htons(pkt->l3_bytes + sizeof(*outer));

	outer->version = 4;
	outer->ihl = 5;
	outer->tos = pkt->tos;
	outer->tot_len = total;
	outer->id = id;
	outer->frag_off = bpf_htons(AX_IP4_DF);
	outer->ttl = AX_OUTER_TTL;
	outer->protocol = proto;
	outer->saddr = pkt->settings->source4.word[3];
	outer->daddr = backend->addr.word[3];
	outer->check = ~ax_fold((__u64)backend->csum4 + bpf_htons(pkt->tos) + total +
				bpf_htons(proto) + id);
}

/* RFC 2473; the flow label spreads flows over ECMP paths (RFC 6438). */
static __always_inline void ax_write_outer6(struct ipv6hdr *outer, const struct ax_packet *pkt,
					    const struct ax_backend *backend, __u32 label)
{
	*(__be32 *)outer = bpf_htonl(6u << 28 | (__u32)pkt->tos << 20 | (label & 0xfffff));
	outer->payload_len = bpf_htons(pkt->l3_bytes);
	outer->nexthdr = pkt->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	outer->hop_limit = AX_OUTER_TTL;
	__builtin_memcpy(&outer->saddr, &pkt->settings->source6, 16);
	__builtin_memcpy(&outer->daddr, &backend->addr, 16);
}

static __always_inline struct ax_hop *ax_hop_to(__u32 backend)
{
	__u32 at = bpf_get_smp_processor_id() * ax_backends + backend;

	return bpf_map_lookup_elem(&ax_hop, &at);
}

/* Beside the family of a hop: its mtu has GUE's header taken off, else IPIP's. */
#define AX_HOP_GUE 8

/* The next packets to this backend need not ask. */
static __always_inline void ax_keep_hop(const struct ax_packet *pkt,
					const struct ax_backend *backend, __u32 id, __u8 kind,
					const struct ax_next_hop *next)
{
	struct ax_hop *hop = ax_hop_to(id);

	if (!hop || unlikely(next->tpid)) /* the express ways know of no tag */
		return;
	hop->family = kind | (ax_is_v4(&backend->addr) ? 4 : 6);
	if (ax_is_v4(&backend->addr))
		__builtin_memcpy(hop->outer, backend->outer, sizeof(hop->outer));
	else
		hop->to = backend->addr;
	__builtin_memcpy(hop->smac, next->smac, ETH_ALEN);
	__builtin_memcpy(hop->dmac, next->dmac, ETH_ALEN);
	hop->ifindex = next->ifindex;
	hop->csum4 = backend->csum4;
	hop->mtu = next->mtu;
	hop->backend_gen = backend->gen;
	hop->generation = pkt->generation;
	hop->stamp = ax_jiffies(pkt->ctl);
}

static __always_inline int ax_forward_ipip(struct xdp_md *ctx, struct ax_packet *pkt,
					   const struct ax_backend *backend,
					   const struct ax_sending *to, __u32 reserve)
{
	struct ax_next_hop hop = {};
	int to4 = ax_is_v4(&backend->addr), reason;
	__u32 overhead = to4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	struct ethhdr *eth;

	if (reserve < overhead)
		reserve = overhead;
	reason = ax_resolve(ctx, pkt, backend, reserve, &hop);
	if (reason)
		return reason;
	hop.mtu -= reserve - overhead; /* the express ways know of their own header only */
	ax_keep_hop(pkt, backend, to->backend, 0, &hop);
	/* The outer header takes the place of the VLAN tags. */
	if (bpf_xdp_adjust_head(ctx, (int)pkt->l3_offset - (int)overhead - ETH_HLEN))
		return AX_R_ENCAP_FAILED;
	eth = ax_data(ctx);
	if (to4) {
		struct iphdr *outer = (void *)(eth + 1);

		if ((void *)(outer + 1) > ax_data_end(ctx))
			return AX_R_INTERNAL;
		ax_write_outer4(outer, pkt, backend, to->mark);
		ax_write_ethernet(eth, &hop, bpf_htons(ETH_P_IP));
	} else {
		struct ipv6hdr *outer = (void *)(eth + 1);

		if ((void *)(outer + 1) > ax_data_end(ctx))
			return AX_R_INTERNAL;
		ax_write_outer6(outer, pkt, backend, to->label);
		ax_write_ethernet(eth, &hop, bpf_htons(ETH_P_IPV6));
	}
	return ax_leave(ctx, pkt, &hop);
}

static __always_inline int ax_forward(struct xdp_md *ctx, struct ax_packet *pkt,
				      const struct ax_backend *backend, const struct ax_sending *to)
{
	/* the most that any backend of the pool needs, so that a path's MTU is the same for all */
	struct ax_vip *vip = ax_vip_at(pkt, to->vip);
	__u32 reserve = vip ? vip->reserve : 0;

	if (to->forward == AX_FORWARD_IPIP)
		return ax_forward_ipip(ctx, pkt, backend, to, reserve);
	return ax_forward_l2dsr(ctx, pkt, backend, reserve);
}

#endif
