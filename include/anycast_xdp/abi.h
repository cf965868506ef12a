/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Map keys and values: the one definition, included by bpf/ and user/.
 *
 * Byte order: __be16/__be32 and the bytes of struct ax_addr are in wire order, everything else is
 * in host order. Padding is named and zero.
 *
 * Halves. Everything that comes from the configuration exists twice. `ax_ctl.generation & 1`
 * selects the half that the data path reads; user space writes the other one and then raises the
 * generation once, which switches all of it together: settings, VIPs, pools, slots, backends,
 * peers, edges. Hash keys carry the half as a byte, arrays are twice as long and are indexed by
 * `half * size + id`.
 */
#ifndef ANYCAST_XDP_ABI_H
#define ANYCAST_XDP_ABI_H

#include <linux/types.h>

#include "limits.h"
#include "pins.h"
#include "reasons.h"

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

/* ---- control ------------------------------------------------------------------------------- */

enum ax_role { /* bits of the read-only switch `ax_role` */
	       AX_ROLE_EDGE = 1,
	       AX_ROLE_BACKEND = 2,
};

/* One half of the configuration's scalars. */
struct ax_settings {
	__u64 hash_seed[2];	/* steering hash, the fleet's */
	struct ax_addr source4; /* outer source of IPv4 tunnels (mapped form) */
	struct ax_addr source6; /* outer source of IPv6 tunnels */
	__u32 vips;		/* how many VIP ids are in use */
	__u32 flags;		/* AX_SETTINGS_* */
	__u32 answer_limit;	/* ICMP answers of each kind per CPU and AX_ANSWER_WINDOW */
	__be16 gue_port;	/* where GUE is sent to and expected; never 0 */
	__u8 gue_variant;	/* of what we send: 0 or 1 */
	__u8 second_chance; /* GUE names further candidates, who pass on what they do not know */
	__s32 netns;	    /* id of the namespace whose sockets are asked; -1: the device's */
	__u8 mark_shift;    /* alternate marking: a period is 2^this jiffies; 0 = off (mark.h) */
	__u8 pad[3];
	__u8 action[AX_REASON_LIMIT]; /* enum ax_action by reason number */
	__u64 vip_filter[AX_VIP_FILTER_BITS /
			 64]; /* bit ax_filter_bit(address) is set for each VIP */
};
AX_ASSERT_SIZE(struct ax_settings, 72 + AX_REASON_LIMIT + AX_VIP_FILTER_BITS / 8);

enum ax_settings_flags {
	AX_SETTINGS_VALID = 1, /* the half was written; without it packets pass as UNCONFIGURED */
	AX_SETTINGS_ANY_PORT = 2,  /* some VIP serves any port of a protocol */
	AX_SETTINGS_ANY_PROTO = 4, /* some VIP serves any protocol */
	AX_SETTINGS_GTSM = 8,	   /* ax_gtsm_local is not empty */
	AX_SETTINGS_ECHO = 16,	   /* echo requests to VIPs are answered here */
	AX_SETTINGS_NOTES = 32,	   /* some pool wants notes of its first fragments */
	AX_SETTINGS_PREFIX = 64,   /* some VIP is a prefix: ax_prefix is not empty */
	AX_SETTINGS_WATCH = 128,   /* the tc program counts what servers here send */
	AX_SETTINGS_CLAMP = 256,   /* the tc program lowers the MSS that they offer */
};

/* What the last packet came to: written by replay instances only (read-only switch `ax_replay`). */
struct ax_trace {
	__u32 reason;
	__u32 vip;     /* id + 1, 0 = none */
	__u32 backend; /* id + 1, 0 = none */
	__u32 slot;    /* Maglev slot + 1, 0 = the flow table answered, or nobody asked */
};
AX_ASSERT_SIZE(struct ax_trace, 16);

/* ax_ctl: ARRAY[1], memory-mapped. */
struct ax_ctl {
	__u32 abi; /* AX_ABI_VERSION */
	__u32 generation;
	__u64 table_seed[2]; /* flow table's hash: random per load, never shared */
	__u64 clock_ns;	     /* the clock of replay instances */
	__u32 insert_limit;  /* flow inserts per CPU and 16 jiffies; 0 = no limit */
	__u32 active;	     /* id of the instance that counts and acts; 0 = any */
	struct ax_trace trace;
	struct ax_settings half[2];
};
AX_ASSERT_SIZE(struct ax_ctl, 56 + 2 * (72 + AX_REASON_LIMIT + AX_VIP_FILTER_BITS / 8));

/* ---- VIPs, pools, backends ----------------------------------------------------------------- */

/* ax_vip: HASH key -> VIP id (__u32). Looked up with the packet's port and protocol, then port 0
 * (any port), then protocol 0 as well (any protocol). Two kinds of key besides: */
