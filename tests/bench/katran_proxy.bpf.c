// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A stand-in for Katran's IPIP build, held against its source step by step (docs/performance.md):
 * the same maps, keys, look-ups, stores and checks in the same order, without guard and loss. It
 * exists to be compared with; nothing of the product uses it. What it leaves out (QUIC services,
 * ICMP, introspection) no packet here would meet; global LRU, source routing and decapsulation
 * Katran's default build compiles out. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "jhash.h"
#include "katran_proxy.h"

const volatile __u32 proxy_max_rate = 0; /* new connections a second and CPU; 0: no flood guard */

struct flow_key {
	__be32 src[4], dst[4];
	__be16 port[2];
	__u8 proto;
};

struct packet {
	struct flow_key flow;
	__u32 real;
	__u8 flags;
	__u8 tos;
};

#define PACKET_SYN 2

/* Not packed, as <linux/if_ether.h> has it: compilers copy addresses in three pieces, not six. */
struct eth {
	__u8 dest[ETH_ALEN], source[ETH_ALEN];
	__be16 proto;
};

#define MAP(name_, type_, key_, value_, entries_)                                                  \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_##type_);                                                \
		__uint(max_entries, entries_);                                                     \
		__type(key, key_);                                                                 \
		__type(value, value_);                                                             \
	} name_ SEC(".maps")

MAP(proxy_vips, HASH, struct proxy_vip_key, struct proxy_vip, PROXY_VIPS);
MAP(proxy_rings, ARRAY, __u32, __u32, PROXY_RING);
MAP(proxy_reals, ARRAY, __u32, struct proxy_real, PROXY_REALS);
MAP(proxy_ctl, ARRAY, __u32, union proxy_mac, 16);
MAP(proxy_stats, PERCPU_ARRAY, __u32, struct proxy_stats, PROXY_VIPS * 2);
MAP(proxy_real_stats, PERCPU_ARRAY, __u32, struct proxy_stats, PROXY_REALS);
MAP(proxy_miss_vip, ARRAY, __u32, struct proxy_vip_key, 1);
MAP(proxy_miss_stats, PERCPU_ARRAY, __u32, __u32, PROXY_REALS);

struct proxy_lru {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1000);
	__type(key, struct flow_key);
	__type(value, struct proxy_flow);
} proxy_fallback SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, PROXY_CPUS);
	__type(key, __u32);
	__array(values, struct proxy_lru);
} proxy_lrus SEC(".maps");

static __always_inline struct proxy_stats *stats_at(__u32 index)
{
	return bpf_map_lookup_elem(&proxy_stats, &index);
}

static __always_inline int parse(void *data, void *end, __u32 off, int v6, struct packet *pkt,
				 __u16 *bytes)
{
	struct tcphdr *tcp;
	struct udphdr *udp;

	if (v6) {
		struct ipv6hdr *ip = data + off;

		if ((void *)(ip + 1) > end)
			return XDP_DROP;
		pkt->flow.proto = ip->nexthdr;
		pkt->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
		*bytes = bpf_ntohs(ip->payload_len);
		if (ip->nexthdr == IPPROTO_FRAGMENT)
			return XDP_DROP;
		__builtin_memcpy(pkt->flow.src, &ip->saddr, 16);
		__builtin_memcpy(pkt->flow.dst, &ip->daddr, 16);
		off += sizeof(*ip);
	} else {
		struct iphdr *ip = data + off;

		if ((void *)(ip + 1) > end || ip->ihl != 5)
			return XDP_DROP;
		pkt->flow.proto = ip->protocol;
		pkt->tos = ip->tos;
		*bytes = bpf_ntohs(ip->tot_len);
		if (ip->frag_off & bpf_htons(0x3fff))
			return XDP_DROP;
		pkt->flow.src[0] = ip->saddr;
		pkt->flow.dst[0] = ip->daddr;
		off += sizeof(*ip);
	}
	if (pkt->flow.proto == IPPROTO_TCP) {
		tcp = data + off;
		if ((void *)(tcp + 1) > end)
			return XDP_DROP;
		if (tcp->syn)
			pkt->flags |= PACKET_SYN;
		pkt->flow.port[0] = tcp->source;
		pkt->flow.port[1] = tcp->dest;
		return -1;
	}
	if (pkt->flow.proto == IPPROTO_UDP) {
		udp = data + off;
		if ((void *)(udp + 1) > end)
			return XDP_DROP;
		pkt->flow.port[0] = udp->source;
		pkt->flow.port[1] = udp->dest;
		return -1;
	}
	return XDP_PASS;
}

