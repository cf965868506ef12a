/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rows of sums by client prefix (abi.h, ax_prefix_loss): finding one, giving one away. For both
 * programs: each has a scratch of its own, with the prefix and the news. No two of them ever run on
 * one CPU at a time, since what leaves does so with softirqs off. */
#ifndef AX_BPF_PREFIXES_H
#define AX_BPF_PREFIXES_H

static __always_inline void ax_add_news(struct ax_loss_sum *sum, const struct ax_loss_news *news)
{
	for (int i = 0; i < AX_COUNTED_KINDS; i++)
		sum->count[i] += news->count[i];
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
		for (int i = 0; i < AX_COUNTED_KINDS; i++)
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

/* The scratch's news, to the row that was found. */
static __always_inline int ax_add_to_row(__u32 stamp)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_prefix_loss *loss;

	if (!scratch)
		return 0;
	loss = ax_prefix_row(scratch->prefix_row);
	if (!loss)
		return 0;
	loss->stamp = stamp;
	loss->segments += scratch->news.flow_segments;
	ax_add_news(&loss->sum, &scratch->news);
	return 0;
}

#endif
