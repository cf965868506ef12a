/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one exit: counts the packet once, and turns the reason into an action. */
#ifndef AX_BPF_CONCLUDE_H
#define AX_BPF_CONCLUDE_H

#include "sample.h"

/* The classes are ranges of numbers, so that the action is a comparison. */
#define AX_CHECK_RANGE(id, number, cls, action, label, source, help)                               \
	_Static_assert((AX_CLASS_##cls == AX_CLASS_PASS) == ((number) < AX_FIRST_STEER), label);   \
	_Static_assert((AX_CLASS_##cls == AX_CLASS_STEER) ==                                       \
			       ((number) >= AX_FIRST_STEER && (number) < AX_FIRST_DROP),           \
		       label);
AX_REASONS(AX_CHECK_RANGE)

static __always_inline void ax_trace_reason(__u32 reason)
{
	if (ax_is_replay())
		ax_control()->trace.reason = reason;
}

/* `outcome` is a stage's, see ax_outcome. */
static __always_inline int ax_conclude(struct xdp_md *ctx, __u64 bytes, int outcome)
{
	__u32 reason = outcome & 0xffff, key;

	if (reason == AX_OPAQUE)
		reason = AX_R_OPAQUE;
	key = reason; /* what a helper was shown is no constant any more */
	ax_count(bpf_map_lookup_elem(&ax_reason, &key), bytes);
	ax_trace_reason(reason);
	if (reason >= AX_FIRST_DROP) {
		if (ax_samples)
			ax_sample(ctx, reason, bytes);
		return XDP_DROP;
	}
	if (reason >= AX_FIRST_STEER)
		return outcome >> 16 & 0xff;
	return XDP_PASS;
}

/* The same where `outcome` is a constant, and one of struct ax_usual's. */
static __always_inline int ax_conclude_usual(struct xdp_md *ctx, __u64 bytes, int outcome)
{
	__u32 cpu = bpf_get_smp_processor_id();

	/* asked this way round, clang puts what follows next to the question */
	if (likely(cpu < AX_USUAL_CPUS)) {
		ax_count(outcome == AX_R_NOT_IP ? &ax_usual[cpu].not_ip : &ax_usual[cpu].steered,
			 bytes);
		ax_trace_reason(outcome & 0xffff);
		return outcome == AX_R_NOT_IP ? XDP_PASS : outcome >> 16 & 0xff;
	}
	return ax_conclude(ctx, bytes, outcome);
}

#endif
