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
#include "odd.h"
#include "transport.h"

#define AX_LANES 0x0101010101010101ULL
#define AX_USED_BITS (AX_TAG_USED * AX_LANES)

/* Flows of one tag in one bucket: the next one takes the place of one of them, so that whoever
 * looks at this many entries has looked at all. */
#define AX_NAMESAKES 2

/* 1 to 127; 0 is that of an empty way. */
static __always_inline __u32 ax_tag(__u64 hash)
{
	return 1 + (hash >> 57) * 127 / 128;
}

/* The way that a flow gets if it is free when the flow comes. Its bits are neither the tag's nor
 * the bucket's. */
static __always_inline __u32 ax_likely_way(__u64 hash)
{
	return hash >> 53 & (AX_WAYS - 1);
}

/* The table's hash, keyed by ax_ctl.table_seed: multiplication by secret odd numbers; only high
 * bits are used. What does not depend on each other is multiplied side by side. */
static __always_inline __u64 ax_hash_pair(const struct ax_ctl *ctl, __u64 pair)
{
	return (pair ^ (ctl->table_seed[1] | 1)) * (ctl->table_seed[0] | 1);
}

static __always_inline __u64 ax_hash_pairs(const struct ax_ctl *ctl, const __u64 *pair)
{
	__u64 k0 = ctl->table_seed[0] | 1, k1 = ctl->table_seed[1] | 1;
	__u64 source = (pair[0] ^ k1) * k0, destination = (pair[2] ^ k0) * k1;

	source = (source ^ source >> 32 ^ pair[1]) * k1;
	destination = (destination ^ destination >> 32 ^ pair[3]) * k0;
	return (source ^ source >> 32) + destination;
}

static __always_inline __u64 ax_hash_end(const struct ax_ctl *ctl, __u64 h, __u32 ports, __u8 proto)
{
	h += ((__u64)ports << 8 | proto) * (ctl->table_seed[1] | 1);
	h ^= h >> 32;
	return h * (ctl->table_seed[0] | 1);
}

/* Where a flow of this hash is looked for. */
static __always_inline void ax_place_key(struct ax_flow_key *key, __u64 hash)
{
	__u32 mask = key->family == 4 ? ax_buckets4 - 1 : ax_buckets6 - 1;

	key->hash = hash >> 32;
	key->tag = ax_tag(hash);
	key->bucket = bpf_get_smp_processor_id() * (mask + 1) + ((__u32)(hash >> 20) & mask);
}

/* Tag, bucket and hash of a key whose other members are set. */
static __always_inline void ax_hash_key(const struct ax_ctl *ctl, struct ax_flow_key *key)
{
	__u64 h =
		key->family == 6 ? ax_hash_pairs(ctl, key->pair) : ax_hash_pair(ctl, key->pair[0]);

	ax_place_key(key, ax_hash_end(ctl, h, key->ports, key->proto));
}

static __always_inline int ax_read_key(struct xdp_md *ctx, const struct ax_packet *pkt,
				       struct ax_flow_key *key)
{
	key->ports = (__u32)pkt->sport | (__u32)pkt->dport << 16;
	key->proto = pkt->proto;
	key->family = pkt->family;
	if (pkt->family == 4) {
		struct iphdr *ip = ax_ip4(ctx, pkt);

		if (!ip)
			return -1;
		key->pair[0] = ax_pair(&ip->saddr);
	} else {
		struct ipv6hdr *ip = ax_ip6(ctx, pkt);

		if (!ip)
			return -1;
		ax_pairs(ip, key->pair);
	}
	return 0;
}

