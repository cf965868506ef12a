/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* TCP options as nearly all stacks send them, which need no walk. */
#ifndef AX_BPF_OPTIONS_H
#define AX_BPF_OPTIONS_H

#include "transport.h"

/* None, NOP NOP TS, ... */
static __always_inline int ax_plain_options(struct xdp_md *ctx, const struct tcphdr *tcp,
					    __u32 header)
{
	const __be32 *word = (void *)(tcp + 1);

	return header == 20 || (header == 32 && (void *)(word + 2) <= ax_data_end(ctx) &&
				*word == bpf_htonl(0x0101080a));
}

/* ... or in a SYN MSS, or what Linux (40) and Windows (32) send. Sets `mss`, if there is one. */
static __always_inline int ax_syn_options(struct xdp_md *ctx, const struct tcphdr *tcp,
					  __u32 header, __u16 *mss)
{
	const __be32 *word = (void *)(tcp + 1);
	const __be16 *first = (void *)word;

	if (header == 20)
		return 1;
	if (header == 40) {
		if ((void *)(word + 5) > ax_data_end(ctx))
			return 0;
		*mss = bpf_ntohs(first[1]);
		return first[0] == bpf_htons(0x0204) && word[1] == bpf_htonl(0x0402080a) &&
		       (word[4] & bpf_htonl(0xffffff00)) == bpf_htonl(0x01030300);
	}
	if ((void *)(word + 1) > ax_data_end(ctx))
		return 0;
	if (header == 32 && *word == bpf_htonl(0x0101080a))
		return 1;
	*mss = bpf_ntohs(first[1]);
	if (first[0] != bpf_htons(0x0204))
		return 0;
	return header == 24 || (header == 32 && (void *)(word + 3) <= ax_data_end(ctx) &&
				word[2] == bpf_htonl(0x01010402) &&
				(word[1] & bpf_htonl(0xffffff00)) == bpf_htonl(0x01030300));
}

#endif
