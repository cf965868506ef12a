/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Why a packet left the program the way it did: the only list of reasons in the project.
 *
 * Every packet is counted under exactly one FINAL reason (class PASS, STEER, DROP or RULE). A RULE
 * whose action is "count", and the few NOTE rows, are counted besides: they say something about a
 * packet whose final reason stands elsewhere. So the sum over final reasons is the number of
 * packets seen.
 *
 * Row: X(id, number, class, default action, label, source, help)
 *   number   append-only, below AX_REASON_LIMIT; a removed row leaves its number unused
 *   class    PASS   to the stack, untouched (or decapsulated)
 *            STEER  sent on towards a backend (XDP_TX or redirect)
 *            DROP   dropped, not a matter of malformedness
 *            RULE   a guard rule; `[guard.rules]` overrides its action by label
 *            NOTE   never final
 *   action   what a RULE does by default: DROP, COUNT or OFF; for other classes it has no meaning
 *   label    JSON, Prometheus, CLI and configuration name
 *   source   the standard that says so, or "" for our own
 */
#ifndef ANYCAST_XDP_REASONS_H
#define ANYCAST_XDP_REASONS_H

/* clang-format off */
#define AX_REASONS(X) \
	X(NOT_IP,              1, PASS, COUNT, "not_ip",              "", "neither IPv4 nor IPv6 (ARP, LLDP, unknown ethertypes): passed untouched") \
	X(NOT_VIP,             2, PASS, COUNT, "not_vip",             "", "destination is no VIP: passed untouched") \
	X(VIP_NO_SERVICE,      3, PASS, COUNT, "vip_no_service",      "", "a VIP's address, but no VIP on this protocol and port: passed to the stack") \
	X(VIP_ICMP,            4, PASS, COUNT, "vip_icmp",            "RFC 792, 4443", "ICMP to a VIP that quotes no steered flow: the node's own stack answers") \
	X(LOCAL,               5, PASS, COUNT, "local",               "", "the flow's backend is this node: passed to the stack") \
	X(DECAPSULATED,        6, PASS, COUNT, "decapsulated",        "RFC 2003, 2473, 4213", "tunnel packet from a configured edge: outer header removed, inner packet passed") \
	X(GTSM_ACCEPTED,       7, PASS, COUNT, "gtsm_accepted",       "RFC 5082", "protected session, TTL / hop limit as its peer's must be") \
	X(ALL_DOWN_PASS,       8, PASS, COUNT, "all_down_pass",       "", "no backend of the pool is up and its policy is pass") \
	X(UNCONFIGURED,        9, PASS, COUNT, "unconfigured",        "", "no configuration in the maps: passed, whatever it is") \
	X(TOO_DEEP,           10, PASS, COUNT, "too_deep",            "", "more VLAN tags than are looked behind: passed untouched") \
	X(OPAQUE,             11, PASS, COUNT, "opaque",              "", "broken beyond reading by a rule that is only counted, or off: passed, never steered") \
	\
	X(STEERED,            32, STEER, COUNT, "steered",            "NSDI'16 (Maglev)", "sent to the flow's backend") \
	X(STEERED_FRAGMENT,   33, STEER, COUNT, "steered_fragment",   "", "fragment, sent to the backend of its source, destination and protocol") \
	X(STEERED_ICMP,       34, STEER, COUNT, "steered_icmp",       "RFC 792, 4443", "ICMP error, sent to the backend of the flow it quotes") \
	X(PTB_SENT,           35, STEER, COUNT, "ptb_sent",           "RFC 1191, 8201", "would not fit after encapsulation: answered with packet-too-big from the VIP") \
	X(ECHO_ANSWERED,      36, STEER, COUNT, "echo_answered",      "RFC 792, 4443", "echo request to a VIP, answered by the program") \
	X(SECOND_CHANCE,      37, STEER, COUNT, "second_chance",      "", "TCP segment of a connection that this backend does not have: passed on to the flow's next candidate") \
	\
	X(NO_BACKEND,         48, DROP, COUNT, "no_backend",          "", "no backend of the pool is up and its policy is drop") \
	X(NO_ROUTE,           49, DROP, COUNT, "no_route",            "", "the kernel has no usable route to the backend") \
	X(NO_NEIGHBOUR,       50, DROP, COUNT, "no_neighbour",        "", "the next hop towards the backend has no resolved link-layer address") \
	X(TOO_BIG,            51, DROP, COUNT, "too_big",             "RFC 1191, 8201", "would not fit after encapsulation, and must not be answered: an ICMP error, a later fragment, or an IPv6 packet of 1280 bytes or less") \
	X(ENCAP_FAILED,       52, DROP, COUNT, "encap_failed",        "", "no headroom for the outer header (driver)") \
	X(TUNNEL_UNTRUSTED,   53, DROP, COUNT, "tunnel_untrusted",    "", "tunnel packet to one of our tunnel addresses or backends from somebody who is no configured edge") \
	X(TUNNEL_MALFORMED,   54, DROP, COUNT, "tunnel_malformed",    "RFC 2003, 2473", "tunnel packet whose inner packet cannot be reached or read, is a fragment, or is a tunnel again") \
	X(ECN_ILLEGAL,        55, DROP, COUNT, "ecn_illegal",         "RFC 6040 section 4.2", "outer header CE, inner not ECN-capable: must be dropped at decapsulation") \
	X(INTERNAL,           56, DROP, COUNT, "internal",            "", "a map entry that must exist is missing: a bug or a corrupt map, never traffic") \
	X(TOO_BIG_NO_DF,      57, DROP, COUNT, "too_big_no_df",       "RFC 792, 1191", "would not fit after encapsulation, and its sender lets routers fragment it, which this program does not") \
	X(TOO_BIG_LIMITED,    58, DROP, COUNT, "too_big_limited",     "RFC 1812 section 4.3.2.8", "would not fit after encapsulation; more of these than [icmp] answers_per_second") \
	X(ECHO_LIMITED,       59, DROP, COUNT, "echo_limited",        "", "echo request to a VIP; more of these than [icmp] answers_per_second") \
	X(TUNNEL_NOT_VIP,     60, DROP, COUNT, "tunnel_not_vip",      "RFC 6169", "tunnel packet from an edge's address, but what is inside is for no VIP of this node's file: forged, or of an edge with another file") \
	X(NO_TRANSMIT,        61, DROP, COUNT, "no_transmit",         "", "the route to the backend leaves through a device that takes no frames from XDP (a bridge, a dummy, a tagged device upon such)") \
	\
	X(GTSM_TTL,           64, RULE, DROP,  "gtsm_ttl",            "RFC 5082 section 3", "protected session, TTL / hop limit lower than its peer's can be") \
	X(GTSM_UNKNOWN_PEER,  65, RULE, COUNT, "gtsm_unknown_peer",   "RFC 5082", "BGP to a session address from a peer that is not configured") \
	X(GTSM_BFD,           66, RULE, DROP,  "gtsm_bfd",            "RFC 5881 section 5", "BFD control to a session address with TTL / hop limit other than 255") \
	X(GTSM_ICMP,          67, RULE, DROP,  "gtsm_icmp",           "RFC 5082 section 3", "ICMP error that quotes a protected session, or would lower the path MTU to its peer, TTL / hop limit lower than the peer's can be") \
	X(GTSM_FRAGMENT,      68, RULE, OFF,   "gtsm_fragment",       "RFC 5082 section 3", "later TCP fragment to a session address from a peer with one hop, TTL / hop limit other than 255") \
	\
	X(ETH_TRUNCATED,      80, RULE, DROP,  "eth_truncated",       "IEEE 802.3, 802.1Q", "frame ends inside its Ethernet header or a VLAN tag") \
	X(VLAN_TOO_DEEP,      81, RULE, COUNT, "vlan_too_deep",       "IEEE 802.1ad", "more VLAN tags than are looked behind") \
	\
	X(IP4_TRUNCATED,      90, RULE, DROP,  "ip4_truncated",       "RFC 791 section 3.1", "frame ends inside the IPv4 header") \
	X(IP4_VERSION,        91, RULE, DROP,  "ip4_version",         "RFC 1812 section 5.2.2", "ethertype IPv4, version other than 4") \
	X(IP4_IHL,            92, RULE, DROP,  "ip4_ihl",             "RFC 1812 section 5.2.2", "IHL below 5, or header longer than the frame") \
	X(IP4_TOTAL_LENGTH,   93, RULE, DROP,  "ip4_total_length",    "RFC 1812 section 5.2.2", "total length shorter than the header or longer than the frame") \
	X(IP4_ZERO_LENGTH,    94, RULE, COUNT, "ip4_zero_length",     "", "total length 0, as segmentation offload leaves it: the frame's length is used") \
	X(IP4_CHECKSUM,       95, RULE, DROP,  "ip4_checksum",        "RFC 1812 section 5.2.2", "bad header checksum on a packet that would be steered past the kernel's own check") \
	X(IP4_CHECKSUM_PASSED,96, RULE, COUNT, "ip4_checksum_passed", "RFC 1812 section 5.2.2", "bad header checksum on a packet that the kernel will check itself") \
	X(IP4_TTL_ZERO,       97, RULE, DROP,  "ip4_ttl_zero",        "RFC 1812 section 5.3.1", "TTL 0 on a packet that would be steered") \
	X(IP4_OPTION_LENGTH,  98, RULE, DROP,  "ip4_option_length",   "RFC 791 section 3.1", "an option's length is below 2 or runs beyond the header") \
	X(IP4_SOURCE_ROUTE,   99, RULE, DROP,  "ip4_source_route",    "RFC 7126 section 4.3, 4.4", "loose or strict source route") \
	X(IP4_RECORD_ROUTE,  100, RULE, COUNT, "ip4_record_route",    "RFC 7126 section 4.5", "record route option") \
	X(IP4_TIMESTAMP,     101, RULE, COUNT, "ip4_timestamp",       "RFC 7126 section 4.7", "timestamp option") \
	X(IP4_FRAG_DF,       102, RULE, COUNT, "ip4_frag_df",         "RFC 791", "fragment with don't-fragment set") \
	X(IP4_EVIL,          103, RULE, COUNT, "ip4_evil",            "RFC 791, 3514", "reserved flag set") \
	X(IP4_FRAG_LENGTH,   104, RULE, DROP,  "ip4_frag_length",     "RFC 791 section 3.2", "more fragments to come, payload not a multiple of 8") \
	X(IP4_FRAG_BEYOND,   105, RULE, DROP,  "ip4_frag_beyond",     "RFC 791 section 3.1", "fragment that ends beyond 65535") \
	X(IP4_FRAG_TINY,     106, RULE, DROP,  "ip4_frag_tiny",       "RFC 1858 section 3", "first TCP fragment too short for the TCP header") \
	X(IP4_FRAG_OFFSET1,  107, RULE, DROP,  "ip4_frag_offset1",    "RFC 1858 section 4, 3128", "TCP fragment at offset 1, which would overwrite the flags") \
	X(IP4_SRC_MARTIAN,   108, RULE, DROP,  "ip4_src_martian",     "RFC 1812 section 5.3.7, 6890", "source in 0/8 (except 0.0.0.0 for DHCP and IGMP), 127/8, 224/4 or 240/4") \
	X(IP4_DST_MARTIAN,   109, RULE, DROP,  "ip4_dst_martian",     "RFC 1812 section 5.3.7, 6890", "destination in 0/8 or 127/8") \
	X(IP4_LAND,          110, RULE, DROP,  "ip4_land",            "CVE-1999-0016", "source address equals destination address") \
	X(IP4_SRC_SPECIAL,   111, RULE, OFF,   "ip4_src_special",     "RFC 6890", "private, shared (CGNAT), link-local or documentation source") \
	X(IP4_TTL_ZERO_PASSED,112, RULE, COUNT, "ip4_ttl_zero_passed", "RFC 1812 section 5.3.1", "TTL 0 on a packet that is passed to the kernel") \
	\
	X(IP6_TRUNCATED,     120, RULE, DROP,  "ip6_truncated",       "RFC 8200 section 3", "frame ends inside the IPv6 header") \
	X(IP6_VERSION,       121, RULE, DROP,  "ip6_version",         "RFC 8200 section 3", "ethertype IPv6, version other than 6") \
	X(IP6_PAYLOAD_LENGTH,122, RULE, DROP,  "ip6_payload_length",  "RFC 8200 section 3", "payload length longer than the frame") \
	X(IP6_ZERO_LENGTH,   123, RULE, COUNT, "ip6_zero_length",     "RFC 2675", "payload length 0 with payload (offload, jumbogram): the frame's length is used") \
	X(IP6_EXT_TRUNCATED, 124, RULE, DROP,  "ip6_ext_truncated",   "RFC 8200 section 4", "packet ends inside an extension header") \
	X(IP6_HOPOPT_LATE,   125, RULE, DROP,  "ip6_hopopt_late",     "RFC 8200 section 4.3", "hop-by-hop options not first") \
	X(IP6_EXT_TOO_MANY,  126, RULE, DROP,  "ip6_ext_too_many",    "RFC 8504 section 5.3", "extension header chain beyond the bound") \
	X(IP6_ROUTING_TYPE,  127, RULE, DROP,  "ip6_routing_type",    "RFC 5095, 9288 section 3.5", "routing header of type 0, 1 or 3") \
	X(IP6_SRC_MARTIAN,   128, RULE, DROP,  "ip6_src_martian",     "RFC 4291 section 2.5, 2.7", "source multicast, loopback or IPv4-mapped") \
	X(IP6_DST_MARTIAN,   129, RULE, DROP,  "ip6_dst_martian",     "RFC 4291 section 2.5", "destination unspecified, loopback or IPv4-mapped") \
	X(IP6_LAND,          130, RULE, DROP,  "ip6_land",            "CVE-1999-0016", "source address equals destination address") \
	X(IP6_FRAG_LENGTH,   131, RULE, DROP,  "ip6_frag_length",     "RFC 8200 section 4.5", "more fragments to come, payload not a multiple of 8") \
	X(IP6_FRAG_BEYOND,   132, RULE, DROP,  "ip6_frag_beyond",     "RFC 8200 section 4.5", "fragment that ends beyond 65535") \
	X(IP6_FRAG_NO_UPPER, 133, RULE, DROP,  "ip6_frag_no_upper",   "RFC 7112 section 5", "first fragment without the upper-layer header") \
	X(IP6_FRAG_NESTED,   134, RULE, DROP,  "ip6_frag_nested",     "RFC 8200 section 4.1", "more than one fragment header") \
	X(IP6_HOP_ZERO,      135, RULE, DROP,  "ip6_hop_zero",        "RFC 8200 section 3", "hop limit 0 on a packet that would be steered") \
	X(IP6_FRAG_OFFSET1,  136, RULE, DROP,  "ip6_frag_offset1",    "RFC 1858 section 4, 3128", "TCP fragment at offset 1, which would overwrite the flags") \
	X(IP6_OPTION_PADDING,137, RULE, COUNT, "ip6_option_padding",  "RFC 4942 section 2.1.9.5", "PadN option with content, or longer than alignment needs") \
	X(IP6_OPTION_TWICE,  138, RULE, COUNT, "ip6_option_twice",    "RFC 4942 section 2.1.9.4", "the same option twice in one options header") \
	X(IP6_HOP_ZERO_PASSED,139, RULE, COUNT, "ip6_hop_zero_passed", "RFC 8200 section 3", "hop limit 0 on a packet that is passed to the kernel") \
	\
	X(TCP_TRUNCATED,     150, RULE, DROP,  "tcp_truncated",       "RFC 9293 section 3.1", "segment shorter than the TCP header") \
	X(TCP_DATA_OFFSET,   151, RULE, DROP,  "tcp_data_offset",     "RFC 9293 section 3.1", "data offset below 5 or beyond the segment") \
	X(TCP_NO_FLAGS,      152, RULE, DROP,  "tcp_no_flags",        "RFC 9293 section 3.10.7", "no flag at all") \
	X(TCP_SYN_FIN,       153, RULE, DROP,  "tcp_syn_fin",         "RFC 9293 section 3.10.7", "SYN with FIN") \
	X(TCP_SYN_RST,       154, RULE, DROP,  "tcp_syn_rst",         "RFC 9293 section 3.10.7", "SYN with RST") \
	X(TCP_FIN_RST,       155, RULE, DROP,  "tcp_fin_rst",         "RFC 9293 section 3.10.7", "FIN with RST") \
	X(TCP_NO_ACK,        156, RULE, DROP,  "tcp_no_ack",          "RFC 9293 section 3.10.7.4", "none of SYN, RST and ACK") \
	X(TCP_PORT_ZERO,     157, RULE, DROP,  "tcp_port_zero",       "RFC 6335 section 6", "source or destination port 0") \
	X(TCP_OPTION_LENGTH, 158, RULE, COUNT, "tcp_option_length",   "RFC 9293 section 3.1", "an option's length is below 2 or runs beyond the header") \
	\
	X(UDP_TRUNCATED,     170, RULE, DROP,  "udp_truncated",       "RFC 768", "datagram shorter than the UDP header") \
	X(UDP_LENGTH,        171, RULE, DROP,  "udp_length",          "RFC 768", "UDP length below 8 or beyond the datagram") \
	X(UDP_PORT_ZERO,     172, RULE, DROP,  "udp_port_zero",       "RFC 6335 section 6", "destination port 0") \
	X(UDP6_NO_CHECKSUM,  173, RULE, DROP,  "udp6_no_checksum",    "RFC 8200 section 8.1, 6935", "UDP over IPv6 without a checksum, not on a tunnel port") \
	\
	X(ICMP_TRUNCATED,    180, RULE, DROP,  "icmp_truncated",      "RFC 792, 4443 section 2.1", "message shorter than the ICMP header") \
	X(ICMP_FRAGMENTED,   181, RULE, COUNT, "icmp_fragmented",     "", "fragmented ICMP message") \
	X(ICMP_REDIRECT,     182, RULE, COUNT, "icmp_redirect",       "RFC 1812 section 5.2.7.2", "redirect") \
	X(ICMP_DEPRECATED,   183, RULE, COUNT, "icmp_deprecated",     "RFC 6918", "deprecated ICMP type, source quench among them") \
	X(ND_FRAGMENTED,     184, RULE, DROP,  "nd_fragmented",       "RFC 6980 section 5", "fragmented neighbour discovery") \
	X(ND_HOP_LIMIT,      185, RULE, DROP,  "nd_hop_limit",        "RFC 4861 section 7.1", "neighbour discovery with a hop limit other than 255") \
	\
	X(UNTRACKED,         200, NOTE, COUNT, "untracked",           "", "steered without a flow entry: the insert limit of its CPU was reached") \
	X(FLOW_INSERTED,     201, NOTE, COUNT, "flow_inserted",       "", "a flow entry was made") \
	X(FLOW_EVICTED,      202, NOTE, COUNT, "flow_evicted",        "", "a flow entry was replaced by a newer flow's") \
	X(FLOW_REVALIDATED,  203, NOTE, COUNT, "flow_revalidated",    "", "a flow entry was older than the configuration, and kept its backend") \
	X(FLOW_RESTEERED,    204, NOTE, COUNT, "flow_resteered",      "", "a flow entry's backend or VIP is gone or down: steered anew") \
	X(LOSS_STATE_STOLEN, 205, NOTE, COUNT, "loss_state_stolen",   "", "a flow's loss state was taken for another flow's: the former reports null") \
	X(FRAGMENT_UNNOTED,  206, NOTE, COUNT, "fragment_unnoted",    "", "a later fragment whose first one was not seen here lately: steered without ports") \
	X(QUIC_UNROUTABLE,   207, NOTE, COUNT, "quic_unroutable",     "draft-ietf-quic-load-balancers", "a connection id that names no backend, as a first packet's does: steered by addresses and ports") \
	X(CANDIDATES_SPENT,  208, NOTE, COUNT, "candidates_spent",    "", "no candidate of the flow has the connection: the stack will reset it") \
	X(CANDIDATE_UNKNOWN, 209, NOTE, COUNT, "candidate_unknown",   "", "a GUE header names a backend that is not configured here: skipped") \
	X(LOSS_NOT_ADMITTED, 210, NOTE, COUNT, "loss_not_admitted",   "", "all loss state is in use by other flows, and the flow's hash did not admit it: it reports null") \
	X(MSS_CLAMPED,       211, NOTE, COUNT, "mss_clamped",         "RFC 9293 section 3.7.1", "a server's SYN-ACK left with a lower MSS than the server offered, so that the pool's tunnel fits")
/* clang-format on */

enum ax_reason {
	AX_CONTINUE = 0, /* a stage has no objection; never counted */
#define AX_REASON_ENUM(id, number, cls, action, label, source, help) AX_R_##id = number,
	AX_REASONS(AX_REASON_ENUM)
#undef AX_REASON_ENUM
};

enum ax_reason_class {
	AX_CLASS_NONE = 0,
	AX_CLASS_PASS,
	AX_CLASS_STEER,
	AX_CLASS_DROP,
	AX_CLASS_RULE,
	AX_CLASS_NOTE,
};

/* What a rule does when it is broken. DROP is 0: settings that nobody has written fail closed. */
enum ax_action {
	AX_ACTION_DROP = 0,
	AX_ACTION_COUNT = 1,
	AX_ACTION_OFF = 2,
};

#endif
