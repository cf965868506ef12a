// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "net/interfaces.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>

#include "net/ethtool.h"
#include "net/netdev.h"
#include "net/netlink.h"

namespace anycast {

namespace {

void add_vlan(const nlattr *data, Interface &link)
{
	netlink::each_nested(data, [&](const nlattr *attribute) {
		if (mnl_attr_get_type(attribute) == IFLA_VLAN_ID)
			link.vlan = mnl_attr_get_u16(attribute);
		if (mnl_attr_get_type(attribute) == IFLA_VLAN_PROTOCOL)
			link.vlan_type = ntohs(mnl_attr_get_u16(attribute));
	});
}

Interface link_from(const nlmsghdr *message)
{
	Interface link;
	bool elsewhere = false;
	const auto *info = static_cast<const ifinfomsg *>(mnl_nlmsg_get_payload(message));

	link.index = info->ifi_index;
	link.up = info->ifi_flags & IFF_UP;
	netlink::each_attribute(message, sizeof(*info), [&](const nlattr *attribute) {
		switch (mnl_attr_get_type(attribute)) {
		case IFLA_IFNAME:
			link.name = mnl_attr_get_str(attribute);
			break;
		case IFLA_MTU:
			link.mtu = mnl_attr_get_u32(attribute);
			break;
		case IFLA_MASTER:
			link.master = static_cast<int>(mnl_attr_get_u32(attribute));
			break;
		case IFLA_LINK:
			link.parent = static_cast<int>(mnl_attr_get_u32(attribute));
			break;
		case IFLA_NUM_RX_QUEUES:
			link.rx_queues = mnl_attr_get_u32(attribute);
			break;
		case IFLA_LINK_NETNSID:
			elsewhere = true;
			break;
		case IFLA_LINKINFO:
			netlink::each_nested(attribute, [&](const nlattr *nested) {
				if (mnl_attr_get_type(nested) == IFLA_INFO_KIND)
					link.kind = mnl_attr_get_str(nested);
				if (mnl_attr_get_type(nested) == IFLA_INFO_DATA &&
				    link.kind == "vlan")
					add_vlan(nested, link);
			});
			break;
		default:
			break;
		}
	});
	if (elsewhere)
		link.parent = 0;
	return link;
}

void add_address(const nlmsghdr *message, std::map<int, Interface> &links)
{
	const auto *info = static_cast<const ifaddrmsg *>(mnl_nlmsg_get_payload(message));
	const auto link = links.find(static_cast<int>(info->ifa_index));
	const nlattr *local = nullptr, *address = nullptr;

	if (link == links.end() || info->ifa_flags & IFA_F_DADFAILED)
		return;
	netlink::each_attribute(message, sizeof(*info), [&](const nlattr *attribute) {
		if (mnl_attr_get_type(attribute) == IFA_LOCAL)
			local = attribute;
		else if (mnl_attr_get_type(attribute) == IFA_ADDRESS)
			address = attribute;
	});
	// On a point-to-point link IFA_ADDRESS is the other end's.
	Address own;
	if (const nlattr *best = local ? local : address;
	    best && netlink::address_from(best, own)) {
		const bool link_local = info->ifa_scope == RT_SCOPE_LINK;
		link->second.addresses.push_back(own);
		link->second.assigned.push_back({own, info->ifa_prefixlen, link_local});
		link->second.autoconfigured |= info->ifa_family == AF_INET6 && !link_local &&
					       !(info->ifa_flags & IFA_F_PERMANENT);
	}
}

// Kinds of devices without ndo_xdp_xmit.
constexpr std::array<std::string_view, 23> kNoTransmit = {
	"bridge", "vlan",      "dummy",	  "macvlan", "ipvlan", "vxlan",	    "geneve", "gre",
	"gretap", "ipip",      "sit",	  "vrf",     "team",   "wireguard", "ifb",    "ip6tnl",
	"ip6gre", "ip6gretap", "macvtap", "ipvtap",  "vti",    "vti6",	    "xfrm"};

} // namespace

bool can_transmit(const std::string &kind)
{
	return std::ranges::find(kNoTransmit, kind) == kNoTransmit.end();
}

Result<std::vector<Interface>> interfaces()
{
	std::map<int, Interface> links;
	netlink::Request link_dump(RTM_GETLINK, NLM_F_DUMP);
	netlink::Request address_dump(RTM_GETADDR, NLM_F_DUMP);

	link_dump.header<ifinfomsg>().ifi_family = AF_UNSPEC;
	AX_TRY(link_dump.send("list interfaces", [&](const nlmsghdr *message) {
		Interface link = link_from(message);
		links[link.index] = std::move(link);
	}));
	address_dump.header<ifaddrmsg>().ifa_family = AF_UNSPEC;
	AX_TRY(address_dump.send("list addresses",
				 [&](const nlmsghdr *message) { add_address(message, links); }));

	std::vector<Interface> list;
	const auto takers = takers_of_frames();
	for (auto &[index, link] : links) {
		link.driver = ethtool::driver(link.name);
		if (const auto taker =
			    takers ? takers->find(index) : std::map<int, bool>::const_iterator();
		    takers && taker != takers->end())
			link.takes_frames = taker->second;
		list.push_back(std::move(link));
	}
	return list;
}

Result<Interface> interface_named(const std::string &name)
{
	auto all = interfaces();
	if (!all)
		return tl::unexpected(std::move(all.error()));

	std::vector<std::string> names;
	for (Interface &candidate : *all) {
		if (candidate.name == name)
			return std::move(candidate);
		names.push_back(candidate.name);
	}
	return fail(Exit::kUsage, fmt::format("no interface is called '{}'", name),
		    fmt::format("there are: {}", fmt::join(names, ", ")));
}

Result<NodeFacts> node_facts(const std::string &interface)
{
	auto all = interfaces();
	if (!all)
		return tl::unexpected(std::move(all.error()));

	NodeFacts facts;
	const Interface *of = nullptr;
	facts.now = std::time(nullptr);
	timespec tick{}; // the coarse clock's resolution is a jiffy
	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) == 0 && tick.tv_nsec != 0)
		facts.hz = static_cast<std::uint32_t>(1000000000 / tick.tv_nsec);
	for (const Interface &candidate : *all) {
		facts.node_addresses.insert(facts.node_addresses.end(), candidate.addresses.begin(),
					    candidate.addresses.end());
		if (candidate.name == interface)
			of = &candidate;
	}
	if (of != nullptr)
		facts.interface_addresses = of->addresses;
	// What is for a bond or bridge arrives by its ports.
	for (const Interface &candidate : *all)
		if (of != nullptr && of->master == candidate.index && candidate.kind != "vrf")
			facts.interface_addresses.insert(facts.interface_addresses.end(),
							 candidate.addresses.begin(),
							 candidate.addresses.end());
	return facts;
}

} // namespace anycast