static __always_inline struct proxy_real *known(struct packet *pkt, void *lru)
{
	struct proxy_flow *flow = bpf_map_lookup_elem(lru, &pkt->flow);
	__u32 key;

	if (!flow)
		return 0;
	if (pkt->flow.proto == IPPROTO_UDP) {
		__u64 now = bpf_ktime_get_ns();

		if (now - flow->atime > PROXY_UDP_TIMEOUT)
			return 0;
		flow->atime = now;
	}
	pkt->real = key = flow->real;
	return bpf_map_lookup_elem(&proxy_reals, &key);
}

/* Too many new connections in this second? Then none is remembered. */
static __always_inline int under_flood(__u64 *now)
{
	struct proxy_stats *rate = stats_at(PROXY_VIPS + PROXY_STAT_RATE);

	if (!rate)
		return 1;
	*now = bpf_ktime_get_ns();
	if (*now - rate->v2 > 1000000000ULL) {
		rate->v1 = 1;
		rate->v2 = *now;
	} else if (++rate->v1 > proxy_max_rate && proxy_max_rate) {
		return 1;
	}
	return 0;
}

static __always_inline __u32 flow_hash(const struct packet *pkt, int v6)
{
	__u32 ports = *(__u32 *)pkt->flow.port;

	if (v6)
		return jhash_2words(jhash_4words(pkt->flow.src, PROXY_RING), ports, PROXY_SEED);
	return jhash_2words(pkt->flow.src[0], ports, PROXY_SEED);
}

static __always_inline struct proxy_real *choose(struct packet *pkt, const struct proxy_vip *vip,
						 int v6, void *lru)
{
	struct proxy_flow fresh = {};
	__u64 now = 0;
	int flood = under_flood(&now);
	__u32 key = PROXY_RING * vip->number + flow_hash(pkt, v6) % PROXY_RING, *real;
	struct proxy_real *to;

	real = bpf_map_lookup_elem(&proxy_rings, &key);
	if (!real)
		return 0;
	key = *real;
	if (!key) /* the first real has number 1 */
		return 0;
	pkt->real = key;
	to = bpf_map_lookup_elem(&proxy_reals, &key);
	if (!to)
		return 0;
	if (!(vip->flags & PROXY_LRU_BYPASS) && !flood) {
		if (pkt->flow.proto == IPPROTO_UDP)
			fresh.atime = now;
		fresh.real = key;
		bpf_map_update_elem(lru, &pkt->flow, &fresh, BPF_ANY);
	}
	return to;
}

/* Misses by real, of one VIP that somebody may be looking at (here, as by default, none). */
static __always_inline int count_miss(const struct proxy_vip_key *vip, int v6, __u32 real)
{
	__u32 zero = 0, *count;
	struct proxy_vip_key *watched = bpf_map_lookup_elem(&proxy_miss_vip, &zero);
	int same;

	if (!watched)
		return -1;
	same = watched->addr[0] == vip->addr[0] &&
	       (!v6 || (watched->addr[1] == vip->addr[1] && watched->addr[2] == vip->addr[2] &&
			watched->addr[3] == vip->addr[3]));
	watched->proto = vip->proto; /* Katran assigns where it means to compare */
	if (!same || watched->port != vip->port)
		return 0;
	count = bpf_map_lookup_elem(&proxy_miss_stats, &real);
	if (!count)
		return -1;
	++*count;
	return 0;
}

static __always_inline void checksum(struct iphdr *ip)
{
	__u16 *word = (void *)ip;
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += word[i];
#pragma unroll
	for (int i = 0; i < 4; i++)
		if (sum >> 16)
			sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~sum;
}

