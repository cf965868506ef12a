/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Alternate marking (RFC 9341) between an edge and the backend that decapsulates: what a marked
 * packet says, and what both keep of it. As abi.h.
 *
 * The mark is one byte. GUE variant 0 carries it in our option (gue.h, `mark`); IPIP with an IPv4
 * outer header in the lower half of the identification, whose upper half is AX_MARK_ID: of an
 * atomic datagram (DF set, no fragment) the identification is the sender's to choose (RFC 6864
 * section 4.1). Whoever does not know it ignores it.
 *
 *     7   6   5   4   3   2   1   0
 *   +---+---+---+---+---+---+---+---+
 *   | S | F | P |      period       |     0 = not counted
 *   +---+---+---+---+---+---+---+---+
 *
 * S: counted by edge, service and backend. F: counted by flow. P: the service is one port of one
 * protocol; else it is all of the address. The edge alone decides, so that the two need not have
 * the same VIPs; the backend counts just what says so, for the period that it names. Periods are
 * numbered by the edge's coarse clock, modulo 32. */
#ifndef ANYCAST_XDP_MARK_H
#define ANYCAST_XDP_MARK_H

#include "abi.h"

#define AX_MARK_SUM 0x80
#define AX_MARK_FLOW 0x40
#define AX_MARK_PORT 0x20
#define AX_MARK_PERIOD 0x1f /* mask */
#define AX_MARK_ID 0xa5	    /* upper half of an IPv4 identification */

#define AX_MARK_SLOTS 8	  /* periods that are told apart */
#define AX_MARK_STALE 16  /* own periods: the same number then is another period */
#define AX_MARK_SUMS 4096 /* edges times services times backends, both roles */

enum ax_mark_kind {
	AX_MARK_SENT = 1,
	AX_MARK_RECEIVED,
	/* Everything else of the key 0, in ax_mark_sum. `since`: when this node began to count, so
	 * that an absent record means something; counted: what found no room. */
	AX_MARK_UNSENT,
	AX_MARK_UNRECEIVED,
};

/* ax_mark: HASH struct ax_mark_key (a flow) -> struct ax_mark.
 * ax_mark_sum: HASH struct ax_mark_key (a service: no client) -> struct ax_mark.
 * Neither evicts: what finds no room is not marked. */
struct ax_mark_key {
	struct ax_addr edge, backend; /* outer source and destination */
	struct ax_addr vip;	      /* the packet's destination */
	struct ax_addr client;	      /* of a flow */
	__be16 port, client_port;
	__u8 proto;
	__u8 kind; /* enum ax_mark_kind */
	__u8 pad[2];
};
AX_ASSERT_SIZE(struct ax_mark_key, 72);

struct ax_mark_slot {
	__u32 packets;
	__u32 stamp; /* jiffies, of its first packet */
	__u8 period; /* as in the mark */
	__u8 used;
	__u8 pad[2];
};
AX_ASSERT_SIZE(struct ax_mark_slot, 12);

struct ax_mark {
#ifdef __bpf__
	struct bpf_spin_lock lock;
#else
	__u32 lock;
#endif
	__u32 stamp;   /* jiffies, of its last packet */
	__u64 since;   /* jiffies, of its first */
	__u64 settled; /* packets of periods that have left their slot */
	__u8 first;    /* period of its first packet */
	__u8 pad[7];
	struct ax_mark_slot slot[AX_MARK_SLOTS]; /* by period modulo AX_MARK_SLOTS */
};
AX_ASSERT_SIZE(struct ax_mark, 128);

#endif
