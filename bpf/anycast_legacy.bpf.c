/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The same program for kernels before 5.6, see legacy.h. */
#define AX_LEGACY
#include "anycast.bpf.c"
