// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Runs before the tc program under test in every repetition: makes the segment the flow's next, or
 * another flow's, and jumps to the unmodified program. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "rotation.h"

/* Set before load. */
const volatile __u32 leaving_mask = 0; /* flows - 1 */
const volatile __u32 leaving_step = 0; /* of the sequence number from one segment to the next */

__u64 leaving_counter; /* written by user space before a run */

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} leaving_jump SEC(".maps");

SEC("tc")
int leaving_wrapper(struct __sk_buff *skb)
{
	struct iphdr *ip = (void *)(long)skb->data + ETH_HLEN;
	struct tcphdr *tcp = (void *)(ip + 1);
	__u32 number = leaving_counter++, flow = number & leaving_mask;

	if ((void *)(tcp + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	tcp->dest = bpf_htons(BENCH_FIRST_PORT + flow % BENCH_PORTS);
	ip->daddr = bpf_htonl(BENCH_FIRST_SOURCE + flow / BENCH_PORTS);
	tcp->seq = bpf_htonl(number * leaving_step);
	bpf_tail_call(skb, &leaving_jump, 0);
	return TC_ACT_SHOT;
}

/* The least that a program does which lets everything pass. */
SEC("tc")
int leaving_floor(struct __sk_buff *skb __attribute__((unused)))
{
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
