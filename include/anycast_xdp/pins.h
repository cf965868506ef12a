/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where things are pinned. The directory of one attached interface is
 *
 *   <pins>/v<AX_ABI_VERSION>/<inode of the network namespace>/<interface>/
 *
 * and holds the maps under their own names, the program and, when the attachment is a link of
 * ours, the link. Nothing else keeps the data plane alive. */
#ifndef ANYCAST_XDP_PINS_H
#define ANYCAST_XDP_PINS_H

/* Raised with every change of a map's key, value or meaning that an older program or an older
 * user-space reader could misread. */
#define AX_ABI_VERSION 1

#define AX_DEFAULT_PIN_DIR "/sys/fs/bpf/anycast-xdp"
#define AX_DEFAULT_STATE_DIR "/run/anycast-xdp"
#define AX_DEFAULT_CONFIG "/etc/anycast-xdp/anycast-xdp.toml"

#define AX_PIN_PROG "prog"
#define AX_PIN_LINK "link"
#define AX_PIN_EGRESS "egress" /* the tc program, and its link where it has one */
#define AX_PIN_EGRESS_LINK "egress_link"
#define AX_PIN_EGRESS_QDISC "egress_qdisc" /* it again: the clsact qdisc is of our making */

#define AX_PROG_NAME "anycast" /* as bpftool and `ip link` show it */
#define AX_EGRESS_PROG_NAME "anycast_egress"

#endif
