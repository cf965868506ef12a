/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ethernet and VLAN tags: where the network layer starts. */
#ifndef AX_BPF_FRAME_H
#define AX_BPF_FRAME_H

#include <linux/if_ether.h>

#include "packet.h"

struct ax_vlan {
	__be16 tci;
	__be16 type;
};

static __always_inline int ax_is_vlan(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

/* Behind one or two tags: offset of the network layer << 16 | ethertype; -1 if the frame ends
 * before. A function of its own so that the verifier sees one unknown offset instead of three known
 * ones. */
__noinline __u64 ax_skip_vlan(struct xdp_md *ctx)
{
	struct ethhdr *eth = ax_data(ctx);
	struct ax_vlan *tag = (void *)(eth + 1);
	void *end = ax_data_end(ctx);

	if ((void *)(tag + 1) > end)
		return -1;
	if (!ax_is_vlan(tag->type))
		return (__u64)(ETH_HLEN + sizeof(*tag)) << 16 | tag->type;
	tag++;
	if ((void *)(tag + 1) > end)
		return -1;
	return (__u64)(ETH_HLEN + 2 * sizeof(*tag)) << 16 | tag->type;
}

static __always_inline int ax_parse_frame(struct xdp_md *ctx, struct ax_packet *pkt)
{
	struct ethhdr *eth = ax_data(ctx);
	__be16 type;

	AX_RULE_END((void *)(eth + 1) > ax_data_end(ctx), ETH_TRUNCATED);
	type = eth->h_proto;
	pkt->l3_offset = ETH_HLEN;
	/* Not likely, but placed first: the verifier then sees the unknown offset before the known
	 * one, which is a case of it, and follows the rest of the program once instead of twice. */
	if (likely(ax_is_vlan(type))) {
		__u64 behind = ax_skip_vlan(ctx);

		AX_RULE_END(behind == (__u64)-1, ETH_TRUNCATED);
		type = behind;
		pkt->l3_offset = behind >> 16 & 31;
		if (ax_is_vlan(type)) {
			AX_RULE(1, VLAN_TOO_DEEP);
			return AX_R_TOO_DEEP;
		}
	}
	if (type == bpf_htons(ETH_P_IP))
		pkt->family = 4;
	else if (type == bpf_htons(ETH_P_IPV6))
		pkt->family = 6;
	else
		return AX_R_NOT_IP;
	return AX_CONTINUE;
}

#endif
