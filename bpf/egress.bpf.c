/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The other direction, on a node that serves VIPs itself: a tc program sees what the server sends,
 * counts what is sent again, reads the server's duplicate reports (RFC 2883), and counts the
 * answers of DNS services. Readers join it with what XDP has seen of the same flow: docs/loss.md.
 * It lets everything pass, and changes nothing but, where a pool says so, the MSS that is offered
 * (clamp.h). Which of both is wanted, the settings say.
 *
 * An object of its own: the XDP program's maps that it reads are given to it when it is loaded. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include <anycast_xdp/abi.h>
#include <anycast_xdp/loss.h>

#include "clamp.h"
#include "filter.h"
#include "map_kinds.h"
#include "serial.h"

#define AX_DNS_HEADER 12 /* RFC 1035 section 4.1.1 */
#define AX_DNS_SECONDS 5 /* so long a query's number stands for it, as in measure.h */

const volatile __u32 ax_vips = 1; /* sizes of one half */
const volatile __u32 ax_pools = 1;

AX_ARRAY(ax_ctl, struct ax_ctl, 1, BPF_F_MMAPABLE);
AX_HASH(ax_vip, struct ax_vip_key, __u32, 2);
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 2);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ax_prefix_key);
	__type(value, struct ax_prefix);
} ax_prefix SEC(".maps");
AX_ARRAY(ax_vip_info, struct ax_vip, 2, 0);
AX_ARRAY(ax_pool, struct ax_pool, 2, 0);
AX_PERCPU(ax_note, struct ax_counter, AX_REASON_LIMIT);
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct ax_egress_key);
	__type(value, struct ax_egress_flow);
} ax_egress SEC(".maps");

#include "egress_sums.h"

struct ax_leaving {
	struct ax_egress_key key;
	__u32 l4;
};

static __always_inline void ax_mapped(struct ax_addr *to, __be32 address)
{
	to->pair[0] = 0;
	to->word[2] = bpf_htonl(0xffff);
	to->word[3] = address;
}

static __always_inline int ax_is_mapped(const struct ax_leaving *out)
{
	const struct ax_addr *client = &out->key.client;

	return !client->pair[0] && client->word[2] == bpf_htonl(0xffff);
}

static __always_inline int ax_leaving4(struct __sk_buff *skb, const struct ax_settings *settings,
				       struct ax_leaving *out)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) ||
	    !ax_in_filter(settings, ip.saddr) || ip.frag_off & bpf_htons(0x1fff))
		return -1;
	out->l4 = ETH_HLEN + ip.ihl * 4;
	out->key.proto = ip.protocol;
	ax_mapped(&out->key.vip, ip.saddr);
	ax_mapped(&out->key.client, ip.daddr);
	return 0;
}

static __always_inline int ax_leaving6(struct __sk_buff *skb, const struct ax_settings *settings,
				       struct ax_leaving *out)
{
	const __u32 *from = out->key.vip.word;
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return -1;
	__builtin_memcpy(&out->key.vip, &ip.saddr, sizeof(ip.saddr));
	__builtin_memcpy(&out->key.client, &ip.daddr, sizeof(ip.daddr));
	out->l4 = ETH_HLEN + sizeof(ip);
	out->key.proto = ip.nexthdr;
	if (ip.nexthdr == IPPROTO_FRAGMENT) {
		__be16 fragment[4];

		if (bpf_skb_load_bytes(skb, out->l4, fragment, sizeof(fragment)) ||
		    fragment[1] & bpf_htons(0xfff8))
			return -1;
		out->l4 += sizeof(fragment);
		out->key.proto = bpf_ntohs(fragment[0]) >> 8;
	}
	return ax_in_filter6(settings, from) ? 0 : -1;
}

/* 0 if it comes from an address of a VIP, perhaps, and has a transport header. */
static __always_inline int
ax_read_leaving(struct __sk_buff *skb, const struct ax_settings *settings, struct ax_leaving *out)
{
	__be16 port[2];

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (ax_leaving4(skb, settings, out))
			return -1;
	} else if (skb->protocol != bpf_htons(ETH_P_IPV6) || ax_leaving6(skb, settings, out)) {
		return -1;
	}
	if ((out->key.proto != IPPROTO_TCP && out->key.proto != IPPROTO_UDP) ||
	    bpf_skb_load_bytes(skb, out->l4, port, sizeof(port)))
		return -1;
	out->key.vip_port = port[0];
	out->key.client_port = port[1];
	return 0;
}

