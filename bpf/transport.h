/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* TCP, UDP, ICMP: header lengths, flags, ports. Sets the transport part of struct ax_packet. */
#ifndef AX_BPF_TRANSPORT_H
#define AX_BPF_TRANSPORT_H

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "packet.h"

#define AX_ICMP_BYTES 8 /* RFC 792; <linux/icmp.h> would take libc's headers with it */

#define AX_TCP_FIN 1
#define AX_TCP_SYN 2
#define AX_TCP_RST 4
#define AX_TCP_PSH 8
#define AX_TCP_ACK 16
#define AX_TCP_URG 32
#define AX_TCP_ECE 64

#define AX_ECN_CE 3

#define AX_PORT_BGP 179
#define AX_PORT_BFD 3784 /* single hop, RFC 5881 */

/* Tunnels may leave the checksum of UDP over IPv6 at 0 (RFC 6935): GUE, VXLAN, Geneve. */
#define AX_PORT_GUE 6080
#define AX_PORT_GUE_ALT 5555
#define AX_PORT_VXLAN 4789
#define AX_PORT_GENEVE 6081

/* A first IPv6 fragment must hold the whole chain with the upper-layer header (RFC 7112). */
#define AX_RULE_SHORT(cond, id)                                                                    \
	do {                                                                                       \
		if (unlikely(cond)) {                                                              \
			AX_RULE_END(pkt->family == 6 && pkt->fragment == AX_FRAGMENT_FIRST,        \
				    IP6_FRAG_NO_UPPER);                                            \
			AX_RULE_END(1, id);                                                        \
		}                                                                                  \
	} while (0)

#define AX_OPTIONS_BROKEN (1ULL << 33)
#define AX_OPTIONS_TS (1ULL << 32) /* a timestamp option (RFC 7323): TSval in the low half */

/* RFC 9293 section 3.1: one option, and the NOP before it if there is one; 0 at the end. A function
 * of its own so that verifiers see it once, not once in each round of the loop: what it hands on is
 * in the scratch. */
__noinline int ax_tcp_option(struct xdp_md *ctx, __u32 offset, __u32 length)
{
	struct ax_scratch *scratch = ax_own_scratch();
	void *end = ax_data_end(ctx);
	__u32 at, left;
	__u8 *kind;

	if (!scratch)
		return 0;
	at = scratch->packet.cursor;
	left = length - at;
	kind = ax_at(ctx, offset) + AX_BOUNDED(at, 63);
	if (!left || (void *)(kind + 1) > end)
		return 0;
	if (*kind == 1) {
		at++;
		kind++;
		if (!--left || (void *)(kind + 1) > end)
			return 0;
	}
	if (*kind == 0)
		return 0;
	if (*kind == 1) {
		scratch->packet.cursor = at + 1;
		return 1;
	}
	if (left < 2 || (void *)(kind + 2) > end || kind[1] < 2 || kind[1] > left) {
		scratch->found |= AX_OPTIONS_BROKEN;
		return 0;
	}
	if (*kind == 8 && kind[1] == 10 && (void *)(kind + 10) <= end) {
		scratch->found = AX_OPTIONS_TS | bpf_ntohl(*(__be32 *)(kind + 2));
		if (AX_HAS_CLOCKS)
			scratch->segment.echo = bpf_ntohl(*(__be32 *)(kind + 6));
	}
	if (*kind == 5) {
		scratch->sack_at = at + 2;
		scratch->sack_bytes = kind[1] - 2;
	}
	scratch->packet.cursor = at + kind[1];
	return 1;
}

/* All of them, at most 40 bytes; a result of the two above. */
__noinline __u64 ax_tcp_options(struct xdp_md *ctx, __u32 offset, __u32 length)
{
	struct ax_scratch *scratch = ax_own_scratch();

	if (!scratch)
		return 0;
	scratch->packet.cursor = 0;
	scratch->found = 0;
	scratch->sack_at = 0;
	scratch->sack_bytes = 0;
	for (int i = 0; i < 20; i++)
		if (!ax_tcp_option(ctx, offset, length))
			break;
	return scratch->found;
}

