/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The flow table: which backend a flow has, across changes of its pool. Layout: abi.h.
 *
 * It may forget: steering is stateless. It must not be a target: SYNs leave no entry, inserts are
 * limited per CPU, and its hash has a seed that never leaves the node. */
#ifndef AX_BPF_FLOW_H
#define AX_BPF_FLOW_H

#include "address.h"
#include "icmp.h"
#include "loss.h"
#include "transport.h"

struct ax_flow_key {
	__u64 pair[4]; /* source, destination as they lie in memory; IPv4: pair[0] only */
	__u32 ports;   /* source, destination as they lie in memory */
	__u8 proto;
	__u8 family;
	__u16 tag;
	__u32 bucket; /* index in the family's bucket map */
	__u32 hash;   /* low half: names a SYN */
};

#define AX_LANES 0x0001000100010001ULL
#define AX_LANE_TOPS 0x8000800080008000ULL

/* Tag, bucket and hash of a key whose other members are set. Keyed by ax_ctl.table_seed:
 * multiplication by secret odd numbers; only high bits are used. */
static __always_inline void ax_hash_key(const struct ax_ctl *ctl, struct ax_flow_key *key)
{
	__u64 k0 = ctl->table_seed[0] | 1, k1 = ctl->table_seed[1] | 1, h;
	__u32 mask = key->family == 4 ? ax_buckets4 - 1 : ax_buckets6 - 1;

	h = (key->pair[0] ^ k1) * k0;
	if (key->family == 6) {
		h = (h ^ h >> 32 ^ key->pair[1]) * k1;
		h = (h ^ h >> 32 ^ key->pair[2]) * k0;
		h = (h ^ h >> 32 ^ key->pair[3]) * k1;
	}
	h ^= h >> 32;
	h = (h + ((__u64)key->ports << 8 | key->proto)) * k1;
	h ^= h >> 32;
	h *= k0;
	key->hash = h >> 32;
	key->tag = h >> 48;
	if (!key->tag)
		key->tag = 1;
	key->bucket = bpf_get_smp_processor_id() * (mask + 1) + ((__u32)(h >> 20) & mask);
}

static __always_inline int ax_make_key(struct xdp_md *ctx, const struct ax_packet *pkt,
				       struct ax_flow_key *key)
{
	key->ports = (__u32)pkt->sport | (__u32)pkt->dport << 16;
	key->proto = pkt->proto;
	key->family = pkt->family;
	if (pkt->family == 4) {
		struct iphdr *ip = ax_ip4(ctx, pkt);

		if (!ip)
			return -1;
		key->pair[0] = (__u64)ip->saddr | (__u64)ip->daddr << 32;
	} else {
		struct ipv6hdr *ip = ax_ip6(ctx, pkt);
		__u32 *word;

		if (!ip)
			return -1;
		word = (void *)&ip->saddr;
		key->pair[0] = (__u64)word[0] | (__u64)word[1] << 32;
		key->pair[1] = (__u64)word[2] | (__u64)word[3] << 32;
		key->pair[2] = (__u64)word[4] | (__u64)word[5] << 32;
		key->pair[3] = (__u64)word[6] | (__u64)word[7] << 32;
	}
	ax_hash_key(pkt->ctl, key);
	return 0;
}

/* Of the flow whose answer is quoted: the quote with its ends swapped. */
static __always_inline void ax_make_quote_key(const struct ax_ctl *ctl,
					      const struct ax_quote *quote, struct ax_flow_key *key)
{
	key->ports = (__u32)quote->dport | (__u32)quote->sport << 16;
	key->proto = quote->proto;
	key->family = quote->family;
	if (quote->family == 4) {
		key->pair[0] = (__u64)quote->daddr.word[3] | (__u64)quote->saddr.word[3] << 32;
	} else {
		key->pair[0] = quote->daddr.pair[0];
		key->pair[1] = quote->daddr.pair[1];
		key->pair[2] = quote->saddr.pair[0];
		key->pair[3] = quote->saddr.pair[1];
	}
	ax_hash_key(ctl, key);
}

/* 0, and what GTSM protects. */
static __always_inline int ax_odd_port(__u32 port)
{
	return !port || port == bpf_htons(AX_PORT_BGP) || port == bpf_htons(AX_PORT_BFD);
}

/* As they lie in memory. */
static __always_inline int ax_odd_ports(__u32 ports)
{
	return ax_odd_port(ports & 0xffff) || ax_odd_port(ports >> 16);
}

/* Would a rule about addresses or ports have anything to say, were it only to count? Then no packet
 * of the flow may pass by the rules. Says yes more often than the rules, never less. */
__noinline int ax_is_odd4(__u32 source, __u32 destination, __u32 ports)
{
	return source < 1 << 24 || source >> 24 == 127 || source >> 28 >= 14 ||
	       ax_special_source(source) || destination < 1 << 24 || destination >> 24 == 127 ||
	       source == destination || ax_odd_ports(ports);
}