enum ax_vip_proto {
	AX_VIP_ADDRESS = 255, /* port 0: the address has some VIP (the one with the lowest id) */
	AX_VIP_FRAGMENT =
		128, /* or'ed to a protocol, port 0: whose pool gets this address's fragments
		      * (any port's VIP if there is one, else the lowest port's) */
};
struct ax_vip_key {
	struct ax_addr addr;
	__be16 port;
	__u8 proto;
	__u8 half;
	__u8 bits; /* of a prefix, of these 128; 0 = this address alone */
	__u8 pad[3];
};
AX_ASSERT_SIZE(struct ax_vip_key, 24);

/* ax_prefix: LPM_TRIE struct ax_prefix_key -> struct ax_prefix: which prefix has an address that
 * has no service of its own; ax_vip has its services. Prefixes do not overlap. */
struct ax_prefix_key {
	__u32 length; /* how many bits of what follows count */
	__u8 half;
	__u8 pad[3];
	struct ax_addr addr;
};
AX_ASSERT_SIZE(struct ax_prefix_key, 24);
#define AX_PREFIX_BITS 32 /* of them in front of the address */

struct ax_prefix {
	struct ax_addr addr; /* as in ax_vip_key */
	__u8 bits;
	__u8 pad[7];
};
AX_ASSERT_SIZE(struct ax_prefix, 24);

enum ax_forward {
	AX_FORWARD_NONE = 0,
	AX_FORWARD_LOCAL,    /* the backend is this node */
	AX_FORWARD_L2DSR,    /* rewrite the MAC addresses */
	AX_FORWARD_IPIP,     /* RFC 2003, 2473, 4213: all four family combinations */
	AX_FORWARD_GUE,	     /* gue.h; all four family combinations */
	AX_FORWARD_HOW = 15, /* the bits of the above; the others are flags beside them: */
	/* of a flow entry: some rule may count its packets, so none goes the express way;
	 * of a VIP: its packets are marked (mark.h), and so none does either */
	AX_FORWARD_LONG = 128,
};

/* What the payload of a UDP service says of loss. Bits of an ax_forward, of VIPs and flow entries:
 * such flows go the long way. */
enum ax_measure {
	AX_MEASURE_NONE = 0,
	AX_MEASURE_RTP = 16,  /* RFC 3550 section A.3 */
	AX_MEASURE_DNS = 32,  /* queries that are repeated */
	AX_MEASURE_QUIC = 48, /* RFC 9506 */
	AX_MEASURE = 48,      /* mask */
};

/* ax_vip_info: ARRAY[2 * vips]. */
struct ax_vip {
	__u16 gen;    /* ids are reused; an entry of the flow table names id and gen */
	__u8 forward; /* enum ax_forward: L2DSR, IPIP or GUE; enum ax_measure */
	__u8 reserve; /* the most that sending to any backend of its pool adds to a packet */
	__u32 pool;
};
AX_ASSERT_SIZE(struct ax_vip, 8);

enum ax_all_down { AX_ALL_DOWN_DROP = 0, AX_ALL_DOWN_PASS, AX_ALL_DOWN_LAST_KNOWN };

/* What of a packet says which slot is its own. Fragments have no ports, and go without. */
enum ax_hash_input {
	AX_HASH_FLOW = 0,    /* addresses, ports, protocol */
	AX_HASH_SOURCE_PORT, /* source address and port */
	AX_HASH_SOURCE,	     /* source address */
	AX_HASH_QUIC,	     /* a datagram's connection id names the backend, else as FLOW */
};

/* ax_pool: ARRAY[2 * pools]. */
struct ax_pool {
	__u32 first;	    /* index of its first slot in its half of ax_slot */
	__u32 size;	    /* slots, a prime; 0 = nobody is up */
	__u8 all_down;	    /* enum ax_all_down */
	__u8 hash;	    /* enum ax_hash_input */
	__u8 quic_rotation; /* config rotation bits of the connection ids that are ours */
	__u8 quic_length;   /* bytes of a server id */
	__u8 notes;	    /* first fragments go like their flow, and note it for the rest */
	__u8 pad;
	__u16 path_mtu; /* that its servers' MSS is lowered to fit into; 0 = as they are */
	__u16 own;	/* id + 1 of the only backend that is this node; 0 = none, or several */
	__u16 pad2;
};
AX_ASSERT_SIZE(struct ax_pool, 20);

/* ax_slot: ARRAY[2 * slots], memory-mapped. Candidates are backend ids, the owner first. */
struct ax_slot {
	__u16 backend[AX_CANDIDATES];
	__u16 count; /* how many of them are valid, at least 1 in a used slot */
};
AX_ASSERT_SIZE(struct ax_slot, 8);

enum ax_backend_state {
	AX_BACKEND_ABSENT = 0,
	AX_BACKEND_ACTIVE,	/* new and known flows */
	AX_BACKEND_DRAINING,	/* known flows only */
	AX_BACKEND_DOWN,	/* none */
	AX_BACKEND_MAINTENANCE, /* none, on purpose: health checks do not bring it back */
};

