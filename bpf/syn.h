/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SYNs leave no entry in the flow table. What they tell is kept in a sketch that is always
 * overwritten, until the flow's first later packet consumes it. */
#ifndef AX_BPF_SYN_H
#define AX_BPF_SYN_H

#include "flow.h"
#include "totals.h"

/* `hash`: the low half of the flow's. */
static __always_inline struct ax_syn *ax_syn_slot(__u32 hash)
{
	__u32 at = bpf_get_smp_processor_id() * AX_SYN_SLOTS + (hash & (AX_SYN_SLOTS - 1));

	return bpf_map_lookup_elem(&ax_syn, &at);
}

/* RFC 9293 section 3.7.1: the MSS option, where nearly everybody puts it: first. */
static __always_inline __u16 ax_syn_mss(struct xdp_md *ctx, const struct tcphdr *tcp)
{
	const __be32 *option = (void *)(tcp + 1);

	if (tcp->doff < 6 || (void *)(option + 1) > ax_data_end(ctx) ||
	    (*option & bpf_htonl(0xffff0000)) != bpf_htonl(0x02040000))
		return 0;
	return bpf_ntohl(*option);
}

/* Data on the SYN (RFC 7413) has been sent too. */
static __always_inline __u32 ax_isn(const struct tcphdr *tcp, __u32 l4_bytes)
{
	return bpf_ntohl(tcp->seq) + l4_bytes - tcp->doff * 4;
}

/* bpf_ktime_get_ns costs as much as all else that is done for a SYN: a flood need not pay for it.
 */
static __always_inline int ax_may_read_clock(const struct ax_ctl *ctl)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct ax_cpu *own = bpf_map_lookup_elem(&ax_cpu, &cpu);

	if (!own)
		return 0;
	ax_open_window(own, ax_jiffies(ctl));
	if (own->syns >= AX_TIMED_SYNS)
		return 0;
	own->syns++;
	return 1;
}

static __always_inline struct ax_syn *ax_write_syn(const struct ax_ctl *ctl, __u32 hash, __u32 isn,
						   __u16 mss)
{
	struct ax_syn *syn = ax_syn_slot(hash);
	__u64 name, *word = (void *)syn;

	_Static_assert(__builtin_offsetof(struct ax_syn, hash) == 0 &&
			       __builtin_offsetof(struct ax_syn, isn) == 4,
		       "the word that is compared");
	if (!syn)
		return 0;
	name = hash | (__u64)isn << 32;
	if (*word == name) {
		if (syn->repeats < 255)
			syn->repeats++;
	} else {
		*word = name;
		syn->mss = mss;
		syn->repeats = 0;
	}
	syn->at_us = ax_may_read_clock(ctl) ? (__u32)(ax_now_ns(ctl) / 1000) | 1 : 0;
	return syn;
}

static __always_inline struct ax_syn *ax_note_syn(struct xdp_md *ctx, const struct ax_packet *pkt,
						  const struct ax_flow_key *key)
{
	struct tcphdr *tcp = ax_at(ctx, pkt->l4_offset);

	if ((void *)(tcp + 1) > ax_data_end(ctx))
		return 0;
	return ax_write_syn(pkt->ctl, key->hash, ax_isn(tcp, pkt->l4_bytes), ax_syn_mss(ctx, tcp));
}

/* What the SYN told, for the entry that the flow's first later packet makes. One that does not
 * begin where the SYN ended says that packets went by untracked, or that the SYN was another's. */
static __always_inline void ax_consume_syn(struct xdp_md *ctx, const struct ax_packet *pkt,
					   const struct ax_flow_key *key, struct ax_syn *syn,
					   const struct ax_choice *choice, struct ax_first *first)
{
	struct tcphdr *tcp = ax_at(ctx, pkt->l4_offset);
	__u32 rtt;

	if (likely(!syn || syn->hash != key->hash))
		return;
	syn->hash = 0;
	if ((void *)(tcp + 1) > ax_data_end(ctx) || bpf_ntohl(tcp->seq) != syn->isn + 1)
		return;
	if (!(first->flags & AX_FLOW_SYNCED))
		first->nxt = syn->isn + 1;
	first->flags |= AX_FLOW_SYN | AX_FLOW_SYNCED;
	first->segments++;
	if (first->mss < syn->mss)
		first->mss = syn->mss;
	first->syn_rtx = syn->repeats > 15 ? 15 : syn->repeats;
	if (unlikely(syn->repeats))
		ax_add_repeated_syns(choice->vip_id, choice->backend_id, syn->repeats);
	if (!syn->at_us)
		return;
	rtt = (((__u32)(ax_now_ns(pkt->ctl) / 1000) | 1) - syn->at_us) / AX_RTT_UNIT_US;
	first->rtt = rtt > 0xffff ? 0xffff : rtt;
	first->flags |= AX_FLOW_RTT;
}

/* A packet between the SYN and the entry went by: when the SYN came says nothing of the RTT. */
static __always_inline void ax_outlive_syn(const struct ax_flow_key *key, struct ax_syn *syn)
{
	if (syn && syn->hash == key->hash)
		syn->at_us = 0;
}

#endif
