/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors: the packet they quote (RFC 792: its header and 8 bytes; RFC 4443: as much as fits).
 */
#ifndef AX_BPF_ICMP_H
#define AX_BPF_ICMP_H

#include "address.h"
#include "ip4.h"
#include "ip6.h"

/* The quoted packet, which this node or a backend behind it once sent: its destination is the
 * remote end. */
struct ax_quote {
	struct ax_addr saddr, daddr;
	__be16 sport, dport;
	__u8 proto;
	__u8 family;
	__u8 fragment; /* enum ax_fragment: no ports if LATER */
	__u8 pad;
};

static __always_inline int ax_is_icmp_error(const struct ax_packet *pkt, __u8 type)
{
	if (pkt->family == 4) /* unreachable, source quench, time exceeded, parameter problem */
		return type == 3 || type == 4 || type == 11 || type == 12;
	return type >= 1 && type <= 4; /* unreachable, too big, time exceeded, parameter problem */
}

/* Reads what the message at `offset` quotes; 0 on success, -1 if it is too short or no IP packet.
 */
static __noinline int ax_read_quote(struct xdp_md *ctx, __u32 offset, __u32 family,
				    struct ax_quote *quote)
{
	void *end = ax_data_end(ctx);
	void *inner = ax_at(ctx, offset) + 8;
	__u32 header;
	__be16 *ports;

	quote->family = family;
	if (family == 4) {
		struct iphdr *ip = inner;
		__u32 field;

		if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
			return -1;
		header = ip->ihl * 4;
		quote->proto = ip->protocol;
		ax_map4(&quote->saddr, ip->saddr);
		ax_map4(&quote->daddr, ip->daddr);
		field = bpf_ntohs(ip->frag_off);
		if (field & AX_IP4_OFFSET)
			quote->fragment = AX_FRAGMENT_LATER;
		else if (field & AX_IP4_MF)
			quote->fragment = AX_FRAGMENT_FIRST;
	} else {
		struct ipv6hdr *ip = inner;

		if ((void *)(ip + 1) > end || ip->version != 6)
			return -1;
		header = sizeof(*ip);
		quote->proto = ip->nexthdr;
		ax_copy6(&quote->saddr, &ip->saddr);
		ax_copy6(&quote->daddr, &ip->daddr);
		if (quote->proto == IPPROTO_FRAGMENT) {
			struct ax_ip6_frag *frag = (void *)(ip + 1);

			if ((void *)(frag + 1) > end)
				return -1;
			header += sizeof(*frag);
			quote->proto = frag->next;
			quote->fragment = bpf_ntohs(frag->offset) & 0xfff8 ? AX_FRAGMENT_LATER
									   : AX_FRAGMENT_FIRST;
		}
	}
	if (quote->fragment == AX_FRAGMENT_LATER ||
	    (quote->proto != IPPROTO_TCP && quote->proto != IPPROTO_UDP))
		return 0;
	ports = inner + (header & 63);
	if ((void *)(ports + 2) > end)
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

static __always_inline int ax_is_icmp(const struct ax_packet *pkt)
{
	return pkt->proto == (pkt->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

#endif
