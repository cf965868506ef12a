/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The express way of flows that the table does not know, SYNs above all: plain segments and
 * datagrams to a service that was looked up lately (struct ax_shortcut).
 *
 *   look at the segment -> service -> slot -> backend -> remember -> encapsulate -> count
 *
 * The network header was looked at by ax_express. Until the flow is remembered nothing was changed
 * and nothing counted, so that everything else can go the long way. */
#ifndef AX_BPF_STRANGER_H
#define AX_BPF_STRANGER_H

#include "express6.h"
#include "options.h"

/* The halves of the packet's addresses in host order, as hash.h wants them. What is read here is
 * read anew wherever it is needed: cheaper than a register across map look-ups. */
static __always_inline __u64 ax_half_of4(__be32 address, int low)
{
	return low ? 0xffffULL << 32 | bpf_ntohl(address) : 0;
}

static __always_inline __u64 ax_half_of6(const struct in6_addr *address, int low)
{
	return bpf_be64_to_cpu(ax_pair(address->in6_u.u6_addr32 + 2 * low));
}

static __always_inline __u64 ax_source_half(const void *l3, __u32 family, int low)
{
	return family == 4 ? ax_half_of4(((const struct iphdr *)l3)->saddr, low)
			   : ax_half_of6(&((const struct ipv6hdr *)l3)->saddr, low);
}

static __always_inline __u64 ax_vip_half(const void *l3, __u32 family, int low)
{
	return family == 4 ? ax_half_of4(((const struct iphdr *)l3)->daddr, low)
			   : ax_half_of6(&((const struct ipv6hdr *)l3)->daddr, low);
}

