/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the stages hand to each other, and how they say that a rule is broken. */
#ifndef AX_BPF_PACKET_H
#define AX_BPF_PACKET_H

#include <bpf/bpf_endian.h>

#include "maps.h"
#include "news.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Classes are ranges of reasons (conclude.h checks it): PASS, STEER, then DROP and RULE. */
#define AX_FIRST_STEER 32
#define AX_FIRST_DROP 48

/* A stage's result: AX_CONTINUE, a reason, or one of these. */
enum ax_next {
	AX_OPAQUE = AX_REASON_LIMIT, /* nothing dropped it, but what follows cannot be read: pass */
	AX_NEXT_TRANSPORT,	     /* the network header is read */
	AX_NEXT_TUNNEL,		     /* from an edge, to be decapsulated here */
	AX_NEXT_GTSM,		     /* to a session address: BGP or BFD */
	AX_NEXT_ICMP,	  /* an ICMP error, which may quote a session or a steered flow */
	AX_NEXT_FLOW,	  /* may be of a flow that the table knows */
	AX_NEXT_NEW,	  /* may be for a VIP; the flow table does not know it */
	AX_NEXT_FRAGMENT, /* to a VIP perhaps; a pool wants notes */
	AX_NEXT_REMEMBER, /* a backend was chosen: its flow may be remembered */
	AX_NEXT_SEND,	  /* a backend was chosen: struct ax_sending */
	AX_NEXT_KEEP,	  /* the backend is this node, which may not know the flow */
	AX_NEXT_ECHO,	  /* an echo request to a VIP, to be answered */
	AX_NEXT_CHANCE,	  /* decapsulated, and its GUE header names further candidates */
};

#define AX_MORE -1 /* of a step of a walk: neither a reason nor the walk's end */

/* The largest offset of a transport header: 22 + 40 + 8 extension headers of 2 KB and a bit. */
#define AX_MAX_OFFSET 0x7fff

enum ax_fragment {
	AX_FRAGMENT_NONE = 0,
	AX_FRAGMENT_FIRST,
	AX_FRAGMENT_LATER, /* no transport header */
};

enum ax_packet_flags {
	AX_PACKET_BAD_CSUM = 1,	   /* IPv4 header checksum */
	AX_PACKET_FRAG_HEADER = 4, /* has an IPv6 fragment header, be it an atomic one */
	AX_PACKET_ANOMALY = 8,	   /* its segment is in the scratch, for the loss tracker */
	AX_PACKET_INNER = 2,	   /* was decapsulated here: never steered */
	AX_PACKET_CHECKED = 16,	   /* ax_check_steered has judged it */
	AX_PACKET_TTL_ZERO = 32,   /* or hop limit */
};

struct ax_packet {
	/* env: the same for the whole packet, read once */
	struct ax_ctl *ctl;
	struct ax_settings *settings; /* of the half in force */
	__u32 generation;
	__u32 half;
	/* frame */
	__u32 bytes;	 /* as it arrived */
	__u32 l3_offset; /* 14, 18 or 22 */
	/* network layer */
	__u32 l3_bytes;	 /* of the datagram, header included, without the frame's padding */
	__u32 l4_offset; /* from the start of the frame */
	__u8 family;	 /* 4, 6, or 0: not IP */
	__u8 proto;	 /* upper-layer protocol, behind all extension headers */
	__u8 ttl;	 /* or hop limit */
	__u8 tos;	 /* or traffic class */
	__u8 fragment;	 /* enum ax_fragment */
	__u8 flags;	 /* enum ax_packet_flags */
	__u8 tcp_flags;	 /* byte 13 of the TCP header */
	__u8 noted;	 /* rules that a walk has met already, see AX_RULE_ONCE */
	__u16 ip_id;	 /* host order; 0 for IPv6 */
	/* transport layer; 0 where there is none */
	__be16 sport, dport;
	__u32 l4_bytes; /* from the transport header to the datagram's end */
	__u32 cursor;	/* of a walk over options */
	__u32 verdict;	/* XDP_TX or XDP_REDIRECT, of reasons of class STEER */
};

/* Stages that few packets reach are functions of their own, verified once, whatever the number of
 * their callers: neither static nor inlined, with no arguments but the context and scalars. The
 * packet goes there and back through this per-CPU copy (its pointers do not: ax_load sets them). */
