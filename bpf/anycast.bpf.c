/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "maps.h"

SEC("xdp")
int anycast(struct xdp_md *ctx)
{
	struct ax_ctl *ctl = ax_control();

	return ctl && ctx->data ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