static __always_inline int encap4(struct xdp_md *ctx, const struct packet *pkt,
				  const struct proxy_real *real, const union proxy_mac *mac,
				  __u16 bytes)
{
	struct eth *eth, *old;
	struct iphdr *ip;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*ip)))
		return XDP_DROP;
	eth = (void *)(long)ctx->data;
	ip = (void *)(eth + 1);
	old = (void *)eth + sizeof(*ip);
	if ((void *)(old + 1) > (void *)(long)ctx->data_end ||
	    (void *)(ip + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	__builtin_memcpy(eth->dest, mac->mac, ETH_ALEN);
	__builtin_memcpy(eth->source, old->dest, ETH_ALEN);
	eth->proto = bpf_htons(ETH_P_IP);
	ip->version = 4;
	ip->ihl = 5;
	ip->frag_off = 0;
	ip->protocol = IPPROTO_IPIP;
	ip->check = 0;
	ip->tos = pkt->tos;
	ip->tot_len = bpf_htons(bytes + sizeof(*ip)); /* the identification stays what it was */
	ip->daddr = real->dst[0];
	/* 172.16/16 with the flow in it, so that the network spreads the tunnels */
	ip->saddr = ((bpf_htons(pkt->flow.port[0]) << 16 ^ pkt->flow.src[0]) & 0xffff0000) |
		    bpf_htonl(0xac100000);
	ip->ttl = 64;
	checksum(ip);
	return XDP_TX;
}

static __always_inline int encap6(struct xdp_md *ctx, const struct packet *pkt,
				  const struct proxy_real *real, const union proxy_mac *mac,
				  __u16 bytes)
{
	__be32 source[4] = {bpf_htonl(0x01000000), 0, 0, pkt->flow.src[3] ^ pkt->flow.port[0]};
	struct eth *eth, *old;
	struct ipv6hdr *ip;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*ip)))
		return XDP_DROP;
	eth = (void *)(long)ctx->data;
	ip = (void *)(eth + 1);
	old = (void *)eth + sizeof(*ip);
	if ((void *)(old + 1) > (void *)(long)ctx->data_end ||
	    (void *)(ip + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	__builtin_memcpy(eth->dest, mac->mac, ETH_ALEN);
	__builtin_memcpy(eth->source, old->dest, ETH_ALEN);
	eth->proto = bpf_htons(ETH_P_IPV6);
	__builtin_memset(ip, 0, 4);
	ip->version = 6;
	ip->priority = pkt->tos >> 4;
	ip->nexthdr = IPPROTO_IPV6;
	ip->payload_len = bpf_htons(bytes + sizeof(*ip));
	ip->hop_limit = 64;
	__builtin_memcpy(&ip->saddr, source, 16);
	__builtin_memcpy(&ip->daddr, real->dst, 16);
	return XDP_TX;
}

static __always_inline int process(struct xdp_md *ctx, __u32 off, int v6)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct packet pkt = {};
	struct proxy_vip_key key = {};
	struct proxy_real *to = 0;
	struct proxy_stats *stats;
	struct proxy_vip *vip;
	union proxy_mac *mac;
	__u32 zero = 0, cpu, number;
	__u16 bytes, sport;
	void *lru;
	int action = parse(data, end, off, v6, &pkt, &bytes);

	if (action >= 0)
		return action;
	__builtin_memcpy(key.addr, pkt.flow.dst, v6 ? 16 : 4);
	key.port = pkt.flow.port[1];
	key.proto = pkt.flow.proto;
	vip = bpf_map_lookup_elem(&proxy_vips, &key);
	if (!vip) {
		key.port = 0;
		vip = bpf_map_lookup_elem(&proxy_vips, &key);
		if (!vip)
			return XDP_PASS;
		pkt.flow.port[1] = 0;
	}
	if (end - data > PROXY_MAX_PACKET)
		return XDP_DROP;
	stats = stats_at(PROXY_VIPS + PROXY_STAT_LRU);
	if (!stats)
		return XDP_DROP;
	stats->v1++;
	if (vip->flags & PROXY_NO_SRC_PORT)
		pkt.flow.port[0] = 0;
	number = vip->number;
	cpu = bpf_get_smp_processor_id();
	lru = bpf_map_lookup_elem(&proxy_lrus, &cpu);
	if (!lru) {
		struct proxy_stats *fallback = stats_at(PROXY_VIPS + PROXY_STAT_FALLBACK);

		lru = &proxy_fallback;
		if (!fallback)
			return XDP_DROP;
		fallback->v1++;
	}
	sport = pkt.flow.port[0];
	if (!(pkt.flags & PACKET_SYN) && !(vip->flags & PROXY_LRU_BYPASS))
		to = known(&pkt, lru);
	if (!to) {
		if (pkt.flow.proto == IPPROTO_TCP) {
			struct proxy_stats *misses = stats_at(PROXY_VIPS + PROXY_STAT_MISS);

			if (!misses)
				return XDP_DROP;
			if (pkt.flags & PACKET_SYN)
				misses->v1++;
			else
				misses->v2++;
		}
		to = choose(&pkt, vip, v6, lru);
		if (!to || count_miss(&key, v6, pkt.real))
			return XDP_DROP;
		stats->v2++;
	}
	mac = bpf_map_lookup_elem(&proxy_ctl, &zero);
	if (!mac)
		return XDP_DROP;
	stats = stats_at(number);
	if (!stats)
		return XDP_DROP;
	stats->v1++;
	stats->v2 += bytes;
	stats = bpf_map_lookup_elem(&proxy_real_stats, &pkt.real);
	if (!stats)
		return XDP_DROP;
	stats->v1++;
	stats->v2 += bytes;
	pkt.flow.port[0] = sport;
	return to->flags & PROXY_REAL_V6 ? encap6(ctx, &pkt, to, mac, bytes)
					 : encap4(ctx, &pkt, to, mac, bytes);
}

SEC("xdp")
int katran_proxy(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return process(ctx, sizeof(*eth), 0);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return process(ctx, sizeof(*eth), 1);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
