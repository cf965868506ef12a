/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Alternate marking: counts what an edge sends to a backend and what the backend gets, by the
 * period that the packet names. Format and states: <anycast_xdp/mark.h>. Packets of services that
 * are marked go the long way. Kernels before 5.6 do without. */
#ifndef AX_BPF_MARK_H
#define AX_BPF_MARK_H

#include <linux/if_ether.h>

#include "choose.h"
#include "transport.h"

#ifdef AX_LEGACY

#define ax_marks() 0
#define ax_mark_stage(ctx) ((void)0)
#define ax_mark_unsent() ((void)0)
#define ax_mark_received(ctx) 0

#else

static __always_inline int ax_marks(void)
{
	struct ax_ctl *ctl = ax_control();

	return ctl->half[ctl->generation & 1].mark_shift;
}

/* Memory is taken when it is needed, so a node that does not mark pays for empty buckets only. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ax_mark_key);
	__type(value, struct ax_mark);
} ax_mark SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, AX_MARK_SUMS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ax_mark_key);
	__type(value, struct ax_mark);
} ax_mark_sum SEC(".maps");

/* What a record begins as. */
const volatile __u64 ax_mark_nothing[sizeof(struct ax_mark) / 8] = {};

/* Into the period's slot. The slot may hold an earlier period, which is settled then, or, where the
 * packet was on its way for long, a later one, which stays. */
static __always_inline void ax_mark_count(struct ax_mark *mark, __u32 period, __u32 by, __u64 now,
					  __u32 stale)
{
	struct ax_mark_slot *slot =
		(void *)mark->slot + AX_BOUNDED(period, AX_MARK_SLOTS - 1) * sizeof(*slot);
	__u32 ahead;

	bpf_spin_lock(&mark->lock);
	if (!mark->since) {
		mark->since = now;
		mark->first = period;
	}
	mark->stamp = now;
	ahead = (period - slot->period) & AX_MARK_PERIOD;
	if (!slot->used || (__u32)now - slot->stamp >= stale ||
	    (ahead && ahead <= AX_MARK_PERIOD / 2)) {
		mark->settled += slot->packets;
		slot->packets = 0;
		slot->stamp = now;
		slot->period = period;
		slot->used = 1;
		ahead = 0;
	}
	if (ahead)
		mark->settled += (__s64)(__s32)by;
	else
		slot->packets += by;
	bpf_spin_unlock(&mark->lock);
}

/* The record, made if it is not there and `make`. A full map makes none. */
#define AX_MARK_AT(map, key, make)                                                                 \
	({                                                                                         \
		struct ax_mark *found_ = bpf_map_lookup_elem(&(map), key);                         \
                                                                                                   \
		if (!found_ && (make)) {                                                           \
			bpf_map_update_elem(&(map), key, (void *)ax_mark_nothing, BPF_NOEXIST);    \
			found_ = bpf_map_lookup_elem(&(map), key);                                 \
		}                                                                                  \
		found_;                                                                            \
	})

/* Beside a mark: flows that have no record get one. */
#define AX_MARK_MAKE 0x100

/* Counts the scratch's flow and service `by` for what `mark` says; returns which of the two it
 * could. */
__noinline int ax_mark_add(__u32 mark, __u32 by)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_ctl *ctl = ax_control();
	__u32 period = mark & AX_MARK_PERIOD, stale;
	struct ax_mark *record;
	int counted = 0;
	__u64 now;

	if (!scratch)
		return 0;
	now = ax_jiffies(ctl);
	stale = AX_MARK_STALE << (scratch->mark_shift & 31);
	if (mark & AX_MARK_SUM) {
		record = AX_MARK_AT(ax_mark_sum, &scratch->mark_sum, 1);
		if (record) {
			ax_mark_count(record, period, by, now, stale);
			counted |= AX_MARK_SUM;
		}
	}
	if (mark & AX_MARK_FLOW) {
		record = AX_MARK_AT(ax_mark, &scratch->mark_flow, mark & AX_MARK_MAKE);
		if (record) {
			ax_mark_count(record, period, by, now, stale);
			counted |= AX_MARK_FLOW;
		}
	}
	return counted;
}

/* A packet that should have been counted and could not be. */
__noinline int ax_mark_no_room(__u32 kind, __u32 period)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_ctl *ctl = ax_control();
	struct ax_mark *record;

	if (!scratch)
		return 0;
	__builtin_memset(&scratch->mark_sum, 0, sizeof(scratch->mark_sum));
	scratch->mark_sum.kind = kind;
	record = bpf_map_lookup_elem(&ax_mark_sum, &scratch->mark_sum);
	if (record)
		ax_mark_count(record, period & AX_MARK_PERIOD, 1, ax_jiffies(ctl),
			      AX_MARK_STALE << (scratch->mark_shift & 31));
	return 0;
}

/* Keys of the scratch's request, between the edge and backend of its flow key. */
static __always_inline void ax_mark_keys(struct ax_scratch *scratch, __u32 mark, __u8 kind)
{
	struct ax_mark_key *flow = &scratch->mark_flow, *sum = &scratch->mark_sum;

	flow->vip = scratch->request.destination;
	flow->client = scratch->request.source;
	flow->port = scratch->request.dport;
	flow->client_port = scratch->request.sport;
	flow->proto = scratch->request.proto;
	flow->kind = kind;
	*sum = *flow;
	__builtin_memset(&sum->client, 0, sizeof(sum->client));
	sum->client_port = 0;
	if (!(mark & AX_MARK_PORT)) {
		sum->port = 0;
		sum->proto = 0;
	}
}

