/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How the wrapper turns one packet into many flows; shared by wrapper.bpf.c and user space. */
#ifndef AX_BENCH_ROTATION_H
#define AX_BENCH_ROTATION_H

#define BENCH_RESTORED 62 /* bytes that are put back; no program here writes behind them */

#define BENCH_FIRST_PORT 1024
#define BENCH_PORTS 32768	      /* source ports in use; then the next source address */
#define BENCH_FIRST_SOURCE 0x68010001 /* 104.1.0.1 and, downwards, 4 million flows more */
#define BENCH_FIRST_VIP 0xc6334000    /* 198.51.64.0, where destinations are rotated as well */
#define BENCH_PAYLOAD 100	      /* bytes a segment, where sequence numbers are rotated */

enum bench_rotation_kind {
	BENCH_FIXED,	/* every repetition the same packet */
	BENCH_FLOWS4,	/* IPv4: another source port and address */
	BENCH_FLOWS6,	/* the same of IPv6 */
	BENCH_SEQUENCE, /* one flow whose TCP segments arrive in pairs, each the wrong way round */
};

#endif
