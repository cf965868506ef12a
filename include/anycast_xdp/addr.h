/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses as maps hold them, and the check that all sizes of abi.h go by. */
#ifndef ANYCAST_XDP_ADDR_H
#define ANYCAST_XDP_ADDR_H

#include <linux/types.h>

#ifdef __cplusplus
#define AX_ASSERT_SIZE(type, bytes) static_assert(sizeof(type) == (bytes), #type)
#else
#define AX_ASSERT_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#endif

/* IPv6 address, or IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2). */
struct ax_addr {
	union {
		__u8 bytes[16];
		__be32 word[4];
		__u64 pair[2]; /* as it lies in memory: for comparing and hashing only */
	};
};
AX_ASSERT_SIZE(struct ax_addr, 16);

#endif
