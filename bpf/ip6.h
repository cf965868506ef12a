/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* IPv6: header, addresses, extension headers, fragments. Sets the network part of ax_packet. */
#ifndef AX_BPF_IP6_H
#define AX_BPF_IP6_H

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ipv6.h>

#include "packet.h"

#define AX_IPPROTO_MOBILITY 135
#define AX_IPPROTO_HIP 139
#define AX_IPPROTO_SHIM6 140

struct ax_ip6_ext {
	__u8 next;
	__u8 length; /* units of 8 bytes, not counting the first (AH: of 4, not counting two) */
	__u8 type;   /* routing type */
	__u8 left;
	__be16 word[2];
};

struct ax_ip6_frag {
	__u8 next;
	__u8 reserved;
	__be16 offset; /* 13 bits offset, 2 reserved, MF */
	__be32 id;
};

static __always_inline void ax_note_fragment_id(__be32 id)
{
	struct ax_scratch *scratch = ax_own_scratch();

	if (scratch)
		scratch->fragment_id = id;
}

static __always_inline int ax_is_ext(__u8 proto)
{
	return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_FRAGMENT ||
	       proto == IPPROTO_AH || proto == IPPROTO_DSTOPTS || proto == AX_IPPROTO_MOBILITY ||
	       proto == AX_IPPROTO_HIP || proto == AX_IPPROTO_SHIM6;
}

static __always_inline int ax_check_ip6_fragment(struct ax_packet *pkt,
						 const struct ax_ip6_frag *frag)
{
	__u32 field = bpf_ntohs(frag->offset);
	__u32 more = field & 1, offset = field & 0xfff8; /* in bytes already */
	__u32 payload = pkt->l4_bytes - sizeof(*frag);

	if (!more && !offset) /* RFC 6946: an atomic fragment is no fragment */
		return AX_CONTINUE;
	pkt->fragment = offset ? AX_FRAGMENT_LATER : AX_FRAGMENT_FIRST;
	AX_RULE_ONCE(more && (payload % 8 || payload == 0), IP6_FRAG_LENGTH, 8);
	AX_RULE_ONCE(offset + payload > 65535, IP6_FRAG_BEYOND, 16);
	AX_RULE_ONCE(offset == 8 && frag->next == IPPROTO_TCP, IP6_FRAG_OFFSET1, 32);
	return AX_CONTINUE;
}

#define AX_OPTION_PADDING 1
#define AX_OPTION_TWICE 2

/* PadN is zeroes, and no more of them than alignment needs. */
static __always_inline int ax_is_odd_padding(struct xdp_md *ctx, __u32 offset, __u32 length)
{
	const __u8 *content = ax_at(ctx, offset);

	if (length > 5)
		return 1;
	for (__u32 i = 0; i < 5; i++) {
		if (i >= length || (void *)(content + i + 1) > ax_data_end(ctx))
			break;
		if (content[i])
			return 1;
	}
	return 0;
}

/* RFC 8200 section 4.2: what is odd about the options at `offset`; AX_OPTION_* bits. */
__noinline int ax_ip6_options(struct xdp_md *ctx, __u32 offset, __u32 length)
{
	struct ax_scratch *scratch = ax_own_scratch();

	if (!scratch)
		return 0;
	__builtin_memset(scratch->option_types, 0, sizeof(scratch->option_types));
	AX_UNSEEN(scratch->packet.cursor) = 0;
	AX_UNSEEN(scratch->odd) = 0;
	for (int i = 0; i < AX_IP6_OPTIONS; i++) {
		__u32 at = AX_UNSEEN(scratch->packet.cursor), left = length - at;
		__u8 *option = ax_at(ctx, offset) + AX_BOUNDED(at, 0x7ff);
		__u32 type, bytes;
		__u64 *seen;

		if (!left || (void *)(option + 2) > ax_data_end(ctx))
			break;
		type = option[0];
		bytes = option[1];
		if (!type) { /* Pad1 */
			AX_UNSEEN(scratch->packet.cursor) = at + 1;
			continue;
		}
		if (left < 2 || bytes > left - 2)
			break;
		seen = &scratch->option_types[type >> 6];
		if (type == 1)
			scratch->odd |= ax_is_odd_padding(ctx, offset + at + 2, bytes);
		else
			scratch->odd |= AX_UNSEEN(*seen) >> (type & 63) << 1 & AX_OPTION_TWICE;
		*seen |= 1ULL << (type & 63);
		AX_UNSEEN(scratch->packet.cursor) = at + 2 + bytes;
	}
	return AX_UNSEEN(scratch->odd);
}

