// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "net/netdev.h"

#include <linux/genetlink.h>

#include "net/netlink.h"

namespace anycast {

namespace {

// linux/netdev.h, which older headers lack.
constexpr std::uint8_t kDeviceGet = 1;
constexpr std::uint16_t kIfindex = 1, kXdpFeatures = 3;
constexpr std::uint64_t kNdoXmit = 4; // without it the kernel refuses a redirect

std::uint16_t family_of(const char *name)
{
	netlink::Request request(GENL_ID_CTRL, 0, NETLINK_GENERIC);
	std::uint16_t family = 0;
	int refused = 0;

	request.header<genlmsghdr>() = {CTRL_CMD_GETFAMILY, 1, 0};
	mnl_attr_put_strz(request.message(), CTRL_ATTR_FAMILY_NAME, name);
	const auto asked = request.send(
		"look for a netlink family",
		[&](const nlmsghdr *message) {
			netlink::each_attribute(
				message, sizeof(genlmsghdr), [&](const nlattr *attribute) {
					if (mnl_attr_get_type(attribute) == CTRL_ATTR_FAMILY_ID)
						family = mnl_attr_get_u16(attribute);
				});
		},
		&refused);
	return asked ? family : std::uint16_t{0};
}

} // namespace

std::optional<std::map<int, bool>> takers_of_frames()
{
	const std::uint16_t family = family_of("netdev");
	if (family == 0)
		return std::nullopt;
	netlink::Request dump(family, NLM_F_DUMP, NETLINK_GENERIC);
	dump.header<genlmsghdr>() = {kDeviceGet, 1, 0};
	std::map<int, bool> takers;
	const auto asked = dump.send("ask for XDP features", [&](const nlmsghdr *message) {
		int ifindex = 0;
		std::optional<std::uint64_t> features;
		netlink::each_attribute(message, sizeof(genlmsghdr), [&](const nlattr *attribute) {
			if (mnl_attr_get_type(attribute) == kIfindex)
				ifindex = static_cast<int>(mnl_attr_get_u32(attribute));
			if (mnl_attr_get_type(attribute) == kXdpFeatures)
				features = mnl_attr_get_u64(attribute);
		});
		if (ifindex != 0 && features)
			takers[ifindex] = *features & kNdoXmit;
	});
	if (!asked)
		return std::nullopt;
	return takers;
}

} // namespace anycast
