/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The slots' owners alone: what a new flow needs of ax_slot, small enough for a cache that the
 * candidates do not fit. */
#ifndef ANYCAST_XDP_OWNERS_H
#define ANYCAST_XDP_OWNERS_H

#include "abi.h"

/* ax_owner: ARRAY[2 * ax_owner_groups(slots)], memory-mapped. Slot i of a half is backend[i % 4] of
 * the half's group i / 4. */
struct ax_owners {
	__u16 backend[4]; /* AX_NOBODY where the slot's count is 0 */
};
AX_ASSERT_SIZE(struct ax_owners, 8);

#define AX_NOBODY 0xffff
#define ax_owner_groups(slots) (((slots) + 3) / 4)

#endif
