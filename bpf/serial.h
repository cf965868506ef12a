/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sequence numbers and segments: what all trackers of loss do with them. */
#ifndef AX_BPF_SERIAL_H
#define AX_BPF_SERIAL_H

#define AX_DEFAULT_SERVER_MSS 1460
#define AX_TIMESTAMP_BYTES 12 /* of options, which the MSS does not count */

/* RFC 1982: how far a is ahead of b. */
static __always_inline __s32 ax_after(__u32 a, __u32 b)
{
	return (__s32)(a - b);
}

static __always_inline __u32 ax_segments(__u32 bytes, __u32 mss)
{
	if (!mss || bytes <= mss)
		return 1;
	return (bytes + mss - 1) / mss;
}

#endif
