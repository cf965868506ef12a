/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* IPv4: header, addresses, fragments, options. Sets the network part of struct ax_packet. */
#ifndef AX_BPF_IP4_H
#define AX_BPF_IP4_H

#include <linux/in.h>
#include <linux/ip.h>

#include "packet.h"

#define AX_IP4_EVIL 0x8000
#define AX_IP4_DF 0x4000
#define AX_IP4_MF 0x2000
#define AX_IP4_OFFSET 0x1fff

/* RFC 1071 over the header, which must sum to 0xffff with its checksum in place. */
static __always_inline __u32 ax_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __always_inline __u64 ax_sum_ip4(const struct iphdr *ip)
{
	const __u32 *word = (const void *)ip;

	return (__u64)word[0] + word[1] + word[2] + word[3] + word[4];
}

/* RFC 1071: the checksum among them, the words of a good header add up to ones only, so their plain
 * sum, never 0, is a multiple of 0xffff. A multiple times the inverse modulo 2^64 is the quotient,
 * and anything else is larger than every quotient. */
static __always_inline int ax_is_all_ones(__u64 sum)
{
	const __u64 inverse = -(~0ULL / 0xffff);

	return sum * inverse <= ~0ULL / 0xffff;
}

/* The header's checksum with its options; 1 if it is bad. */
static __always_inline int ax_bad_checksum(struct xdp_md *ctx, const struct iphdr *ip,
					   __u32 options)
{
	__u64 sum = ax_sum_ip4(ip);

	for (__u32 i = 0; i < AX_IP4_OPTION_BYTES / 4; i++) {
		const __u32 *word = (void *)(ip + 1) + i * 4;

		if (i * 4 >= options || (void *)(word + 1) > ax_data_end(ctx))
			break;
		sum += *word;
	}
	return !ax_is_all_ones(sum);
}

static __always_inline int ax_option_rule(__u8 type)
{
	switch (type) {
	case 131:
	case 137:
		return AX_R_IP4_SOURCE_ROUTE;
	case 7:
		return AX_R_IP4_RECORD_ROUTE;
	case 68:
		return AX_R_IP4_TIMESTAMP;
	}
	return AX_CONTINUE;
}

_Static_assert((AX_R_IP4_SOURCE_ROUTE & 7) != (AX_R_IP4_RECORD_ROUTE & 7) &&
		       (AX_R_IP4_SOURCE_ROUTE & 7) != (AX_R_IP4_TIMESTAMP & 7) &&
		       (AX_R_IP4_RECORD_ROUTE & 7) != (AX_R_IP4_TIMESTAMP & 7),
	       "each has a bit of its own in ax_packet.noted");

/* RFC 791 section 3.1: one option of the saved packet, and the NOP before it if there is one; a
 * reason, AX_CONTINUE at the end, or AX_MORE. A function of its own, see ax_tcp_option. */
__noinline int ax_ip4_option(struct xdp_md *ctx)
{
	struct ax_packet *pkt = ax_saved();
	void *end = ax_data_end(ctx);
	__u32 at, first, left;
	__u8 *option;
	int rule;

	if (!pkt)
		return AX_R_INTERNAL;
	at = pkt->cursor;
	first = pkt->l3_offset + sizeof(struct iphdr);
	left = pkt->l4_offset - first - at;
	option = ax_data(ctx) + AX_BOUNDED(first, 63) + AX_BOUNDED(at, 63);
	if (!left || (void *)(option + 1) > end)
		return AX_CONTINUE;
	if (*option == 1) {
		at++;
		option++;
		if (!--left || (void *)(option + 1) > end)
			return AX_CONTINUE;
	}
	if (*option == 0)
		return AX_CONTINUE;
	if (*option == 1) {
		pkt->cursor = at + 1;
		return AX_MORE;
	}
	if (left < 2 || (void *)(option + 2) > end || option[1] < 2 || option[1] > left) {
		AX_RULE(1, IP4_OPTION_LENGTH);
		return AX_CONTINUE;
	}
	pkt->cursor = at + option[1];
	rule = AX_FRESH(ax_option_rule(*option));
	if (rule && !(pkt->noted & (1 << (rule & 7)))) {
		pkt->noted |= (1 << (rule & 7));
		if (ax_broken(pkt->half, rule, pkt->bytes))
			return rule;
	}
	return AX_MORE;
}

/* All of them, and the header's checksum. Works on the saved packet; sets its flags. */
__noinline int ax_ip4_options(struct xdp_md *ctx)
{
	struct ax_packet *pkt = ax_saved();
	struct iphdr *ip;

	if (!pkt)
		return AX_R_INTERNAL;
	ip = ax_network(ctx, pkt);
	if ((void *)(ip + 1) > ax_data_end(ctx))
		return AX_R_INTERNAL;
	if (ax_bad_checksum(ctx, ip, pkt->l4_offset - pkt->l3_offset - sizeof(*ip)))
		pkt->flags |= AX_PACKET_BAD_CSUM;
	pkt->cursor = 0;
	for (int i = 0; i < AX_IP4_OPTION_BYTES / 2; i++) {
		int reason = AX_FRESH(ax_ip4_option(ctx));

		if (reason != AX_MORE)
			return reason;
	}
	return AX_CONTINUE;
}