__noinline int ax_is_odd6(__u64 source, __u64 source_low, __u64 destination, __u64 destination_low,
			  __u32 ports)
{
	return (source & 0xff) == 0xff || !source || !destination ||
	       (source == destination && source_low == destination_low) || ax_odd_ports(ports);
}

static __always_inline __u8 ax_long_way(const struct ax_flow_key *key)
{
	int odd = key->family == 4 ? ax_is_odd4(bpf_ntohl((__u32)key->pair[0]),
						bpf_ntohl(key->pair[0] >> 32), key->ports)
				   : ax_is_odd6(key->pair[0], key->pair[1], key->pair[2],
						key->pair[3], key->ports);

	return odd ? AX_FORWARD_LONG : 0;
}

static __always_inline struct ax_bucket *ax_bucket_of(const struct ax_flow_key *key)
{
	__u32 at = key->bucket;

	return key->family == 4 ? bpf_map_lookup_elem(&ax_flow4_idx, &at)
				: bpf_map_lookup_elem(&ax_flow6_idx, &at);
}

static __always_inline int ax_is_flow(const void *entry, const struct ax_flow *flow,
				      const struct ax_flow_key *key)
{
	const __u64 *pair = entry;

	if (pair[0] != key->pair[0] || *(const __u32 *)flow != key->ports ||
	    flow->proto != key->proto)
		return 0;
	return key->family == 4 ||
	       (pair[1] == key->pair[1] && pair[2] == key->pair[2] && pair[3] == key->pair[3]);
}

/* Lowest lane of four whose tag matches, by arithmetic on all four at once; 4 if there is none.
 * A lane above a true match may be reported falsely, which the caller finds out by the key. */
static __always_inline __u64 ax_match_tags(__u64 word, __u16 tag)
{
	__u64 x = word ^ tag * AX_LANES;

	return (x - AX_LANES) & ~x & AX_LANE_TOPS;
}

static __always_inline __u32 ax_lane(__u64 matches)
{
	/* 1 << 16 * lane, times a constant that holds the lane's number at its place */
	return (((matches & -matches) >> 15) * 0x0000000100020003ULL) >> 48;
}

/* The flow's entry on this CPU; ref->flow = 0 if there is none. No entry is loaded unless its tag
 * matches; three false matches in a row (one in 10^12) count as a miss. */
static __always_inline void ax_find(const struct ax_packet *pkt, const struct ax_flow_key *key,
				    struct ax_bucket *bucket, struct ax_flow_ref *ref)
{
	const __u64 *tags = (void *)bucket->tag;
	__u64 low = ax_match_tags(tags[0], key->tag), high = ax_match_tags(tags[1], key->tag);

	ref->flow = 0;
	ref->family = key->family;
	for (int i = 0; i < 3; i++) {
		struct ax_flow *flow = 0;
		__u32 way, slot;
		__u16 stamp;
		void *entry;

		if (low) {
			way = ax_lane(low);
			low &= low - 1;
		} else if (high) {
			way = 4 + ax_lane(high);
			high &= high - 1;
		} else {
			return;
		}
		way &= AX_WAYS - 1;
		slot = bucket->slot[way];
		entry = ax_entry(key->family, slot, &flow);
		if (!entry || !ax_is_flow(entry, flow, key))
			continue;
		stamp = ax_jiffies(pkt->ctl) >> 8;
		if (bucket->stamp[way] != stamp) /* keep the line clean for most packets */
			bucket->stamp[way] = stamp;
		ref->flow = flow;
		ref->slot = slot;
		ref->way = way;
		return;
	}
}

/* An empty way, else the one unused for longest. */
static __always_inline __u32 ax_victim(const struct ax_bucket *bucket, __u16 now)
{
	__u32 victim = 0, oldest = 0;

	for (__u32 way = 0; way < AX_WAYS; way++) {
		__u16 age = now - bucket->stamp[way];

		if (!bucket->tag[way])
			return way;
		if (age >= oldest) {
			oldest = age;
			victim = way;
			AX_FORGOTTEN(victim, age);
		}
	}
	return victim;
}

/* Inserts are limited per CPU and 16 jiffies. */
static __always_inline int ax_may_insert(const struct ax_ctl *ctl, struct ax_cpu *own, __u64 now)
{
	__u32 window = now >> 4;

	if (!ctl->insert_limit)
		return 1;
	if (own->insert_window != window) {
		own->insert_window = window;
		own->inserts = 0;
	}
	return own->inserts++ < ctl->insert_limit;
}

/* Makes an entry; ref->flow = 0 if that is not to be had now. */
static __always_inline void ax_insert(const struct ax_packet *pkt, const struct ax_flow_key *key,
				      struct ax_bucket *bucket, struct ax_flow_ref *ref)
{
	__u64 now = ax_jiffies(pkt->ctl);
	__u32 cpu = bpf_get_smp_processor_id(), way, slot;
	struct ax_cpu *own = bpf_map_lookup_elem(&ax_cpu, &cpu);
	struct ax_flow *flow = 0;
	__u8 version;
	void *entry;

