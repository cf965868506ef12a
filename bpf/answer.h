/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP messages that the program itself sends, in the VIP's name and back where the packet came
 * from: what does not fit after encapsulation, and the echo. VLAN tags stay as they were. */
#ifndef AX_BPF_ANSWER_H
#define AX_BPF_ANSWER_H

#include <linux/if_ether.h>

#include "address.h"
#include "icmp.h"
#include "ip4.h"

/* What is quoted: one checksum call's worth, which keeps the IPv4 message below the 576 bytes of
 * RFC 1812 section 4.3.2.3, and what makes an IPv6 message 1280 bytes long (RFC 4443 section 3.2).
 */
#define AX_MESSAGE4 512
#define AX_MESSAGE6 1232
#define AX_QUOTE4 (AX_MESSAGE4 - 8)
#define AX_QUOTE6 (AX_MESSAGE6 - 8)
#define AX_IP6_MIN_MTU 1280
#define AX_IP4_MIN_MTU 68
#define AX_ICMP_TOS 0xc0 /* internetwork control, RFC 1812 section 4.3.2.5 */

enum ax_icmp_type { /* RFC 792, 4443 */
		    AX_ICMP4_UNREACHABLE = 3,
		    AX_ICMP4_ECHO = 8,
		    AX_ICMP6_TOO_BIG = 2,
		    AX_ICMP6_ECHO = 128,
		    AX_ICMP6_ECHO_REPLY = 129,
};

enum ax_answer { AX_ANSWER_TOO_BIG, AX_ANSWER_ECHO };

/* Limited per CPU and 134 ms, each kind for itself. */
static __always_inline int ax_may_answer(const struct ax_packet *pkt, enum ax_answer kind)
{
	__u32 window = ax_now_ns(pkt->ctl) >> AX_ANSWER_WINDOW;
	__u32 at = bpf_get_smp_processor_id();
	struct ax_cpu *own = bpf_map_lookup_elem(&ax_cpu, &at);

	if (!own)
		return 0;
	if (own->answer_window != window) {
		own->answer_window = window;
		own->answers[AX_ANSWER_TOO_BIG] = 0;
		own->answers[AX_ANSWER_ECHO] = 0;
	}
	if (own->answers[kind] >= pkt->settings->answer_limit)
		return 0;
	own->answers[kind]++;
	return 1;
}

/* Could a reply to it arrive anywhere? The guard's rules say so too, but may be off. */
static __always_inline int ax_answerable4(__be32 source)
{
	__u8 first = bpf_ntohl(source) >> 24;

	return first && first != 127 && first < 224;
}

static __always_inline int ax_answerable6(const struct in6_addr *source)
{
	const __u32 *word = source->in6_u.u6_addr32;

	return source->in6_u.u6_addr8[0] != 0xff && (word[0] | word[1] | word[2]);
}

static __always_inline void ax_turn_ethernet(struct ethhdr *eth)
{
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
}

/* Cuts the frame behind what is quoted, and makes room before it for `room` bytes. The Ethernet
 * header and tags, 22 bytes at most, are carried to the frame's new start; where there are fewer,
 * the rest lies in the room. */
static __always_inline int ax_make_room(struct xdp_md *ctx, __u32 bytes, __u32 kept, int room)
{
	__u16 header[11], *from, *to;

	if (bpf_xdp_adjust_tail(ctx, (int)kept - (int)bytes))
		return -1;
	from = ax_data(ctx);
	if ((void *)(from + 11) > ax_data_end(ctx))
		return -1;
	__builtin_memcpy(header, from, sizeof(header));
	if (bpf_xdp_adjust_head(ctx, -room))
		return -1;
	to = ax_data(ctx);
	if ((void *)(to + 11) > ax_data_end(ctx))
		return -1;
	__builtin_memcpy(to, header, sizeof(header));
	ax_turn_ethernet((void *)to);
	return 0;
}

static __always_inline __u16 ax_icmp_sum(const void *message, __u32 bytes, __u32 seed)
{
	return ~ax_fold((__u32)bpf_csum_diff(0, 0, (void *)message, bytes, seed));
}