/* RFC 8200 section 4: one header of the saved packet, whose l4_offset, l4_bytes and proto move
 * along the chain; a reason, AX_CONTINUE at the end, or AX_MORE. A function of its own, see
 * ax_tcp_option.
 */
__noinline int ax_walk_header(struct xdp_md *ctx, __u32 before)
{
	struct ax_packet *pkt = ax_saved();
	__u32 offset, left, length;
	struct ax_ip6_ext *ext;
	__u8 proto;

	if (!pkt)
		return AX_R_INTERNAL;
	proto = pkt->proto;
	if (!ax_is_ext(proto))
		return AX_CONTINUE;
	offset = pkt->l4_offset;
	left = pkt->l4_bytes;
	ext = ax_at(ctx, offset);
	if (left < sizeof(*ext) || offset > AX_MAX_OFFSET || (void *)(ext + 1) > ax_data_end(ctx)) {
		AX_RULE_END(pkt->fragment == AX_FRAGMENT_FIRST, IP6_FRAG_NO_UPPER);
		AX_RULE_END(1, IP6_EXT_TRUNCATED);
	}
	if (proto == IPPROTO_FRAGMENT)
		length = sizeof(struct ax_ip6_frag);
	else if (proto == IPPROTO_AH)
		length = (ext->length + 2) * 4;
	else
		length = (ext->length + 1) * 8;
	if (length > left) {
		AX_RULE_END(pkt->fragment == AX_FRAGMENT_FIRST, IP6_FRAG_NO_UPPER);
		AX_RULE_END(1, IP6_EXT_TRUNCATED);
	}
	AX_RULE_ONCE(proto == IPPROTO_HOPOPTS && before, IP6_HOPOPT_LATE, 1);
	/* RFC 5095 (0), RFC 9288 section 3.5.2 (1: Nimrod, 3: RPL inside its domain) */
	AX_RULE_ONCE(proto == IPPROTO_ROUTING &&
			     (ext->type == 0 || ext->type == 1 || ext->type == 3),
		     IP6_ROUTING_TYPE, 2);
	if (proto == IPPROTO_HOPOPTS || proto == IPPROTO_DSTOPTS) {
		int odd = ax_ip6_options(ctx, offset + 2, length - 2);

		AX_RULE_ONCE(odd & AX_OPTION_PADDING, IP6_OPTION_PADDING, 64);
		AX_RULE_ONCE(odd & AX_OPTION_TWICE, IP6_OPTION_TWICE, 128);
		ext = ax_at(ctx, offset); /* the verifier holds nothing across calls */
		if ((void *)(ext + 1) > ax_data_end(ctx))
			return AX_R_INTERNAL;
	}
	if (proto == IPPROTO_FRAGMENT) {
		int reason;

		AX_RULE_ONCE(pkt->flags & AX_PACKET_FRAG_HEADER, IP6_FRAG_NESTED, 4);
		pkt->flags |= AX_PACKET_FRAG_HEADER;
		ax_note_fragment_id(((struct ax_ip6_frag *)ext)->id);
		reason = ax_check_ip6_fragment(pkt, (void *)ext);
		if (reason)
			return reason;
	}
	pkt->proto = ext->next;
	pkt->l4_offset = offset + length;
	pkt->l4_bytes = left - length;
	return pkt->fragment == AX_FRAGMENT_LATER ? AX_CONTINUE : AX_MORE;
}

