// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Programs of the lab's own: none of them is part of the product. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "dropper.h"

#define LAB_VLAN 100

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
	__be32 address[4];
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

static __always_inline int is_destination(const struct in6_addr *address)
{
	for (int i = 0; i < 4; i++)
		if (address->in6_u.u6_addr32[i] != dropper.address[i])
			return 0;
	return 1;
}

/* A data segment towards the address and port: its payload, its flow and its TCP header. */
static __always_inline int is_wanted(struct __sk_buff *skb, struct lab_flow *key,
				     struct tcphdr *tcp)
{
	struct ipv6hdr ip6;
	struct iphdr ip;
	int offset, bytes;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) ||
		    ip.protocol != IPPROTO_TCP || ip.daddr != dropper.address[3] ||
		    dropper.address[2] != bpf_htonl(0xffff))
			return 0;
		key->address[3] = ip.saddr;
		offset = ETH_HLEN + ip.ihl * 4;
		bytes = bpf_ntohs(ip.tot_len) - ip.ihl * 4;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip6, sizeof(ip6)) ||
		    ip6.nexthdr != IPPROTO_TCP || !is_destination(&ip6.daddr))
			return 0;
		__builtin_memcpy(key->address, &ip6.saddr, sizeof(ip6.saddr));
		offset = ETH_HLEN + sizeof(ip6);
		bytes = bpf_ntohs(ip6.payload_len);
	} else {
		return 0;
	}
	if (bpf_skb_load_bytes(skb, offset, tcp, sizeof(*tcp)) ||
	    (dropper.port && tcp->dest != dropper.port))
		return 0;
	key->port = tcp->source;
	key->to = tcp->dest;
	return bytes - tcp->doff * 4;
}

SEC("tc")
int drop_some(struct __sk_buff *skb)
{
	struct lab_flow key = {};
	struct tcphdr tcp;
	__u32 seq, end, *next;
	int payload, first;

	if (!dropper.active)
		return TC_ACT_OK;
	payload = is_wanted(skb, &key, &tcp);
	if (payload <= 0)
		return TC_ACT_OK;

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

/* A VLAN where the kernel has no VLAN devices: what leaves is tagged, what arrives is not any more.
 */
SEC("tc")
int tag_leaving(struct __sk_buff *skb)
{
	return bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), LAB_VLAN) ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("tc")
int untag_arriving(struct __sk_buff *skb)
{
	return bpf_skb_vlan_pop(skb) ? TC_ACT_SHOT : TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
