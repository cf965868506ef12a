/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors: the packet they quote (RFC 792: its header and 8 bytes; RFC 4443: as much as fits).
 */
#ifndef AX_BPF_ICMP_H
#define AX_BPF_ICMP_H

#include "address.h"
#include "ip4.h"
#include "ip6.h"

static __always_inline int ax_is_icmp_error(const struct ax_packet *pkt, __u8 type)
{
	if (pkt->family == 4) /* unreachable, source quench, time exceeded, parameter problem */
		return type == 3 || type == 4 || type == 11 || type == 12;
	return type >= 1 && type <= 4; /* unreachable, too big, time exceeded, parameter problem */
}

#define AX_QUOTE_EXT_DEPTH 3 /* extension headers looked behind in a quoted packet */

static __always_inline int ax_quote4(struct xdp_md *ctx, __u32 offset, struct ax_quote *quote,
				     __u32 *ports)
{
	struct iphdr *ip = ax_at(ctx, offset);
	__u32 field;

	if ((void *)(ip + 1) > ax_data_end(ctx) || ip->ihl < 5)
		return -1;
	quote->strange = ip->version != 4;
	*ports = offset + ip->ihl * 4;
	quote->proto = ip->protocol;
	ax_map4(&quote->saddr, ip->saddr);
	ax_map4(&quote->daddr, ip->daddr);
	field = bpf_ntohs(ip->frag_off);
	if (field & AX_IP4_OFFSET)
		quote->fragment = AX_FRAGMENT_LATER;
	return 0;
}

static __always_inline int ax_quote6(struct xdp_md *ctx, __u32 offset, __u32 end,
				     struct ax_quote *quote, __u32 *ports)
{
	struct ipv6hdr *ip = ax_at(ctx, offset);

	if ((void *)(ip + 1) > ax_data_end(ctx))
		return -1;
	quote->strange = ip->version != 6;
	offset += sizeof(*ip);
	quote->proto = ip->nexthdr;
	ax_copy6(&quote->saddr, &ip->saddr);
	ax_copy6(&quote->daddr, &ip->daddr);
	for (int i = 0; i < AX_QUOTE_EXT_DEPTH && ax_is_ext(quote->proto); i++) {
		struct ax_ip6_ext *ext = ax_at(ctx, offset);

		if (offset + sizeof(*ext) > end || (void *)(ext + 1) > ax_data_end(ctx))
			break;
		if (quote->proto == IPPROTO_FRAGMENT) {
			if (ext->type << 8 & 0xff00 || ext->left & 0xf8) {
				quote->fragment = AX_FRAGMENT_LATER;
				i = AX_QUOTE_EXT_DEPTH;
			}
			offset += sizeof(struct ax_ip6_frag);
		} else if (quote->proto == IPPROTO_AH) {
			offset += (ext->length + 2) * 4;
		} else {
			offset += (ext->length + 1) * 8;
		}
		quote->proto = ext->next;
	}
	*ports = offset;
	return 0;
}

/* Reads what the message at `offset` quotes, of which l4_bytes are there, to the scratch; 0 on
 * success, -1 if it is too short or no IP packet. quote->proto is an extension header if there are
 * more than we read. */
__noinline int ax_read_quote(struct xdp_md *ctx, __u32 offset, __u32 l4_bytes, __u32 family)
{
	struct ax_scratch *scratch = ax_own_scratch();
	__u32 at, end = offset + l4_bytes;
	struct ax_quote *quote;
	__be16 *ports;

	if (!scratch)
		return -1;
	quote = &scratch->quote;
	__builtin_memset(quote, 0, sizeof(*quote));
	quote->family = family;
	offset += 8;
	if (family == 4 ? ax_quote4(ctx, offset, quote, &at)
			: ax_quote6(ctx, offset, end, quote, &at))
		return -1;
	if (quote->fragment == AX_FRAGMENT_LATER ||
	    (quote->proto != IPPROTO_TCP && quote->proto != IPPROTO_UDP))
		return at > end ? -1 : 0;
	ports = ax_at(ctx, at);
	if (at + 4 > end || (void *)(ports + 2) > ax_data_end(ctx))
		return -1;
	quote->sport = ports[0];
	quote->dport = ports[1];
	return 0;
}

/* Type of an ICMP message that has a transport header; parsing has checked that it is there. */
static __always_inline int ax_icmp_type(struct xdp_md *ctx, const struct ax_packet *pkt)
{
	__u8 *type = ax_at(ctx, pkt->l4_offset);

	return (void *)(type + 1) > ax_data_end(ctx) ? -1 : *type;
}

/* Does the error lower a path MTU? */
static __always_inline int ax_is_too_big(struct xdp_md *ctx, const struct ax_packet *pkt)
{
	__u8 *type = ax_at(ctx, pkt->l4_offset);

	if ((void *)(type + 2) > ax_data_end(ctx))
		return 0;
	return pkt->family == 4 ? type[0] == 3 && type[1] == 4 : type[0] == 2;
}

static __always_inline int ax_is_icmp(const struct ax_packet *pkt)
{
	return pkt->proto == (pkt->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

#endif