/* The whole chain. */
static __always_inline int ax_walk_chain(struct xdp_md *ctx)
{
	struct ax_packet *pkt = ax_saved();

	if (!pkt)
		return AX_R_INTERNAL;
	for (int i = 0; i < AX_IP6_EXT_DEPTH; i++) {
		int reason = AX_FRESH(ax_walk_header(ctx, i));

		if (reason != AX_MORE)
			return reason;
	}
	AX_RULE_END(ax_is_ext(pkt->proto), IP6_EXT_TOO_MANY);
	return AX_CONTINUE;
}

static __always_inline int ax_is_mapped(const struct in6_addr *a)
{
	return !a->in6_u.u6_addr32[0] && !a->in6_u.u6_addr32[1] &&
	       a->in6_u.u6_addr32[2] == bpf_htonl(0xffff);
}

/* :: or ::1, told apart by the last word */
static __always_inline int ax_is_low(const struct in6_addr *a, __u32 last)
{
	return !a->in6_u.u6_addr32[0] && !a->in6_u.u6_addr32[1] && !a->in6_u.u6_addr32[2] &&
	       a->in6_u.u6_addr32[3] == bpf_htonl(last);
}

/* RFC 4291 sections 2.5 and 2.7 */
static __always_inline int ax_check_ip6_addresses(const struct ax_packet *pkt,
						  const struct ipv6hdr *ip)
{
	const struct in6_addr *source = &ip->saddr, *destination = &ip->daddr;

	AX_RULE(source->in6_u.u6_addr8[0] == 0xff || ax_is_low(source, 1) || ax_is_mapped(source),
		IP6_SRC_MARTIAN);
	AX_RULE(ax_is_low(destination, 0) || ax_is_low(destination, 1) || ax_is_mapped(destination),
		IP6_DST_MARTIAN);
	AX_RULE(source->in6_u.u6_addr32[0] == destination->in6_u.u6_addr32[0] &&
			source->in6_u.u6_addr32[1] == destination->in6_u.u6_addr32[1] &&
			source->in6_u.u6_addr32[2] == destination->in6_u.u6_addr32[2] &&
			source->in6_u.u6_addr32[3] == destination->in6_u.u6_addr32[3],
		IP6_LAND);
	return AX_CONTINUE;
}

static __always_inline int ax_parse_ip6(struct xdp_md *ctx, struct ax_packet *pkt)
{
	void *end = ax_data_end(ctx);
	struct ipv6hdr *ip = ax_network(ctx, pkt);
	__u32 left, payload;
	int reason = AX_CONTINUE;

	AX_RULE_END((void *)(ip + 1) > end, IP6_TRUNCATED);
	AX_RULE_END(ip->version != 6, IP6_VERSION);
	left = pkt->bytes - pkt->l3_offset - sizeof(*ip);
	payload = bpf_ntohs(ip->payload_len);
	if (unlikely(payload == 0 && left && ip->nexthdr != IPPROTO_NONE)) {
		AX_RULE(1, IP6_ZERO_LENGTH);
		payload = left;
	}
	AX_RULE_END(payload > left, IP6_PAYLOAD_LENGTH);
	pkt->l3_bytes = sizeof(*ip) + payload;
	pkt->l4_offset = pkt->l3_offset + sizeof(*ip);
	pkt->l4_bytes = payload;
	pkt->proto = ip->nexthdr;
	pkt->ttl = ip->hop_limit;
	if (unlikely(!pkt->ttl))
		pkt->flags |= AX_PACKET_TTL_ZERO;
	pkt->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;

	if (AX_GUARD) {
		reason = ax_check_ip6_addresses(pkt, ip);
		if (reason)
			return reason;
	}
	if (unlikely(ax_is_ext(pkt->proto))) {
		struct ax_packet *saved = ax_saved();

		if (!saved || ax_save(pkt) || AX_RELOAD(pkt))
			return AX_R_INTERNAL;
		reason = AX_FRESH(ax_walk_chain(ctx));
		pkt->proto = saved->proto;
		pkt->fragment = saved->fragment;
		pkt->flags = saved->flags;
		pkt->l4_offset = saved->l4_offset;
		pkt->l4_bytes = saved->l4_bytes;
	}
	return reason;
}

#endif