/* What the loss tracker wants to know of a TCP segment. */
struct ax_segment {
	__u32 seq, end; /* SYN and FIN take a number each */
	__u32 payload;
	__u32 ts, echo; /* RFC 7323: TSval, TSecr */
	__u32 now_us;	/* in the anomaly path only */
	__u16 ip_id;
	__u8 has_ts;
	__u8 tcp_flags;
	__u32 ack;
	__u8 in_order; /* it is here for its acknowledgement */
	__u8 tos;
	__u8 blocks; /* of SACK, in the scratch */
	__u8 echoes; /* `echo` is of what fills the hole that is being looked at */
};

/* To whom, and what it is then counted as. */
struct ax_sending {
	__u32 vip, backend; /* ids */
	__u32 label;	    /* flow label of an IPv6 tunnel */
	__u16 reason;
	__u8 forward;  /* enum ax_forward */
	__u8 segments; /* that came for the first time */
	__u32 mark;    /* it carries, mark.h */
};

/* Why a packet did not fit. */
struct ax_too_big {
	__u32 bytes;	 /* of the datagram with what is reserved for headers */
	__u32 reserve;	 /* for headers */
	__u32 mtu;	 /* of the way; not smaller than bytes: unknown */
	__u32 fib_flags; /* what the kernel was asked with */
};

/* A flow, as the flow table knows it. */
struct ax_flow_key {
	__u64 pair[4]; /* source, destination as they lie in memory; IPv4: pair[0] only */
	__u32 ports;   /* source, destination as they lie in memory */
	__u8 proto;
	__u8 family;
	__u8 tag;
	__u8 pad;
	__u32 bucket; /* index in the family's bucket map */
	__u32 hash;   /* low half: names a SYN */
};

/* The quoted packet, which this node or a backend behind it once sent: its destination is the
 * remote end. */
struct ax_quote {
	struct ax_addr saddr, daddr;
	__be16 sport, dport;
	__u8 proto;
	__u8 family;
	__u8 fragment; /* AX_FRAGMENT_LATER: no ports */
	__u8 strange;  /* its version is not the error's */
};

/* Which service, and which of its backends: the packet's, or of the flow that an ICMP error quotes.
 */
struct ax_request {
	struct ax_addr source, destination;
	__be16 sport, dport;
	__u8 proto;
	__u8 fragment;
	__u8 pad[2];
};

/* The answer. */
struct ax_choice {
	__u32 backend_id;
	__u32 vip_id;
	__u16 backend_gen, vip_gen;
	__u8 forward;
	__u8 pad[3];
	__u32 slot; /* of the pool */
	__u32 pool;
	__u8 hash; /* enum ax_hash_input of the pool */
	__u8 notes;
	__u8 fill[2];
};

/* What a GUE header says, or shall say. */
struct ax_gue_way {
	struct ax_addr source; /* outer source of what is relayed; unspecified: the node's */
	__be32 other[2];       /* AX_GUE_OTHERS tags */
	__u8 hops, count;
	__u8 relayed; /* by a backend that did not know the flow */
	__u8 mark;    /* of what is sent */
	__u8 quoted;  /* an ICMP error about the flow, which the scratch's quote names */
	__u8 pad[3];
};

struct ax_scratch {
	struct ax_sending sending;
	struct ax_packet packet;
	struct bpf_fib_lookup fib;
	struct ax_flow_key key;
	struct ax_quote quote;
	struct ax_request request;
	struct ax_choice choice;
	struct ax_segment segment; /* out of order, or the last, and whose: its flow's entry */
	__u32 slot, family;
	__u32 ended;	     /* the first FIN or RST of its flow */
	struct ax_flow flow; /* of the entry, as the segment found it */
	__u32 record;	     /* of the flow: index + 1 in ax_anomaly */
	struct ax_hole rest;
	struct ax_loss_news news;
	struct ax_addr prefix; /* of the client, masked */
	__u32 prefix_bits;     /* of the address in mapped form */
	__u32 prefix_row, oldest_row;
	__u64 option_types[4]; /* of an IPv6 options header, a bit each */
	__u32 odd;	       /* what is odd about them */
	__u32 outer_tos;       /* of the tunnel packet that was decapsulated */
	__u64 found;	       /* in the TCP options, AX_OPTIONS_* */
	__u32 sack_at;	       /* in the TCP options: the first block's offset; 0 = none */
	__u32 sack_bytes;
	struct ax_range block[AX_SACK_BLOCKS]; /* the segment's */
	__u32 blocks;			       /* found by the last walk */
	struct ax_too_big too_big;
	__u32 fragment_id; /* of the IPv6 fragment header met last */
	struct ax_gue_way gue;
	struct ax_vip_key service;		/* the request's, as it was found */
	struct ax_mark_key mark_flow, mark_sum; /* which the next mark is counted for */
	__u32 marked;				/* of the tunnel packet that was decapsulated */
	__u32 mark_shift;
	struct ax_request known; /* what a flow's entry is about */
};
AX_PERCPU(ax_scratch, struct ax_scratch, 1);

