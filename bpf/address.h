/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses of both families as the maps' 16 bytes, and headers at the packet's offsets. */
#ifndef AX_BPF_ADDRESS_H
#define AX_BPF_ADDRESS_H

#include <linux/ip.h>
#include <linux/ipv6.h>

#include "packet.h"

static __always_inline void ax_map4(struct ax_addr *to, __be32 from)
{
	to->word[0] = 0;
	to->word[1] = 0;
	to->word[2] = bpf_htonl(0xffff);
	to->word[3] = from;
}

static __always_inline void ax_copy6(struct ax_addr *to, const struct in6_addr *from)
{
	to->word[0] = from->in6_u.u6_addr32[0];
	to->word[1] = from->in6_u.u6_addr32[1];
	to->word[2] = from->in6_u.u6_addr32[2];
	to->word[3] = from->in6_u.u6_addr32[3];
}

/* Two words as the eight bytes that they are: in packets they need not be aligned. */
static __always_inline __u64 ax_pair(const __u32 *word)
{
	return word[0] | (__u64)word[1] << 32;
}

/* Of an IPv6 header: source, then destination. */
static __always_inline void ax_pairs(const struct ipv6hdr *ip, __u64 *pair)
{
	const __u32 *word = ip->saddr.in6_u.u6_addr32;

	for (int i = 0; i < 4; i++)
		pair[i] = ax_pair(word + 2 * i);
}

/* The network header; 0 if it is not within the frame, which parsing has ruled out already. */
static __always_inline struct iphdr *ax_ip4(struct xdp_md *ctx, const struct ax_packet *pkt)
{
	struct iphdr *ip = ax_network(ctx, pkt);

	return (void *)(ip + 1) > ax_data_end(ctx) ? 0 : ip;
}

static __always_inline struct ipv6hdr *ax_ip6(struct xdp_md *ctx, const struct ax_packet *pkt)
{
	struct ipv6hdr *ip = ax_network(ctx, pkt);

	return (void *)(ip + 1) > ax_data_end(ctx) ? 0 : ip;
}

/* Source and destination of the packet; 0 on success. */
static __always_inline int ax_addresses(struct xdp_md *ctx, const struct ax_packet *pkt,
					struct ax_addr *source, struct ax_addr *destination)
{
	if (pkt->family == 4) {
		struct iphdr *ip = ax_ip4(ctx, pkt);

		if (!ip)
			return -1;
		ax_map4(source, ip->saddr);
		ax_map4(destination, ip->daddr);
	} else {
		struct ipv6hdr *ip = ax_ip6(ctx, pkt);

		if (!ip)
			return -1;
		ax_copy6(source, &ip->saddr);
		ax_copy6(destination, &ip->daddr);
	}
	return 0;
}

#endif
