/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sums of loss by VIP, backend and client prefix. They are counted when something is found, so they
 * hold whatever becomes of the flow; nobody has to run for that. */
#ifndef AX_BPF_TOTALS_H
#define AX_BPF_TOTALS_H

#include "loss.h"

static __always_inline struct ax_anomaly *ax_anomaly_at(__u32 index)
{
	__u32 at;

	if (index - 1 >= ax_anomalies) /* 0 = none */
		return 0;
	at = bpf_get_smp_processor_id() * ax_anomalies + index - 1;
	return bpf_map_lookup_elem(&ax_anomaly, &at);
}

static __always_inline int ax_owns(const struct ax_anomaly *a, const struct ax_flow_ref *ref)
{
	return a->owner == ref->slot && a->owner_version == ref->flow->version &&
	       a->family == ref->family;
}

static __always_inline void ax_add_news(struct ax_loss_sum *sum, const struct ax_loss_news *news)
{
	for (int i = 0; i < AX_LOSS_KINDS; i++)
		sum->count[i] += news->count[i];
}

/* The scratch's news, to those of a VIP and a backend. */
__noinline int ax_add_to_services(__u32 vip, __u32 backend)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_traffic *traffic;
	struct ax_loss_sum *sum;

	if (!scratch)
		return 0;
	sum = bpf_map_lookup_elem(&ax_vip_loss, &vip);
	if (sum)
		ax_add_news(sum, &scratch->news);
	sum = bpf_map_lookup_elem(&ax_backend_loss, &backend);
	if (sum)
		ax_add_news(sum, &scratch->news);
	traffic = bpf_map_lookup_elem(&ax_vip_ctr, &vip);
	if (traffic)
		traffic->segments += scratch->news.segments;
	traffic = bpf_map_lookup_elem(&ax_backend_ctr, &backend);
	if (traffic)
		traffic->segments += scratch->news.segments;
	return 0;
}

__noinline int ax_add_repeated_syns(__u32 vip, __u32 backend, __u32 repeats)
{
	struct ax_loss_sum *sum = bpf_map_lookup_elem(&ax_vip_loss, &vip);

	if (sum)
		sum->count[AX_LOSS_SYN_RTX] += repeats;
	sum = bpf_map_lookup_elem(&ax_backend_loss, &backend);
	if (sum)
		sum->count[AX_LOSS_SYN_RTX] += repeats;
	return 0;
}

/* The holes of a record that another flow is about to get. */
__noinline int ax_count_unrepaired(__u32 index)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_anomaly *a = ax_anomaly_at(index);

	if (!scratch || !a)
		return 0;
	__builtin_memset(&scratch->news, 0, sizeof(scratch->news));
	for (int i = 0; i < AX_HOLES; i++)
		scratch->news.count[AX_LOSS_UNREPAIRED] += a->hole[i].start != a->hole[i].end;
	return ax_add_to_services(a->vip, a->backend);
}

/* What of the flow the sums lack; `segments`: how many it had before this packet's stage. */
static __always_inline void ax_collect(struct ax_scratch *scratch, const struct ax_flow_ref *ref,
				       __u32 segments)
{
	struct ax_anomaly *a = ax_anomaly_at(ref->flow->anomaly);
	struct ax_loss_news *news = &scratch->news;
	const __u32 *now;

	__builtin_memset(news, 0, sizeof(*news));
	news->segments = ref->flow->segments - segments;
	if (!a || !ax_owns(a, ref)) {
		news->flow_segments = scratch->ended ? ref->flow->segments : 0;
		return;
	}
	_Static_assert(__builtin_offsetof(struct ax_anomaly, resync) -
				       __builtin_offsetof(struct ax_anomaly, lost) ==
			       AX_LOSS_RESYNC * sizeof(__u32),
		       "the record's counters lie in enum ax_loss_kind's order");
	now = &a->lost;
	for (int i = 0; i <= AX_LOSS_RESYNC; i++) {
		news->count[i] = now[i] - a->folded[i];
		a->folded[i] = now[i];
	}
	news->flow_segments = ref->flow->segments - a->folded_segments;
	a->folded_segments = ref->flow->segments;
}

/* ---- by client prefix ---------------------------------------------------------------------- */