/* Exact, then any port, then any protocol. */
static __always_inline __u32 *ax_leaving_by(const struct ax_ctl *ctl, const struct ax_leaving *out,
					    struct ax_vip_key *key)
{
	__u32 *id;

	key->port = out->key.vip_port;
	key->proto = out->key.proto;
	key->half = ctl->generation & 1;
	id = bpf_map_lookup_elem(&ax_vip, key);
	if (id)
		return id;
	key->port = 0;
	id = bpf_map_lookup_elem(&ax_vip, key);
	if (id)
		return id;
	key->proto = 0;
	return bpf_map_lookup_elem(&ax_vip, key);
}

/* The service's id, as steering finds it: by its own address, else by the prefix that has it. */
static __always_inline __u32 *ax_leaving_service(const struct ax_ctl *ctl,
						 const struct ax_leaving *out)
{
	__u32 half = ctl->generation & 1;
	struct ax_vip_key key = {.addr = out->key.vip};
	struct ax_prefix_key of = {
		.length = AX_PREFIX_BITS + 128, .half = half, .addr = out->key.vip};
	struct ax_prefix *prefix;
	__u32 *id = ax_leaving_by(ctl, out, &key);

	if (id || !(ctl->half[half].flags & AX_SETTINGS_PREFIX))
		return id;
	prefix = bpf_map_lookup_elem(&ax_prefix, &of);
	if (!prefix)
		return 0;
	key.addr = prefix->addr;
	key.bits = prefix->bits;
	return ax_leaving_by(ctl, out, &key);
}

/* Of use just now: the agent forgets those that are not (core/flow_ageing.h). */
static __always_inline void ax_stamp(struct ax_egress_flow *flow)
{
	flow->stamp = bpf_jiffies64() >> 8;
}

static __always_inline struct ax_egress_flow *ax_new_leaving(const struct ax_leaving *out)
{
	struct ax_egress_flow fresh = {};

	bpf_map_update_elem(&ax_egress, &out->key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&ax_egress, &out->key);
}

/* What of the flow the sums lack. Of TCP flows that were seen from their beginning only. */
static __always_inline void ax_sum_tcp(const struct ax_ctl *ctl, const struct ax_leaving *out,
				       struct ax_egress_flow *flow, __u32 rtx, __u32 duplicates)
{
	__u32 *vip = ax_leaving_service(ctl, out);
	struct ax_loss_news *news;

	if (!flow->whole || !vip || !(news = ax_news_of(&out->key.client, ax_is_mapped(out))))
		return;
	news->count[AX_LOSS_SENT] = flow->segments - flow->folded;
	news->count[AX_LOSS_SENT_AGAIN] = rtx;
	news->count[AX_LOSS_SERVER_TWICE] = duplicates;
	flow->folded = flow->segments;
	ax_add_leaving(*vip);
}

/* ---- TCP ----------------------------------------------------------------------------------- */

/* The SYN-ACK begins; the MSS in it, which Linux puts first, is the client's limit. */
static __always_inline void ax_leaving_syn(struct __sk_buff *skb, const struct ax_leaving *out,
					   __u32 seq, struct ax_egress_flow *flow)
{
	__u8 mss[4];

	if (flow->whole && flow->nxt == seq + 1) /* the same once more */
		return;
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->nxt = seq + 1;
	flow->synced = flow->whole = 1;
	flow->segments = 1;
	if (!bpf_skb_load_bytes(skb, out->l4 + sizeof(struct tcphdr), mss, sizeof(mss)) &&
	    mss[0] == 2 && mss[1] == 4)
		flow->mss = (__u16)mss[2] << 8 | mss[3];
}

static __always_inline void ax_leaving_data(struct ax_egress_flow *flow, __u32 seq, __u32 payload,
					    __u32 fin, __u32 segments)
{
	__u32 end = seq + payload + fin;
	__s32 ahead;

	if (!flow->synced) {
		flow->synced = 1;
		flow->nxt = seq;
	}
	if (end == seq)
		return;
	ahead = ax_after(seq, flow->nxt);
	if (ahead > AX_RESYNC_BYTES || ahead < -AX_RESYNC_BYTES) {
		flow->resync++;
		flow->nxt = end;
	} else if (ax_after(end, flow->nxt) > 0) {
		flow->segments += segments;
		flow->nxt = end;
	} else if (ahead != -1 || payload > 1 || fin) { /* else a keep-alive */
		flow->rtx += segments;
	}
}

