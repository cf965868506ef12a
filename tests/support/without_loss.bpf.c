/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See builds.h. */
#define AX_LOSS 0
#include "../../bpf/anycast.bpf.c"
