/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Would a rule about addresses or ports have anything to say, were it only to count? Then no packet
 * of the flow may pass by the rules. Says yes more often than the rules, never less. */
#ifndef AX_BPF_ODD_H
#define AX_BPF_ODD_H

#include "ip4.h"
#include "transport.h"

/* 0, and what GTSM protects. */
static __always_inline int ax_odd_port(__u32 port)
{
	return !port || port == bpf_htons(AX_PORT_BGP) || port == bpf_htons(AX_PORT_BFD);
}

/* As they lie in memory. */
static __always_inline int ax_odd_ports(__u32 ports)
{
	return ax_odd_port(ports & 0xffff) || ax_odd_port(ports >> 16);
}

/* Networks of 8 bits of which a rule about sources may have something to say, so that most sources
 * are asked about once. */
static const volatile __u8 ax_odd_nets[256] = {
	[0] = 1,   [10] = 1,  [100] = 1, [127] = 1, [169] = 1,
	[172] = 1, [192] = 1, [198] = 1, [203] = 1, [224 ... 255] = 1, /* multicast, reserved */
};

static __always_inline int ax_is_odd_net(__u32 net)
{
	return ax_odd_nets[AX_BOUNDED(net, 255)];
}

/* Of such a network. */
static __always_inline int ax_odd_there(__u32 source)
{
	__u32 net = source >> 24;

	return !net || net == 127 || net >= 224 || ax_special_source(source);
}

static __always_inline int ax_odd_source4(__u32 source)
{
	return unlikely(ax_is_odd_net(source >> 24)) && ax_odd_there(source);
}

static __always_inline int ax_odd_service4(__u32 destination, __be16 port)
{
	return destination < 1 << 24 || destination >> 24 == 127 || ax_odd_port(port);
}

static __always_inline int ax_odd4(__u32 source, __u32 destination, __u32 ports)
{
	return ax_odd_source4(source) || ax_odd_service4(destination, ports >> 16) ||
	       source == destination || ax_odd_port(ports & 0xffff);
}

static __always_inline int ax_odd6(__u64 source, __u64 source_low, __u64 destination,
				   __u64 destination_low, __u32 ports)
{
	return (source & 0xff) == 0xff || !source || !destination ||
	       (source == destination && source_low == destination_low) || ax_odd_ports(ports);
}

/* The same of a packet that has no flow: exactly what the rules about addresses ask. */
static __always_inline int ax_odd_path4(const struct ax_settings *settings, const struct iphdr *ip)
{
	__u8 source = *(__u8 *)&ip->saddr, destination = *(__u8 *)&ip->daddr; /* of 8 bits */

	return !source || source == 127 || source >= 224 || !destination || destination == 127 ||
	       ip->saddr == ip->daddr ||
	       (settings->action[AX_R_IP4_SRC_SPECIAL] != AX_ACTION_OFF &&
		ax_special_source(bpf_ntohl(ip->saddr)));
}

__noinline int ax_is_odd4(__u32 source, __u32 destination, __u32 ports)
{
	return ax_odd4(source, destination, ports);
}

__noinline int ax_is_odd6(__u64 source, __u64 source_low, __u64 destination, __u64 destination_low,
			  __u32 ports)
{
	return ax_odd6(source, source_low, destination, destination_low, ports);
}

#endif