static __always_inline const void *ax_behind(const void *l3, __u32 family)
{
	return l3 + (family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
}

/* Of the datagram in its tunnel. */
static __always_inline __u32 ax_outer_bytes(const void *l3, __u32 family)
{
	return family == 4 ? bpf_ntohs(((const struct iphdr *)l3)->tot_len) + sizeof(struct iphdr)
			   : bpf_ntohs(((const struct ipv6hdr *)l3)->payload_len) +
				     2 * sizeof(struct ipv6hdr);
}

static __always_inline __u32 ax_vip_folded(const void *l3, __u32 family)
{
	const struct ipv6hdr *ip = l3;
	const __u32 *word = ip->daddr.in6_u.u6_addr32;

	return family == 4 ? bpf_htonl(0xffff) ^ ((const struct iphdr *)l3)->daddr
			   : word[0] ^ word[1] ^ word[2] ^ word[3];
}

/* Is that what the short cut is about? */
static __always_inline int ax_is_service(const struct ax_shortcut *service, const void *l3,
					 __u32 family, __u8 proto)
{
	const struct udphdr *udp = ax_behind(l3, family);

	return *(__u32 *)&service->port ==
		       (udp->dest | (__u32)proto << 16 | (__u32)AX_FORWARD_IPIP << 24) &&
	       service->addr.pair[0] == bpf_cpu_to_be64(ax_vip_half(l3, family, 0)) &&
	       service->addr.pair[1] == bpf_cpu_to_be64(ax_vip_half(l3, family, 1));
}

/* Nothing for a rule to say; sets what the flow table and the loss tracker want to know. `l4`: of
 * UDP's header all is within the frame, of TCP's where IPv4 is before it. */
static __always_inline int ax_stranger_transport(struct xdp_md *ctx, struct ax_packet *pkt,
						 const void *l4)
{
	const struct udphdr *udp = l4;
	const struct tcphdr *tcp = l4;
	__u32 header, kind;
	__u16 word;

	if (pkt->proto == IPPROTO_UDP) {
		header = bpf_ntohs(udp->len);
		if (ax_role & AX_ROLE_BACKEND) /* may be a tunnel's end */
			return 0;
		return header >= sizeof(*udp) && header <= pkt->l4_bytes &&
		       (pkt->family == 4 || udp->check);
	}
	if (pkt->proto != IPPROTO_TCP || (pkt->family == 6 && (void *)(tcp + 1) > ax_data_end(ctx)))
		return 0;
	word = *(__u16 *)(l4 + 12); /* data offset, reserved bits, flags */
	header = word >> 2 & 60;
	pkt->tcp_flags = word >> 8;
	kind = pkt->tcp_flags & (AX_TCP_ACK | AX_TCP_SYN | AX_TCP_FIN | AX_TCP_RST);
	if (header < sizeof(*tcp) || header > pkt->l4_bytes)
		return 0;
	/* the loss tracker has more to say of congestion */
	return kind == AX_TCP_ACK && !(pkt->tcp_flags & AX_TCP_ECE) &&
	       (pkt->tos & AX_ECN_CE) != AX_ECN_CE && ax_plain_options(ctx, tcp, header);
}

static __always_inline struct ax_owners *ax_owners_at(__u32 half, __u64 slot, __u64 slots)
{
	__u32 at = half * ax_owner_groups(slots) + slot / 4;

	return bpf_map_lookup_elem(&ax_owner, &at);
}

/* To whom, and how. */
struct ax_way {
	struct ax_shortcut *service;
	struct ax_hop *hop;
	__u32 backend;
};

/* As ax_hash_packet. */
static __always_inline __u64 ax_stranger_hash(const struct ax_settings *settings, const void *l3,
					      __u32 family, __u8 proto)
{
	const __be32 *ports = ax_behind(l3, family);

	return ax_steer_hash(settings->hash_seed[0], settings->hash_seed[1],
			     ax_source_half(l3, family, 0), ax_source_half(l3, family, 1),
			     ax_vip_half(l3, family, 0), ax_vip_half(l3, family, 1),
			     bpf_ntohl(*ports), proto);
}

/* Who gets it, if the way there is short. */
static __always_inline int ax_stranger_way(const struct ax_packet *pkt, const void *l3,
					   struct ax_way *way)
{
	const struct udphdr *udp = ax_behind(l3, pkt->family);
	struct ax_shortcut *service;
	struct ax_owners *owners;
	__u64 slot, slots;

	service = ax_shortcut_of(ax_vip_folded(l3, pkt->family) ^ udp->dest);
	if (!service || service->generation != pkt->generation || !service->size ||
	    !ax_is_service(service, l3, pkt->family, pkt->proto))
		return 0;
	slot = ax_stranger_hash(pkt->settings, l3, pkt->family, pkt->proto) % service->size;
	ax_trace_slot(pkt, slot);
	slot += service->first;
	slots = ax_slots;
	if (slot >= slots)
		return 0;
	owners = ax_owners_at(pkt->half, slot, slots);
	if (!owners)
		return 0;
	way->service = service;
	way->backend = owners->backend[slot & 3];
	if (way->backend >= ax_backends) /* AX_NOBODY is none */
		return 0;
	way->hop = ax_express_hop(pkt->ctl, way->backend, pkt->family, ax_jiffies(pkt->ctl));
	return way->hop && ax_outer_bytes(l3, pkt->family) <= way->hop->mtu;
}

static __always_inline void ax_choose_way(const struct ax_way *way, struct ax_choice *choice)
{
	choice->backend_id = way->backend;
	choice->backend_gen = way->hop->backend_gen;
	choice->vip_id = way->service->vip;
	choice->vip_gen = way->service->vip_gen;
}

/* What ax_track would learn of this segment. */
static __always_inline void ax_first_segment(struct xdp_md *ctx, const struct ax_packet *pkt,
					     struct ax_first *first)
{
	struct tcphdr *tcp = ax_data(ctx) + pkt->l4_offset;
	__be32 *option = (void *)(tcp + 1);
	__u32 payload;

	if ((void *)option > ax_data_end(ctx))
		return;
	payload = pkt->l4_bytes - tcp->doff * 4;
	first->nxt = bpf_ntohl(tcp->seq) + payload;
	first->segments = !!payload;
	first->mss = payload;
	first->flags = AX_FLOW_SYNCED;
	if (tcp->doff != 8 || (void *)(option + 2) > ax_data_end(ctx))
		return;
	first->flags |= AX_FLOW_TS;
	first->max_ts = bpf_ntohl(option[1]);
}

/* A handshake that a change of the configuration overtook: ax_keep_choice decides. */
static __always_inline int ax_overtaken(const struct ax_packet *pkt, const struct ax_flow_key *key,
					const struct ax_syn *syn)
{
	return !syn || (syn->hash == key->hash && syn->generation != pkt->generation);
}

/* A rule, or GTSM, may have something to say; of the rest ax_keep_shortcut has taken care. */
static __always_inline int ax_odd_stranger4(const struct iphdr *ip, __be16 port)
{
	return (unlikely(ax_is_odd_net(*(const __u8 *)&ip->saddr)) &&
		ax_odd_there(bpf_ntohl(ip->saddr))) ||
	       ip->saddr == ip->daddr || ax_odd_port(port);
}

/* Its SYN is noted, where it can be sent; else 0. */
static __always_inline int ax_stranger_opens(const struct ax_packet *pkt, const void *l3,
					     __u32 hash, __u32 isn, __u16 mss, struct ax_way *way)
{
	struct ax_choice choice;
	struct ax_syn *syn;

	if (!ax_stranger_way(pkt, l3, way))
		return 0;
	syn = ax_write_syn(pkt->ctl, hash, isn, mss);
	if (syn) {
		ax_choose_way(way, &choice);
		ax_note_choice(syn, &choice, pkt->generation);
	}
	return 1;
}

/* Remembered, in the way that ax_steer_new does it, where the packet can be sent; else 0. */
static __always_inline int ax_stranger_stays(struct xdp_md *ctx, const struct ax_packet *pkt,
					     const void *l3, struct ax_flow_key *key,
					     struct ax_way *way, __u32 *segments)
{
	const int tcp = pkt->proto == IPPROTO_TCP;
	struct ax_bucket *bucket = ax_bucket_of(key);
	struct ax_first first = {};
	struct ax_place place = {};
	struct ax_choice choice;
	struct ax_syn *syn = 0;

	/* Who gets it does not depend on the bucket, which may still be on its way from memory. */
	if (!bucket || !ax_stranger_way(pkt, l3, way))
		return 0;
	ax_pick_way(key, ax_victim_of(bucket, key->hash), &place);
	if (tcp) {
		syn = ax_syn_slot(key->hash);
		if (ax_overtaken(pkt, key, syn))
			return 0;
	}
	if (!ax_open_entry(pkt, bucket, &place)) {
		ax_outlive_syn(key, syn);
		return 1;
	}
	ax_choose_way(way, &choice);
	if (tcp && AX_LOSS) {
		ax_first_segment(ctx, pkt, &first);
		ax_consume_syn(ctx, pkt, key, syn, &choice, &first);
	}
	ax_write_entry(pkt, key, bucket, &place, &choice, AX_FORWARD_IPIP, &first);
	*segments = first.segments;
	return 1;
}

static __always_inline int ax_stranger_sent4(struct xdp_md *ctx, const struct iphdr *ip,
					     const struct ax_way *way, __u64 bytes, __u32 segments)
{
	int reason = ax_express_outer4(ctx, way->hop, ax_outer_bytes(ip, 4), ip->tos);

	return reason ? reason
		      : ax_express_sent(ctx, way->hop, way->service->vip, way->backend, bytes,
					segments);
}

/* SYN, and neither ACK nor FIN nor RST. */
static __always_inline int ax_opens(const void *l4, __u8 proto)
{
	return proto == IPPROTO_TCP &&
	       (((const __u8 *)l4)[13] & (AX_TCP_ACK | AX_TCP_SYN | AX_TCP_FIN | AX_TCP_RST)) ==
		       AX_TCP_SYN;
}

/* What a new flow needs from memory is asked for while its bucket is on its way: what its SYN left,
 * and the entry that it will probably get, or the line that says which entries its ways have. */
static __always_inline void ax_expect(const struct ax_flow_key *key)
{
	__u32 entry = key->bucket * AX_WAYS + ax_likely_way((__u64)key->hash << 32);
	struct ax_syn *syn = ax_syn_slot(key->hash);
	void *line;

	if (syn && key->proto == IPPROTO_TCP)
		(void)AX_UNSEEN(syn->hash);
	if (!ax_is_direct(key->family))
		line = ax_slots_at(key->family, key->bucket);
	else if (key->family == 4)
		line = bpf_map_lookup_elem(&ax_flow4, &entry);
	else
		line = bpf_map_lookup_elem(&ax_flow6, &entry);
	if (line)
		(void)AX_UNSEEN(*(__u64 *)line);
}

static __always_inline int ax_opening4(struct xdp_md *ctx, const struct iphdr *ip, __u64 bytes,
				       __u64 hash)
{
	struct ax_packet pkt = {.family = 4, .proto = IPPROTO_TCP};
	const struct tcphdr *tcp = (void *)(ip + 1);
	__u32 header = ((const __u8 *)tcp)[12] >> 2 & 60;
	__u32 payload = bpf_ntohs(ip->tot_len) - sizeof(*ip) - header, isn;
	struct ax_way way;
	__u16 mss = 0;

	if ((__s32)payload < 0 || !ax_syn_options(ctx, tcp, header, &mss) ||
	    ax_odd_stranger4(ip, tcp->source))
		return ax_unusual();
	isn = bpf_ntohl(tcp->seq) + payload; /* data on the SYN has been sent too */
	ax_take_settings(&pkt);
	return ax_stranger_opens(&pkt, ip, hash >> 32, isn, mss, &way)
		       ? ax_stranger_sent4(ctx, ip, &way, bytes, 0)
		       : ax_unusual();
}

__noinline int ax_stranger4(struct xdp_md *ctx, __u32 bytes, __u64 hash)
{
	struct ax_packet pkt = {.bytes = bytes, .family = 4, .l3_offset = ETH_HLEN};
	struct iphdr *ip = ax_data(ctx) + ETH_HLEN;
	const struct udphdr *udp = (void *)(ip + 1);
	struct ax_flow_key key = {.family = 4};
	__u32 segments = 0;
	struct ax_way way;

	if ((void *)(ip + 1) + sizeof(struct tcphdr) > ax_data_end(ctx))
		return ax_unusual();
	if (ax_opens(ip + 1, ip->protocol))
		return ax_opening4(ctx, ip, bytes, hash);
	key.proto = ip->protocol;
	ax_place_key(&key, hash);
	ax_expect(&key);
	ax_take_settings(&pkt);
	pkt.tos = ip->tos;
	pkt.proto = ip->protocol;
	pkt.l3_bytes = bpf_ntohs(ip->tot_len);
	pkt.l4_offset = ETH_HLEN + sizeof(*ip);
	pkt.l4_bytes = pkt.l3_bytes - sizeof(*ip);
	if (!ax_stranger_transport(ctx, &pkt, ip + 1) || ax_odd_stranger4(ip, udp->source))
		return ax_unusual();
	key.pair[0] = ax_pair(&ip->saddr);
	key.ports = *(__u32 *)udp;
	pkt.ip_id = bpf_ntohs(ip->id);
	return ax_stranger_stays(ctx, &pkt, ip, &key, &way, &segments)
		       ? ax_stranger_sent4(ctx, ip, &way, bytes, segments)
		       : ax_unusual();
}

static __always_inline int ax_stranger_sent6(struct xdp_md *ctx, const struct ax_settings *settings,
					     const struct ipv6hdr *ip, const struct ax_way *way,
					     __u32 label, __u64 bytes, __u32 segments)
{
	__u32 length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	int reason = ax_express_outer6(ctx, settings, way->hop,
				       ax_outer6_start(ip, length, IPPROTO_IPV6, label));

	return reason ? reason
		      : ax_express_sent(ctx, way->hop, way->service->vip, way->backend, bytes,
					segments);
}

static __always_inline int ax_opening6(struct xdp_md *ctx, const struct ipv6hdr *ip,
				       const struct ax_flow_key *key, __u64 bytes)
{
	struct ax_packet pkt = {.family = 6, .proto = IPPROTO_TCP};
	const struct tcphdr *tcp = (void *)(ip + 1);
	__u32 header = ((const __u8 *)tcp)[12] >> 2 & 60;
	__u32 payload = bpf_ntohs(ip->payload_len) - header, isn;
	struct ax_way way;
	__u16 mss = 0;

	if ((__s32)payload < 0 || !ax_syn_options(ctx, tcp, header, &mss))
		return ax_unusual();
	isn = bpf_ntohl(tcp->seq) + payload;
	ax_take_settings(&pkt);
	return ax_stranger_opens(&pkt, ip, key->hash, isn, mss, &way)
		       ? ax_stranger_sent6(ctx, pkt.settings, ip, &way, key->hash, bytes, 0)
		       : ax_unusual();
}

__noinline int ax_stranger6(struct xdp_md *ctx, __u32 bytes)
{
	struct ax_ctl *ctl = ax_control();
	struct ax_packet pkt = {.bytes = bytes, .family = 6, .l3_offset = ETH_HLEN};
	struct ipv6hdr *ip = ax_data(ctx) + ETH_HLEN;
	struct ax_flow_key key = {.family = 6};
	__u32 segments = 0;
	struct ax_way way;

	if ((void *)(ip + 1) + sizeof(struct udphdr) > ax_data_end(ctx))
		return ax_unusual();
	ax_pairs(ip, key.pair);
	key.ports = *(__u32 *)(ip + 1);
	key.proto = ip->nexthdr;
	if (ax_odd6(key.pair[0], key.pair[1], key.pair[2], key.pair[3], key.ports))
		return ax_unusual();
	ax_hash_key(ctl, &key);
	if (ip->nexthdr == IPPROTO_TCP &&
	    (void *)(ip + 1) + sizeof(struct tcphdr) > ax_data_end(ctx))
		return ax_unusual();
	if (ax_opens(ip + 1, ip->nexthdr))
		return ax_opening6(ctx, ip, &key, bytes);
	ax_expect(&key);
	ax_take_settings(&pkt);
	pkt.tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	pkt.proto = ip->nexthdr;
	pkt.l4_bytes = bpf_ntohs(ip->payload_len);
	pkt.l3_bytes = pkt.l4_bytes + sizeof(*ip);
	pkt.l4_offset = ETH_HLEN + sizeof(*ip);
	if (!ax_stranger_transport(ctx, &pkt, ip + 1))
		return ax_unusual();
	return ax_stranger_stays(ctx, &pkt, ip, &key, &way, &segments)
		       ? ax_stranger_sent6(ctx, pkt.settings, ip, &way, key.hash, bytes, segments)
		       : ax_unusual();
}

#endif
