// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "net/tc.h"

#include <linux/pkt_sched.h>

#include "net/netlink.h"

namespace anycast {

Result<bool> has_tc_filters(int ifindex)
{
	bool found = false;

	for (const std::uint32_t side : {TC_H_MIN_INGRESS, TC_H_MIN_EGRESS}) {
		netlink::Request request(RTM_GETTFILTER, NLM_F_REQUEST | NLM_F_DUMP);
		auto &header = request.header<tcmsg>();
		header.tcm_family = AF_UNSPEC;
		header.tcm_ifindex = ifindex;
		header.tcm_parent = TC_H_MAKE(TC_H_CLSACT, side);
		AX_TRY(request.send("ask for tc filters", [&](const nlmsghdr *message) {
			found |= message->nlmsg_type == RTM_NEWTFILTER;
		}));
	}
	return found;
}

} // namespace anycast
