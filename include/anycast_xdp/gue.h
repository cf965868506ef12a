/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Generic UDP Encapsulation (draft-ietf-intarea-gue-09) as our edges and backends speak it: variant
 * 0 with our private option, or variant 1, the IP packet right behind the UDP header.
 *
 *   outer IP | UDP | GUE header, 4 bytes | our option, 12 bytes | inner IP packet
 *
 * The option has no flag (draft section 3.3: what Hlen covers beyond the flags' fields is private
 * data), so that a kernel tunnel (fou, gue) skips it. It is there whether it names candidates or
 * not: an overhead that changed with them would make the path MTU flap.
 *
 * A candidate is named by its tag: a hash, keyed by the fleet's seed, of its pool's name, its own
 * name and its address. So every node computes it from its configuration alone, and nodes whose
 * configurations differ for a while (one has a backend more) agree on all that both know. Whoever
 * reads a tag looks it up among its own configured backends; no address is ever taken from a
 * packet. */
#ifndef ANYCAST_XDP_GUE_H
#define ANYCAST_XDP_GUE_H

#include <linux/types.h>

#include "limits.h"

#define AX_GUE_PORT 6080      /* IANA's; [tunnel] gue_port */
#define AX_GUE_OTHERS 2	      /* candidates besides the one that gets the packet */
#define AX_GUE_OPTION 0xa5    /* first byte of our option, and its version */
#define AX_GUE_LENGTH_MASK 31 /* of the first byte: 4-byte words behind the header's first four */
#define AX_GUE_CONTROL 32
#define AX_GUE_VARIANT 192 /* 0 = variant 0; IP's version nibbles 4 and 6 are variant 1 */

/* Variant 0, all of it. */
struct ax_gue {
	__u8 length; /* variant 0, no control message; words that follow the first four bytes */
	__u8 proto;  /* of the inner packet: 4 or 41 */
	__be16 flags;
	__u8 option; /* AX_GUE_OPTION */
	__u8 hops;   /* how often it was passed on; the next one to ask is other[hops] */
	__u8 count;  /* of other[]: hops >= count is the end of the way */
	__u8 mark;   /* mark.h; 0 = not counted, as senders have it that know of no marks */
	__be32 other[AX_GUE_OTHERS]; /* tags */
};

#ifdef __cplusplus
static_assert(sizeof(struct ax_gue) == 16, "struct ax_gue");
#else
_Static_assert(sizeof(struct ax_gue) == 16, "struct ax_gue");
#endif

/* What GUE adds besides the outer IP header. */
#define AX_GUE_BYTES0 (8 + 16)
#define AX_GUE_BYTES1 8

#endif
