/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Compile-time bounds. Sizes that an operator may choose are in the configuration instead
 * (user/core/model.h, struct Limits); these are the ones a verifier or an ABI needs. */
#ifndef ANYCAST_XDP_LIMITS_H
#define ANYCAST_XDP_LIMITS_H

#define AX_REASON_LIMIT 256 /* reason numbers are below this; sizes every per-reason array */

#define AX_VLAN_DEPTH 2	       /* 802.1Q / 802.1ad tags that are looked behind */
#define AX_IP6_EXT_DEPTH 8     /* IPv6 extension headers that are looked behind */
#define AX_IP6_OPTIONS 8       /* options of an IPv6 options header that are looked at */
#define AX_IP4_OPTION_BYTES 40 /* RFC 791: IHL is four bits, so 60 - 20 */

#define AX_WAYS 16	 /* entries of a flow-table bucket; a power of two (verifier) */
#define AX_MIN_BUCKETS 8 /* per CPU and family */
#define AX_REGION 2048	 /* buckets that share their entries; fewer if there are fewer */
#define AX_DIRECT 16384	 /* with more buckets than this per CPU, ways have places of their own */
#define AX_HOLES 8	 /* open sequence holes remembered per flow */
#define AX_UNDO 8	 /* segments called lost that may yet be taken back */
#define AX_RESYNC_BYTES (4 << 20) /* a jump beyond this is another connection, not a hole */

#define AX_SYN_SLOTS 4096	 /* per CPU; always overwritten, never full */
#define AX_TIMED_SYNS 1024	 /* per CPU and 16 jiffies: handshakes whose RTT is measured */
#define AX_DNS_SLOTS 4096	 /* per CPU; always overwritten, never full */
#define AX_SHORTCUTS 1024	 /* per CPU; always overwritten, never full */
#define AX_PREFIXES 2048	 /* per CPU; client prefixes with sums of their own */
#define AX_PREFIX_WAYS 8	 /* rows that one prefix may have */
#define AX_CANDIDATES 3		 /* backends a Maglev slot names: owner, then second chances */
#define AX_DEVICES 1024		 /* that frames cannot simply be sent to */
#define AX_VIP_FILTER_BITS 65536 /* one bit per hash of a VIP's address */

#define AX_SAMPLE_BYTES 96	 /* of a dropped frame, kept from its start */
#define AX_HOP_JIFFIES 25	 /* a next hop is asked for again after 25 to 250 ms */
#define AX_QUIC_SERVER 16	 /* bytes for a server id; the draft allows 15 */
#define AX_FRAGMENT_NOTES 4096	 /* datagrams whose first fragment is remembered, all CPUs */
#define AX_ANSWER_WINDOW 27	 /* ICMP answers are limited per 2^27 ns, 134 ms */
#define AX_SAMPLE_JIFFIES 25	 /* between two samples of a reason on a CPU: 25 to 250 ms */
#define AX_DROP_RING_BYTES 65536 /* a power of two, and a multiple of every page size here */
#define AX_OUTER_TTL 64		 /* TTL / hop limit of the headers we add */
#define AX_NAME 16		 /* bytes of a name in a map value, NUL included */

#endif
