// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Sends frames that a test run makes out of an interface (BPF_F_TEST_XDP_LIVE_FRAMES), and swallows
 * what comes back there. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "rotation.h"

const volatile __u32 live_ifindex = 1;
const volatile __u8 live_template[BENCH_RESTORED];

/* Pages are used again with what the last receiver wrote into them. */
SEC("xdp")
int live_send(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;

	if (data + BENCH_RESTORED > (__u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
#pragma unroll
	for (int at = 0; at < BENCH_RESTORED; at += 2)
		*(__u16 *)(data + at) = *(volatile __u16 *)(live_template + at);
	return bpf_redirect(live_ifindex, 0);
}

SEC("xdp")
int live_sink(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
