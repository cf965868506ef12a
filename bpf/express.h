/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The way of nearly every packet to a VIP: untagged, whole, without IP options, TCP in order or
 * UDP, of a flow that the table knows. Whatever is out of the ordinary goes the long way, which
 * judges it from the start: until then nothing was changed and nothing counted.
 *
 *   look at the headers -> find the flow -> look at the segment -> encapsulate -> count
 *
 * An entry of the running generation says more than its backend: its addresses and ports have been
 * through the guard, GTSM and the VIP look-up with these very settings. */
#ifndef AX_BPF_EXPRESS_H
#define AX_BPF_EXPRESS_H

#include "elsewhere.h"
#include "filter.h"
#include "steer.h"

#define AX_STRANGER6 -2 /* nothing unusual in the header; the flow is not in the table */
#define AX_SENT (AX_R_STEERED | XDP_TX << 16)

/* Who goes on where the flow is not in the table (stranger.h), or goes by GUE (express_gue.h; the
 * lower half of `place` is where its entry is, the upper one that of the hash). */
__noinline int ax_stranger4(struct xdp_md *ctx, __u32 bytes, __u64 hash);
__noinline int ax_express_gue4(struct xdp_md *ctx, __u32 bytes, __u64 place);

/* A constant that clang does not see: else it is set, and kept on the stack, before anything is
 * done. */
static __always_inline int ax_unusual(void)
{
	int unusual = AX_UNUSUAL;

	barrier_var(unusual);
	return unusual;
}

/* The network header, where at least the first words of a transport header follow (all of TCP's
 * behind IPv4), else 0. */
static __always_inline struct iphdr *ax_plain_ip4(const struct xdp_md *ctx)
{
	struct iphdr *ip = ax_data(ctx) + ETH_HLEN;

	return (void *)(ip + 1) + sizeof(struct tcphdr) > ax_data_end(ctx) ? 0 : ip;
}

static __always_inline struct ipv6hdr *ax_plain_ip6(struct xdp_md *ctx)
{
	struct ipv6hdr *ip = ax_data(ctx) + ETH_HLEN;

	return (void *)(ip + 1) + sizeof(struct udphdr) > ax_data_end(ctx) ? 0 : ip;
}

/* Nothing out of the ordinary in the header? By words: each is loaded once, the checksum needs them
 * all. */
static __always_inline int ax_is_plain4(const struct iphdr *ip, __u64 bytes)
{
	const __u32 *word = (const void *)ip;
	__u32 first = word[0], second = word[1], third = word[2];
	__u32 length = bpf_ntohs(first >> 16);

	return (first & bpf_htonl(0xff000000)) == bpf_htonl(0x45000000) &&
	       !(second & bpf_htonl(0xffff & ~AX_IP4_DF)) &&
	       length >= sizeof(*ip) + sizeof(struct udphdr) && length <= bytes - ETH_HLEN &&
	       (!AX_GUARD || ((third & bpf_htonl(0xff000000)) &&
			      ax_is_all_ones((__u64)first + second + third + word[3] + word[4])));
}

static __always_inline int ax_is_plain6(const struct ipv6hdr *ip, __u64 bytes)
{
	__u32 length = bpf_ntohs(ip->payload_len);

	return (*(__u8 *)ip & 0xf0) == 0x60 && (!AX_GUARD || ip->hop_limit) &&
	       (ip->nexthdr == IPPROTO_TCP || ip->nexthdr == IPPROTO_UDP) &&
	       length >= sizeof(struct udphdr) && length <= bytes - ETH_HLEN - sizeof(*ip);
}

/* As ax_hash_key. */
static __always_inline __u64 ax_hash_ip4(const struct ax_ctl *ctl, const struct iphdr *ip)
{
	return ax_hash_end(ctl, ax_hash_pair(ctl, ax_pair(&ip->saddr)), *(const __u32 *)(ip + 1),
			   ip->protocol);
}

static __always_inline __u64 ax_hash_ip6(const struct ax_ctl *ctl, const struct ipv6hdr *ip)
{
	__u64 pair[4];

	ax_pairs(ip, pair);
	return ax_hash_end(ctl, ax_hash_pairs(ctl, pair), *(const __u32 *)(ip + 1), ip->nexthdr);
}

