// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <cstring>

#include <fmt/format.h>
#include <linux/neighbour.h>

#include "net/interfaces.h"
#include "net/netlink.h"

namespace anycast {

namespace {

std::uint8_t family(const Address &address)
{
	return address.is_v4() ? AF_INET : AF_INET6;
}

void parse_route(const nlmsghdr *message, Route &route, unsigned &type)
{
	const auto *info = static_cast<const rtmsg *>(mnl_nlmsg_get_payload(message));

	type = info->rtm_type;
	netlink::each_attribute(message, sizeof(*info), [&](const nlattr *attribute) {
		switch (mnl_attr_get_type(attribute)) {
		case RTA_OIF:
			route.ifindex = static_cast<int>(mnl_attr_get_u32(attribute));
			break;
		case RTA_GATEWAY:
			netlink::address_from(attribute, route.gateway);
			break;
		case RTA_VIA: { // an IPv6 gateway of an IPv4 route (RFC 5549)
			const auto *via =
				static_cast<const rtvia *>(mnl_attr_get_payload(attribute));
			ax_addr raw{};
			if (via->rtvia_family == AF_INET6 &&
			    mnl_attr_get_payload_len(attribute) >= sizeof(*via) + sizeof(raw)) {
				std::memcpy(&raw, via->rtvia_addr, sizeof(raw));
				route.gateway = Address(raw);
			}
			break;
		}
		case RTA_PREFSRC:
			netlink::address_from(attribute, route.source);
			break;
		case RTA_METRICS:
			netlink::each_nested(attribute, [&](const nlattr *nested) {
				if (mnl_attr_get_type(nested) == RTAX_MTU)
					route.mtu = mnl_attr_get_u32(nested);
			});
			break;
		default:
			break;
		}
	});
}

// State bits of a neighbour entry; 0 if there is none.
std::uint16_t neighbour_state(int ifindex, const Address &neighbour)
{
	netlink::Request request(RTM_GETNEIGH, 0);
	auto &entry = request.header<ndmsg>();
	std::uint16_t state = 0;

	entry.ndm_family = family(neighbour);
	entry.ndm_ifindex = ifindex;
	request.put(NDA_DST, neighbour);
	// Refused where there is no entry, and on kernels before 5.0.
	(void)request.send("look up neighbour", [&](const nlmsghdr *message) {
		state = static_cast<const ndmsg *>(mnl_nlmsg_get_payload(message))->ndm_state;
	});
	return state;
}

Status new_neighbour(int ifindex, const Address &neighbour, std::uint8_t flags,
		     std::uint32_t extended)
{
	netlink::Request request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK);
	auto &entry = request.header<ndmsg>();

	entry.ndm_family = family(neighbour);
	entry.ndm_ifindex = ifindex;
	entry.ndm_state = NUD_NONE;
	entry.ndm_flags = flags;
	request.put(NDA_DST, neighbour);
	if (extended)
		request.put(NDA_FLAGS_EXT, extended);
	return request.send(fmt::format("keep neighbour {} resolved", neighbour.text()),
			    [](const nlmsghdr *) {});
}

} // namespace

std::optional<std::array<std::uint8_t, 6>> neighbour_mac(int ifindex, const Address &neighbour)
{
	netlink::Request request(RTM_GETNEIGH, 0);
	auto &entry = request.header<ndmsg>();
	std::optional<std::array<std::uint8_t, 6>> mac;

	if (!neighbour_resolved(ifindex, neighbour))
		return mac;
	entry.ndm_family = family(neighbour);
	entry.ndm_ifindex = ifindex;
	request.put(NDA_DST, neighbour);
	(void)request.send("look up neighbour", [&](const nlmsghdr *message) {
		netlink::each_attribute(message, sizeof(ndmsg), [&](const nlattr *attribute) {
			if (mnl_attr_get_type(attribute) != NDA_LLADDR ||
			    mnl_attr_get_payload_len(attribute) != 6)
				return;
			mac.emplace();
			std::memcpy(mac->data(), mnl_attr_get_payload(attribute), 6);
		});
	});
	return mac;
}

bool neighbour_resolved(int ifindex, const Address &neighbour)
{
	// NUD_VALID of the kernel: what bpf_fib_lookup takes.
	return neighbour_state(ifindex, neighbour) &
	       (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY);
}

Result<Route> route_to(const Address &destination, netlink::Socket *over)
{
	netlink::Request request(RTM_GETROUTE, 0);
	auto &info = request.header<rtmsg>();
	Route route;
	unsigned type = RTN_UNSPEC;

	info.rtm_family = family(destination);
	info.rtm_dst_len = destination.is_v4() ? 32 : 128;
	request.put(RTA_DST, destination);
	route.gateway = destination;
	AX_TRY(request.send(
		fmt::format("route to {}", destination.text()),
		[&](const nlmsghdr *message) { parse_route(message, route, type); }, nullptr,
		over));
	if (type != RTN_UNICAST && type != RTN_LOCAL)
		return fail(Exit::kFailed, fmt::format("route to {}: not a way out (unreachable, "
						       "prohibited or blackhole)",
						       destination.text()));
	return route;
}

bool managed_neighbours()
{
	constexpr std::uint32_t kNoSuchFlag = 1U << 31;
	netlink::Request request(RTM_NEWNEIGH, NLM_F_ACK);
	auto &entry = request.header<ndmsg>();
	int refused = 0;

	entry.ndm_family = AF_INET;
	entry.ndm_ifindex = 1;
	request.put(NDA_DST, *Address::parse("192.0.2.1"));
	request.put(NDA_FLAGS_EXT, kNoSuchFlag);
	// A kernel that knows these flags refuses the wrong one; others miss the entry.
	(void)request.send(
		"try a neighbour's flag", [](const nlmsghdr *) {}, &refused);
	return refused == EINVAL;
}

Status keep_neighbour(int ifindex, const Address &neighbour, bool managed)
{
	// An entry that an operator fixed must stay so: the flags below would make it age.
	if (neighbour_state(ifindex, neighbour) & (NUD_PERMANENT | NUD_NOARP))
		return {};
	// Some devices take the flag and leave an entry without a state.
	if (managed && new_neighbour(ifindex, neighbour, 0, NTF_EXT_MANAGED) &&
	    neighbour_state(ifindex, neighbour) != NUD_NONE)
		return {};
	return new_neighbour(ifindex, neighbour, NTF_USE, 0);
}

} // namespace anycast
