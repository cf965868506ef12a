/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef AX_BPF_NEWS_H
#define AX_BPF_NEWS_H

#include <anycast_xdp/abi.h>

/* What the sums have not counted yet. */
struct ax_loss_news {
	__u32 count[AX_LOSS_KINDS]; /* by enum ax_loss_kind */
	__u32 segments;		    /* for VIP and backend */
	__u32 flow_segments;	    /* for the prefix */
};

#endif
