/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The XDP program. Stages return a reason, AX_CONTINUE, or which stage is next; only conclude.h
 * counts and acts.
 *
 *   frame -> network -> transport -> [tunnel] -> gtsm -> flow -> steer -> conclude
 *
 * The malformed rules stand where their bytes are read: frame.h, ip4.h, ip6.h, transport.h.
 * Ordinary packets of known flows need no stage: express.h. The stages are functions of their own,
 * so that stack and verifier see one at a time. */
#include "maps.h"

#include "answer.h"
#include "conclude.h"
#include "decap.h"
#include "express.h"
#include "express6.h"
#include "express_gue.h"
#include "frame.h"
#include "gtsm.h"
#include "ip4.h"
#include "ip6.h"
#include "sack.h"
#include "steer.h"
#include "stranger.h"
#include "transport.h"

/* `result` of a header; edges steer nothing that they cannot read. */
static __always_inline int ax_as_inner(const struct ax_packet *pkt, int result)
{
	return result == AX_OPAQUE && (pkt->flags & AX_PACKET_INNER) ? AX_R_TUNNEL_MALFORMED
								     : result;
}

/* Up to the network header's end. */
static __always_inline int ax_inspect(struct xdp_md *ctx, struct ax_packet *pkt)
{
	int result = ax_parse_frame(ctx, pkt);

	if (result)
		return result;
	result = pkt->family == 4 ? ax_parse_ip4(ctx, pkt) : ax_parse_ip6(ctx, pkt);
	return result ? ax_as_inner(pkt, result) : AX_NEXT_TRANSPORT;
}

/* An ICMP error that quotes a protected session or a steered flow? */
static __always_inline int ax_wants_icmp(struct xdp_md *ctx, const struct ax_packet *pkt)
{
	int type;

	if (likely(!ax_is_icmp(pkt)) || pkt->fragment == AX_FRAGMENT_LATER)
		return 0;
	type = ax_icmp_type(ctx, pkt);
	return type >= 0 && ax_is_icmp_error(pkt, type);
}

/* From the transport header on, whichever the network header was. */
static __always_inline int ax_process(struct xdp_md *ctx, struct ax_packet *pkt)
{
	int result = ax_parse_transport(ctx, pkt);

	if (result)
		return ax_as_inner(pkt, result);
	if (AX_RENEW(pkt))
		return AX_R_INTERNAL;
	if (unlikely(ax_is_tunnel(pkt))) {
		int inner = pkt->flags & AX_PACKET_INNER;

		if (inner && !ax_is_gue(pkt))
			return AX_R_TUNNEL_MALFORMED;
		result = ax_accept_tunnel(ctx, ax_is_gue(pkt) && pkt->settings->second_chance);
		/* XDP takes the packet before the kernel could check the outer header. */
		if (result == AX_NEXT_TUNNEL && !inner)
			AX_RULE(pkt->flags & AX_PACKET_BAD_CSUM, IP4_CHECKSUM);
		if (result)
			return inner ? AX_R_TUNNEL_MALFORMED : result;
	}
	if ((ax_role & AX_ROLE_BACKEND) && unlikely(pkt->flags & AX_PACKET_INNER)) {
		result = ax_merge_ecn(ctx, pkt->family, pkt->l3_offset);
		if (result)
			return result;
	}
	result = ax_gtsm(ctx, pkt);
	if (result)
		return result;
	if (ax_wants_icmp(ctx, pkt))
		return AX_NEXT_ICMP;
	if ((ax_role & AX_ROLE_BACKEND) && unlikely(pkt->flags & AX_PACKET_INNER))
		return AX_NEXT_CHANCE;
	return ax_role & AX_ROLE_EDGE ? ax_steer(ctx, pkt) : AX_R_NOT_VIP;
}

/* `flags`: AX_PACKET_INNER behind the tunnel stage. The inner packet is guarded like any other, and
 * never steered. */