/* What both can read at a fixed place: no fragments, IPv4 options or extension headers. */
static __always_inline int ax_mark_can(const struct ax_packet *pkt)
{
	__u32 header = pkt->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);

	return !pkt->fragment && (pkt->proto == IPPROTO_TCP || pkt->proto == IPPROTO_UDP) &&
	       pkt->l4_offset - pkt->l3_offset == header;
}

/* The stage before the saved packet goes where scratch->sending says, where something is marked:
 * counts it, and leaves its mark there. A SYN makes no record, so that a flood of them takes no
 * room. */
__noinline int ax_mark_stage(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_backend *backend;
	struct ax_packet pkt = {};
	struct ax_request *request;
	__u32 mark, counted;
	struct ax_vip *vip;

	if (!scratch || ax_load(&pkt))
		return 0;
	scratch->mark_shift = pkt.settings->mark_shift;
	backend = ax_backend_at(&pkt, scratch->sending.backend);
	vip = ax_vip_at(&pkt, scratch->sending.vip);
	request = &scratch->request;
	if (!backend || backend->flags & AX_BACKEND_LOCAL || !vip ||
	    !(vip->forward & AX_FORWARD_LONG) || scratch->sending.reason == AX_R_STEERED_ICMP ||
	    !ax_mark_can(&pkt) || ax_addresses(ctx, &pkt, &request->source, &request->destination))
		return 0;
	request->sport = pkt.sport;
	request->dport = pkt.dport;
	request->proto = pkt.proto;
	request->fragment = 0;
	scratch->mark_flow.backend = backend->addr;
	if (!backend->addr.word[0] && !backend->addr.word[1] &&
	    backend->addr.word[2] == bpf_htonl(0xffff))
		scratch->mark_flow.edge = pkt.settings->source4;
	else if (scratch->sending.forward == AX_FORWARD_IPIP)
		return 0; /* no room in an IPv6 header */
	else
		scratch->mark_flow.edge = pkt.settings->source6;
	if (ax_find_service() < 0)
		return 0;
	mark = (ax_jiffies(pkt.ctl) >> (pkt.settings->mark_shift & 31)) & AX_MARK_PERIOD;
	mark |= AX_MARK_SUM | AX_MARK_FLOW;
	if (scratch->service.port && !scratch->service.bits)
		mark |= AX_MARK_PORT;
	ax_mark_keys(scratch, mark, AX_MARK_SENT);
	if (pkt.proto != IPPROTO_TCP || !(pkt.tcp_flags & AX_TCP_SYN))
		mark |= AX_MARK_MAKE;
	counted = ax_mark_add(mark, 1);
	if ((mark & AX_MARK_MAKE) && !(counted & AX_MARK_FLOW))
		ax_mark_no_room(AX_MARK_UNSENT, mark & AX_MARK_PERIOD);
	scratch->sending.mark = counted ? (mark & (AX_MARK_PERIOD | AX_MARK_PORT)) | counted : 0;
	return 0;
}

/* It was not sent after all. */
__noinline int ax_mark_unsent(void)
{
	struct ax_scratch *scratch = ax_own_scratch();

	if (scratch)
		ax_mark_add(scratch->sending.mark, -1);
	return 0;
}

/* An edge's packet, its outer header gone, nothing of what was inside judged yet. */
__noinline int ax_mark_received(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_packet pkt = {};
	struct ax_request *request;
	__u32 counted, mark;
	__be16 *ports;

	if (!scratch || ax_load(&pkt))
		return 0;
	if (!pkt.settings->mark_shift) /* nobody asked this node */
		return 0;
	mark = scratch->marked & 0xff;
	scratch->mark_shift = pkt.settings->mark_shift;
	request = &scratch->request;
	if (pkt.proto == IPPROTO_IPIP) {
		struct iphdr *ip = ax_ip4(ctx, &pkt);

		if (!ip)
			return 0;
		pkt.family = 4;
		request->proto = ip->protocol;
		ports = (void *)(ip + 1);
	} else {
		struct ipv6hdr *ip = ax_ip6(ctx, &pkt);

		if (!ip)
			return 0;
		pkt.family = 6;
		request->proto = ip->nexthdr;
		ports = (void *)(ip + 1);
	}
	if ((void *)(ports + 2) > ax_data_end(ctx))
		return 0;
	request->sport = ports[0];
	request->dport = ports[1];
	request->fragment = 0;
	if (ax_addresses(ctx, &pkt, &request->source, &request->destination))
		return 0;
	ax_mark_keys(scratch, mark, AX_MARK_RECEIVED);
	counted = ax_mark_add(mark | AX_MARK_MAKE, 1);
	if (counted != (mark & (AX_MARK_SUM | AX_MARK_FLOW)))
		ax_mark_no_room(AX_MARK_UNRECEIVED, mark);
	return 0;
}

#endif
#endif
