/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is counted of packets and of loss, and what is kept of a dropped frame. A part of abi.h. */
#ifndef ANYCAST_XDP_COUNTERS_H
#define ANYCAST_XDP_COUNTERS_H

#include "addr.h"
#include "limits.h"

/* ax_reason: PERCPU_ARRAY[AX_REASON_LIMIT] by reason. Bytes are those of the frame as it arrived.
 */
struct ax_counter {
	__u64 packets;
	__u64 bytes;
};
AX_ASSERT_SIZE(struct ax_counter, 16);

/* ax_usual: ARRAY[1] of struct ax_usual[AX_USUAL_CPUS], memory-mapped: for each CPU a cache line of
 * the two reasons that most packets have and that cost least. What is counted here is not in
 * ax_reason: a reason's packets are the sum. CPUs beyond have no part in it. */
struct ax_usual {
	struct ax_counter steered, not_ip;
	__u64 pad[4];
};
AX_ASSERT_SIZE(struct ax_usual, 64);
#define AX_USUAL_CPUS 256

/* ax_vip_ctr, ax_backend_ctr: PERCPU_ARRAY by id, steered or local packets. */
struct ax_traffic {
	__u64 packets;
	__u64 bytes;
	__u64 segments; /* unique ones of tracked TCP flows: what loss is a part of */
};
AX_ASSERT_SIZE(struct ax_traffic, 24);

/* What is lost is counted when it is found, besides in its flow's state: so the sums outlive flows
 * and never go back. */
enum ax_loss_kind {
	AX_LOSS_LOST = 0, /* as struct ax_anomaly's members of these names */
	AX_LOSS_UNDONE,
	AX_LOSS_REORDERED,
	AX_LOSS_RTX_SEEN,
	AX_LOSS_DUPLICATED,
	AX_LOSS_EVICTED,
	AX_LOSS_RESYNC,
	AX_LOSS_UNREPAIRED, /* holes still open when their flow's state was taken */
	AX_LOSS_SYN_RTX,
	AX_LOSS_RTP_LOST,   /* numbers skipped */
	AX_LOSS_RTP_UNDONE, /* of these, come late, or packets that came twice */
	AX_LOSS_DNS_REPEAT, /* queries repeated within 5 s */
	AX_LOSS_QUIC_Q,	    /* RFC 9506 section 4.1: lost before this node */
	AX_LOSS_QUIC_L,	    /* section 4.2: what the sender says it lost, end to end */
	AX_LOSS_SACK_LOST,  /* as struct ax_sack's: between server and client */
	AX_LOSS_SACK_UNDONE,
	/* Of flows that this node answers, both directions; written by XDP: */
	AX_LOSS_OWN_SEGMENTS, /* the client's unique ones, as far as they are counted by prefix */
	AX_LOSS_OWN_RTX,      /* of RTX_SEEN */
	AX_LOSS_CLIENT_TWICE, /* segments that the client says came twice (RFC 2883) */
	AX_LOSS_OWN_QUERIES,  /* DNS */
	/* and by the tc program: */
	AX_LOSS_SENT, /* the server's unique segments, of flows that ended or sent some again */
	AX_LOSS_SENT_AGAIN,
	AX_LOSS_SERVER_TWICE, /* segments that the server says came twice */
	AX_LOSS_OWN_ANSWERS,  /* DNS queries answered */
};
#define AX_LOSS_KINDS 24

/* ax_vip_loss, ax_backend_loss: PERCPU_ARRAY by id. */
struct ax_loss_sum {
	__u64 count[AX_LOSS_KINDS]; /* by enum ax_loss_kind */
};
AX_ASSERT_SIZE(struct ax_loss_sum, 8 * AX_LOSS_KINDS);

/* ax_prefix_loss: ARRAY[cpus * (AX_PREFIXES + 1)], memory-mapped. A client prefix has a row once
 * something of it was out of order, or a flow of it ended. The first row of a CPU is for all
 * prefixes whose rows were given to others. */
struct ax_prefix_loss {
	struct ax_addr addr; /* masked */
	__u32 stamp;	     /* jiffies >> 8 when last used */
	__u8 bits;	     /* prefix length within `addr`: IPv4's are beyond 96; 0 = free */
	__u8 version;	     /* odd while the row is being given away */
	__u8 pad[2];
	__u64 segments; /* unique ones, of flows that ended or were out of order */
	struct ax_loss_sum sum;
};
AX_ASSERT_SIZE(struct ax_prefix_loss, 224);

/* A dropped frame. ax_drop_last: PERCPU_ARRAY[AX_REASON_LIMIT], the last sample of each reason;
 * ax_drop_ring (RINGBUF) or, where the kernel has none, ax_drop_perf (PERF_EVENT_ARRAY): all of
 * them, as they come. */
struct ax_sample {
	__u64 time_ns; /* CLOCK_MONOTONIC; 0: no sample yet */
	__u32 jiffies; /* low half, for the rate limit */
	__u32 reason;
	__u32 ifindex; /* where it arrived */
	__u32 bytes;   /* of the frame as it arrived */
	__u32 kept;    /* bytes of `frame` that are valid */
	__u32 pad;
	__u8 frame[AX_SAMPLE_BYTES]; /* as it was when it was dropped: an inner packet behind its
				      * Ethernet header, if a tunnel ended here */
};
AX_ASSERT_SIZE(struct ax_sample, 32 + AX_SAMPLE_BYTES);

enum ax_samples { /* the read-only switch `ax_samples` */
		  AX_SAMPLES_NONE = 0,
		  AX_SAMPLES_RING,
		  AX_SAMPLES_PERF,
};

#endif