enum ax_backend_flags {
	AX_BACKEND_LOCAL = 1,	 /* the address is this node's own */
	AX_BACKEND_RESOLVED = 2, /* ifindex, smac, dmac and mtu are valid: no look-up per packet */
};

/* ax_backend: ARRAY[2 * backends]: a cache line each. */
struct ax_backend {
	struct ax_addr addr;
	union {
		struct {
			__u8 dmac[6];
			__u8 smac[6];
		};
		__u8 outer[34]; /* IPv4: Ethernet and outer header as they are sent, but for TOS,
				 * total length and checksum, which are 0 */
	};
	__u16 mtu;     /* of the next hop's link: largest IP datagram */
	__u32 ifindex; /* next hop, if RESOLVED */
	__u32 csum4;   /* outer IPv4 header: sum of its constant 16-bit words, not folded;
			* TOS, total length and protocol are added per packet */
	__u16 gen;
	__u8 state;
	__u8 flags;
};
AX_ASSERT_SIZE(struct ax_backend, 64);

/* ax_device: HASH ifindex of a next hop -> struct ax_device, of devices that frames cannot simply
 * be sent to. Not of a half: it says what the node is like. */
struct ax_device {
	__u32 ifindex; /* where they leave instead; 0 = nowhere */
	__be16 tpid;   /* with this tag */
	__be16 tci;
};
AX_ASSERT_SIZE(struct ax_device, 8);

/* ax_quic: HASH struct ax_quic_key -> backend id (__u32). */
struct ax_quic_key {
	__u32 pool;
	__u8 half;
	__u8 pad[3];
	__u8 server[AX_QUIC_SERVER]; /* zeros behind the pool's quic_length */
};
AX_ASSERT_SIZE(struct ax_quic_key, 24);

/* ax_fragment: LRU_HASH struct ax_fragment_key -> struct ax_fragment_note: where the first fragment
 * of a datagram went. */
struct ax_fragment_key {
	struct ax_addr source, destination;
	__u32 id;
	__u8 proto;
	__u8 pad[3];
};
AX_ASSERT_SIZE(struct ax_fragment_key, 40);

struct ax_fragment_note {
	__u16 vip, vip_gen;
	__u16 backend, backend_gen;
	__u8 forward;
	__u8 pad[7];
};
AX_ASSERT_SIZE(struct ax_fragment_note, 16);

/* ---- GTSM and tunnels ---------------------------------------------------------------------- */

struct ax_addr_key {
	struct ax_addr addr;
	__u8 half;
	__u8 pad[7];
};
AX_ASSERT_SIZE(struct ax_addr_key, 24);

/* ax_gtsm_local: HASH struct ax_addr_key (a session address of this node) -> __u32, unused. */
/* ax_gtsm_peer: HASH struct ax_addr_key (a peer's address) -> struct ax_gtsm_peer. */
struct ax_gtsm_peer {
	__u8 min_ttl; /* 256 - hops; 0 = exempt */
	__u8 pad;
	__u16 id; /* index of ax_peer_ctr */
};
AX_ASSERT_SIZE(struct ax_gtsm_peer, 4);

/* ax_peer_ctr: PERCPU_ARRAY[peers]. */
struct ax_peer_counters {
	__u64 accepted;
	__u64 refused;
};
AX_ASSERT_SIZE(struct ax_peer_counters, 16);

/* ax_tunnel_dst: HASH struct ax_addr_key (an address where tunnels of ours end) -> __u32 flags. */
enum ax_tunnel_flags {
	AX_TUNNEL_DECAP = 1,   /* here */
	AX_TUNNEL_BACKEND = 2, /* at a configured backend: an edge lets none by but its fellows' */
};
/* ax_edge: HASH struct ax_addr_key (who may encapsulate to us) -> __u32, unused. */

/* ax_gue_tag: ARRAY[2 * backends] of __u32: what a backend is called in GUE, by its id.
 * ax_gue_backend: HASH struct ax_tag_key -> backend id (__u32). */
struct ax_tag_key {
	__u32 tag;
	__u8 half;
	__u8 pad[3];
};
AX_ASSERT_SIZE(struct ax_tag_key, 8);

/* ---- counters ------------------------------------------------------------------------------ */

/* ax_reason: PERCPU_ARRAY[AX_REASON_LIMIT] by reason. Bytes are those of the frame as it arrived.
 */
struct ax_counter {
	__u64 packets;
	__u64 bytes;
};
AX_ASSERT_SIZE(struct ax_counter, 16);

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

/* ---- flows --------------------------------------------------------------------------------- */
/* One table per CPU and family, in memory-mapped ARRAYs indexed by cpu * size + i:
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
