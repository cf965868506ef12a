/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The segment size that a server offers, lowered to what the way to it takes behind a tunnel's
 * header: then its client sends nothing that would have to be answered by packet-too-big. */
#ifndef AX_BPF_CLAMP_H
#define AX_BPF_CLAMP_H

#include <stddef.h>

#include <linux/bpf.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AX_TCP_HEADER_BYTES 60 /* at most, options included */

/* Where in the header the MSS is, 0: nowhere. Then the client sends no more than 536 or 1220 bytes
 * (RFC 9293 section 3.7.1), which fit: none is added.
 *
 * Looked for at each place in turn, and not from option to option: so places are constants, and all
 * that verifiers carry from one to the next is where the next option may begin. */
static __always_inline __u32 ax_find_mss(struct __sk_buff *skb, __u32 l4, __u32 header)
{
	__u8 tcp[64] = {};
	__u64 size = header - 1;
	__u32 next = sizeof(struct tcphdr);

	/* 20 to 60; that it is 1 to 64, verifiers must see without a comparison */
	asm volatile("%0 &= 63\n\t%0 += 1" : "+r"(size));
	if (bpf_skb_load_bytes(skb, l4, tcp, size))
		return 0;
#pragma unroll
	for (__u32 i = sizeof(struct tcphdr); i <= AX_TCP_HEADER_BYTES - 4; i++) {
		if (i != next)
			continue;
		if (tcp[i] == 1) {
			next = i + 1;
			continue;
		}
		if (tcp[i] == 2)
			return tcp[i + 1] == 4 && i + 4 <= header ? i + 2 : 0;
		if (tcp[i] == 0 || tcp[i + 1] < 2)
			return 0;
		next = i + tcp[i + 1];
	}
	return 0;
}

/* 1 if it was higher. Never raised. `header`: bytes of the TCP header. */
static __always_inline int ax_clamp_mss(struct __sk_buff *skb, __u32 l4, __u32 header, __u32 limit)
{
	__u32 at = ax_find_mss(skb, l4, header);
	__be16 before, after = bpf_htons(limit);

	if (!at || bpf_skb_load_bytes(skb, l4 + at, &before, sizeof(before)) ||
	    bpf_ntohs(before) <= limit)
		return 0;
	/* First what lies farther back: then the checksum is writable, too. */
	if (bpf_skb_store_bytes(skb, l4 + at, &after, sizeof(after), 0))
		return 0;
	/* RFC 1624; of an option at an odd place the sum has the other order of bytes. A checksum
	 * that is left to the device is that of the pseudo header: the helper leaves it alone. */
	if (at & 1)
		bpf_l4_csum_replace(skb, l4 + offsetof(struct tcphdr, check),
				    __builtin_bswap16(before), __builtin_bswap16(after), 2);
	else
		bpf_l4_csum_replace(skb, l4 + offsetof(struct tcphdr, check), before, after, 2);
	return 1;
}

#endif
