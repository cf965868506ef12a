/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The express way of what is not for a VIP: concluded at once where no rule, no GTSM session and no
 * tunnel's end can have anything to say about it, not even to count. Everything else goes the long
 * way, which says the same of most of it. */
#ifndef AX_BPF_ELSEWHERE_H
#define AX_BPF_ELSEWHERE_H

#include "address.h"
#include "odd.h"
#include "options.h"

#define AX_UNUSUAL -1 /* of an express way: the long way judges it, from the start */

/* One bit for each combination of TCP's lower five flags that no rule is about; PSH is as it may.
 */
#define AX_SOUND(flags) (1U << (flags) | 1U << ((flags) | AX_TCP_PSH))
#define AX_SOUND_FLAGS                                                                             \
	(AX_SOUND(AX_TCP_ACK) | AX_SOUND(AX_TCP_SYN) | AX_SOUND(AX_TCP_SYN | AX_TCP_ACK) |         \
	 AX_SOUND(AX_TCP_FIN | AX_TCP_ACK) | AX_SOUND(AX_TCP_RST) |                                \
	 AX_SOUND(AX_TCP_RST | AX_TCP_ACK))

static __always_inline int ax_is_sound_tcp(struct xdp_md *ctx, const struct tcphdr *tcp,
					   __u32 l4_bytes, __u32 family)
{
	__u16 word, mss;
	__u32 header;

	if (family == 6 && (void *)(tcp + 1) > ax_data_end(ctx)) /* ax_plain_ip4 knows */
		return 0;
	word = *(__u16 *)((void *)tcp + 12); /* data offset, reserved bits, flags */
	header = word >> 2 & 60;
	return header >= sizeof(*tcp) && header <= l4_bytes &&
	       AX_SOUND_FLAGS >> (word >> 8 & 31) & 1 && ax_syn_options(ctx, tcp, header, &mss);
}

static __always_inline int ax_is_sound_udp(const struct ax_settings *settings,
					   const struct udphdr *udp, __u32 l4_bytes, __u32 family)
{
	__u32 length = bpf_ntohs(udp->len);

	return length >= sizeof(*udp) && length <= l4_bytes && (family == 4 || udp->check) &&
	       udp->dest != settings->gue_port;
}

/* Nothing for a rule about the whole segment or datagram to say, and no tunnel. */
static __always_inline int ax_is_sound(struct xdp_md *ctx, const struct ax_settings *settings,
				       const void *l4, __u8 proto, __u32 l4_bytes, __u32 family)
{
	if (likely(proto == IPPROTO_TCP))
		return ax_is_sound_tcp(ctx, l4, l4_bytes, family);
	return proto == IPPROTO_UDP && ax_is_sound_udp(settings, l4, l4_bytes, family);
}

/* ax_is_plain4 said yes, and the filter no. A function of its own: known flows need the registers.
 */
__noinline int ax_elsewhere4(struct xdp_md *ctx)
{
	const struct iphdr *ip = ax_data(ctx) + ETH_HLEN;
	const struct ax_ctl *ctl = ax_control();
	const struct ax_settings *settings = &ctl->half[ctl->generation & 1];

	if ((void *)(ip + 1) + sizeof(struct tcphdr) > ax_data_end(ctx))
		return AX_UNUSUAL;
	return (settings->flags & AX_SETTINGS_VALID) && !ax_odd_path4(settings, ip) &&
			       !ax_odd_ports(*(const __u32 *)(ip + 1)) &&
			       ax_is_sound(ctx, settings, ip + 1, ip->protocol,
					   bpf_ntohs(ip->tot_len) - sizeof(*ip), 4)
		       ? AX_R_NOT_VIP
		       : AX_UNUSUAL;
}

static __always_inline int ax_elsewhere6(struct xdp_md *ctx, const struct ax_settings *settings,
					 const struct ipv6hdr *ip)
{
	const __u32 *word = ip->saddr.in6_u.u6_addr32;

	return (settings->flags & AX_SETTINGS_VALID) &&
			       !ax_odd6(ax_pair(word), ax_pair(word + 2), ax_pair(word + 4),
					ax_pair(word + 6), *(const __u32 *)(ip + 1)) &&
			       ax_is_sound(ctx, settings, ip + 1, ip->nexthdr,
					   bpf_ntohs(ip->payload_len), 6)
		       ? AX_R_NOT_VIP
		       : AX_UNUSUAL;
}

#endif
