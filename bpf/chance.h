/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The second chance: a TCP segment whose connection this node does not know, or an ICMP error about
 * one, goes on to the next candidate that its GUE header names. Each step takes one candidate away,
 * so it ends. */
#ifndef AX_BPF_CHANCE_H
#define AX_BPF_CHANCE_H

#include "gue.h"
#include "transport.h"

/* Whose connection is it about? The ends as the client's segments name them. -1: none that has a
 * socket, or one that a SYN only opens. */
static __always_inline int ax_connection_of(struct xdp_md *ctx, const struct ax_packet *pkt,
					    struct ax_scratch *scratch)
{
	struct ax_request *request = &scratch->request;

	if (pkt->fragment)
		return -1;
	if (AX_HAS_QUOTE_CHANCE && scratch->gue.quoted) { /* what the server sent */
		const struct ax_quote *quote = &scratch->quote;

		request->source = quote->daddr;
		request->destination = quote->saddr;
		request->sport = quote->dport;
		request->dport = quote->sport;
		return quote->proto == IPPROTO_TCP && !quote->fragment && !quote->strange ? 0 : -1;
	}
	if (pkt->proto != IPPROTO_TCP || (pkt->tcp_flags & (AX_TCP_SYN | AX_TCP_ACK)) == AX_TCP_SYN)
		return -1;
	return ax_request_of(ctx, pkt, request);
}

/* Is there such a connection in the stack? A listener alone is none, unless the segment brings a
 * SYN cookie of its back. */
__noinline int ax_has_socket(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct bpf_sock_tuple tuple = {};
	const struct ax_request *request;
	struct ax_packet pkt = {};
	struct bpf_sock *sk;
	struct tcphdr *tcp;
	__u32 size;
	void *ip;
	int found = 1;

	if (!scratch || ax_load(&pkt))
		return 1;
	request = &scratch->request;
	if (pkt.family == 4) {
		tuple.ipv4.saddr = request->source.word[3];
		tuple.ipv4.daddr = request->destination.word[3];
		tuple.ipv4.sport = request->sport;
		tuple.ipv4.dport = request->dport;
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, &request->source, 16);
		__builtin_memcpy(tuple.ipv6.daddr, &request->destination, 16);
		tuple.ipv6.sport = request->sport;
		tuple.ipv6.dport = request->dport;
		size = sizeof(tuple.ipv6);
	}
	sk = bpf_skc_lookup_tcp(ctx, &tuple, size, (__s64)pkt.settings->netns, 0);
	if (!sk)
		return 0;
	if (sk->state == BPF_TCP_LISTEN) {
		ip = ax_network(ctx, &pkt);
		tcp = ax_at(ctx, pkt.l4_offset);
		found = 0;
		/* for IPv4, too, there are as many bytes: both headers */
		if (pkt.proto == IPPROTO_TCP && (void *)(tcp + 1) <= ax_data_end(ctx) &&
		    ip + sizeof(struct ipv6hdr) <= ax_data_end(ctx))
			found = !bpf_tcp_check_syncookie(sk, ip, sizeof(struct ipv6hdr), tcp,
							 sizeof(*tcp));
	}
	bpf_sk_release(sk);
	return found;
}

/* The next candidate's backend id, -1: there is none left. */
__noinline int ax_next_candidate(void)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_packet pkt = {};

	if (!scratch || ax_load(&pkt))
		return -1;
#pragma unroll
	for (int i = 0; i < AX_GUE_OTHERS; i++) {
		struct ax_tag_key key = {.half = pkt.half};
		struct ax_backend *backend;
		__u32 *id;

		if (scratch->gue.hops >= scratch->gue.count)
			return -1;
		key.tag = bpf_ntohl(scratch->gue.other[scratch->gue.hops++ & (AX_GUE_OTHERS - 1)]);
		id = bpf_map_lookup_elem(&ax_gue_backend, &key);
		backend = id ? ax_backend_at(&pkt, *id) : 0;
		if (!backend) {
			ax_note_reason(AX_R_CANDIDATE_UNKNOWN, pkt.bytes);
			continue;
		}
		/* One that is down may be alive, and then has the flow; if not, nobody has it. */
		if (!(backend->flags & AX_BACKEND_LOCAL) &&
		    backend->state != AX_BACKEND_MAINTENANCE)
			return *id;
	}
	return -1;
}

/* Of the saved packet; AX_CONTINUE: it is for this node's stack. */
__noinline int ax_chance(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_packet pkt = {};
	int id, outcome;

	if (!scratch || ax_load(&pkt))
		return AX_R_INTERNAL;
	if (ax_connection_of(ctx, &pkt, scratch) || ax_has_socket(ctx))
		return AX_CONTINUE;
	id = ax_next_candidate();
	if (id < 0) {
		ax_note_reason(AX_R_CANDIDATES_SPENT, pkt.bytes);
		return AX_CONTINUE;
	}
	if (pkt.flags & AX_PACKET_INNER) { /* no edge of ours has, if its address was forged */
		outcome = ax_check_steered(&pkt);
		if (outcome)
			return outcome;
	}
	scratch->gue.relayed = 1;
	outcome = ax_send_gue(ctx, id, 0);
	return outcome & 0xffff ? outcome & 0xffff : (outcome & 0xff0000) | AX_R_SECOND_CHANCE;
}

/* The stage for what was decapsulated. */
__noinline int ax_chance_stage(struct xdp_md *ctx)
{
	struct ax_scratch *scratch = ax_own_scratch();
	struct ax_packet pkt = {};
	int outcome;

	if (!scratch || ax_load(&pkt))
		return AX_R_INTERNAL;
	outcome = ax_check_inner(ctx, &pkt);
	if (!outcome && scratch->gue.count)
		outcome = ax_chance(ctx);
	return outcome ? outcome : ax_check_passed(&pkt, AX_R_DECAPSULATED);
}

#endif
