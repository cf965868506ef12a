/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The steering hash and the VIP filter's hash. Kernel and user code must agree on them, and so must
 * every node of a fleet: a change here changes which backend a flow belongs to, and needs a new
 * AX_ABI_VERSION and a note in the CHANGELOG.
 *
 * Inputs are in host order (the caller converts), so that the result is the same on every machine.
 * The mixer is the finaliser of MurmurHash3 with Stafford's constants (mix 13), keyed by the
 * fleet's seed before and between the words. */
#ifndef ANYCAST_XDP_HASH_H
#define ANYCAST_XDP_HASH_H

#include <linux/types.h>

static inline __attribute__((always_inline)) __u64 ax_mix(__u64 x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* addresses: high and low half of the 16-byte form (IPv4 as ::ffff:a.b.c.d), host order;
 * ports: source << 16 | destination, 0 where the packet has none (fragments, other protocols). */
static inline __attribute__((always_inline)) __u32 ax_steer_hash(__u64 seed0, __u64 seed1,
								 __u64 src_hi, __u64 src_lo,
								 __u64 dst_hi, __u64 dst_lo,
								 __u32 ports, __u8 proto)
{
	__u64 h = ax_mix(seed0 ^ src_lo ^ (src_hi * 0x9e3779b97f4a7c15ULL));

	h = ax_mix(h ^ seed1 ^ dst_lo ^ (dst_hi * 0xc2b2ae3d27d4eb4fULL));
	h = ax_mix(h ^ ((__u64)ports << 8) ^ proto);
	return (__u32)(h >> 32);
}

/* Which bit of the VIP filter an address has: last 32 bits of the address folded with the others,
 * all as they lie in memory (the filter never leaves the machine). */
static inline __attribute__((always_inline)) __u32 ax_filter_bit(__u32 folded_address)
{
	return (__u16)(((__u64)folded_address * 0x9e3779b1u) >> 16);
}

#endif
