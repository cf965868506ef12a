// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Programs of the lab's own: none of them is part of the product. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "dropper.h"

/* A veth end drops what its peer sends by XDP_TX unless it has an XDP program itself. */
SEC("xdp")
int xdp_pass(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

/* A packet keeps its socket's random hash across veth links, and kernel ECMP prefers that hash to
 * the addresses and ports that a real router would have to look at. */
SEC("tc")
int forget_hash(struct __sk_buff *skb)
{
	bpf_set_hash_invalid(skb);
	return TC_ACT_OK;
}

/* ---- the dropper: loses a share of the data segments of TCP flows towards one address and port */

struct lab_dropper dropper;

struct lab_flow {
	__be32 address;
	__be16 port;
	__be16 to;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct lab_flow);
	__type(value, __u32); /* next sequence number */
} lab_next SEC(".maps");

static __always_inline __u64 mix(__u64 x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

SEC("tc")
int drop_some(struct __sk_buff *skb)
{
	struct lab_flow key = {};
	struct tcphdr tcp;
	struct iphdr ip;
	__u32 seq, end, *next;
	int payload, first;

	if (!dropper.per_10000 || skb->protocol != bpf_htons(ETH_P_IP) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.protocol != IPPROTO_TCP ||
	    ip.daddr != dropper.address ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + ip.ihl * 4, &tcp, sizeof(tcp)) ||
	    (dropper.port && tcp.dest != dropper.port))
		return TC_ACT_OK;
	payload = bpf_ntohs(ip.tot_len) - ip.ihl * 4 - tcp.doff * 4;
	if (payload <= 0)
		return TC_ACT_OK;

	key.address = ip.saddr;
	key.port = tcp.source;
	key.to = tcp.dest;
	seq = bpf_ntohl(tcp.seq);
	end = seq + payload;
	next = bpf_map_lookup_elem(&lab_next, &key);
	first = !next || (__s32)(end - *next) > 0;
	if (first)
		bpf_map_update_elem(&lab_next, &key, &end, BPF_ANY);

	/* Not atomic: the lab lets one CPU forward all of a router's packets. */
	dropper.bytes += payload;
	if (mix(dropper.seed + mix(dropper.packets++)) % 10000 >= dropper.per_10000)
		return TC_ACT_OK;
	if (first)
		dropper.dropped_first++;
	else
		dropper.dropped_again++;
	return TC_ACT_SHOT;
}

char _license[] SEC("license") = "Dual BSD/GPL";
