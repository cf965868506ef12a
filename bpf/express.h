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

#define AX_STRANGER4 -2 /* nothing unusual in the header; the flow is not in the table */
#define AX_STRANGER6 -3
#define AX_KNOWN_GUE4 -4 /* express_gue.h goes on */

/* The network header, where at least the first words of a transport header follow, else 0. Read
 * anew wherever it is needed: cheaper than a register across map look-ups. */
static __always_inline struct iphdr *ax_plain_ip4(struct xdp_md *ctx)
{
	struct iphdr *ip = ax_data(ctx) + ETH_HLEN;

	return (void *)(ip + 1) + sizeof(struct tcphdr) > ax_data_end(ctx) ? 0 : ip;
}

static __always_inline struct ipv6hdr *ax_plain_ip6(struct xdp_md *ctx)
{
	struct ipv6hdr *ip = ax_data(ctx) + ETH_HLEN;

	return (void *)(ip + 1) + sizeof(struct udphdr) > ax_data_end(ctx) ? 0 : ip;
}

/* Nothing out of the ordinary in the header? */
static __always_inline int ax_is_plain4(const struct iphdr *ip, __u64 bytes)
{
	__u32 length = bpf_ntohs(ip->tot_len);

	return *(__u8 *)ip == 0x45 && !(ip->frag_off & bpf_htons(~AX_IP4_DF)) &&
	       length >= sizeof(*ip) + sizeof(struct udphdr) && length <= bytes - ETH_HLEN &&
	       (!ax_guard || (ip->ttl && ax_fold(ax_sum_ip4(ip)) == 0xffff));
}

static __always_inline int ax_is_plain6(const struct ipv6hdr *ip, __u32 bytes)
{
	__u32 length = bpf_ntohs(ip->payload_len);

	return (*(__u8 *)ip & 0xf0) == 0x60 && (!ax_guard || ip->hop_limit) &&
	       (ip->nexthdr == IPPROTO_TCP || ip->nexthdr == IPPROTO_UDP) &&
	       length >= sizeof(struct udphdr) && length <= bytes - ETH_HLEN - sizeof(*ip);
}

/* ax_make_key and ax_hash_key in one; the halves are what the flow entry holds. */
static __always_inline __u64 ax_end_hash(const struct ax_ctl *ctl, __u64 h, const void *ports,
					 __u8 proto)
{
	h ^= h >> 32;
	h = (h + ((__u64) * (__u32 *)ports << 8 | proto)) * (ctl->table_seed[1] | 1);
	h ^= h >> 32;
	return h * (ctl->table_seed[0] | 1);
}

static __always_inline __u64 ax_hash_ip4(const struct ax_ctl *ctl, const struct iphdr *ip)
{
	__u64 k0 = ctl->table_seed[0] | 1, k1 = ctl->table_seed[1] | 1;

	return ax_end_hash(ctl, (ax_pair(&ip->saddr) ^ k1) * k0, ip + 1, ip->protocol);
}

static __always_inline __u64 ax_hash_ip6(const struct ax_ctl *ctl, const struct ipv6hdr *ip)
{
	__u64 k0 = ctl->table_seed[0] | 1, k1 = ctl->table_seed[1] | 1, h;
	const __u32 *word = ip->saddr.in6_u.u6_addr32;

	h = (ax_pair(word) ^ k1) * k0;
	h = (h ^ h >> 32 ^ ax_pair(word + 2)) * k1;
	h = (h ^ h >> 32 ^ ax_pair(word + 4)) * k0;
	h = (h ^ h >> 32 ^ ax_pair(word + 6)) * k1;
	return ax_end_hash(ctl, h, ip + 1, ip->nexthdr);
}

