/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* May an address be a VIP's? One bit tells for nearly all that are not. */
#ifndef AX_BPF_FILTER_H
#define AX_BPF_FILTER_H

#include <anycast_xdp/abi.h>
#include <anycast_xdp/hash.h>

static __always_inline int ax_in_filter(const struct ax_settings *settings, __u32 folded)
{
	__u32 bit = ax_filter_bit(folded) & (AX_VIP_FILTER_BITS - 1);

	return settings->vip_filter[bit / 64] >> (bit % 64) & 1;
}

static __always_inline int ax_in_filter6(const struct ax_settings *settings, const __u32 *word)
{
	return ax_in_filter(settings, word[0] ^ word[1] ^ word[2] ^ word[3]);
}

#endif