/* Destination unreachable, fragmentation needed and DF set, with the MTU of RFC 1191. */
__noinline int ax_too_big4(struct xdp_md *ctx, __u32 l3_offset, __u32 mtu, __u32 bytes)
{
	struct ax_packet at = {.l3_offset = l3_offset};
	struct iphdr *ip = ax_ip4(ctx, &at), *outer;
	__be32 client, vip;
	__u32 kept = l3_offset + AX_QUOTE4;
	__be16 *icmp;

	if (!ip || !ax_answerable4(ip->saddr) || bytes < kept)
		return AX_R_TOO_BIG;
	client = ip->saddr;
	vip = ip->daddr;
	if (ax_make_room(ctx, bytes, kept, sizeof(*outer) + 8))
		return AX_R_TOO_BIG;
	outer = ax_network(ctx, &at);
	icmp = (void *)(outer + 1);
	if ((void *)icmp + AX_MESSAGE4 > ax_data_end(ctx))
		return AX_R_INTERNAL;
	outer->version = 4;
	outer->ihl = 5;
	outer->tos = AX_ICMP_TOS;
	outer->tot_len = bpf_htons(sizeof(*outer) + AX_MESSAGE4);
	outer->id = 0; /* RFC 6864: DF is set */
	outer->frag_off = bpf_htons(AX_IP4_DF);
	outer->ttl = AX_OUTER_TTL;
	outer->protocol = IPPROTO_ICMP;
	outer->check = 0;
	outer->saddr = vip;
	outer->daddr = client;
	outer->check = ~ax_fold(ax_sum_ip4(outer));
	icmp[0] = bpf_htons(AX_ICMP4_UNREACHABLE << 8 | 4); /* fragmentation needed and DF set */
	icmp[1] = 0;
	icmp[2] = 0;
	icmp[3] = bpf_htons(mtu);
	icmp[1] = ax_icmp_sum(icmp, AX_MESSAGE4, 0);
	return AX_R_PTB_SENT;
}

/* RFC 4443 section 3.2. */
__noinline int ax_too_big6(struct xdp_md *ctx, __u32 l3_offset, __u32 mtu, __u32 bytes)
{
	struct ax_packet at = {.l3_offset = l3_offset};
	struct ipv6hdr *ip = ax_ip6(ctx, &at), *outer;
	__be32 pseudo[2] = {bpf_htonl(AX_MESSAGE6), bpf_htonl(IPPROTO_ICMPV6)};
	__u32 kept = l3_offset + AX_QUOTE6, sum;
	struct in6_addr client, vip;
	__be32 *icmp;

	if (!ip || !ax_answerable6(&ip->saddr) || bytes < kept)
		return AX_R_TOO_BIG;
	client = ip->saddr;
	vip = ip->daddr;
	if (ax_make_room(ctx, bytes, kept, sizeof(*outer) + 8))
		return AX_R_TOO_BIG;
	outer = ax_network(ctx, &at);
	icmp = (void *)(outer + 1);
	if ((void *)icmp + AX_MESSAGE6 > ax_data_end(ctx))
		return AX_R_INTERNAL;
	*(__be32 *)outer = bpf_htonl(6u << 28 | AX_ICMP_TOS << 20);
	outer->payload_len = bpf_htons(AX_MESSAGE6);
	outer->nexthdr = IPPROTO_ICMPV6;
	outer->hop_limit = AX_OUTER_TTL;
	outer->saddr = vip;
	outer->daddr = client;
	icmp[0] = bpf_htonl(AX_ICMP6_TOO_BIG << 24);
	icmp[1] = bpf_htonl(mtu);
	sum = bpf_csum_diff(0, 0, pseudo, sizeof(pseudo), 0);
	sum = bpf_csum_diff(0, 0, (__be32 *)&outer->saddr, 2 * sizeof(client), sum);
	sum = bpf_csum_diff(0, 0, icmp, 512, sum);
	sum = bpf_csum_diff(0, 0, icmp + 128, 512, sum);
	((__be16 *)icmp)[1] = ax_icmp_sum(icmp + 256, AX_MESSAGE6 - 1024, sum);
	return AX_R_PTB_SENT;
}

/* The largest datagram that passes, where the kernel says no more than that this one does not
 * (before 5.12): the plateaus of RFC 1191 section 7.1 that links of today have. The look-up that
 * failed left its question as it was. */
__noinline __u32 ax_plateau(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct bpf_fib_lookup *fib;

	if (!scratch)
		return 0;
	fib = &scratch->fib;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		__u32 mtu = i == 0 ? 1500 : i == 1 ? 1492 : i == 2 ? 1400 : AX_IP6_MIN_MTU;

		fib->tot_len = mtu;
		if (bpf_fib_lookup(ctx, fib, sizeof(*fib), scratch->too_big.fib_flags) !=
		    BPF_FIB_LKUP_RET_FRAG_NEEDED)
			return mtu;
	}
	return 576;
}

/* What the sender is told: the link's MTU less the most that sending to this pool can add. */
static __always_inline __u32 ax_told_mtu(struct xdp_md *ctx, const struct ax_packet *pkt,
					 const struct ax_too_big *big)
{
	__u32 mtu = big->mtu, least = pkt->family == 4 ? AX_IP4_MIN_MTU : AX_IP6_MIN_MTU;

	if (mtu >= big->bytes)
		mtu = ax_plateau(ctx);
	mtu = mtu > big->reserve ? mtu - big->reserve : 0;
	/* RFC 8200 section 5: nobody makes IPv6 packets smaller than that */
	return mtu < least ? least : mtu;
}

