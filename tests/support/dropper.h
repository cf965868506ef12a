/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The dropper's settings and counters: lab.bpf.c and programs.cpp share them. */
#ifndef ANYCAST_TEST_DROPPER_H
#define ANYCAST_TEST_DROPPER_H

#include <linux/types.h>

struct lab_dropper {
	__u64 seed;
	__be32 address[4]; /* IPv4 as ::ffff:a.b.c.d */
	__u32 per_10000;   /* 0 = counts only */
	__be16 port;	   /* 0 = any */
	__u16 active;	   /* 0 = counts nothing, drops nothing */
	__u64 packets;	   /* data segments seen; also the index that decides the next one's fate */
	__u64 bytes;
	__u64 dropped_first; /* carried bytes that had not been seen here before */
	__u64 dropped_again; /* retransmissions */
};

#endif