	ref->flow = 0;
	ref->family = key->family;
	if (!own || !ax_may_insert(pkt->ctl, own, now)) {
		ax_note_reason(AX_R_UNTRACKED, pkt->bytes);
		return;
	}
	way = ax_victim(bucket, now >> 8);
	AX_FORGOTTEN(way, now);
	way &= AX_WAYS - 1;
	slot = bucket->slot[way];
	if (!slot) { /* a way takes its slot once: there are as many slots as ways */
		slot = key->family == 4 ? ++own->next_slot4 : ++own->next_slot6;
		bucket->slot[way] = slot;
	}
	entry = ax_entry(key->family, slot, &flow);
	if (!entry)
		return;
	if (bucket->tag[way])
		ax_note_reason(AX_R_FLOW_EVICTED, pkt->bytes);
	ax_note_reason(AX_R_FLOW_INSERTED, pkt->bytes);

	version = flow->version | 1;
	flow->version = version; /* odd: readers keep off */
	barrier();
	((__u64 *)entry)[0] = key->pair[0];
	if (key->family == 6) {
		((__u64 *)entry)[1] = key->pair[1];
		((__u64 *)entry)[2] = key->pair[2];
		((__u64 *)entry)[3] = key->pair[3];
	}
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->version = version;
	flow->sport = pkt->sport;
	flow->dport = pkt->dport;
	flow->proto = key->proto;
	flow->ip_id = pkt->ip_id;
	barrier();
	flow->version = version + 1;
	bucket->tag[way] = key->tag;
	bucket->stamp[way] = now >> 8;
	ref->flow = flow;
	ref->slot = slot;
}

/* Ends a flow: its way is free for the next. */
static __always_inline void ax_forget(struct ax_bucket *bucket, const struct ax_flow_ref *ref)
{
	bucket->tag[ref->way & (AX_WAYS - 1)] = 0;
}

/* ---- SYN sketch ---------------------------------------------------------------------------- */

static __always_inline struct ax_syn *ax_syn_slot(const struct ax_flow_key *key)
{
	__u32 at = bpf_get_smp_processor_id() * AX_SYN_SLOTS + (key->hash & (AX_SYN_SLOTS - 1));

	return bpf_map_lookup_elem(&ax_syn, &at);
}

/* RFC 9293 section 3.7.1: the MSS option, where nearly everybody puts it: first. */
static __always_inline __u16 ax_syn_mss(struct xdp_md *ctx, const struct ax_packet *pkt)
{
	__u8 *option = ax_at(ctx, pkt->l4_offset) + sizeof(struct tcphdr);

	if ((void *)(option + 4) > ax_data_end(ctx) || option[0] != 2 || option[1] != 4)
		return 0;
	return (__u16)option[2] << 8 | option[3];
}

static __always_inline struct ax_syn *ax_note_syn(struct xdp_md *ctx, const struct ax_packet *pkt,
						  const struct ax_flow_key *key)
{
	struct tcphdr *tcp = ax_at(ctx, pkt->l4_offset);
	struct ax_syn *syn = ax_syn_slot(key);
	__u32 isn;

	if (!syn || (void *)(tcp + 1) > ax_data_end(ctx))
		return 0;
	/* Data on the SYN (RFC 7413) has been sent too. */
	isn = bpf_ntohl(tcp->seq) + pkt->l4_bytes - tcp->doff * 4;
	if (syn->hash == key->hash && syn->isn == isn) {
		if (syn->repeats < 255)
			syn->repeats++;
	} else {
		syn->hash = key->hash;
		syn->isn = isn;
		syn->repeats = 0;
		syn->mss = ax_syn_mss(ctx, pkt);
	}
	syn->at_us = ax_now_ns(pkt->ctl) / 1000;
	return syn;
}

/* What the SYN told, moved into the entry that the flow's first later packet made. */
static __always_inline void ax_consume_syn(const struct ax_packet *pkt,
					   const struct ax_flow_key *key, struct ax_flow *flow)
{
	struct ax_syn *syn = ax_syn_slot(key);
	__u32 rtt;

	if (!syn || syn->hash != key->hash)
		return;
	flow->flags |= AX_FLOW_SYN | AX_FLOW_SYNCED;
	flow->nxt = syn->isn + 1;
	flow->segments = 1;
	flow->mss = syn->mss;
	flow->syn_rtx = syn->repeats;
	rtt = ((__u32)(ax_now_ns(pkt->ctl) / 1000) - syn->at_us) / AX_RTT_UNIT_US;
	flow->rtt = rtt > 0xffff ? 0xffff : rtt;
	flow->flags |= AX_FLOW_RTT;
	syn->hash = 0;
}

#endif
