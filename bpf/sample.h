/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Samples of what is dropped: the start of the frame, at most once in AX_SAMPLE_JIFFIES for each
 * reason and CPU, so that a flood costs a look-up a packet and hides no other reason. */
#ifndef AX_BPF_SAMPLE_H
#define AX_BPF_SAMPLE_H

#include "packet.h"

static __always_inline __u32 ax_copy_frame(struct xdp_md *ctx, __u8 *to)
{
	const __u8 *from = ax_data(ctx);
	__u32 kept = 0;

	for (int i = 0; i < AX_SAMPLE_BYTES; i++) {
		if ((void *)(from + i + 1) > ax_data_end(ctx))
			break;
		to[i] = from[i];
		kept = i + 1;
	}
	return kept;
}

__noinline int ax_sample(struct xdp_md *ctx, __u32 reason, __u32 bytes)
{
	struct ax_sample *sample;
	struct ax_ctl *ctl;
	__u32 jiffies;

	/* Kernels before 6.8 verify what nobody calls, and the maps are there only with samples. */
	if (ax_samples == AX_SAMPLES_NONE)
		return 0;
	sample = bpf_map_lookup_elem(&ax_drop_last, &reason);
	ctl = ax_control();
	if (!sample)
		return 0;
	jiffies = ax_jiffies(ctl);
	if (sample->time_ns && jiffies - sample->jiffies < AX_SAMPLE_JIFFIES)
		return 0;
	sample->time_ns = ax_now_ns(ctl);
	sample->jiffies = jiffies;
	sample->reason = reason;
	sample->ifindex = ctx->ingress_ifindex;
	sample->bytes = bytes;
	sample->kept = ax_copy_frame(ctx, sample->frame);
	if (AX_HAS_RING && ax_samples == AX_SAMPLES_RING)
		bpf_ringbuf_output(&ax_drop_ring, sample, sizeof(*sample), 0);
	else if (ax_samples == AX_SAMPLES_PERF)
		bpf_perf_event_output(ctx, &ax_drop_perf, BPF_F_CURRENT_CPU, sample,
				      sizeof(*sample));
	return 0;
}

#endif
