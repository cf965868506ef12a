/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Loss in the other direction: what is kept of it. As abi.h. */
#ifndef ANYCAST_XDP_LOSS_H
#define ANYCAST_XDP_LOSS_H

#include "abi.h"

#define AX_SACK_BLOCKS 4 /* that fit into a segment's options (RFC 2018) */

/* Or'ed to ax_flow.forward, as AX_FORWARD_LONG: what the client acknowledges has holes, so none of
 * the flow's packets goes the express way. */
#define AX_FORWARD_SACK 64

struct ax_range {
	__u32 start, end;
};
AX_ASSERT_SIZE(struct ax_range, 8);

/* [start, end) was not acknowledged when something behind it was. start == end: unused. */
struct ax_gap {
	__u32 start, end;
	__u32 opened_us; /* wraps every 71 minutes */
};
AX_ASSERT_SIZE(struct ax_gap, 12);

enum ax_server_clock { /* of its timestamps, which the client echoes */
		       AX_CLOCK_UNKNOWN = 0,
		       AX_CLOCK_MS,    /* a millisecond, as nearly all have it; assumed at first */
		       AX_CLOCK_OTHER, /* tells nothing here */
};

/* ax_sack: ARRAY[cpus * anomalies], memory-mapped. What the client's ACKs say of the server's
 * segments. Element i goes with element i of ax_anomaly, and is of the same flow. */
struct ax_sack {
	__u64 acked;	  /* bytes acknowledged since the first ACK that told of a hole */
	__u32 high;	  /* largest number acknowledged, selectively too */
	__u32 ack;	  /* cumulatively */
	__u32 lost;	  /* segments: filled too late to have been late */
	__u32 undone;	  /* of these, arrived twice (RFC 2883) */
	__u32 reordered;  /* segments filled soon */
	__u32 evicted;	  /* holes forgotten for lack of room */
	__u32 duplicates; /* segments that arrived twice (RFC 2883) */
	__u16 mss;	  /* the server's segments are taken to be this long */
	__u8 undo_next;	  /* ring position */
	__u8 started;	  /* 0: nothing here */
	struct ax_gap hole[AX_HOLES];
	struct ax_range undo[AX_UNDO];
	__u32 ce;  /* segments that met congestion on their way to this node (RFC 3168) */
	__u32 ece; /* segments in which the client reports congestion */
	/* The server's clock, as echoed: how far this node's is ahead at least when an echo comes,
	 * in this window of time and in the one before; and the window's first echo. */
	__u32 ahead_us[2];
	__u32 window_us, window_echo;
	__u32 folded_lost, folded_undone, folded_duplicates; /* what the sums have already */
	__u8 clock;					     /* enum ax_server_clock */
	__u8 victim;					     /* which hole was overwritten last */
	__u8 tail[18];
};
AX_ASSERT_SIZE(struct ax_sack, 256);

/* ax_egress: LRU_HASH[ax_egress_entries], what leaves this node for its clients (bpf/egress.bpf.c).
 * One entry whatever the CPU: a socket's segments leave one after the other. */
struct ax_egress_key {
	struct ax_addr client, vip;
	__be16 client_port, vip_port;
	__u8 proto;
	__u8 pad[3];
};
AX_ASSERT_SIZE(struct ax_egress_key, 40);

#define AX_ANSWERS 8 /* DNS answers remembered per flow */

struct ax_dns_answer {
	__u16 id;
	__u16 at; /* unit 2^30 ns, wraps */
};
AX_ASSERT_SIZE(struct ax_dns_answer, 4);

struct ax_egress_flow {
	__u32 nxt;	  /* next sequence number of the server's */
	__u32 segments;	  /* unique ones with data, SYN or FIN, as they are on the wire; answers */
	__u32 rtx;	  /* sent again */
	__u32 duplicates; /* segments of the client's that arrived twice (RFC 2883) */
	__u32 resync;	  /* jumps beyond AX_RESYNC_BYTES */
	__u16 mss;	  /* of the client's segments */
	__u8 synced;	  /* nxt is valid */
	__u8 whole;	  /* its SYN-ACK was seen: nothing is missing */
	struct ax_dns_answer answer[AX_ANSWERS]; /* of VIPs that measure DNS; a ring */
	__u32 folded;				 /* of `segments`, what the sums have already */
	__u16 stamp;				 /* jiffies >> 8 when last used, as ax_flow.stamp */
	__u8 ended;				 /* the server sent FIN or RST */
	__u8 tail;
};
AX_ASSERT_SIZE(struct ax_egress_flow, 64);

#endif