static __always_inline struct ax_scratch *ax_own_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&ax_scratch, &zero);
}

static __always_inline struct ax_packet *ax_saved(void)
{
	struct ax_scratch *scratch = ax_own_scratch();

	return scratch ? &scratch->packet : 0;
}

/* A field of it as a value that neither compiler nor verifier has seen before: what a loop keeps
 * there does not multiply the verifier's states. */
#define AX_UNSEEN(field) (*(volatile typeof(field) *)&(field))

static __always_inline int ax_save(const struct ax_packet *pkt)
{
	struct ax_packet *saved = ax_saved();

	if (!saved)
		return -1;
	*saved = *pkt;
	saved->ctl = 0;
	saved->settings = 0;
	return 0;
}

static __always_inline int ax_load(struct ax_packet *pkt)
{
	struct ax_packet *saved = ax_saved();

	if (!saved)
		return -1;
	*pkt = *saved;
	pkt->ctl = ax_control();
	pkt->half &= 1; /* the verifier has forgotten it */
	pkt->settings = &pkt->ctl->half[pkt->half];
	return 0;
}

/* Of the configuration that runs now. */
static __always_inline void ax_take_settings(struct ax_packet *pkt)
{
	pkt->ctl = ax_control();
	pkt->generation = pkt->ctl->generation;
	pkt->half = pkt->generation & 1;
	pkt->settings = &pkt->ctl->half[pkt->half];
	barrier_var(pkt->settings); /* else clang reckons it anew for each member */
}

/* What such a stage returns: its result in 16 bits, the packet's verdict in 8, and whether the loss
 * tracker has work left. */
#define AX_OUTCOME_ANOMALY (1 << 24)

static __always_inline int ax_outcome(const struct ax_packet *pkt, int result)
{
	return result | pkt->verdict << 16 |
	       (pkt->flags & AX_PACKET_ANOMALY ? AX_OUTCOME_ANOMALY : 0);
}

static __always_inline __u64 ax_now_ns(const struct ax_ctl *ctl)
{
	return ax_is_replay() ? ctl->clock_ns : bpf_ktime_get_ns();
}

/* Costs a few instructions where bpf_ktime_get_ns costs 41 ns; 4 ms a tick at HZ=250. */
static __always_inline __u64 ax_jiffies(const struct ax_ctl *ctl)
{
	return ax_is_replay() ? ctl->clock_ns / 4000000 : AX_JIFFIES();
}

static __always_inline void ax_count(struct ax_counter *counter, __u64 bytes)
{
	if (counter) {
		counter->packets++;
		counter->bytes += bytes;
	}
}

/* `segments`: how many of tracked flows came for the first time. */
static __always_inline void ax_count_traffic(struct ax_traffic *counter, __u64 bytes,
					     __u64 segments)
{
	if (counter) {
		counter->packets++;
		counter->bytes += bytes;
		counter->segments += segments;
	}
}

__noinline int ax_note_reason(__u32 reason, __u32 bytes)
{
	ax_count(bpf_map_lookup_elem(&ax_note, &reason), bytes);
	return 0;
}

/* A rule is broken: is the packet to be dropped for it? */
__noinline int ax_broken(__u32 half, __u32 reason, __u32 bytes)
{
	struct ax_ctl *ctl = ax_control();
	__u8 action;

	if (!AX_GUARD)
		return 0;
	action = ctl->half[half & 1].action[reason & (AX_REASON_LIMIT - 1)];
	if (action == AX_ACTION_COUNT)
		ax_note_reason(reason, bytes);
	return action == AX_ACTION_DROP;
}