/* Which of all CPUs' entries has a way whose tag matches, and so has one. */
static __always_inline __u32 ax_express_place(__u32 family, const __u32 *bucket, __u32 way)
{
	struct ax_slots *slots;

	if (ax_is_direct(family))
		return *bucket * AX_WAYS + way;
	slots = family == 4 ? bpf_map_lookup_elem(&ax_flow4_slot, bucket)
			    : bpf_map_lookup_elem(&ax_flow6_slot, bucket);
	return slots ? ax_region_start(family, *bucket) + slots->slot[way & (AX_WAYS - 1)] - 1 : -1;
}

static __always_inline __u32 ax_express_bucket(__u32 family, __u64 hash)
{
	__u32 buckets = family == 4 ? ax_buckets4 : ax_buckets6;

	return bpf_get_smp_processor_id() * buckets + ((__u32)(hash >> 20) & (buckets - 1));
}

/* 0 if the ports and the protocol are the entry's. */
static __always_inline __u64 ax_differs(const struct ax_flow *flow, const void *ports, __u8 proto)
{
	__u64 wanted = *(__u32 *)ports | (__u64)proto << 32;

	return (*(__u64 *)flow ^ wanted) << 24;
}

static __always_inline int ax_is_flow4(const struct ax_flow4 *entry, const struct iphdr *ip)
{
	return !((*(const __u64 *)entry ^ ax_pair(&ip->saddr)) |
		 ax_differs(&entry->flow, ip + 1, ip->protocol));
}

static __always_inline int ax_is_flow6(const struct ax_flow6 *entry, const struct ipv6hdr *ip)
{
	const __u32 *word = ip->saddr.in6_u.u6_addr32;

	return !((entry->saddr.pair[0] ^ ax_pair(word)) |
		 (entry->saddr.pair[1] ^ ax_pair(word + 2)) |
		 (entry->daddr.pair[0] ^ ax_pair(word + 4)) |
		 (entry->daddr.pair[1] ^ ax_pair(word + 6)) |
		 ax_differs(&entry->flow, ip + 1, ip->nexthdr));
}

_Static_assert(AX_NAMESAKES == 2, "as many are looked at below");

/* The entry of a way whose tag matches, if it is the flow's; it is the family's number `*place`. */
static __always_inline struct ax_flow4 *ax_express_way4(const struct iphdr *ip, const __u32 *at,
							__u32 way, __u32 *place)
{
	struct ax_flow4 *entry;

	*place = ax_express_place(4, at, way);
	entry = bpf_map_lookup_elem(&ax_flow4, place);
	return entry && ax_is_flow4(entry, ip) ? entry : 0;
}

/* The flow's entry. Most flows have their likely way. So a processor guesses that the branch is
 * taken, and asks memory for slot and entry while the tag is still on its way: a large table costs
 * one wait, not three. Where strangers come it guesses otherwise, and asks for nothing. */
static __always_inline struct ax_flow4 *ax_express_flow4(const struct iphdr *ip, __u64 hash,
							 __u64 now, __u32 *place)
{
	__u32 at = ax_express_bucket(4, hash), way = ax_likely_way(hash);
	struct ax_bucket *bucket = bpf_map_lookup_elem(&ax_flow4_idx, &at);
	struct ax_flow4 *entry;
	__u64 matches;

	if (!bucket)
		return 0;
	if (likely((bucket->tag[way] & ~AX_TAG_USED) == ax_tag(hash))) {
		entry = ax_express_way4(ip, &at, way, place);
		if (likely(entry)) {
			ax_use(bucket, way, &entry->flow, now);
			return entry;
		}
	}
	matches = ax_matches(bucket, ax_tag(hash));
	if (!matches)
		return 0;
	way = ax_first_way(matches);
	entry = ax_express_way4(ip, &at, way, place);
	matches &= matches - 1;
	if (!entry && matches) {
		way = ax_first_way(matches);
		entry = ax_express_way4(ip, &at, way, place);
	}
	if (entry)
		ax_use(bucket, way, &entry->flow, now);
	return entry;
}

static __always_inline struct ax_flow6 *ax_express_way6(const struct ipv6hdr *ip, const __u32 *at,
							__u32 way, __u32 *place)
{
	struct ax_flow6 *entry;

	*place = ax_express_place(6, at, way);
	entry = bpf_map_lookup_elem(&ax_flow6, place);
	return entry && ax_is_flow6(entry, ip) ? entry : 0;
}

