/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sums of loss by VIP, backend and client prefix. They are counted when something is found, so they
 * hold whatever becomes of the flow; nobody has to run for that. */
#ifndef AX_BPF_TOTALS_H
#define AX_BPF_TOTALS_H

#include "loss.h"
#include "prefixes.h"

static __always_inline struct ax_anomaly *ax_anomaly_at(__u32 index)
{
	__u32 at;

	if (index - 1 >= ax_anomalies) /* 0 = none */
		return 0;
	at = bpf_get_smp_processor_id() * ax_anomalies + index - 1;
	return bpf_map_lookup_elem(&ax_anomaly, &at);
}

/* Of the same number, what its client's ACKs say: sack.h. */
static __always_inline struct ax_sack *ax_sack_at(__u32 index)
{
	__u32 at;

	if (index - 1 >= ax_anomalies)
		return 0;
	at = bpf_get_smp_processor_id() * ax_anomalies + index - 1;
	return bpf_map_lookup_elem(&ax_sack, &at);
}

static __always_inline int ax_owns(const struct ax_anomaly *a, const struct ax_flow_ref *ref)
{
	return a->owner == ref->slot && a->owner_version == ref->flow->version &&
	       a->family == ref->family;
}

/* Is that backend this node, and not the only one of its pool? Its flags of these. */
__noinline int ax_is_own(__u32 backend_id)
{
	struct ax_ctl *ctl = ax_control();
	struct ax_backend *backend;
	__u32 at;

	if (backend_id >= ax_backends)
		return 0;
	at = (ctl->generation & 1) * ax_backends + backend_id;
	backend = bpf_map_lookup_elem(&ax_backend, &at);
	return backend ? backend->flags & (AX_BACKEND_LOCAL | AX_BACKEND_TWIN) : 0;
}

/* Without those of which the tc program counts a half: it cannot tell which backend answers. */
static __always_inline void ax_add_one_way(struct ax_loss_sum *sum, const struct ax_loss_news *news)
{
	for (int i = 0; i < AX_LOSS_OWN_SEGMENTS; i++)
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
	if (sum && AX_HAS_BOTH_WAYS && ax_is_own(backend) & AX_BACKEND_TWIN)
		ax_add_one_way(sum, &scratch->news);
	else if (sum)
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

/* Of a flow that this node answers, and has seen from its SYN on: the tc program counts the other
 * half (egress.bpf.c). */
static __always_inline void ax_collect_own(struct ax_loss_news *news, const struct ax_flow *flow,
					   struct ax_sack *s)
{
	if (!AX_HAS_BOTH_WAYS || !(flow->flags & AX_FLOW_SYN) || !ax_is_own(flow->backend))
		return;
	news->count[AX_LOSS_OWN_SEGMENTS] = news->flow_segments;
	news->count[AX_LOSS_OWN_RTX] = news->count[AX_LOSS_RTX_SEEN];
	if (!s)
		return;
	news->count[AX_LOSS_CLIENT_TWICE] = s->duplicates - s->folded_duplicates;
	s->folded_duplicates = s->duplicates;
}

/* What of the flow the sums lack; `segments`: how many it had before this packet's stage. */
static __always_inline void ax_collect(struct ax_scratch *scratch, const struct ax_flow_ref *ref,
				       __u32 segments)
{
	struct ax_anomaly *a = ax_anomaly_at(ref->flow->anomaly);
	struct ax_loss_news *news = &scratch->news;
	struct ax_sack *s;
	const __u32 *now;

	__builtin_memset(news, 0, sizeof(*news));
	news->segments = ref->flow->segments - segments;
	if (!a || !ax_owns(a, ref)) {
		news->flow_segments = scratch->ended ? ref->flow->segments : 0;
		ax_collect_own(news, ref->flow, 0);
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
	s = ax_sack_at(ref->flow->anomaly);
	if (AX_HAS_BOTH_WAYS && s) {
		news->count[AX_LOSS_SACK_LOST] = s->lost - s->folded_lost;
		news->count[AX_LOSS_SACK_UNDONE] = s->undone - s->folded_undone;
		s->folded_lost = s->lost;
		s->folded_undone = s->undone;
	}
	ax_collect_own(news, ref->flow, s);
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

/* The scratch's news, to the prefix of the flow's client. */
__noinline int ax_add_to_prefix(__u32 family, __u32 slot)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_ctl *ctl = ax_control();
	__u32 stamp;

	if (!scratch || !ax_make_prefix(family, slot))
		return 0;
	stamp = ax_jiffies(ctl) >> 8;
	ax_find_prefix(stamp);
	return ax_add_to_row(stamp);
}

#endif
