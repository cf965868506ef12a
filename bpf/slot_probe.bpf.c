/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The least that has what our program needs in a dispatcher's slot: a global function that takes
 * the packet (5.10 refuses it in an extension) and moves packet pointers. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__attribute__((noinline)) int moves_packet(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_head(ctx, 0) ? XDP_ABORTED : XDP_PASS;
}

SEC("xdp")
int slot_probe(struct xdp_md *ctx)
{
	return moves_packet(ctx);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
