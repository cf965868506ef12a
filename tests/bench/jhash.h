/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bob Jenkins' lookup3 (public domain, burtleburtle.net/bob/c/lookup3.c), of few words. */
#ifndef AX_BENCH_JHASH_H
#define AX_BENCH_JHASH_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define JHASH_INITIAL 0xdeadbeef

static __always_inline __u32 jhash_rol(__u32 word, __u32 shift)
{
	return word << shift | word >> (32 - shift);
}

static __always_inline __u32 jhash_final(__u32 a, __u32 b, __u32 c)
{
	c = (c ^ b) - jhash_rol(b, 14);
	a = (a ^ c) - jhash_rol(c, 11);
	b = (b ^ a) - jhash_rol(a, 25);
	c = (c ^ b) - jhash_rol(b, 16);
	a = (a ^ c) - jhash_rol(c, 4);
	b = (b ^ a) - jhash_rol(a, 14);
	return (c ^ b) - jhash_rol(b, 24);
}

static __always_inline __u32 jhash_2words(__u32 a, __u32 b, __u32 seed)
{
	__u32 initial = JHASH_INITIAL + (2 << 2) + seed;

	return jhash_final(a + initial, b + initial, initial);
}

static __always_inline __u32 jhash_4words(const __u32 *word, __u32 seed)
{
	__u32 a, b, c;

	a = b = c = JHASH_INITIAL + 16 + seed;
	a += word[0];
	b += word[1];
	c += word[2];
	a = (a - c) ^ jhash_rol(c, 4);
	c += b;
	b = (b - a) ^ jhash_rol(a, 6);
	a += c;
	c = (c - b) ^ jhash_rol(b, 8);
	b += a;
	a = (a - c) ^ jhash_rol(c, 16);
	c += b;
	b = (b - a) ^ jhash_rol(a, 19);
	a += c;
	c = (c - b) ^ jhash_rol(b, 4);
	b += a;
	return jhash_final(a + word[3], b, c);
}

#endif
