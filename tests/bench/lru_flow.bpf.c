// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Our flow table as a kernel LRU would be: the key in 16 bytes, an entry's other 48 as the value,
 * and around it the least that a program does which forwards what it finds. What is missing here
 * (guard, loss, service, hashing) the flow table's layout has nothing to do with. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct lru_key {
	__be32 source, destination;
	__u32 ports;
	__u32 proto;
};

struct lru_flow {
	__u64 bytes;
	__u32 packets, backend;
	__u32 rest[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct lru_key);
	__type(value, struct lru_flow);
} lru_flows SEC(".maps");

SEC("xdp")
int lru_flow(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	struct lru_key key = {};
	struct lru_flow *flow;
	__u64 *word;

	if ((void *)(ip + 1) + sizeof(struct udphdr) > end ||
	    ((struct ethhdr *)data)->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	key.source = ip->saddr;
	key.destination = ip->daddr;
	key.ports = *(__u32 *)(ip + 1);
	key.proto = ip->protocol;
	flow = bpf_map_lookup_elem(&lru_flows, &key);
	if (flow) {
		flow->packets++;
		flow->bytes += end - data;
	} else {
		struct lru_flow fresh = {.packets = 1, .bytes = end - data};

		bpf_map_update_elem(&lru_flows, &key, &fresh, BPF_ANY);
	}
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*ip)))
		return XDP_ABORTED;
	word = (void *)(long)ctx->data;
	if ((void *)(word + 4) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	word[0] = word[1] = word[2] = word[3] = key.source;
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
