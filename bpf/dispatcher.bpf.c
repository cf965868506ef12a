/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* libxdp's dispatcher, version 2 of its protocol, for kernels that compare a program with the slot
 * it is to fill. Since 6.13 (and 6.12's stable releases) a program that moves packet pointers may
 * only replace a function that does so too; the slots of libxdp 1.3.1's own object do not, so that
 * nothing that encapsulates could join. Ours do, and libxdp builds its chain from this object
 * instead (LIBXDP_OBJECT_PATH). Names and layout are libxdp's. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <xdp/prog_dispatcher.h>

/* libxdp writes the chain here before it loads the object. */
static const volatile struct xdp_dispatcher_config conf = {};

/* An empty slot. volatile: a value that the compiler knew would make it drop the call. */
#define SLOT(name)                                                                                 \
	__attribute__((noinline)) int name(struct xdp_md *ctx)                                     \
	{                                                                                          \
		volatile int result = XDP_DISPATCHER_RETVAL;                                       \
                                                                                                   \
		if (!ctx)                                                                          \
			return XDP_ABORTED;                                                        \
		bpf_xdp_adjust_tail(ctx, 0);                                                       \
		return result;                                                                     \
	}

#define SLOTS(use) use(0) use(1) use(2) use(3) use(4) use(5) use(6) use(7) use(8) use(9)
_Static_assert(MAX_DISPATCHER_ACTIONS == 10, "as many slots as libxdp has");

#define DEFINE(n) SLOT(prog##n)
SLOTS(DEFINE)
SLOT(compat_test)

SEC("xdp")
int xdp_dispatcher(struct xdp_md *ctx)
{
	__u8 programs = conf.num_progs_enabled;
	int action;

#define RUN(n)                                                                                     \
	if (programs <= n)                                                                         \
		return XDP_PASS;                                                                   \
	action = prog##n(ctx);                                                                     \
	if (!(conf.chain_call_actions[n] & (1U << action)))                                        \
		return action;
	SLOTS(RUN)
	/* libxdp tries out replacing on this one; it must be called from somewhere. */
	if (programs > MAX_DISPATCHER_ACTIONS)
		return compat_test(ctx);
	return XDP_PASS;
}

/* libxdp asks with it whether the kernel knows frames in several buffers. */
SEC("xdp")
int xdp_pass(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
__uint(dispatcher_version, XDP_DISPATCHER_VERSION) SEC(XDP_METADATA_SECTION);