static __always_inline int ax_make_key(struct xdp_md *ctx, const struct ax_packet *pkt,
				       struct ax_flow_key *key)
{
	if (ax_read_key(ctx, pkt, key))
		return -1;
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

static __always_inline __u8 ax_long_way(const struct ax_flow_key *key)
{
	int odd = key->family == 4 ? ax_is_odd4(bpf_ntohl((__u32)key->pair[0]),
						bpf_ntohl(key->pair[0] >> 32), key->ports)
				   : ax_is_odd6(key->pair[0], key->pair[1], key->pair[2],
						key->pair[3], key->ports);

	return odd ? AX_FORWARD_LONG : 0;
}

static __always_inline __u32 ax_buckets_of(__u32 family)
{
	return family == 4 ? ax_buckets4 : ax_buckets6;
}

static __always_inline int ax_is_direct(__u32 family)
{
	return ax_buckets_of(family) > AX_DIRECT;
}

static __always_inline struct ax_bucket *ax_bucket_at(__u32 family, __u32 bucket)
{
	return family == 4 ? bpf_map_lookup_elem(&ax_flow4_idx, &bucket)
			   : bpf_map_lookup_elem(&ax_flow6_idx, &bucket);
}

static __always_inline struct ax_slots *ax_slots_at(__u32 family, __u32 bucket)
{
	return family == 4 ? bpf_map_lookup_elem(&ax_flow4_slot, &bucket)
			   : bpf_map_lookup_elem(&ax_flow6_slot, &bucket);
}

static __always_inline struct ax_bucket *ax_bucket_of(const struct ax_flow_key *key)
{
	return ax_bucket_at(key->family, key->bucket);
}

/* Buckets that share their entries, a power of two. */
static __always_inline __u32 ax_region(__u32 family)
{
	__u32 buckets = ax_buckets_of(family);

	return buckets < AX_REGION ? buckets : AX_REGION;
}

/* The first entry, among all CPUs', of those that the bucket's region shares. A CPU's buckets are a
 * multiple of a region's. */
static __always_inline __u32 ax_region_start(__u32 family, __u32 bucket)
{
	return (bucket & ~(ax_region(family) - 1)) * AX_WAYS;
}

/* The way's slot, counted from 1 within the CPU's share; 0 = it has none yet. */
static __always_inline __u32 ax_slot_at(__u32 family, __u32 bucket, __u32 way)
{
	__u32 own = bucket & (ax_buckets_of(family) - 1);
	struct ax_slots *slots;

	if (ax_is_direct(family))
		return own * AX_WAYS + way + 1;
	slots = ax_slots_at(family, bucket);
	if (!slots || !slots->slot[way & (AX_WAYS - 1)])
		return 0;
	return ax_region_start(family, own) + slots->slot[way & (AX_WAYS - 1)];
}

/* The same; a way that has none gets the next of its region: there are as many as ways. */
static __always_inline __u32 ax_take_slot(__u32 family, __u32 bucket, __u32 way)
{
	__u32 slot = ax_slot_at(family, bucket, way), region = bucket / ax_region(family), *next;
	struct ax_slots *slots;

	if (slot || ax_is_direct(family))
		return slot;
	slots = ax_slots_at(family, bucket);
	next = family == 4 ? bpf_map_lookup_elem(&ax_flow4_next, &region)
			   : bpf_map_lookup_elem(&ax_flow6_next, &region);
	if (!slots || !next)
		return 0;
	slots->slot[way & (AX_WAYS - 1)] = ++*next;
	return ax_slot_at(family, bucket, way);
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

/* One bit for each way, at ax_way_bit. Of `low` and `high`, words of eight ways, the highest bit of
 * each byte counts. */
static __always_inline __u64 ax_ways(__u64 low, __u64 high)
{
	return (low & AX_USED_BITS) >> 7 | (high & AX_USED_BITS) >> 3;
}

static __always_inline __u32 ax_way_bit(__u32 way)
{
	return (way & 7) * 8 + (way >> 3) * 4;
}

/* Which ways have this tag (0: are empty), by arithmetic on eight at once: a sum reaches the
 * highest bit of a byte unless the tags' seven bits are the same. */
static __always_inline __u64 ax_matches(const struct ax_bucket *bucket, __u32 tag)
{
	const __u64 *tags = (void *)bucket->tag;
	__u64 wanted = tag * AX_LANES;

	return ax_ways(~(((tags[0] ^ wanted) & ~AX_USED_BITS) + ~AX_USED_BITS),
		       ~(((tags[1] ^ wanted) & ~AX_USED_BITS) + ~AX_USED_BITS));
}

/* The first of them. Multiplied by its bit, the constant has its number in the upper four bits. */
static __always_inline __u32 ax_first_way(__u64 matches)
{
	return (matches & -matches) * 0x08192a3b4c5d6e7fULL >> 60;
}

/* The line of tags stays clean for most packets. */
static __always_inline void ax_use(struct ax_bucket *bucket, __u32 way, struct ax_flow *flow,
				   __u64 now)
{
	__u8 tag = bucket->tag[way & (AX_WAYS - 1)];

	if (unlikely(!(tag & AX_TAG_USED)))
		bucket->tag[way & (AX_WAYS - 1)] = tag | AX_TAG_USED;
	flow->stamp = now >> 8;
}

/* The flow's entry on this CPU; ref->flow = 0 if there is none. No entry is loaded unless its tag
 * matches. */
static __always_inline void ax_find(const struct ax_packet *pkt, const struct ax_flow_key *key,
				    struct ax_bucket *bucket, struct ax_flow_ref *ref)
{
	__u64 matches = ax_matches(bucket, key->tag);

	ref->flow = 0;
	ref->family = key->family;
	/* Unrolled: verifiers before 6.12 refuse a loop back to where a call ends. */
#pragma unroll
	for (int i = 0; i < AX_NAMESAKES; i++, matches &= matches - 1) {
		struct ax_flow *flow = 0;
		__u32 way = ax_first_way(matches) & (AX_WAYS - 1), slot;
		void *entry;

		if (!matches)
			return;
		slot = ax_slot_at(key->family, key->bucket, way);
		entry = ax_entry(key->family, slot, &flow);
		if (!entry)
			return;
		if (!ax_is_flow(entry, flow, key))
			continue;
		ref->slot = slot;
		ref->way = way;
		ax_use(bucket, way, flow, ax_jiffies(pkt->ctl));
		ref->flow = flow;
		return;
	}
}

/* The way for a new flow: that of the last of AX_NAMESAKES, else an empty one, else one whose flow
 * was not used again; of these the flow's likely one, or the next. So what sends one packet a flow,
 * as a flood does, replaces its like, not flows that live. */
static __always_inline __u32 ax_victim_of(struct ax_bucket *bucket, __u32 hash)
{
	__u64 *tags, ways, later;

	ways = ax_matches(bucket, ax_tag((__u64)hash << 32));
	if (unlikely(ways & (ways - 1)))
		return ax_first_way(ways & (ways - 1));
	ways = ax_matches(bucket, 0);
	if (!ways) {
		tags = (void *)bucket->tag;
		ways = ax_ways(~tags[0], ~tags[1]);
		if (unlikely(!ways)) { /* all were: who will be used again from now on? */
			tags[0] &= ~AX_USED_BITS;
			tags[1] &= ~AX_USED_BITS;
			ways = ax_ways(-1, -1);
		}
	}
	later = ways & -1ULL << ax_way_bit(ax_likely_way((__u64)hash << 32));
	return ax_first_way(later ? later : ways);
}

__noinline __u32 ax_victim(__u32 family, __u32 at, __u32 hash)
{
	struct ax_bucket *bucket = ax_bucket_at(family, at);

	return bucket ? ax_victim_of(bucket, hash) : 0;
}

/* What is limited is limited per CPU and 16 jiffies. */
static __always_inline void ax_open_window(struct ax_cpu *own, __u64 now)
{
	__u32 window = now >> 4;

	if (own->window == window)
		return;
	own->window = window;
	own->inserts = 0;
	own->syns = 0;
}

static __always_inline int ax_may_insert(const struct ax_ctl *ctl, struct ax_cpu *own, __u64 now)
{
	if (!ctl->insert_limit)
		return 1;
	ax_open_window(own, now);
	return own->inserts++ < ctl->insert_limit;
}

/* Where a new flow goes. */
struct ax_place {
	void *entry; /* 0 = nowhere */
	struct ax_flow *flow;
	struct ax_cpu *own; /* whose place it is */
	__u32 slot, way;
};

static __always_inline void ax_pick_way(const struct ax_flow_key *key, __u32 way,
					struct ax_place *place)
{
	__u32 cpu = bpf_get_smp_processor_id();

	place->own = bpf_map_lookup_elem(&ax_cpu, &cpu);
	place->way = AX_BOUNDED(way, AX_WAYS - 1); /* compilers know it, verifiers do not */
	place->slot = ax_take_slot(key->family, key->bucket, place->way);
	place->entry = ax_entry(key->family, place->slot, &place->flow);
}

static __always_inline void ax_pick(const struct ax_flow_key *key, struct ax_place *place)
{
	ax_pick_way(key, ax_victim(key->family, key->bucket, key->hash), place);
}

/* What a flow's first packet tells the loss tracker, and the SYN that came before. */
struct ax_first {
	__u32 nxt, max_ts, segments;
	__u16 rtt, mss;
	__u8 flags, syn_rtx;
};

/* May the flow have this place? Then that is counted. */
static __always_inline int ax_open_entry(const struct ax_packet *pkt,
					 const struct ax_bucket *bucket,
					 const struct ax_place *place)
{
	__u32 inserted = AX_R_FLOW_INSERTED, evicted = AX_R_FLOW_EVICTED;

	if (!place->entry || !place->flow)
		return 0;
	if (!place->own || !ax_may_insert(pkt->ctl, place->own, ax_jiffies(pkt->ctl))) {
		ax_note_reason(AX_R_UNTRACKED, pkt->bytes);
		return 0;
	}
	if (bucket->tag[place->way & (AX_WAYS - 1)])
		ax_count(bpf_map_lookup_elem(&ax_note, &evicted), pkt->bytes);
	ax_count(bpf_map_lookup_elem(&ax_note, &inserted), pkt->bytes);
	return 1;
}

/* Nothing of the entry is read: the packet need not wait until it has come from memory. Stores need
 * not either, as long as they are few: hence whole words. So the version comes from a counter; that
 * it is the last flow's is one chance in 128, and matters to a reader who is copying the entry at
 * this moment. */
static __always_inline void ax_write_entry(const struct ax_packet *pkt,
					   const struct ax_flow_key *key, struct ax_bucket *bucket,
					   const struct ax_place *place,
					   const struct ax_choice *choice, __u8 forward,
					   const struct ax_first *first)
{
	__u64 *pair = place->entry, *word = (void *)place->flow;
	__u8 version = place->own->version += 2;

	_Static_assert(__builtin_offsetof(struct ax_flow, version) == 7 &&
			       __builtin_offsetof(struct ax_flow, generation) == 8 &&
			       __builtin_offsetof(struct ax_flow, vip) == 16 &&
			       __builtin_offsetof(struct ax_flow, bytes) == 24 &&
			       __builtin_offsetof(struct ax_flow, nxt) == 32 &&
			       __builtin_offsetof(struct ax_flow, segments) == 40 &&
			       __builtin_offsetof(struct ax_flow, ip_id) == 52,
		       "the words below");
	word[0] = key->ports | (__u64)key->proto << 32 | (__u64)forward << 40 |
		  (__u64)first->flags << 48 |
		  (__u64)(version | 1) << 56; /* odd: readers keep off */
	barrier();
	pair[0] = key->pair[0];
	if (key->family == 6) {
		pair[1] = key->pair[1];
		pair[2] = key->pair[2];
		pair[3] = key->pair[3];
	}
	word[1] = pkt->generation | (__u64)(__u16)choice->backend_id << 32 |
		  (__u64)choice->backend_gen << 48;
	word[2] = (__u16)choice->vip_id | (__u32)choice->vip_gen << 16 | 1ULL << 32; /* packets */
	word[3] = pkt->bytes;
	word[4] = first->nxt | (__u64)first->max_ts << 32;
	word[5] = first->segments | (__u64)first->rtt << 32 | (__u64)first->mss << 48;
	word[6] = (__u32)first->syn_rtx << 24 | (__u64)pkt->ip_id << 32 |
		  ax_jiffies(pkt->ctl) >> 8 << 48;
	barrier();
	place->flow->version = version;
	bucket->tag[place->way & (AX_WAYS - 1)] = key->tag;
}

/* Ends a flow: its way is free for the next. */
static __always_inline void ax_forget(struct ax_bucket *bucket, const struct ax_flow_ref *ref)
{
	bucket->tag[ref->way & (AX_WAYS - 1)] = 0;
}

#endif