/* The rule `id` is broken if `cond`; the stage returns its reason unless the rule only counts. */
#define AX_RULE(cond, id)                                                                          \
	do {                                                                                       \
		if (AX_GUARD && unlikely(cond) && ax_broken(pkt->half, AX_R_##id, pkt->bytes))     \
			return AX_R_##id;                                                          \
	} while (0)

/* The same in a walk that may meet it more than once: counted once a packet. */
#define AX_RULE_ONCE(cond, id, bit)                                                                \
	do {                                                                                       \
		if (unlikely(cond) && !(pkt->noted & (bit))) {                                     \
			pkt->noted |= (bit);                                                       \
			AX_RULE(1, id);                                                            \
		}                                                                                  \
	} while (0)

/* The same for a rule without which nothing behind it can be read. */
#define AX_RULE_END(cond, id)                                                                      \
	do {                                                                                       \
		if (unlikely(cond))                                                                \
			return ax_broken(pkt->half, AX_R_##id, pkt->bytes) ? AX_R_##id             \
									   : AX_OPAQUE;            \
	} while (0)

/* By assembly, since clang else keeps pointers into the context, which verifiers refuse. Volatile,
 * since bpf_xdp_adjust_head changes what they read. */
#define AX_CTX_FIELD(ctx, field)                                                                   \
	({                                                                                         \
		void *value_;                                                                      \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                                              \
			     : "=r"(value_)                                                        \
			     : "r"(ctx), "i"(__builtin_offsetof(struct xdp_md, field)));           \
		value_;                                                                            \
	})

/* An offset, bounded by an AND at the very place where it is added to a packet pointer: compilers
 * that know the bound leave the AND out, and verifiers that have forgotten it (before 6.12) refuse.
 */
#define AX_BOUNDED(offset, mask)                                                                   \
	({                                                                                         \
		__u64 offset_ = (offset);                                                          \
		asm volatile("%0 &= %1" : "+r"(offset_) : "i"(mask));                              \
		offset_;                                                                           \
	})

static __always_inline void *ax_data(const struct xdp_md *ctx)
{
	return AX_CTX_FIELD(ctx, data);
}

static __always_inline void *ax_data_end(const struct xdp_md *ctx)
{
	return AX_CTX_FIELD(ctx, data_end);
}

/* The network header, and the transport header at `offset`. */
static __always_inline void *ax_network(const struct xdp_md *ctx, const struct ax_packet *pkt)
{
	return ax_data(ctx) + AX_BOUNDED(pkt->l3_offset, 31);
}

static __always_inline void *ax_at(const struct xdp_md *ctx, __u32 offset)
{
	return ax_data(ctx) + AX_BOUNDED(offset, AX_MAX_OFFSET);
}

/* The end of a stage. What passes with a bad header checksum or without a hop left is counted only,
 * since the kernel will find out itself; what is not a reason yet goes on to another stage as the
 * saved packet. */
__noinline int ax_judge_passed(__u32 half, __u32 bytes, __u32 odd, int result)
{
	__u32 ttl = odd >> 8 == 4 ? AX_R_IP4_TTL_ZERO_PASSED : AX_R_IP6_HOP_ZERO_PASSED;

	if ((odd & AX_PACKET_BAD_CSUM) && ax_broken(half, AX_R_IP4_CHECKSUM_PASSED, bytes))
		return AX_R_IP4_CHECKSUM_PASSED;
	return (odd & AX_PACKET_TTL_ZERO) && ax_broken(half, ttl, bytes) ? (int)ttl : result;
}

static __always_inline int ax_check_passed(const struct ax_packet *pkt, int result)
{
	if (likely(!(pkt->flags & (AX_PACKET_BAD_CSUM | AX_PACKET_TTL_ZERO))) || result <= 0 ||
	    result >= AX_FIRST_STEER)
		return result;
	return ax_judge_passed(pkt->half, pkt->bytes, pkt->family << 8 | pkt->flags, result);
}

/* The kernel's own checks are bypassed from here on. */
static __always_inline int ax_check_steered(const struct ax_packet *pkt)
{
	if (pkt->flags & AX_PACKET_CHECKED)
		return AX_CONTINUE;
	AX_RULE(pkt->flags & AX_PACKET_BAD_CSUM, IP4_CHECKSUM);
	if (unlikely(!pkt->ttl)) {
		if (pkt->family == 4)
			AX_RULE(1, IP4_TTL_ZERO);
		else
			AX_RULE(1, IP6_HOP_ZERO);
	}
	return AX_CONTINUE;
}

static __always_inline int ax_hand_on(const struct ax_packet *pkt, int result)
{
	if (unlikely(result > AX_OPAQUE) && ax_save(pkt))
		return AX_R_INTERNAL;
	return ax_outcome(pkt, ax_check_passed(pkt, result));
}

#endif