static __always_inline __u32 ax_express_place(__u32 family, __u32 bucket, __u32 way)
{
	return (bucket & ~(ax_buckets_of(family) - 1)) * AX_WAYS - 1 +
	       ax_slot_at(family, bucket, way);
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

	return (*(__u64 *)flow ^ wanted) & 0xffffffffffULL;
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

/* Of `hash` the lower half becomes where the entry is. */
static __always_inline struct ax_flow4 *ax_express_flow4(struct xdp_md *ctx, struct ax_ctl *ctl,
							 __u64 *hash)
{
	__u32 at = ax_express_bucket(4, *hash);
	struct ax_bucket *bucket = ax_bucket_at(4, at);
	__u64 matches = bucket ? ax_matches(bucket, ax_tag(*hash)) : 0;

#pragma unroll
	for (int i = 0; i < AX_NAMESAKES; i++, matches &= matches - 1) {
		__u32 way = ax_first_way(matches), place;
		struct ax_flow4 *entry;
		struct iphdr *ip;

		if (!matches)
			return 0;
		place = ax_express_place(4, at, way);
		entry = bpf_map_lookup_elem(&ax_flow4, &place);
		ip = ax_plain_ip4(ctx);
		if (!entry || !ip || !ax_is_flow4(entry, ip))
			continue;
		ax_use(ctl, bucket, way, &entry->flow);
		*hash = *hash >> 32 << 32 | place;
		return entry;
	}
	return 0;
}

static __always_inline struct ax_flow6 *ax_express_flow6(struct xdp_md *ctx, struct ax_ctl *ctl,
							 __u64 *hash)
{
	__u32 at = ax_express_bucket(6, *hash);
	struct ax_bucket *bucket = ax_bucket_at(6, at);
	__u64 matches = bucket ? ax_matches(bucket, ax_tag(*hash)) : 0;

#pragma unroll
	for (int i = 0; i < AX_NAMESAKES; i++, matches &= matches - 1) {
		__u32 way = ax_first_way(matches), place;
		struct ax_flow6 *entry;
		struct ipv6hdr *ip;

		if (!matches)
			return 0;
		place = ax_express_place(6, at, way);
		entry = bpf_map_lookup_elem(&ax_flow6, &place);
		ip = ax_plain_ip6(ctx);
		if (!entry || !ip || !ax_is_flow6(entry, ip))
			continue;
		ax_use(ctl, bucket, way, &entry->flow);
		*hash = *hash >> 32 << 32 | place;
		return entry;
	}
	return 0;
}

/* It goes the express way, and has been held against the running configuration. */
static __always_inline int ax_is_current(const struct ax_ctl *ctl, const struct ax_flow *flow,
					 __u8 forward)
{
	return flow->forward == forward && flow->generation == ctl->generation;
}

/* What ax_express_transport says of a packet that may go. */
#define AX_SENT_EMPTY 1	  /* nothing that loss is counted of */
#define AX_SENT_SEGMENT 2 /* a segment that the flow had not sent before */

/* The next segment in order, and nothing to learn but its numbers? Then they are written down. */
static __always_inline int ax_express_segment(struct xdp_md *ctx, struct ax_flow *flow,
					      const struct tcphdr *tcp, __u32 l4_bytes)
{
	const __be32 *option = (void *)(tcp + 1);
	__u32 header, seq, known = AX_FLOW_SYNCED;
	__s32 payload;
	__u16 word;

	if ((void *)(tcp + 1) > ax_data_end(ctx))
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
	if (!ax_loss)
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
		return ax_express_segment(ctx, flow, l4, l4_bytes);
	length = bpf_ntohs(udp->len);
	return !ax_guard || (length >= sizeof(*udp) && length <= l4_bytes &&
			     (family == 4 || udp->check))
		       ? AX_SENT_EMPTY
		       : 0;
}

/* The way to the backend, if it was asked for lately and its outer header is of the packet's
 * family. */
static __always_inline struct ax_hop *ax_express_hop(const struct ax_ctl *ctl, __u32 backend,
						     __u8 family)
{
	struct ax_hop *hop = ax_hop_to(backend);

	if (!hop || hop->family != family || hop->generation != ctl->generation ||
	    (__u32)ax_jiffies(ctl) - hop->stamp >= AX_HOP_JIFFIES)
		return 0;
	return hop;
}

/* Counted once it is sent; TX where it came from. */
static __always_inline int ax_express_sent(struct xdp_md *ctx, const struct ax_hop *hop, __u32 vip,
					   __u32 backend_id, __u64 bytes, __u32 segments)
{
	if (ax_replay) { /* asked for here: a register less on the way, where it is off */
		struct ax_ctl *ctl = ax_control();

		if (ctl) {
			ctl->trace.vip = vip + 1;
			ctl->trace.backend = backend_id + 1;
		}
	}
	ax_count_traffic(bpf_map_lookup_elem(&ax_vip_ctr, &vip), bytes, segments);
	ax_count_traffic(bpf_map_lookup_elem(&ax_backend_ctr, &backend_id), bytes, segments);
	if (likely(hop->ifindex == ctx->ingress_ifindex))
		return AX_R_STEERED | XDP_TX << 16;
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

static __always_inline int ax_express4(struct xdp_md *ctx, struct ax_ctl *ctl, __u64 bytes,
				       __u64 *hash)
{
	const struct ax_settings *settings = &ctl->half[ctl->generation & 1];
	struct iphdr *ip = ax_plain_ip4(ctx);
	struct ax_flow4 *entry;
	struct ax_hop *hop;
	__u32 total, tos;
	int reason, sent;

	if (!ip || !ax_is_plain4(ip, bytes))
		return AX_UNUSUAL;
	if (!ax_in_filter(settings, ip->daddr))
		return ax_elsewhere4(ctx, settings, ip);
	*hash = ax_hash_ip4(ctl, ip);
	entry = ax_express_flow4(ctx, ctl, hash);
	if (!entry)
		return AX_STRANGER4;
	if (unlikely(ax_is_current(ctl, &entry->flow, AX_FORWARD_GUE)))
		return AX_KNOWN_GUE4;
	if (!ax_is_current(ctl, &entry->flow, AX_FORWARD_IPIP))
		return AX_UNUSUAL;
	hop = ax_express_hop(ctl, entry->flow.backend, 4);
	ip = ax_plain_ip4(ctx);
	if (!ip || !hop)
		return AX_UNUSUAL;
	total = bpf_ntohs(ip->tot_len) + sizeof(*ip);
	tos = ip->tos;
	if (total > hop->mtu || (ax_loss && unlikely((tos & AX_ECN_CE) == AX_ECN_CE)))
		return AX_UNUSUAL;
	sent = ax_express_transport(ctx, &entry->flow, ip + 1, ip->protocol,
				    total - 2 * sizeof(*ip), 4);
	if (!sent)
		return AX_UNUSUAL;
	if (ax_loss && ip->protocol == IPPROTO_TCP)
		ax_learn_ip_id(&entry->flow, bpf_ntohs(ip->id));
	reason = ax_express_outer4(ctx, hop, total, tos);
	return reason ? reason : ax_express_known(ctx, &entry->flow, hop, bytes, sent);
}

#endif
