/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What leaves, summed by VIP, backend and client prefix in the XDP program's own maps, when
 * something is found or a flow ends: readers subtract what the other program found of the same
 * flows. As totals.h. */
#ifndef AX_BPF_EGRESS_SUMS_H
#define AX_BPF_EGRESS_SUMS_H

#include "news.h"

#define AX_FOLDED __noinline
#define AX_COUNTED_KINDS AX_LOSS_KINDS
#define AX_MAPPED_BITS 96 /* RFC 4291 section 2.5.5.2 */

const volatile __u32 ax_prefix4 = 24, ax_prefix6 = 48;

AX_PERCPU(ax_vip_loss, struct ax_loss_sum, 1);
AX_PERCPU(ax_backend_loss, struct ax_loss_sum, 1);
AX_ARRAY(ax_prefix_loss, struct ax_prefix_loss, AX_PREFIXES + 1, BPF_F_MMAPABLE);

struct ax_scratch {
	struct ax_loss_news news;
	struct ax_addr prefix; /* of the client, masked */
	__u32 prefix_bits;     /* of the address in mapped form */
	__u32 prefix_row, oldest_row;
};
AX_PERCPU(ax_leaving_tmp, struct ax_scratch, 1);

static __always_inline struct ax_scratch *ax_own_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&ax_leaving_tmp, &zero);
}

static __always_inline struct ax_ctl *ax_control(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&ax_ctl, &zero);
}

#include "prefixes.h"

/* The only backend that is this node, of the VIP's pool; id + 1. */
__noinline __u32 ax_own_backend(__u32 vip_id)
{
	struct ax_ctl *ctl = ax_control();
	struct ax_pool *pool;
	struct ax_vip *vip;
	__u32 half, at;

	if (!ctl || vip_id >= ax_vips)
		return 0;
	half = ctl->generation & 1;
	at = half * ax_vips + vip_id;
	vip = bpf_map_lookup_elem(&ax_vip_info, &at);
	if (!vip || vip->pool >= ax_pools)
		return 0;
	at = half * ax_pools + vip->pool;
	pool = bpf_map_lookup_elem(&ax_pool, &at);
	return pool ? pool->own : 0;
}

/* The scratch's news, to those of the VIP, its backend here, and the prefix in the scratch. */
__noinline int ax_add_leaving(__u32 vip_id)
{
	__u32 stamp = bpf_jiffies64() >> 8, own = ax_own_backend(vip_id);
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_loss_sum *sum;

	if (!scratch)
		return 0;
	sum = bpf_map_lookup_elem(&ax_vip_loss, &vip_id);
	if (sum)
		ax_add_news(sum, &scratch->news);
	own--;
	sum = bpf_map_lookup_elem(&ax_backend_loss, &own);
	if (sum)
		ax_add_news(sum, &scratch->news);
	ax_find_prefix(stamp);
	return ax_add_to_row(stamp);
}

static __always_inline void ax_keep_bits(__be32 *word, __u32 kept)
{
	*word &= bpf_htonl(kept >= 32 ? ~0U : ~(~0U >> kept));
}

/* An empty piece of news of the client's prefix. */
static __always_inline struct ax_loss_news *ax_news_of(const struct ax_addr *client, int v4)
{
	struct ax_scratch *scratch = ax_own_scratch();
	__u32 bits = v4 ? AX_MAPPED_BITS + ax_prefix4 : ax_prefix6;

	if (!scratch)
		return 0;
	__builtin_memset(&scratch->news, 0, sizeof(scratch->news));
	scratch->prefix = *client;
	scratch->prefix_bits = bits;
	for (__u32 i = 0; i < 4; i++)
		ax_keep_bits(&scratch->prefix.word[i], bits > 32 * i ? bits - 32 * i : 0);
	return &scratch->news;
}

#endif