__noinline int ax_inspect_stage(struct xdp_md *ctx, __u32 bytes, __u32 flags)
{
	struct ax_packet pkt = {.bytes = bytes, .flags = flags};

	ax_take_settings(&pkt);
	if (!(pkt.settings->flags & AX_SETTINGS_VALID))
		return AX_R_UNCONFIGURED;
	return ax_hand_on(&pkt, ax_inspect(ctx, &pkt));
}

/* Apart from the network header's stage, so that verifiers judge it once, and not for each way to
 * have read one. */
__noinline int ax_transport_stage(struct xdp_md *ctx)
{
	struct ax_packet pkt = {};

	if (ax_load(&pkt))
		return AX_R_INTERNAL;
	return ax_hand_on(&pkt, ax_process(ctx, &pkt));
}

static __always_inline int ax_icmp(struct xdp_md *ctx, struct ax_packet *pkt)
{
	struct ax_scratch *scratch = ax_own_scratch();
	int reason = AX_CONTINUE, quoted;
	struct ax_request *request;
	struct ax_quote *quote;

	if (!scratch)
		return AX_R_INTERNAL;
	request = &scratch->request;
	quote = &scratch->quote;
	quoted = !ax_read_quote(ctx, pkt->l4_offset, pkt->l4_bytes, pkt->family);
	if (AX_GUARD && (pkt->settings->flags & AX_SETTINGS_GTSM)) {
		reason = ax_gtsm_icmp(ctx, pkt, quote, quoted);
		if (reason)
			return reason;
	}
	if (pkt->flags & AX_PACKET_INNER) {
		if (AX_HAS_QUOTE_CHANCE) {
			scratch->gue.quoted = quoted;
			return AX_NEXT_CHANCE;
		}
		reason = ax_check_inner(ctx, pkt);
		return reason ? reason : AX_R_DECAPSULATED;
	}
	if (!(ax_role & AX_ROLE_EDGE))
		return AX_R_NOT_VIP;
	if (pkt->fragment)
		return AX_NEXT_NEW;
	if (ax_addresses(ctx, pkt, &request->source, &request->destination))
		return AX_R_INTERNAL;
	/* An error goes to the sender of what it quotes. */
	if (quoted && !quote->strange && request->destination.pair[0] == quote->saddr.pair[0] &&
	    request->destination.pair[1] == quote->saddr.pair[1])
		reason = ax_steer_icmp(pkt, scratch);
	return reason ? reason : ax_unserved(ctx);
}

__noinline int ax_icmp_stage(struct xdp_md *ctx)
{
	struct ax_packet pkt = {};

	if (ax_load(&pkt))
		return AX_R_INTERNAL;
	/* AX_NEXT_NEW finds the packet saved as it was */
	return ax_outcome(&pkt, ax_check_passed(&pkt, ax_icmp(ctx, &pkt)));
}

/* Neither IP nor tagged: passes, whatever is configured. 0: a frame too short to have a type. */
static __always_inline int ax_is_foreign(__u32 type)
{
	barrier_var(type); /* else clang compares all types in their numbers' order */
	return type != bpf_htons(ETH_P_IPV6) && type && !ax_is_vlan(type);
}

/* Neither foreign nor untagged IPv4. */
static __always_inline int ax_other(struct xdp_md *ctx, __u32 type, __u64 bytes)
{
	int outcome;

	if (type != bpf_htons(ETH_P_IPV6) || !(ax_role & AX_ROLE_EDGE))
		return AX_UNUSUAL;
	outcome = AX_FRESH(ax_express6(ctx, bytes));
	return outcome == AX_STRANGER6 ? AX_FRESH(ax_stranger6(ctx, bytes)) : outcome;
}

static __always_inline int ax_inspect_all(struct xdp_md *ctx, __u32 bytes, __u32 flags)
{
	int outcome = AX_FRESH(ax_inspect_stage(ctx, bytes, flags));

	return outcome == AX_NEXT_TRANSPORT ? AX_FRESH(ax_transport_stage(ctx)) : outcome;
}