/* Our own kernel writes the options: NOP NOP TS, then NOP NOP SACK. */
static __always_inline void ax_leaving_sack(struct __sk_buff *skb, __u32 at, __u32 left, __u32 ack,
					    struct ax_egress_flow *flow)
{
	__u32 mss = flow->mss ? flow->mss : AX_DEFAULT_SERVER_MSS, length, start, end;
	__be32 word[2];

	if (left < 12 || bpf_skb_load_bytes(skb, at, word, 4))
		return;
	if (word[0] == bpf_htonl(0x0101080a)) {
		at += AX_TIMESTAMP_BYTES;
		left -= AX_TIMESTAMP_BYTES;
		if (mss > 2 * AX_TIMESTAMP_BYTES)
			mss -= AX_TIMESTAMP_BYTES;
		if (left < 12 || bpf_skb_load_bytes(skb, at, word, 4))
			return;
	}
	length = bpf_ntohl(word[0]) & 255;
	if ((word[0] & bpf_htonl(0xffffff00)) != bpf_htonl(0x01010500) || length < 10 ||
	    bpf_skb_load_bytes(skb, at + 4, word, 8))
		return;
	start = bpf_ntohl(word[0]);
	end = bpf_ntohl(word[1]);
	if (ax_after(end, ack) > 0) { /* RFC 2883 section 4: or within the second block */
		if (length < 18 || bpf_skb_load_bytes(skb, at + 12, word, 8) ||
		    ax_after(start, bpf_ntohl(word[0])) < 0 ||
		    ax_after(end, bpf_ntohl(word[1])) > 0)
			return;
	}
	if (end - start > 1 && end - start <= AX_RESYNC_BYTES)
		flow->duplicates += ax_segments(end - start, mss);
}

static __always_inline void ax_leaving_offer(struct __sk_buff *skb, const struct ax_ctl *ctl,
					     const struct ax_leaving *out, __u32 header)
{
	__u32 half = ctl->generation & 1, *id = ax_leaving_service(ctl, out), at, headers;
	__u32 note = AX_R_MSS_CLAMPED;
	struct ax_counter *counter;
	struct ax_pool *pool;
	struct ax_vip *vip;

	if (!id || *id >= ax_vips)
		return;
	at = half * ax_vips + *id;
	vip = bpf_map_lookup_elem(&ax_vip_info, &at);
	if (!vip || vip->pool >= ax_pools)
		return;
	at = half * ax_pools + vip->pool;
	pool = bpf_map_lookup_elem(&ax_pool, &at);
	headers = (skb->protocol == bpf_htons(ETH_P_IP) ? sizeof(struct iphdr)
							: sizeof(struct ipv6hdr)) +
		  sizeof(struct tcphdr);
	if (!pool || pool->path_mtu <= headers + vip->reserve ||
	    !ax_clamp_mss(skb, out->l4, header, pool->path_mtu - headers - vip->reserve))
		return;
	counter = bpf_map_lookup_elem(&ax_note, &note);
	if (counter) {
		counter->packets++;
		counter->bytes += skb->len;
	}
}