/* The flow's client, masked, to the scratch. */
__noinline int ax_make_prefix(__u32 family, __u32 slot)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_flow *flow = 0;
	struct ax_addr *prefix;
	const __u32 *word;

	if (!scratch)
		return 0;
	word = ax_entry(family, slot, &flow);
	if (!word)
		return 0;
	prefix = &scratch->prefix;
	if (family == 4) {
		prefix->pair[0] = 0;
		prefix->word[2] = bpf_htonl(0xffff);
		prefix->word[3] = word[0] & bpf_htonl((__u32)(~0ULL << (32 - ax_prefix4)));
		scratch->prefix_bits = 96 + ax_prefix4;
		return 1;
	}
	for (__u32 i = 0; i < 4; i++) {
		__u32 kept = ax_prefix6 > 32 * i ? ax_prefix6 - 32 * i : 0;

		prefix->word[i] = word[i] & bpf_htonl(kept < 32 ? ~(~0U >> kept) : ~0U);
	}
	scratch->prefix_bits = ax_prefix6;
	return 1;
}

static __always_inline struct ax_prefix_loss *ax_prefix_row(__u32 row)
{
	__u32 at = bpf_get_smp_processor_id() * (AX_PREFIXES + 1) + row;

	return row <= AX_PREFIXES ? bpf_map_lookup_elem(&ax_prefix_loss, &at) : 0;
}

/* Is this row the scratch's prefix's? If not, it may be the oldest of those looked at. */
__noinline int ax_is_prefix(__u32 row, __u32 stamp)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_prefix_loss *loss = ax_prefix_row(row), *oldest;

	if (!scratch || !loss)
		return 0;
	if (loss->bits == scratch->prefix_bits && loss->addr.pair[0] == scratch->prefix.pair[0] &&
	    loss->addr.pair[1] == scratch->prefix.pair[1]) {
		scratch->prefix_row = row;
		return 1;
	}
	oldest = ax_prefix_row(scratch->oldest_row);
	if (!scratch->oldest_row || !oldest || !loss->bits ||
	    (oldest->bits && stamp - loss->stamp > stamp - oldest->stamp))
		scratch->oldest_row = row;
	return 0;
}

/* Gives a row to the scratch's prefix; what it holds goes to the CPU's first. */
__noinline int ax_give_row(__u32 row)
{
	struct ax_prefix_loss *loss = ax_prefix_row(row), *others = ax_prefix_row(0);
	struct ax_scratch *scratch = ax_own_scratch();

	if (!scratch || !loss || !others)
		return 0;
	loss->version |= 1;
	barrier();
	if (loss->bits) {
		others->segments += loss->segments;
		for (int i = 0; i < AX_LOSS_KINDS; i++)
			others->sum.count[i] += loss->sum.count[i];
	}
	__builtin_memset(&loss->sum, 0, sizeof(loss->sum));
	loss->segments = 0;
	loss->addr = scratch->prefix;
	loss->bits = scratch->prefix_bits;
	barrier();
	loss->version++;
	return 0;
}

/* The row of the scratch's prefix. */
AX_FOLDED int ax_find_prefix(__u32 stamp)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_ctl *ctl = ax_control();
	__u64 hash;
	__u32 first;

	if (!scratch || !ctl)
		return 0;
	/* as ax_hash_key: only high bits are used, and every bit has to come through to them */
	hash = (scratch->prefix.pair[0] ^ ctl->table_seed[0]) * (ctl->table_seed[1] | 1);
	hash = (hash ^ hash >> 32 ^ scratch->prefix.pair[1]) * (ctl->table_seed[0] | 1);
	hash = (hash ^ hash >> 32) * (ctl->table_seed[1] | 1);
	first = (hash >> 40 & (AX_PREFIXES / AX_PREFIX_WAYS - 1)) * AX_PREFIX_WAYS + 1;
	scratch->prefix_row = 0;
	scratch->oldest_row = 0;
#pragma unroll
	for (int i = 0; i < AX_PREFIX_WAYS; i++)
		if (ax_is_prefix(first + i, stamp))
			return 0;
	scratch->prefix_row = scratch->oldest_row;
	return ax_give_row(scratch->prefix_row);
}

/* The scratch's news, to the prefix of the flow's client. */
__noinline int ax_add_to_prefix(__u32 family, __u32 slot)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_ctl *ctl = ax_control();
	struct ax_prefix_loss *loss;
	__u32 stamp;

	if (!scratch || !ctl || !ax_make_prefix(family, slot))
		return 0;
	stamp = ax_jiffies(ctl) >> 8;
	ax_find_prefix(stamp);
	loss = ax_prefix_row(scratch->prefix_row);
	if (!loss)
		return 0;
	loss->stamp = stamp;
	loss->segments += scratch->news.flow_segments;
	ax_add_news(&loss->sum, &scratch->news);
	return 0;
}

#endif
