/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Map keys and values of katran_proxy.bpf.c, shared with user space. */
#ifndef AX_BENCH_KATRAN_PROXY_H
#define AX_BENCH_KATRAN_PROXY_H

#include <linux/types.h>

#define PROXY_VIPS 512
#define PROXY_REALS 8192 /* Katran's default is 4096; one case here has 4099 */
#define PROXY_RING 65537
#define PROXY_CPUS 128
#define PROXY_SEED 0x50
#define PROXY_MAX_PACKET 1514
#define PROXY_UDP_TIMEOUT 30000000000ULL

enum proxy_stat { PROXY_STAT_LRU, PROXY_STAT_MISS, PROXY_STAT_RATE, PROXY_STAT_FALLBACK };
enum proxy_vip_flags { PROXY_LRU_BYPASS = 1, PROXY_NO_SRC_PORT = 2 };
enum proxy_real_flags { PROXY_REAL_V6 = 1 };

struct proxy_vip_key {
	__be32 addr[4]; /* IPv4: the first word */
	__be16 port;
	__u8 proto;
	__u8 pad;
};

struct proxy_vip {
	__u32 flags;
	__u32 number;
};

struct proxy_real {
	__be32 dst[4];
	__u8 flags;
	__u8 pad[3];
};

union proxy_mac {
	__u64 value;
	__u8 mac[6];
};

struct proxy_stats {
	__u64 v1, v2;
};

struct proxy_flow {
	__u32 real;
	__u32 pad;
	__u64 atime;
};

#endif
