/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What kernels before 5.6 need otherwise: the object of anycast_legacy.bpf.c, from these sources.
 * They know neither global functions nor the helpers named here, and refuse an unknown helper even
 * behind a switch that is off, for they do not fold those. So functions are static, which verifiers
 * follow anew at every call, with all that the caller knows: AX_FRESH makes them forget a result.
 */
#ifndef AX_BPF_LEGACY_H
#define AX_BPF_LEGACY_H

#define AX_STATIC static __attribute__((noinline))

#ifdef AX_LEGACY

#define __noinline AX_STATIC
/* Called from one place, and where stack is short: each function takes 32 bytes of the 512 that a
 * chain of calls may take together. */
#define AX_FOLDED static __always_inline
/* No room is left for these: what timestamps say of a sender's clock, sums of both directions, ICMP
 * errors that are passed on. */
#define AX_HAS_CLOCKS 0
#define AX_HAS_QUOTE_CHANCE 0
#define AX_HAS_BOTH_WAYS 0
#define AX_COUNTED_KINDS (AX_LOSS_QUIC_L + 1) /* enum ax_loss_kind: the others are of both ways */
#define AX_HAS_RING 0
#define AX_HAS_FRAGS 0

/* As jiffies: from 5 minutes before their lower half overflows. */
const volatile __u32 ax_hz = 250;
#define AX_JIFFIES() ((__u32)(-300 * (int)ax_hz) + bpf_ktime_get_ns() / (1000000000 / ax_hz))

/* A store of less than a register leaves verifiers no value, unless it is 0. */
#define AX_FRESH(value)                                                                            \
	({                                                                                         \
		volatile __u32 fresh_ = (value) ^ 0x2a000000;                                      \
		(typeof(value))(fresh_ ^ 0x2a000000);                                              \
	})

/* The same for all of a packet, and for one that was just saved. */
#define AX_RENEW(pkt) (ax_save(pkt) || ax_load(pkt))
#define AX_RELOAD(pkt) ax_load(pkt)

#else

#define AX_FOLDED __noinline
#define AX_HAS_CLOCKS 1
#define AX_HAS_QUOTE_CHANCE 1
#define AX_HAS_BOTH_WAYS 1
#define AX_COUNTED_KINDS AX_LOSS_KINDS
#define AX_HAS_RING 1
#define AX_HAS_FRAGS 1
#define AX_JIFFIES() bpf_jiffies64()
#define AX_FRESH(value) (value)
#define AX_RENEW(pkt) 0
#define AX_RELOAD(pkt) 0

#endif

#endif