static __always_inline int ax_all_stages(struct xdp_md *ctx, __u32 bytes)
{
	int outcome = ax_inspect_all(ctx, bytes, 0);

	if (likely((outcome & 0xffff) <= AX_OPAQUE))
		return outcome;
	if ((ax_role & AX_ROLE_BACKEND) && outcome == AX_NEXT_TUNNEL) {
		__u32 inner = AX_FRESH(ax_tunnel_stage(ctx));

		outcome =
			inner ? ax_inspect_all(ctx, inner, AX_PACKET_INNER) : AX_R_TUNNEL_MALFORMED;
	}
	if (outcome == AX_NEXT_GTSM)
		outcome = AX_FRESH(ax_gtsm_stage(ctx));
	if (outcome == AX_NEXT_ICMP)
		outcome = AX_FRESH(ax_icmp_stage(ctx));
	if ((ax_role & AX_ROLE_BACKEND) && outcome == AX_NEXT_CHANCE)
		outcome = AX_FRESH(ax_chance_stage(ctx));
	if (outcome == AX_NEXT_FLOW)
		outcome = AX_FRESH(ax_flow_stage(ctx));
	if (outcome == AX_NEXT_FRAGMENT)
		outcome = AX_FRESH(ax_fragment_stage(ctx));
	if (outcome == AX_NEXT_NEW)
		outcome = AX_FRESH(ax_new_stage(ctx));
	if (outcome == AX_NEXT_REMEMBER)
		outcome = AX_FRESH(ax_remember_stage(ctx));
	if ((outcome & 0xffff) == AX_NEXT_SEND) {
		if (unlikely(ax_marks()))
			ax_mark_stage(ctx);
		outcome = AX_FRESH(ax_send_stage(ctx)) | (outcome & AX_OUTCOME_ANOMALY);
	}
	if ((ax_role & AX_ROLE_BACKEND) && (outcome & 0xffff) == AX_NEXT_KEEP)
		outcome = AX_FRESH(ax_keep_stage(ctx)) | (outcome & AX_OUTCOME_ANOMALY);
	if (unlikely((outcome & 0xffff) == AX_R_TOO_BIG))
		outcome = AX_FRESH(ax_too_big_stage(ctx)) | (outcome & AX_OUTCOME_ANOMALY);
	if (outcome == AX_NEXT_ECHO)
		outcome = AX_FRESH(ax_echo_stage(ctx));
	return outcome;
}

SEC("xdp")
int anycast(struct xdp_md *ctx)
{
	void *data = ax_data(ctx), *end = ax_data_end(ctx);
	__u64 bytes = end - data;
	/* 0: a frame too short to have one */
	__u32 type = data + ETH_HLEN > end ? 0 : *(__be16 *)(data + 2 * ETH_ALEN);
	__u32 instance = ax_instance;
	struct ax_ctl *ctl = ax_control();
	int outcome;

	if (instance == AX_REPLAY)
		__builtin_memset(&ctl->trace, 0, sizeof(ctl->trace));
	/* active: 0 for a moment while one instance hands over to another that runs before it */
	else if (instance && ctl->active && ctl->active != instance)
		return XDP_PASS;
	if (likely(type == bpf_htons(ETH_P_IP)))
		outcome = ax_role & AX_ROLE_EDGE ? ax_express4(ctx, ctl, bytes) : AX_UNUSUAL;
	else if (type == bpf_htons(ETH_P_ARP) || ax_is_foreign(type))
		return ax_conclude_usual(ctx, bytes, AX_R_NOT_IP);
	else
		outcome = ax_other(ctx, type, bytes);
	if (likely(outcome == AX_SENT))
		return ax_conclude_usual(ctx, bytes, AX_SENT);
	if (outcome < 0) {
		/* the express ways are for frames that end in the first buffer */
		if (AX_HAS_FRAGS && ax_frags)
			bytes = bpf_xdp_get_buff_len(ctx);
		outcome = ax_all_stages(ctx, AX_FRESH(bytes));
	}
	if (unlikely(outcome & AX_OUTCOME_ANOMALY))
		ax_loss_stage(bytes);
	return ax_conclude(ctx, bytes, outcome);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
