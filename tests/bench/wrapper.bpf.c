// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Runs before the program under test in every repetition of BPF_PROG_TEST_RUN: puts the packet back
 * to its original place, length and bytes, makes it another flow's if asked to, and jumps to the
 * unmodified program. What this costs is what the floor programs cost in the same wrapper. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "rotation.h"

/* Set before load. */
const volatile __u32 bench_rotation = BENCH_FIXED;
const volatile __u32 bench_l3 = 14;  /* where the network header starts: 14, 18 or 22 */
const volatile __u32 bench_l4 = 34;  /* ports */
const volatile __u32 bench_mask = 0; /* flows - 1 */
const volatile __u32 bench_vips = 0; /* destinations - 1 */
const volatile __u8 bench_template[BENCH_RESTORED];

/* Written by user space between two runs. */
__u64 bench_counter;
__u32 bench_stride = 1; /* odd: the order in which flows are visited */
__u64 bench_data;	/* where the packet was in the first repetition; 0: this is the first */
__u64 bench_end;
volatile __u64 bench_now[2];

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bench_jump SEC(".maps");

/* Whoever grew, shrank or moved the packet: undone. Pointers become numbers on their way through
 * memory, which root may do. */
static __always_inline int restore_place(struct xdp_md *ctx)
{
	__s64 head, tail;

	bench_now[0] = (__u64)(void *)(long)ctx->data;
	bench_now[1] = (__u64)(void *)(long)ctx->data_end;
	if (!bench_data) {
		bench_data = bench_now[0];
		bench_end = bench_now[1];
		return 0;
	}
	head = bench_data - bench_now[0];
	tail = bench_end - bench_now[1];
	if (tail && bpf_xdp_adjust_tail(ctx, (int)tail))
		return -1;
	return head && bpf_xdp_adjust_head(ctx, (int)head);
}

/* By stores as wide as the loads that follow: a load across two younger stores would wait for both
 * to reach the cache, which no packet from a NIC does. The network header's words are two bytes off
 * the frame's. */
static __always_inline void restore_bytes(void *data)
{
	*(__u64 *)data = *(volatile __u64 *)bench_template;
	*(__u32 *)(data + 8) = *(volatile __u32 *)(bench_template + 8);
	*(__u16 *)(data + 12) = *(volatile __u16 *)(bench_template + 12);
#pragma unroll
	for (int at = 14; at < BENCH_RESTORED; at += 4)
		*(__u32 *)(data + at) = *(volatile __u32 *)(bench_template + at);
}

/* The source address's halves move against each other, and the first against the destination's
 * last, so that the IPv4 header's checksum stays right. */
static __always_inline void rotate(void *data)
{
	__u32 flow = ((__u32)bench_counter++ * bench_stride) & bench_mask;
	__u32 port = BENCH_FIRST_PORT + flow % BENCH_PORTS, host = flow / BENCH_PORTS, vip = 0;

	if (bench_rotation == BENCH_SEQUENCE) {
		*(__be32 *)(data + bench_l4 + 4) = bpf_htonl((flow ^ 1) * BENCH_PAYLOAD);
		return;
	}
	if (bench_vips) {
		vip = flow & bench_vips;
		*(__be32 *)(data + bench_l3 + 16) = bpf_htonl(BENCH_FIRST_VIP + vip);
	}
	*(__be16 *)(data + bench_l4) = bpf_htons(port);
	if (bench_rotation == BENCH_FLOWS4)
		*(__be32 *)(data + bench_l3 + 12) =
			bpf_htonl(BENCH_FIRST_SOURCE - (host << 16) - (vip << 16) + host);
	else
		*(__be32 *)(data + bench_l3 + 20) = bpf_htonl(host);
}

SEC("xdp")
int bench_wrapper(struct xdp_md *ctx)
{
	void *data;

	if (restore_place(ctx))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	if (data + BENCH_RESTORED > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	restore_bytes(data);
	if (bench_rotation != BENCH_FIXED)
		rotate(data);
	bpf_tail_call(ctx, &bench_jump, 0);
	return XDP_ABORTED;
}

/* The least that a program does which sends encapsulated packets, ... */
SEC("xdp")
int bench_floor_tx(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_head(ctx, -20) ? XDP_ABORTED : XDP_TX;
}

/* ... and one that leaves them alone. */
SEC("xdp")
int bench_floor_pass(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