static __always_inline struct ax_flow6 *ax_express_flow6(const struct ipv6hdr *ip, __u64 hash,
							 __u64 now, __u32 *place)
{
	__u32 at = ax_express_bucket(6, hash), way = ax_likely_way(hash);
	struct ax_bucket *bucket = bpf_map_lookup_elem(&ax_flow6_idx, &at);
	struct ax_flow6 *entry;
	__u64 matches;

	if (!bucket)
		return 0;
	if (likely((bucket->tag[way] & ~AX_TAG_USED) == ax_tag(hash))) {
		entry = ax_express_way6(ip, &at, way, place);
		if (likely(entry)) {
			ax_use(bucket, way, &entry->flow, now);
			return entry;
		}
	}
	matches = ax_matches(bucket, ax_tag(hash));
	if (!matches)
		return 0;
	way = ax_first_way(matches);
	entry = ax_express_way6(ip, &at, way, place);
	matches &= matches - 1;
	if (!entry && matches) {
		way = ax_first_way(matches);
		entry = ax_express_way6(ip, &at, way, place);
	}
	if (entry)
		ax_use(bucket, way, &entry->flow, now);
	return entry;
}

/* It has been held against the running configuration. */
static __always_inline int ax_is_current(const struct ax_ctl *ctl, const struct ax_flow *flow)
{
	return flow->generation == ctl->generation;
}

/* What ax_express_transport says of a packet that may go. */
#define AX_SENT_EMPTY 1	  /* nothing that loss is counted of */
#define AX_SENT_SEGMENT 2 /* a segment that the flow had not sent before */

/* The next segment in order, and nothing to learn but its numbers? Then they are written down. */
static __always_inline int ax_express_segment(struct xdp_md *ctx, struct ax_flow *flow,
					      const struct tcphdr *tcp, __u32 l4_bytes,
					      __u32 family)
{
	const __be32 *option = (void *)(tcp + 1);
	__u32 header, seq, known = AX_FLOW_SYNCED;
	__s32 payload;
	__u16 word;

	if (family == 6 && (void *)(tcp + 1) > ax_data_end(ctx))
		return 0;
	word = *(__u16 *)((void *)tcp + 12); /* data offset, reserved bits, flags */
	header = word >> 2 & 60;
	payload = l4_bytes - header;
	if (payload < 0 || (word >> 8 & (AX_TCP_ACK | AX_TCP_SYN | AX_TCP_FIN | AX_TCP_RST |
					 AX_TCP_ECE)) != AX_TCP_ACK)
		return 0;
	if (header == 32) {
		if ((void *)(option + 3) > ax_data_end(ctx) || *option != bpf_htonl(0x0101080a))
			return 0;
		known |= AX_FLOW_TS;
	} else if (header != 20) {
		return 0;
	}
	if (!AX_LOSS)
		return AX_SENT_EMPTY;
	seq = bpf_ntohl(tcp->seq);
	if (seq != flow->nxt || payload > flow->mss || (flow->flags & known) != known)
		return 0;
	if (header == 32 && ax_after(bpf_ntohl(option[1]), flow->max_ts) > 0)
		flow->max_ts = bpf_ntohl(option[1]);
	if (!payload)
		return AX_SENT_EMPTY;
	flow->nxt = seq + payload;
	flow->segments++;
	return AX_SENT_SEGMENT;
}

static __always_inline int ax_express_transport(struct xdp_md *ctx, struct ax_flow *flow,
						const void *l4, __u8 proto, __u32 l4_bytes,
						__u32 family)
{
	const struct udphdr *udp = l4;
	__u32 length;

	if (likely(proto == IPPROTO_TCP))
		return ax_express_segment(ctx, flow, l4, l4_bytes, family);
	length = bpf_ntohs(udp->len);
	return !AX_GUARD || (length >= sizeof(*udp) && length <= l4_bytes &&
			     (family == 4 || udp->check))
		       ? AX_SENT_EMPTY
		       : 0;
}

/* The way to the backend, if it was asked for lately and its outer header is of the packet's
 * family. */
static __always_inline struct ax_hop *ax_express_hop(const struct ax_ctl *ctl, __u32 backend,
						     __u8 family, __u32 now)
{
	struct ax_hop *hop = ax_hop_to(backend);

	if (!hop || hop->family != family || hop->generation != ctl->generation ||
	    now - hop->stamp >= AX_HOP_JIFFIES)
		return 0;
	return hop;
}

