// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "net/next_hop.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>

#include "net/interfaces.h"
#include "net/netlink.h"

namespace anycast {

namespace {

// NUD_VALID of the kernel: what bpf_fib_lookup takes.
constexpr std::uint16_t kValid =
	NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY;

std::uint8_t family(bool v4)
{
	return v4 ? AF_INET : AF_INET6;
}

// Several ways out: each flow takes its own, and only the per-packet look-up knows which.
Result<bool> is_multipath(const Address &destination)
{
	netlink::Request request(RTM_GETROUTE, 0);
	auto &info = request.header<rtmsg>();
	bool one = false, several = false;

	info.rtm_family = family(destination.is_v4());
	info.rtm_dst_len = destination.is_v4() ? 32 : 128;
	info.rtm_flags = RTM_F_FIB_MATCH;
	request.put(RTA_DST, destination);
	AX_TRY(request.send(fmt::format("route to {}", destination.text()),
			    [&](const nlmsghdr *message) {
				    netlink::each_attribute(
					    message, sizeof(rtmsg), [&](const nlattr *attribute) {
						    const auto type = mnl_attr_get_type(attribute);
						    one |= type == RTA_OIF;
						    several |= type == RTA_MULTIPATH;
					    });
			    }));
	return several || !one; // a next-hop object is named only
}

Result<std::array<std::uint8_t, 6>> mac_of(int ifindex, const Address &neighbour)
{
	netlink::Request request(RTM_GETNEIGH, 0);
	auto &entry = request.header<ndmsg>();
	std::array<std::uint8_t, 6> mac{};
	std::uint16_t state = 0;
	bool found = false;

	entry.ndm_family = family(neighbour.is_v4());
	entry.ndm_ifindex = ifindex;
	request.put(NDA_DST, neighbour);
	const auto asked = request.send("look up neighbour", [&](const nlmsghdr *message) {
		state = static_cast<const ndmsg *>(mnl_nlmsg_get_payload(message))->ndm_state;
		netlink::each_attribute(message, sizeof(ndmsg), [&](const nlattr *attribute) {
			if (mnl_attr_get_type(attribute) != NDA_LLADDR ||
			    mnl_attr_get_payload_len(attribute) != mac.size())
				return;
			std::memcpy(mac.data(), mnl_attr_get_payload(attribute), mac.size());
			found = true;
		});
	});
	if (!asked || !found || !(state & kValid))
		return fail(Exit::kFailed,
			    fmt::format("neighbour {} is not resolved", neighbour.text()));
	return mac;
}

} // namespace

Result<NextHopFinder::Device> NextHopFinder::device(int ifindex)
{
	if (const auto known = devices_.find(ifindex); known != devices_.end())
		return known->second;
	netlink::Request request(RTM_GETLINK, 0);
	auto &header = request.header<ifinfomsg>();
	Device device;

	header.ifi_family = AF_UNSPEC;
	header.ifi_index = ifindex;
	AX_TRY(request.send("look up interface", [&](const nlmsghdr *message) {
		const auto *info = static_cast<const ifinfomsg *>(mnl_nlmsg_get_payload(message));
		device.running = (info->ifi_flags & IFF_UP) && (info->ifi_flags & IFF_RUNNING);
		netlink::each_attribute(message, sizeof(*info), [&](const nlattr *attribute) {
			const auto type = mnl_attr_get_type(attribute);
			if (type == IFLA_IFNAME)
				device.name = mnl_attr_get_str(attribute);
			else if (type == IFLA_MTU)
				device.mtu = mnl_attr_get_u32(attribute);
			else if (type == IFLA_LINKINFO)
				netlink::each_nested(attribute, [&](const nlattr *nested) {
					if (mnl_attr_get_type(nested) == IFLA_INFO_KIND)
						device.kind = mnl_attr_get_str(nested);
				});
			else if (type == IFLA_ADDRESS &&
				 mnl_attr_get_payload_len(attribute) == device.mac.size()) {
				std::memcpy(device.mac.data(), mnl_attr_get_payload(attribute),
					    device.mac.size());
				device.ethernet = info->ifi_type == ARPHRD_ETHER;
			}
		});
	}));
	return devices_[ifindex] = device;
}

// Rules beside the kernel's own three may look at where a packet comes from.
bool NextHopFinder::policy_routing(bool v4)
{
	if (const auto known = policy_.find(v4); known != policy_.end())
		return known->second;
	constexpr std::array<std::uint32_t, 3> kOwn{0, 32766, 32767};
	netlink::Request request(RTM_GETRULE, NLM_F_DUMP);
	request.header<fib_rule_hdr>().family = family(v4);
	bool others = false;

	// A kernel without policy routing refuses the question.
	(void)request.send("list routing rules", [&](const nlmsghdr *message) {
		std::uint32_t priority = 0; // left out where it is 0
		netlink::each_attribute(message, sizeof(fib_rule_hdr),
					[&](const nlattr *attribute) {
						if (mnl_attr_get_type(attribute) == FRA_PRIORITY)
							priority = mnl_attr_get_u32(attribute);
					});
		others |= std::ranges::find(kOwn, priority) == kOwn.end();
	});
	return policy_[v4] = others;
}

const Result<NextHop> &NextHopFinder::find(const Address &destination)
{
	const auto known = found_.find(destination);
	return known != found_.end()
		       ? known->second
		       : found_.emplace(destination, look_up(destination)).first->second;
}

Result<NextHop> NextHopFinder::look_up(const Address &destination)
{
	if (policy_routing(destination.is_v4()))
		return fail(Exit::kFailed, "there are routing rules (ip rule)");
	const auto route = route_to(destination);
	if (!route)
		return tl::unexpected(route.error());
	const auto several = is_multipath(destination);
	if (!several)
		return tl::unexpected(several.error());
	if (*several)
		return fail(Exit::kFailed, "its route has several next hops");
	const auto out = device(route->ifindex);
	if (!out)
		return tl::unexpected(out.error());
	if (!out->ethernet || !out->running || !can_transmit(out->kind))
		return fail(Exit::kFailed,
			    fmt::format("XDP cannot send through {} as it is", out->name));
	const auto mac = mac_of(route->ifindex, route->gateway);
	if (!mac)
		return tl::unexpected(mac.error());
	const std::uint32_t mtu = route->mtu != 0 ? std::min(route->mtu, out->mtu) : out->mtu;
	return NextHop{.ifindex = route->ifindex,
		       .dmac = *mac,
		       .smac = out->mac,
		       .mtu = static_cast<std::uint16_t>(std::min(mtu, std::uint32_t{UINT16_MAX}))};
}

void RouteWatch::Close::operator()(mnl_socket *socket) const
{
	mnl_socket_close(socket);
}

Result<RouteWatch> RouteWatch::open()
{
	RouteWatch watch;

	watch.socket_.reset(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK));
	if (!watch.socket_ || mnl_socket_bind(watch.socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0)
		return fail_errno("netlink socket", errno);
	for (int group : {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
			  RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE})
		if (mnl_socket_setsockopt(watch.socket_.get(), NETLINK_ADD_MEMBERSHIP, &group,
					  sizeof(group)) < 0)
			return fail_errno("listen to routes and neighbours", errno);
	return watch;
}

int RouteWatch::fd() const
{
	return mnl_socket_get_fd(socket_.get());
}

bool RouteWatch::changed()
{
	std::array<char, 8192> buffer;
	bool any = false;

	for (int messages = 0; messages < 1024; messages++) { // the loop has other work too
		if (mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size()) < 0 &&
		    errno != ENOBUFS && errno != ENOSPC)
			break;
		any = true;
	}
	return any;
}

} // namespace anycast
