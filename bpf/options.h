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

/* ... or in a SYN MSS, or what Linux and Windows send. */
static __always_inline int ax_syn_options(struct xdp_md *ctx, const struct tcphdr *tcp,
					  __u32 header)
{
	const __be32 *word = (void *)(tcp + 1);

	if (ax_plain_options(ctx, tcp, header))
		return 1;
	if ((void *)(word + 1) > ax_data_end(ctx))
		return 0;
	if ((*word & bpf_htonl(0xffff0000)) != bpf_htonl(0x02040000))
		return 0;
	if (header == 24)
		return 1;
	if ((void *)(word + 5) > ax_data_end(ctx))
		return 0;
	if (header == 40)
		return word[1] == bpf_htonl(0x0402080a) &&
		       (word[4] & bpf_htonl(0xffffff00)) == bpf_htonl(0x01030300);
	return header == 32 && word[2] == bpf_htonl(0x01010402) &&
	       (word[1] & bpf_htonl(0xffffff00)) == bpf_htonl(0x01030300);
}

#endif