/* Counted once it is sent; TX where it came from. */
static __always_inline int ax_express_sent(struct xdp_md *ctx, const struct ax_hop *hop, __u32 vip,
					   __u32 backend_id, __u64 bytes, __u32 segments)
{
	if (ax_is_replay()) { /* asked for here: a register less on the way, where it is off */
		struct ax_ctl *ctl = ax_control();

		ctl->trace.vip = vip + 1;
		ctl->trace.backend = backend_id + 1;
	}
	ax_count_traffic(bpf_map_lookup_elem(&ax_vip_ctr, &vip), bytes, segments);
	ax_count_traffic(bpf_map_lookup_elem(&ax_backend_ctr, &backend_id), bytes, segments);
	if (likely(hop->ifindex == ctx->ingress_ifindex))
		return AX_SENT;
	return AX_R_STEERED | bpf_redirect(hop->ifindex, 0) << 16;
}

static __always_inline int ax_express_known(struct xdp_md *ctx, struct ax_flow *flow,
					    const struct ax_hop *hop, __u64 bytes, __u32 sent)
{
	flow->packets++;
	flow->bytes += bytes;
	return ax_express_sent(ctx, hop, flow->vip, flow->backend, bytes, sent - AX_SENT_EMPTY);
}

/* MAC addresses, type and outer header stand ready but for TOS, length, protocol and checksum. */
static __always_inline void ax_write_hop4(void *data, const struct ax_hop *hop, __u32 total,
					  __u32 tos, __u32 proto)
{
	const __u64 *from = (void *)hop->outer;
	__u32 sum = bpf_htons(total) + hop->csum4 + (tos << 8) + bpf_htons(proto);

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	*(__u64 *)data = from[0];
	*(__u64 *)(data + 8) = from[1] | (__u64)tos << 56;
	*(__u64 *)(data + 16) = (from[2] ^ (__u64)(IPPROTO_IPIP ^ proto) << 56) | bpf_htons(total);
	*(__u64 *)(data + 24) = from[3];
	*(__u16 *)(data + 32) = *(__u16 *)&from[4];
	*(__u16 *)(data + 24) = ~sum;
}

static __always_inline int ax_express_outer4(struct xdp_md *ctx, const struct ax_hop *hop,
					     __u32 total, __u32 tos)
{
	void *data;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct iphdr)))
		return AX_R_ENCAP_FAILED;
	data = ax_data(ctx);
	if (data + sizeof(hop->outer) > ax_data_end(ctx))
		return AX_R_INTERNAL;
	ax_write_hop4(data, hop, total, tos, IPPROTO_IPIP);
	return AX_CONTINUE;
}

static __always_inline int ax_express4(struct xdp_md *ctx, struct ax_ctl *ctl, __u64 bytes)
{
	const struct ax_settings *settings = &ctl->half[ctl->generation & 1];
	struct iphdr *ip = ax_data(ctx) + ETH_HLEN;
	__u64 hash, now = ax_jiffies(ctl);
	__u32 total, tos, place;
	struct ax_flow4 *entry;
	struct ax_hop *hop;
	int reason, sent;

	if ((void *)(ip + 1) + sizeof(struct tcphdr) > ax_data_end(ctx) || !ax_is_plain4(ip, bytes))
		return ax_unusual();
	if (!ax_in_filter(settings, ip->daddr))
		return AX_FRESH(ax_elsewhere4(ctx));
	hash = ax_hash_ip4(ctl, ip);
	entry = ax_express_flow4(ip, hash, now, &place);
	if (!entry)
		return AX_FRESH(ax_stranger4(ctx, bytes, hash));
	if (!ax_is_current(ctl, &entry->flow))
		return ax_unusual();
	if (unlikely(entry->flow.forward != AX_FORWARD_IPIP))
		return entry->flow.forward == AX_FORWARD_GUE
			       ? AX_FRESH(ax_express_gue4(ctx, bytes, hash >> 32 << 32 | place))
			       : ax_unusual();
	hop = ax_express_hop(ctl, entry->flow.backend, 4, now);
	if (!hop)
		return ax_unusual();
	total = bpf_ntohs(ip->tot_len) + sizeof(*ip);
	tos = ip->tos;
	if (total > hop->mtu || (AX_LOSS && unlikely((tos & AX_ECN_CE) == AX_ECN_CE)))
		return ax_unusual();
	sent = ax_express_transport(ctx, &entry->flow, ip + 1, ip->protocol,
				    total - 2 * sizeof(*ip), 4);
	if (!sent)
		return ax_unusual();
	if (AX_LOSS && ip->protocol == IPPROTO_TCP)
		ax_learn_ip_id(&entry->flow, bpf_ntohs(ip->id));
	reason = ax_express_outer4(ctx, hop, total, tos);
	return reason ? reason : ax_express_known(ctx, &entry->flow, hop, bytes, sent);
}

#endif