/* The stage for what does not fit. The frame is as it arrived. */
__noinline int ax_too_big_stage(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_packet pkt = {};
	__u32 mtu;
	int reason;

	if (!scratch || ax_load(&pkt))
		return AX_R_INTERNAL;
	/* RFC 1812 section 4.3.2.7, RFC 4443 section 2.4 e: never about an error */
	if (scratch->sending.reason == AX_R_STEERED_ICMP)
		return AX_R_TOO_BIG;
	if (pkt.family == 4) {
		struct iphdr *ip = ax_ip4(ctx, &pkt);

		if (!ip)
			return AX_R_INTERNAL;
		if (!(ip->frag_off & bpf_htons(AX_IP4_DF)))
			return AX_R_TOO_BIG_NO_DF;
		if (pkt.fragment == AX_FRAGMENT_LATER)
			return AX_R_TOO_BIG;
	}
	mtu = ax_told_mtu(ctx, &pkt, &scratch->too_big);
	if (mtu >= pkt.l3_bytes || mtu > 65535)
		return AX_R_TOO_BIG;
	if (!ax_may_answer(&pkt, AX_ANSWER_TOO_BIG))
		return AX_R_TOO_BIG_LIMITED;
	reason = pkt.family == 4 ? ax_too_big4(ctx, pkt.l3_offset, mtu, pkt.bytes)
				 : ax_too_big6(ctx, pkt.l3_offset, mtu, pkt.bytes);
	return reason | (reason == AX_R_PTB_SENT ? XDP_TX << 16 : 0);
}

static __always_inline int ax_is_echo_request(struct xdp_md *ctx, const struct ax_packet *pkt)
{
	__u32 plain =
		pkt->l3_offset + (pkt->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));

	/* RFC 1122 section 3.2.2.6: options are turned as well; that is for the stack. */
	return !pkt->fragment && pkt->l4_offset == plain &&
	       ax_icmp_type(ctx, pkt) == (pkt->family == 4 ? AX_ICMP4_ECHO : AX_ICMP6_ECHO);
}

/* The checksum of what had `from` in one of its words and now has `to`: RFC 1624, equation 3. */
static __always_inline __u16 ax_changed_sum(__u16 check, __u16 from, __u16 to)
{
	return ~ax_fold((__u32)(__u16)~check + (__u16)~from + to);
}

static __always_inline int ax_turn_echo4(struct xdp_md *ctx, const struct ax_packet *pkt)
{
	struct iphdr *ip = ax_network(ctx, pkt);
	__be16 *icmp = (void *)(ip + 1), *lifetime = (void *)&ip->ttl;
	__be32 client;
	__be16 was;

	if ((void *)(icmp + 4) > ax_data_end(ctx) || !ax_answerable4(ip->saddr))
		return -1;
	client = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = client;
	was = *lifetime;
	ip->ttl = AX_OUTER_TTL;
	ip->check = ax_changed_sum(ip->check, was, *lifetime);
	was = icmp[0];
	icmp[0] = was & bpf_htons(0x00ff);
	icmp[1] = ax_changed_sum(icmp[1], was, icmp[0]);
	return 0;
}

static __always_inline int ax_turn_echo6(struct xdp_md *ctx, const struct ax_packet *pkt)
{
	struct ipv6hdr *ip = ax_network(ctx, pkt);
	__be16 *icmp = (void *)(ip + 1), was;
	struct in6_addr client;

	if ((void *)(icmp + 4) > ax_data_end(ctx) || !ax_answerable6(&ip->saddr))
		return -1;
	client = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = client;
	ip->hop_limit = AX_OUTER_TTL;
	was = icmp[0];
	icmp[0] = bpf_htons(AX_ICMP6_ECHO_REPLY << 8) | (was & bpf_htons(0x00ff));
	icmp[1] = ax_changed_sum(icmp[1], was, icmp[0]);
	return 0;
}

/* The stage for echo requests to a VIP. A wrong ICMP checksum stays wrong, for the asker to see. */
__noinline int ax_echo_stage(struct xdp_md *ctx)
{
	struct ax_packet pkt = {};
	struct ethhdr *eth;

	if (ax_load(&pkt))
		return AX_R_INTERNAL;
	if (!ax_may_answer(&pkt, AX_ANSWER_ECHO))
		return AX_R_ECHO_LIMITED;
	if (pkt.family == 4 ? ax_turn_echo4(ctx, &pkt) : ax_turn_echo6(ctx, &pkt))
		return ax_check_passed(&pkt, AX_R_VIP_ICMP);
	eth = ax_data(ctx);
	if ((void *)(eth + 1) > ax_data_end(ctx))
		return AX_R_INTERNAL;
	ax_turn_ethernet(eth);
	return AX_R_ECHO_ANSWERED | XDP_TX << 16;
}

#endif
