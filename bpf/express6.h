/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* express.h for IPv6. */
#ifndef AX_BPF_EXPRESS6_H
#define AX_BPF_EXPRESS6_H

#include "express.h"

/* express_gue.h; `place`: the upper half of the flow's hash, and where its entry is. */
__noinline int ax_express_gue6(struct xdp_md *ctx, __u32 bytes, __u64 place);

/* Version, traffic class, flow label; then length, protocol, hop limit. */
static __always_inline __u64 ax_outer6_start(const struct ipv6hdr *ip, __u32 length, __u32 proto,
					     __u32 label)
{
	__u32 second = length << 16 | proto << 8 | AX_OUTER_TTL;
	__u32 first = (*(__be32 *)ip & bpf_htonl(0xfff00000)) | bpf_htonl(label & 0xfffff);

	return first | (__u64)bpf_htonl(second) << 32;
}

/* RFC 2473, as ax_write_outer6: what depends on the packet is in its first eight bytes. */
static __always_inline void ax_write_hop6(void *data, const struct ax_settings *settings,
					  const struct ax_hop *hop, __u64 first)
{
	const __u64 *mac = (void *)hop->outer;

	*(__u64 *)data = mac[0];
	*(__u32 *)(data + 8) = (__u32)mac[1];
	*(__u16 *)(data + 12) = bpf_htons(ETH_P_IPV6);
	*(__u64 *)(data + 14) = first;
	*(__u64 *)(data + 22) = settings->source6.pair[0];
	*(__u64 *)(data + 30) = settings->source6.pair[1];
	*(__u64 *)(data + 38) = hop->to.pair[0];
	*(__u64 *)(data + 46) = hop->to.pair[1];
}

static __always_inline int ax_express_outer6(struct xdp_md *ctx, const struct ax_settings *settings,
					     const struct ax_hop *hop, __u64 first)
{
	void *data;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct ipv6hdr)))
		return AX_R_ENCAP_FAILED;
	data = ax_data(ctx);
	if (data + ETH_HLEN + sizeof(struct ipv6hdr) > ax_data_end(ctx))
		return AX_R_INTERNAL;
	ax_write_hop6(data, settings, hop, first);
	return AX_CONTINUE;
}

/* A function of its own, which costs a call (2 ns): with both families inlined the registers that
 * the program spills take 32 bytes more of the stack of whatever goes the long way. */
__noinline int ax_express6(struct xdp_md *ctx, __u32 bytes)
{
	struct ipv6hdr *ip = ax_plain_ip6(ctx);
	struct ax_ctl *ctl = ax_control();
	const struct ax_settings *settings;
	struct ax_flow6 *entry;
	struct ax_hop *hop;
	int reason, sent;
	__u32 length, place;
	__u64 hash, now;

	if (!ip)
		return ax_unusual();
	now = ax_jiffies(ctl);
	settings = &ctl->half[ctl->generation & 1];
	if (!ax_is_plain6(ip, bytes))
		return ax_unusual();
	if (!ax_in_filter6(settings, ip->daddr.in6_u.u6_addr32))
		return ax_elsewhere6(ctx, settings, ip);
	hash = ax_hash_ip6(ctl, ip);
	entry = ax_express_flow6(ip, hash, now, &place);
	if (!entry)
		return AX_STRANGER6;
	if (!ax_is_current(ctl, &entry->flow))
		return ax_unusual();
	if (unlikely(entry->flow.forward != AX_FORWARD_IPIP))
		return entry->flow.forward == AX_FORWARD_GUE
			       ? ax_express_gue6(ctx, bytes, hash >> 32 << 32 | place)
			       : ax_unusual();
	hop = ax_express_hop(ctl, entry->flow.backend, 6, now);
	if (!hop)
		return ax_unusual();
	length = bpf_ntohs(ip->payload_len);
	if (length + 2 * sizeof(*ip) > hop->mtu ||
	    (AX_LOSS && unlikely((ip->flow_lbl[0] & AX_ECN_CE << 4) == AX_ECN_CE << 4)))
		return ax_unusual();
	sent = ax_express_transport(ctx, &entry->flow, ip + 1, ip->nexthdr, length, 6);
	if (!sent)
		return ax_unusual();
	reason = ax_express_outer6(
		ctx, settings, hop,
		ax_outer6_start(ip, length + sizeof(*ip), IPPROTO_IPV6, hash >> 32));
	return reason ? reason : ax_express_known(ctx, &entry->flow, hop, bytes, sent);
}

#endif