static __always_inline int ax_special_source(__u32 a)
{
	return (a >> 24) == 10 || (a >> 20) == 0xac1 || (a >> 16) == 0xc0a8 ||
	       (a >> 22) == (0x64400000 >> 22) || (a >> 16) == 0xa9fe || (a >> 8) == 0xc00002 ||
	       (a >> 8) == 0xc63364 || (a >> 8) == 0xcb0071;
}

/* A DHCP client has no address yet, nor has a switch that asks for groups (RFC 4541 section 2.1.1).
 */
static __always_inline int ax_may_be_unaddressed(const struct iphdr *ip, __u32 source,
						 __u32 destination)
{
	return source == 0 && (destination == 0xffffffff ||
			       (ip->protocol == IPPROTO_IGMP && destination >> 28 == 14));
}

/* RFC 1812 section 5.3.7, RFC 6890 */
static __always_inline int ax_check_ip4_addresses(const struct ax_packet *pkt,
						  const struct iphdr *ip)
{
	__u32 source = bpf_ntohl(ip->saddr);
	__u32 destination = bpf_ntohl(ip->daddr);
	__u32 first = source >> 24;

	AX_RULE((first == 0 && !ax_may_be_unaddressed(ip, source, destination)) || first == 127 ||
			first >= 224,
		IP4_SRC_MARTIAN);
	AX_RULE((destination >> 24) == 0 || (destination >> 24) == 127, IP4_DST_MARTIAN);
	AX_RULE(source == destination, IP4_LAND);
	if (pkt->settings->action[AX_R_IP4_SRC_SPECIAL] != AX_ACTION_OFF)
		AX_RULE(ax_special_source(source), IP4_SRC_SPECIAL);
	return AX_CONTINUE;
}

static __always_inline int ax_check_ip4_fragment(struct ax_packet *pkt, const struct iphdr *ip,
						 __u32 flags, __u32 header)
{
	__u32 offset = flags & AX_IP4_OFFSET;
	__u32 payload = pkt->l3_bytes - header;

	pkt->fragment = offset ? AX_FRAGMENT_LATER : AX_FRAGMENT_FIRST;
	AX_RULE(flags & AX_IP4_DF, IP4_FRAG_DF);
	AX_RULE((flags & AX_IP4_MF) && (payload % 8 || payload == 0), IP4_FRAG_LENGTH);
	AX_RULE(offset * 8 + payload + header > 65535, IP4_FRAG_BEYOND);
	if (ip->protocol == IPPROTO_TCP) {
		AX_RULE(offset == 0 && payload < 20, IP4_FRAG_TINY);
		AX_RULE(offset == 1, IP4_FRAG_OFFSET1);
	}
	return AX_CONTINUE;
}

static __always_inline int ax_parse_ip4(struct xdp_md *ctx, struct ax_packet *pkt)
{
	void *end = ax_data_end(ctx);
	struct iphdr *ip = ax_network(ctx, pkt);
	__u32 header, left, flags;
	int reason;

	AX_RULE_END((void *)(ip + 1) > end, IP4_TRUNCATED);
	AX_RULE_END(ip->version != 4, IP4_VERSION);
	header = ip->ihl * 4;
	left = pkt->bytes - pkt->l3_offset;
	AX_RULE_END(header < sizeof(*ip) || header > left, IP4_IHL);
	pkt->l3_bytes = bpf_ntohs(ip->tot_len);
	if (unlikely(pkt->l3_bytes == 0)) {
		AX_RULE(1, IP4_ZERO_LENGTH);
		pkt->l3_bytes = left;
	}
	AX_RULE_END(pkt->l3_bytes < header || pkt->l3_bytes > left, IP4_TOTAL_LENGTH);
	pkt->l4_offset = pkt->l3_offset + header;
	pkt->l4_bytes = pkt->l3_bytes - header;
	pkt->proto = ip->protocol;
	pkt->ttl = ip->ttl;
	if (unlikely(!pkt->ttl))
		pkt->flags |= AX_PACKET_TTL_ZERO;
	pkt->tos = ip->tos;
	pkt->ip_id = bpf_ntohs(ip->id);

	flags = bpf_ntohs(ip->frag_off);
	if (AX_GUARD) {
		reason = ax_check_ip4_addresses(pkt, ip);
		if (reason)
			return reason;
		AX_RULE(flags & AX_IP4_EVIL, IP4_EVIL);
	}
	if (unlikely(flags & (AX_IP4_MF | AX_IP4_OFFSET))) {
		reason = ax_check_ip4_fragment(pkt, ip, flags, header);
		if (reason)
			return reason;
	}
	if (unlikely(header > sizeof(*ip))) {
		struct ax_packet *saved = ax_saved();

		if (!saved || ax_save(pkt) || AX_RELOAD(pkt))
			return AX_R_INTERNAL;
		reason = AX_FRESH(ax_ip4_options(ctx));
		pkt->flags = saved->flags;
		if (reason)
			return reason;
	} else if (AX_GUARD && unlikely(!ax_is_all_ones(ax_sum_ip4(ip)))) {
		pkt->flags |= AX_PACKET_BAD_CSUM;
	}
	return AX_CONTINUE;
}

#endif
