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

#include "addr.h"
#include "counters.h"
#include "flows.h"
#include "limits.h"
#include "pins.h"
#include "reasons.h"

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

/* What the last packet came to: written by replay instances only. */
struct ax_trace {
	__u32 reason;
	__u32 vip;     /* id + 1, 0 = none */
	__u32 backend; /* id + 1, 0 = none */
	__u32 slot;    /* Maglev slot + 1, 0 = the flow table answered, or nobody asked */
};
AX_ASSERT_SIZE(struct ax_trace, 16);

/* The read-only switch `ax_instance` of programs that replay, in private maps. */
#define AX_REPLAY 0xffffffff

/* ax_ctl: ARRAY[1], memory-mapped. */
struct ax_ctl {
	__u32 abi; /* AX_ABI_VERSION */
	__u32 generation;
	__u64 table_seed[2]; /* flow table's hash: random per load, never shared */
	__u64 clock_ns;	     /* the clock of replay instances */
	__u32 insert_limit;  /* flow inserts per CPU and 16 jiffies; 0 = no limit */
	__u32 active;	     /* the instance that counts and acts; 0 = any */
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
	AX_BACKEND_TWIN = 4, /* LOCAL, and not alone in its pool: nothing that leaves tells who */
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

#endif
