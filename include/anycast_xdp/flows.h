/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Flows, and what else each CPU keeps for itself. A part of abi.h.
 *
 * One table per CPU and family, in memory-mapped ARRAYs indexed by cpu * size + i:
 *
 *   ax_flow4_idx, ax_flow6_idx     struct ax_bucket: the tags of AX_WAYS flows
 *   ax_flow4_slot, ax_flow6_slot   struct ax_slots: where the entries of a bucket are
 *   ax_flow4, ax_flow6             entries; AX_REGION buckets share AX_REGION * AX_WAYS of them
 *   ax_flow4_next, ax_flow6_next   __u32 for each such region: entries handed out so far
 *
 * A way takes an entry once, the next of its region, and keeps it: so flows that came one after the
 * other lie side by side. With more than AX_DIRECT buckets a CPU's slots would not fit a cache:
 * then the entry of way w of bucket b is number b * AX_WAYS + w, and the two maps of slots are not
 * used. Only its own CPU writes. */
#ifndef ANYCAST_XDP_FLOWS_H
#define ANYCAST_XDP_FLOWS_H

#include "addr.h"
#include "counters.h"
#include "limits.h"

/* Seven bits of the flow's hash, 0 = empty. The eighth: it was used again since its bucket last ran
 * out of ways that were not; those are replaced first. */
struct ax_bucket {
	__u8 tag[AX_WAYS];
};
AX_ASSERT_SIZE(struct ax_bucket, 16);

struct ax_slots {
	__u16 slot[AX_WAYS]; /* entry of the region + 1; 0 = none taken yet */
};
AX_ASSERT_SIZE(struct ax_slots, 32);

#define AX_TAG_USED 0x80

enum ax_flow_flags {
	AX_FLOW_SYNCED = 1, /* `nxt` is valid */
	AX_FLOW_TS = 2,	    /* the flow carries TCP timestamps; `max_ts` is valid */
	AX_FLOW_FIN = 4,    /* the client's FIN was seen */
	AX_FLOW_RST = 8,
	AX_FLOW_IPID = 16,	/* IPv4 ids have been mostly sequential; `ip_id` is valid */
	AX_FLOW_LOSS_LOST = 32, /* its anomaly state was stolen: loss is unknown */
	AX_FLOW_RTT = 64,	/* `rtt` is valid */
	AX_FLOW_SYN = 128,	/* its SYN was seen */
};

/* What both families share. Of flows whose payload is measured (enum ax_measure), some members mean
 * something else: bpf/measure.h.
 *
 * `version` is odd while the entry is being replaced by another flow's: a reader copies, and
 * discards the copy if version was odd or has changed. In between, single fields may be newer than
 * others by one packet, which is harmless. */
struct ax_flow {
	__be16 sport, dport;
	__u8 proto;
	__u8 forward; /* enum ax_forward, enum ax_measure */
	__u8 flags;   /* enum ax_flow_flags */
	__u8 version;
	__u32 generation; /* of the configuration this entry was last held against */
	__u16 backend, backend_gen;
	__u16 vip, vip_gen;
	__u32 packets;	/* wraps */
	__u64 bytes;	/* of frames as they arrived */
	__u32 nxt;	/* next expected sequence number */
	__u32 max_ts;	/* highest TSval, serial order */
	__u32 segments; /* unique segments that carried data, SYN or FIN */
	__u16 rtt;	/* unit 64 us, saturating; handshake SYN -> ACK */
	__u16 mss;	/* largest payload seen, or the SYN's option; 0 = unknown */
	/* index + 1 within its CPU's share of ax_anomaly; 0 = in order so far */
	__u32 anomaly : 24;
	__u32 syn_rtx : 4;    /* repeats of the SYN, saturating */
	__u32 ipid_score : 4; /* how sequential the IPv4 ids have been */
	__u16 ip_id;	      /* last IPv4 identification, host order */
	__u16 stamp;	      /* jiffies >> 8 when last used, for readers */
};
AX_ASSERT_SIZE(struct ax_flow, 56);

struct ax_flow4 {
	__be32 saddr, daddr;
	struct ax_flow flow;
};
AX_ASSERT_SIZE(struct ax_flow4, 64);

struct ax_flow6 {
	struct ax_addr saddr, daddr;
	struct ax_flow flow;
	__u8 pad[40];
};
AX_ASSERT_SIZE(struct ax_flow6, 128);

/* A gap in the client's sequence numbers: [start, end) had not been seen when something behind it
 * arrived. start == end: unused. */
struct ax_hole {
	__u32 start, end;
	__u32 opened_us; /* wraps every 71 minutes */
	__u32 ts;	 /* TSval of the segment that opened it */
};
AX_ASSERT_SIZE(struct ax_hole, 16);

struct ax_undo {
	__u32 start,
		end; /* a segment called lost; if its original turns up after all, it was not */
	__u32 ts;    /* TSval of the retransmission that filled the hole */
};
AX_ASSERT_SIZE(struct ax_undo, 12);

