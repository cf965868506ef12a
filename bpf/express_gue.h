/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The express way of known flows that go to their backend by GUE: what express.h found out about
 * the packet holds, and the rest is the same but for the outer headers and the candidates that they
 * name. Functions of their own, called behind express.h: IPIP pays nothing for them. */
#ifndef AX_BPF_EXPRESS_GUE_H
#define AX_BPF_EXPRESS_GUE_H

#include "express6.h"

static __always_inline __u32 ax_gue_extra(const struct ax_settings *settings)
{
	return settings->gue_variant ? AX_GUE_BYTES1 : AX_GUE_BYTES0;
}

__noinline int ax_express_gue4(struct xdp_md *ctx, __u32 bytes, __u64 place)
{
	struct ax_packet pkt = {.family = 4, .l3_offset = ETH_HLEN};
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_request request = {};
	struct ax_flow4 *entry;
	struct iphdr *ip;
	struct ax_hop *hop;
	__u32 at = place, total, extra, overhead;
	void *data;
	int sent;

	entry = bpf_map_lookup_elem(&ax_flow4, &at);
	ip = ax_plain_ip4(ctx);
	if (!scratch || !entry || !ip)
		return AX_UNUSUAL;
	ax_take_settings(&pkt);
	hop = ax_express_hop(pkt.ctl, entry->flow.backend, 4 | AX_HOP_GUE, ax_jiffies(pkt.ctl));
	if (!hop)
		return AX_UNUSUAL;
	extra = ax_gue_extra(pkt.settings);
	overhead = sizeof(*ip) + extra;
	pkt.l3_bytes = bpf_ntohs(ip->tot_len);
	total = pkt.l3_bytes + overhead;
	pkt.tos = ip->tos;
	pkt.proto = ip->protocol;
	if (total > hop->mtu || (AX_LOSS && unlikely((pkt.tos & AX_ECN_CE) == AX_ECN_CE)))
		return AX_UNUSUAL;
	sent = ax_express_transport(ctx, &entry->flow, ip + 1, ip->protocol,
				    pkt.l3_bytes - sizeof(*ip), 4);
	if (!sent)
		return AX_UNUSUAL;
	if (AX_LOSS && ip->protocol == IPPROTO_TCP)
		ax_learn_ip_id(&entry->flow, bpf_ntohs(ip->id));
	__builtin_memset(&scratch->gue, 0, sizeof(scratch->gue));
	if (pkt.settings->second_chance) {
		pkt.sport = *(__be16 *)(ip + 1);
		pkt.dport = *((__be16 *)(ip + 1) + 1);
		ax_map4(&request.source, ip->saddr);
		ax_map4(&request.destination, ip->daddr);
		ax_add_candidates(&pkt, &request, entry->flow.vip, entry->flow.backend,
				  &scratch->gue);
	}
	if (bpf_xdp_adjust_head(ctx, -(int)overhead))
		return AX_R_ENCAP_FAILED;
	data = ax_data(ctx);
	if (data + sizeof(hop->outer) + AX_GUE_BYTES0 > ax_data_end(ctx))
		return AX_R_INTERNAL;
	ax_write_hop4(data, hop, total, pkt.tos, IPPROTO_UDP);
	ax_write_gue(data + sizeof(hop->outer), &pkt, &scratch->gue, pkt.l3_bytes + extra,
		     place >> 32, extra == AX_GUE_BYTES0);
	return ax_express_known(ctx, &entry->flow, hop, bytes, sent);
}

__noinline int ax_express_gue6(struct xdp_md *ctx, __u32 bytes, __u64 place)
{
	struct ax_packet pkt = {.family = 6, .l3_offset = ETH_HLEN};
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_request request = {};
	struct ax_flow6 *entry;
	struct ipv6hdr *ip;
	struct ax_hop *hop;
	__u32 at = place, length, extra;
	__u64 first;
	void *data;
	int sent;

	entry = bpf_map_lookup_elem(&ax_flow6, &at);
	ip = ax_plain_ip6(ctx);
	if (!scratch || !entry || !ip)
		return AX_UNUSUAL;
	ax_take_settings(&pkt);
	hop = ax_express_hop(pkt.ctl, entry->flow.backend, 6 | AX_HOP_GUE, ax_jiffies(pkt.ctl));
	if (!hop)
		return AX_UNUSUAL;
	extra = ax_gue_extra(pkt.settings);
	length = bpf_ntohs(ip->payload_len) + sizeof(*ip) + extra;
	pkt.proto = ip->nexthdr;
	if (length + sizeof(*ip) > hop->mtu ||
	    (AX_LOSS && unlikely((ip->flow_lbl[0] & AX_ECN_CE << 4) == AX_ECN_CE << 4)))
		return AX_UNUSUAL;
	sent = ax_express_transport(ctx, &entry->flow, ip + 1, ip->nexthdr,
				    bpf_ntohs(ip->payload_len), 6);
	if (!sent)
		return AX_UNUSUAL;
	__builtin_memset(&scratch->gue, 0, sizeof(scratch->gue));
	if (pkt.settings->second_chance) {
		pkt.sport = *(__be16 *)(ip + 1);
		pkt.dport = *((__be16 *)(ip + 1) + 1);
		ax_copy6(&request.source, &ip->saddr);
		ax_copy6(&request.destination, &ip->daddr);
		ax_add_candidates(&pkt, &request, entry->flow.vip, entry->flow.backend,
				  &scratch->gue);
		ip = ax_plain_ip6(ctx);
		if (!ip)
			return AX_R_INTERNAL;
	}
	first = ax_outer6_start(ip, length, IPPROTO_UDP, place >> 32);
	if (bpf_xdp_adjust_head(ctx, -(int)(sizeof(*ip) + extra)))
		return AX_R_ENCAP_FAILED;
	data = ax_data(ctx);
	if (data + ETH_HLEN + sizeof(*ip) + AX_GUE_BYTES0 > ax_data_end(ctx))
		return AX_R_INTERNAL;
	ax_write_hop6(data, pkt.settings, hop, first);
	ax_write_gue(data + ETH_HLEN + sizeof(*ip), &pkt, &scratch->gue, length, place >> 32,
		     extra == AX_GUE_BYTES0);
	return ax_express_known(ctx, &entry->flow, hop, bytes, sent);
}

#endif