/* The SACK blocks of a segment whose options have just been walked, to the scratch. */
__noinline int ax_read_sack(struct xdp_md *ctx, __u32 offset)
{
	struct ax_scratch *scratch = ax_own_scratch();
	__be32 *word;

	if (!scratch)
		return 0;
	scratch->blocks = 0;
	for (__u32 i = 0; i < AX_SACK_BLOCKS; i++) {
		if (scratch->sack_bytes < 8 * (i + 1))
			break;
		word = ax_at(ctx, offset) + AX_BOUNDED(scratch->sack_at, 63) + 8 * i;
		if ((void *)(word + 2) > ax_data_end(ctx))
			break;
		scratch->block[i].start = bpf_ntohl(word[0]);
		scratch->block[i].end = bpf_ntohl(word[1]);
		scratch->blocks = i + 1;
	}
	return scratch->blocks;
}

static __always_inline int ax_parse_tcp(struct xdp_md *ctx, struct ax_packet *pkt)
{
	struct tcphdr *tcp = ax_at(ctx, pkt->l4_offset);
	int whole = pkt->fragment == AX_FRAGMENT_NONE;
	__u32 header, f;

	AX_RULE_SHORT(pkt->l4_bytes < sizeof(*tcp) || (void *)(tcp + 1) > ax_data_end(ctx),
		      TCP_TRUNCATED);
	header = tcp->doff * 4;
	AX_RULE_END(header < sizeof(*tcp) || (whole && header > pkt->l4_bytes), TCP_DATA_OFFSET);
	pkt->tcp_flags = f = ((__u8 *)tcp)[13];
	pkt->sport = tcp->source;
	pkt->dport = tcp->dest;
	if (!AX_GUARD)
		return AX_CONTINUE;
	/* An ACK without SYN, FIN and RST is nearly every segment there is. */
	if (unlikely((f & (AX_TCP_ACK | AX_TCP_SYN | AX_TCP_FIN | AX_TCP_RST)) != AX_TCP_ACK)) {
		AX_RULE(!(f & 63), TCP_NO_FLAGS);
		AX_RULE((f & (AX_TCP_SYN | AX_TCP_FIN)) == (AX_TCP_SYN | AX_TCP_FIN), TCP_SYN_FIN);
		AX_RULE((f & (AX_TCP_SYN | AX_TCP_RST)) == (AX_TCP_SYN | AX_TCP_RST), TCP_SYN_RST);
		AX_RULE((f & (AX_TCP_FIN | AX_TCP_RST)) == (AX_TCP_FIN | AX_TCP_RST), TCP_FIN_RST);
		AX_RULE(!(f & (AX_TCP_SYN | AX_TCP_RST | AX_TCP_ACK)), TCP_NO_ACK);
	}
	AX_RULE(!tcp->source || !tcp->dest, TCP_PORT_ZERO);
	/* The layout nearly all stacks send (NOP NOP TS) needs no walk. */
	if (whole && header > sizeof(*tcp) &&
	    pkt->settings->action[AX_R_TCP_OPTION_LENGTH] != AX_ACTION_OFF) {
		__be32 *first = (void *)(tcp + 1);

		if (unlikely(header != 32 || (void *)(first + 1) > ax_data_end(ctx) ||
			     *first != bpf_htonl(0x0101080a)))
			AX_RULE(ax_tcp_options(ctx, pkt->l4_offset + sizeof(*tcp),
					       header - sizeof(*tcp)) &
					AX_OPTIONS_BROKEN,
				TCP_OPTION_LENGTH);
	}
	return AX_CONTINUE;
}

