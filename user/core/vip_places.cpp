// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/vip_places.h"

#include <algorithm>

namespace anycast {

namespace {

template <typename T> void add_once(std::vector<T> &list, const T &member)
{
	if (std::ranges::find(list, member) == list.end())
		list.push_back(member);
}

} // namespace

Prefix prefix_of(const Vip &vip)
{
	if (vip.prefix != 0)
		return {vip.address, vip.prefix};
	return {vip.address, static_cast<std::uint8_t>(vip.address.is_v4() ? 32 : 128)};
}

std::string place_of(const Vip &vip)
{
	return vip.prefix != 0 ? prefix_of(vip).text() : vip.address.text();
}

std::vector<Address> single_vips(const Config &config)
{
	std::vector<Address> list;
	for (const Vip &vip : config.vips)
		if (vip.prefix == 0)
			add_once(list, vip.address);
	return list;
}

std::vector<Prefix> prefix_vips(const Config &config)
{
	std::vector<Prefix> list;
	for (const Vip &vip : config.vips)
		if (vip.prefix != 0)
			add_once(list, prefix_of(vip));
	return list;
}

} // namespace anycast
