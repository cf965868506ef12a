/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* All maps and read-only switches. Keys and values: include/anycast_xdp/abi.h. The max_entries that
 * stand as 1 or 2 here are set by the loader from the configuration's [limits]. */
#ifndef AX_BPF_MAPS_H
#define AX_BPF_MAPS_H

#include <linux/bpf.h>

#include "legacy.h"
#include <bpf/bpf_helpers.h>

#include <anycast_xdp/abi.h>
#include <anycast_xdp/loss.h>
#include <anycast_xdp/mark.h>
#include <anycast_xdp/owners.h>

#include "map_kinds.h"

/* Built without one of these to see what it costs (tests/support/without_*.bpf.c), and for nothing
 * else: so the program has no switch for them. */
#ifndef AX_GUARD
#define AX_GUARD 1 /* malformed rules, header checksum, GTSM */
#endif
#ifndef AX_LOSS
#define AX_LOSS 1 /* loss tracker */
#endif

/* Read-only switches: set before load. The verifier knows them, and so takes out what is off; but
 * the load stays in, and so does a branch if both its ways are taken from elsewhere too. */
const volatile __u32 ax_role = AX_ROLE_EDGE; /* enum ax_role bits */
/* Under a dispatcher: acts if ax_ctl.active is this or 0. AX_REPLAY: clock from ax_ctl, outcome
 * written to ax_ctl.trace. 0: the only one, by its own clock. */
const volatile __u32 ax_instance = 0;
const volatile __u32 ax_samples = AX_SAMPLES_NONE; /* enum ax_samples */
const volatile __u32 ax_frags = 0;		   /* frames may have more buffers than the first */
const volatile __u32 ax_buckets4 = AX_MIN_BUCKETS; /* per CPU, a power of two */
const volatile __u32 ax_buckets6 = AX_MIN_BUCKETS;
const volatile __u32 ax_anomalies = 1; /* per CPU */
const volatile __u32 ax_prefix4 = 24;  /* client prefixes: bits, 1 to 32 */
const volatile __u32 ax_prefix6 = 48;  /* 1 to 128 */
const volatile __u32 ax_vips = 1;      /* sizes of one half */
const volatile __u32 ax_pools = 1;
const volatile __u32 ax_slots = 1;
const volatile __u32 ax_backends = 1;

/* Each an ARRAY[1] as well, by the name of the section. As variables they are addressed by one
 * instruction instead of the fourteen of a look-up. */
struct ax_ctl ax_ctl SEC(".data.ax_ctl");
struct ax_usual ax_usual[AX_USUAL_CPUS] SEC(".data.ax_usual");

AX_HASH(ax_vip, struct ax_vip_key, __u32, 2);
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 2);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ax_prefix_key);
	__type(value, struct ax_prefix);
} ax_prefix SEC(".maps");
AX_ARRAY(ax_vip_info, struct ax_vip, 2, 0);
AX_ARRAY(ax_pool, struct ax_pool, 2, 0);
AX_ARRAY(ax_slot, struct ax_slot, 2, BPF_F_MMAPABLE);
AX_ARRAY(ax_owner, struct ax_owners, 2, BPF_F_MMAPABLE);
AX_ARRAY(ax_backend, struct ax_backend, 2, 0);

AX_HASH(ax_device, __u32, struct ax_device, AX_DEVICES);
AX_HASH(ax_quic, struct ax_quic_key, __u32, 2);
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, AX_FRAGMENT_NOTES);
	__type(key, struct ax_fragment_key);
	__type(value, struct ax_fragment_note);
} ax_fragment SEC(".maps");

AX_HASH(ax_gtsm_local, struct ax_addr_key, __u32, 2);
AX_HASH(ax_gtsm_peer, struct ax_addr_key, struct ax_gtsm_peer, 2);
AX_HASH(ax_tunnel_dst, struct ax_addr_key, __u32, 2);
AX_HASH(ax_edge, struct ax_addr_key, __u32, 2);
AX_ARRAY(ax_gue_tag, __u32, 2, 0);
AX_HASH(ax_gue_backend, struct ax_tag_key, __u32, 2);

/* Final reasons: each packet once, here or in ax_usual. */
AX_PERCPU(ax_reason, struct ax_counter, AX_REASON_LIMIT);
AX_PERCPU(ax_note, struct ax_counter, AX_REASON_LIMIT); /* rules that only count, and notes */
AX_PERCPU(ax_vip_ctr, struct ax_traffic, 1);
AX_PERCPU(ax_backend_ctr, struct ax_traffic, 1);
AX_PERCPU(ax_vip_loss, struct ax_loss_sum, 1);
AX_PERCPU(ax_backend_loss, struct ax_loss_sum, 1);
AX_PERCPU(ax_peer_ctr, struct ax_peer_counters, 1);

/* Memory-mapped arrays have page-aligned values, which is what puts an entry into one cache
 * line. */
AX_ARRAY(ax_flow4_idx, struct ax_bucket, AX_MIN_BUCKETS, BPF_F_MMAPABLE);
AX_ARRAY(ax_flow4_slot, struct ax_slots, AX_MIN_BUCKETS, BPF_F_MMAPABLE);
AX_ARRAY(ax_flow4_next, __u32, 1, BPF_F_MMAPABLE);
AX_ARRAY(ax_flow4, struct ax_flow4, AX_MIN_BUCKETS *AX_WAYS, BPF_F_MMAPABLE);
AX_ARRAY(ax_flow6_idx, struct ax_bucket, AX_MIN_BUCKETS, BPF_F_MMAPABLE);
AX_ARRAY(ax_flow6_slot, struct ax_slots, AX_MIN_BUCKETS, BPF_F_MMAPABLE);
AX_ARRAY(ax_flow6_next, __u32, 1, BPF_F_MMAPABLE);
AX_ARRAY(ax_flow6, struct ax_flow6, AX_MIN_BUCKETS *AX_WAYS, BPF_F_MMAPABLE);
AX_ARRAY(ax_anomaly, struct ax_anomaly, 1, BPF_F_MMAPABLE);
AX_ARRAY(ax_sack, struct ax_sack, 1, BPF_F_MMAPABLE);
AX_ARRAY(ax_prefix_loss, struct ax_prefix_loss, AX_PREFIXES + 1, BPF_F_MMAPABLE);
AX_ARRAY(ax_dns, struct ax_dns, AX_DNS_SLOTS, BPF_F_MMAPABLE);
AX_ARRAY(ax_syn, struct ax_syn, AX_SYN_SLOTS, BPF_F_MMAPABLE);
AX_ARRAY(ax_hop, struct ax_hop, 1, BPF_F_MMAPABLE);
AX_ARRAY(ax_shortcut, struct ax_shortcut, AX_SHORTCUTS, BPF_F_MMAPABLE);
AX_ARRAY(ax_cpu, struct ax_cpu, 1, BPF_F_MMAPABLE);

AX_PERCPU(ax_drop_last, struct ax_sample, AX_REASON_LIMIT);
/* One of these two is made: whichever `ax_samples` names. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, AX_DROP_RING_BYTES);
} ax_drop_ring SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} ax_drop_perf SEC(".maps");

static __always_inline int ax_is_replay(void)
{
	return ax_instance == AX_REPLAY;
}

static __always_inline struct ax_ctl *ax_control(void)
{
	return &ax_ctl;
}

#endif