static __always_inline int ax_parse_udp(struct xdp_md *ctx, struct ax_packet *pkt)
{
	struct udphdr *udp = ax_at(ctx, pkt->l4_offset);
	__u32 length;

	AX_RULE_SHORT(pkt->l4_bytes < sizeof(*udp) || (void *)(udp + 1) > ax_data_end(ctx),
		      UDP_TRUNCATED);
	pkt->sport = udp->source;
	pkt->dport = udp->dest;
	/* The rest is about whole datagrams: of a fragmented one the host's reassembly judges. */
	if (!AX_GUARD || unlikely(pkt->fragment))
		return AX_CONTINUE;
	length = bpf_ntohs(udp->len);
	AX_RULE(length < sizeof(*udp) || length > pkt->l4_bytes, UDP_LENGTH);
	AX_RULE(!udp->dest, UDP_PORT_ZERO);
	if (pkt->family == 6 && unlikely(!udp->check)) {
		__u16 port = bpf_ntohs(udp->dest);

		AX_RULE(port != AX_PORT_GUE && port != AX_PORT_GUE_ALT && port != AX_PORT_VXLAN &&
				port != AX_PORT_GENEVE,
			UDP6_NO_CHECKSUM);
	}
	return AX_CONTINUE;
}

static __always_inline int ax_parse_icmp4(struct xdp_md *ctx, struct ax_packet *pkt)
{
	__u8 *type = ax_at(ctx, pkt->l4_offset);

	if (pkt->fragment != AX_FRAGMENT_LATER)
		AX_RULE_END(pkt->l4_bytes < AX_ICMP_BYTES ||
				    (void *)(type + AX_ICMP_BYTES) > ax_data_end(ctx),
			    ICMP_TRUNCATED);
	AX_RULE(pkt->fragment, ICMP_FRAGMENTED);
	if (pkt->fragment == AX_FRAGMENT_LATER || (void *)(type + AX_ICMP_BYTES) > ax_data_end(ctx))
		return AX_CONTINUE;
	AX_RULE(*type == 5, ICMP_REDIRECT);
	/* RFC 6918 */
	AX_RULE(*type == 4 || *type == 6 || (*type >= 15 && *type <= 18) ||
			(*type >= 30 && *type <= 39),
		ICMP_DEPRECATED);
	return AX_CONTINUE;
}

static __always_inline int ax_parse_icmp6(struct xdp_md *ctx, struct ax_packet *pkt)
{
	__u8 *icmp = ax_at(ctx, pkt->l4_offset);

	if (pkt->fragment != AX_FRAGMENT_LATER)
		AX_RULE_SHORT(pkt->l4_bytes < 4 || (void *)(icmp + 4) > ax_data_end(ctx),
			      ICMP_TRUNCATED);
	AX_RULE(pkt->fragment, ICMP_FRAGMENTED);
	if (pkt->fragment == AX_FRAGMENT_LATER || (void *)(icmp + 4) > ax_data_end(ctx))
		return AX_CONTINUE;
	if (*icmp >= 133 && *icmp <= 137) { /* RFC 4861 */
		/* RFC 6980 section 5: with any fragment header, an atomic one too */
		AX_RULE(pkt->flags & AX_PACKET_FRAG_HEADER, ND_FRAGMENTED);
		/* 255 inside a tunnel proves nothing: it may have come from anywhere. */
		AX_RULE(pkt->ttl != 255 || pkt->flags & AX_PACKET_INNER, ND_HOP_LIMIT);
		AX_RULE(*icmp == 137, ICMP_REDIRECT);
	}
	return AX_CONTINUE;
}

static __always_inline int ax_parse_transport(struct xdp_md *ctx, struct ax_packet *pkt)
{
	if (unlikely(pkt->fragment == AX_FRAGMENT_LATER && pkt->proto != IPPROTO_ICMP &&
		     pkt->proto != IPPROTO_ICMPV6))
		return AX_CONTINUE;
	if (likely(pkt->proto == IPPROTO_TCP))
		return ax_parse_tcp(ctx, pkt);
	if (pkt->proto == IPPROTO_UDP)
		return ax_parse_udp(ctx, pkt);
	if (pkt->proto == IPPROTO_ICMP && pkt->family == 4)
		return ax_parse_icmp4(ctx, pkt);
	if (pkt->proto == IPPROTO_ICMPV6 && pkt->family == 6)
		return ax_parse_icmp6(ctx, pkt);
	return AX_CONTINUE;
}

#endif