static __always_inline void ax_leaving_tcp(struct __sk_buff *skb, const struct ax_ctl *ctl,
					   const struct ax_leaving *out, __u32 wanted)
{
	struct ax_egress_flow *flow;
	struct tcphdr tcp;
	__u32 header, segments = skb->gso_segs > 1 ? skb->gso_segs : 1, rtx, duplicates;

	if (bpf_skb_load_bytes(skb, out->l4, &tcp, sizeof(tcp)))
		return;
	header = tcp.doff * 4;
	if (header < sizeof(tcp) || out->l4 + header > skb->len)
		return;
	if (tcp.syn && !tcp.rst && wanted & AX_SETTINGS_CLAMP)
		ax_leaving_offer(skb, ctl, out, header);
	if (!(wanted & AX_SETTINGS_WATCH))
		return;
	flow = bpf_map_lookup_elem(&ax_egress, &out->key);
	if (tcp.rst) {
		if (!flow)
			return;
		flow->ended = 1;
		if (flow->folded != flow->segments)
			ax_sum_tcp(ctl, out, flow, 0, 0);
		return;
	}
	if (!flow) {
		if (!ax_leaving_service(ctl, out))
			return;
		flow = ax_new_leaving(out);
		if (!flow)
			return;
	}
	rtx = flow->rtx;
	duplicates = flow->duplicates;
	if (tcp.syn) {
		if (flow->nxt != bpf_ntohl(tcp.seq) + 1 && flow->folded != flow->segments)
			ax_sum_tcp(ctl, out, flow, 0, 0); /* another connection's, before it */
		ax_leaving_syn(skb, out, bpf_ntohl(tcp.seq), flow);
		ax_stamp(flow);
		return;
	}
	ax_stamp(flow);
	flow->ended |= tcp.fin;
	/* not the IP length: that of a train of segments may be 0 */
	ax_leaving_data(flow, bpf_ntohl(tcp.seq), skb->len - out->l4 - header, tcp.fin, segments);
	ax_leaving_sack(skb, out->l4 + sizeof(tcp), header - sizeof(tcp), bpf_ntohl(tcp.ack_seq),
			flow);
	if (flow->rtx != rtx || flow->duplicates != duplicates || tcp.fin)
		ax_sum_tcp(ctl, out, flow, flow->rtx - rtx, flow->duplicates - duplicates);
}

/* ---- DNS ----------------------------------------------------------------------------------- */

static __always_inline int ax_measures_dns(const struct ax_ctl *ctl, const struct ax_leaving *out)
{
	__u32 *id = ax_leaving_service(ctl, out), at;
	struct ax_vip *vip;

	if (!id || *id >= ax_vips)
		return 0;
	at = (ctl->generation & 1) * ax_vips + *id;
	vip = bpf_map_lookup_elem(&ax_vip_info, &at);
	return vip && (vip->forward & AX_MEASURE) == AX_MEASURE_DNS;
}

static __always_inline void ax_leaving_answer(struct __sk_buff *skb, const struct ax_ctl *ctl,
					      const struct ax_leaving *out)
{
	__u16 now = bpf_ktime_get_ns() >> 30, id;
	struct ax_egress_flow *flow;
	struct ax_loss_news *news;
	__u8 dns[AX_DNS_HEADER];
	__u32 *vip;

	if (bpf_skb_load_bytes(skb, out->l4 + sizeof(struct udphdr), dns, sizeof(dns)) ||
	    !(dns[2] & 0x80) || !ax_measures_dns(ctl, out))
		return;
	flow = bpf_map_lookup_elem(&ax_egress, &out->key);
	if (!flow)
		flow = ax_new_leaving(out);
	if (!flow)
		return;
	ax_stamp(flow);
	id = (__u16)dns[0] << 8 | dns[1];
	for (__u32 i = 0; i < AX_ANSWERS; i++) /* a query that was repeated is answered twice */
		if (i < flow->segments && flow->answer[i].id == id &&
		    (__u16)(now - flow->answer[i].at) <= AX_DNS_SECONDS)
			return;
	flow->answer[flow->segments & (AX_ANSWERS - 1)].id = id;
	flow->answer[flow->segments & (AX_ANSWERS - 1)].at = now;
	flow->segments++;
	vip = ax_leaving_service(ctl, out);
	if (!vip || !(news = ax_news_of(&out->key.client, ax_is_mapped(out))))
		return;
	news->count[AX_LOSS_OWN_ANSWERS] = 1;
	ax_add_leaving(*vip);
}

SEC("tc")
int anycast_egress(struct __sk_buff *skb)
{
	const struct ax_settings *settings;
	struct ax_leaving out = {};
	struct ax_ctl *ctl;
	__u32 zero = 0;

	ctl = bpf_map_lookup_elem(&ax_ctl, &zero);
	if (!ctl)
		return TC_ACT_UNSPEC;
	settings = &ctl->half[ctl->generation & 1];
	if (!(settings->flags & AX_SETTINGS_VALID) || ax_read_leaving(skb, settings, &out))
		return TC_ACT_UNSPEC;
	if (out.key.proto == IPPROTO_TCP)
		ax_leaving_tcp(skb, ctl, &out, settings->flags);
	else if (settings->flags & AX_SETTINGS_WATCH)
		ax_leaving_answer(skb, ctl, &out);
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