/* ax_anomaly: ARRAY[cpus * anomalies], memory-mapped: what a flow needs once something was out of
 * order. Definitions: docs/loss.md. */
struct ax_anomaly {
	__u32 owner;	    /* slot of the flow entry; 0 = free */
	__u8 owner_version; /* its ax_flow.version */
	__u8 family;	    /* 4 or 6 */
	__u8 undo_next;	    /* ring position */
	__u8 victim;	    /* which hole was overwritten last */
	__u32 lost;	    /* segments: first transmissions lost before this node */
	__u32 undone;	    /* of these, taken back */
	__u32 reordered;    /* late originals */
	__u32 rtx_seen;	    /* segments seen before, retransmitted */
	__u32 duplicated;   /* segments seen before, copied by the network */
	__u32 evicted;	    /* holes forgotten for lack of room */
	__u32 resync;	    /* jumps beyond AX_RESYNC_BYTES */
	__u32 keepalives;
	__u32 last_us; /* last use, for stealing */
	__u32 rtx_bytes;
	struct ax_hole hole[AX_HOLES];
	struct ax_undo undo[AX_UNDO];
	/* what of it the sums have already */
	__u32 folded[AX_LOSS_RESYNC + 1]; /* by enum ax_loss_kind */
	__u32 folded_segments;		  /* in the prefix's row */
	__u16 vip, backend;		  /* ids: whose sums */
	__u32 clock_us, clock_ts; /* when the record was taken, and the client's timestamp then */
	__u8 tail[4];
};
AX_ASSERT_SIZE(struct ax_anomaly, 320);

/* ax_hop: ARRAY[cpus * backends]. The way to a tunnel's end as the kernel's routes and neighbours,
 * or a RESOLVED backend, gave it for the last packet that went the long way: of use to the express
 * ways for AX_HOP_JIFFIES, while the configuration is still the same. */
struct ax_hop {
	union {
		struct {
			__u8 dmac[6];
			__u8 smac[6];
			__u8 pad[4];
			struct ax_addr to; /* family 6: the backend's address */
		};
		__u8 outer[34]; /* family 4: as struct ax_backend's, MAC addresses included */
	};
	__u32 stamp;	  /* jiffies */
	__u32 generation; /* of the configuration */
	__u32 ifindex;
	__u32 csum4; /* as struct ax_backend's */
	__u16 mtu;   /* largest IP datagram that is known to pass */
	__u8 family; /* of the outer header, and AX_HOP_GUE; 0 = nothing here */
	__u8 pad2;
	__u16 backend_gen;
	__u8 tail[2];
};
AX_ASSERT_SIZE(struct ax_hop, 64);

/* ax_shortcut: ARRAY[cpus * AX_SHORTCUTS]. What the last look-up of a service whose address and
 * port hash to this place came to: ax_vip, ax_vip_info and ax_pool in one cache line. Written by
 * the long way, of use while the configuration is still the same. */
struct ax_shortcut {
	struct ax_addr addr;
	__be16 port;
	__u8 proto;
	__u8 forward;	  /* enum ax_forward, of the VIP */
	__u32 generation; /* of the configuration; 0 with size 0 = nothing here */
	__u32 vip;
	__u32 first, size; /* the pool's slots */
	__u16 vip_gen;
	__u8 pad[26];
};
AX_ASSERT_SIZE(struct ax_shortcut, 64);

/* ax_syn: ARRAY[cpus * AX_SYN_SLOTS]. The last SYN that hashed to this slot, and who got it: should
 * the pool change before the flow's next packet, that one still goes there. */
struct ax_syn {
	__u32 hash; /* low half of the flow's table hash; 0 = empty */
	__u32 isn;
	__u32 at_us; /* 0 = unknown: SYNs came too fast to read the clock for each */
	__u16 mss;
	__u8 repeats;
	__u8 pad;
	__u32 generation; /* of the configuration that chose the backend, 0: an older one perhaps */
	__u16 vip, vip_gen;
	__u16 backend, backend_gen;
	__u8 tail[4];
};
AX_ASSERT_SIZE(struct ax_syn, 32);

/* ax_dns: ARRAY[cpus * AX_DNS_SLOTS]. The last query that hashed to this slot. */
struct ax_dns {
	__u32 hash;  /* of flow and id */
	__u32 at_us; /* wraps every 71 minutes; 0 = empty */
};
AX_ASSERT_SIZE(struct ax_dns, 8);

/* ax_cpu: ARRAY[cpus], memory-mapped: each CPU's own cursors. */
struct ax_cpu {
	__u32 next_anomaly; /* clock hand over its share of ax_anomaly */
	__u32 window;	    /* jiffies >> 4; the counts below are of this window */
	__u32 inserts;
	__u32 syns;   /* that the clock was read for */
	__u8 version; /* of the entry made last; even */
	__u8 pad[3];
	__u32 answer_window; /* the counts below are of this window */
	__u32 answers[2];    /* packet-too-big, echo */
	__u8 tail[32];
};
AX_ASSERT_SIZE(struct ax_cpu, 64);

#endif
