// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/own_addresses.h"

#include <arpa/inet.h>

namespace anycast {

namespace {

bool is_link_local(const Address &address)
{
	const auto &bytes = address.bytes();

	if (address.is_v4())
		return bytes[12] == 169 && bytes[13] == 254;
	return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

bool is_global(const Address &address)
{
	return !address.is_unspecified() && !address.is_multicast() && !address.is_loopback() &&
	       !is_link_local(address);
}

} // namespace

Address pick_source(const std::optional<Address> &configured, bool v4, const NodeFacts &facts,
		    const AddressSet &vips)
{
	if (configured)
		return *configured;
	for (const auto *list : {&facts.interface_addresses, &facts.node_addresses}) {
		for (const Address &address : *list) {
			if (address.is_v4() == v4 && is_global(address) && !vips.contains(address))
				return address;
		}
	}
	return {};
}

std::vector<Address> without(std::vector<Address> list, const AddressSet &taken)
{
	AddressSet seen = taken;

	std::erase_if(list, [&](const Address &address) { return !seen.insert(address).second; });
	return list;
}

std::uint32_t outer_checksum(const Address &source, const Address &destination)
{
	const ax_addr from = source.raw(), to = destination.raw();
	std::uint16_t half[4];
	std::uint32_t sum = 0;

	for (const std::uint16_t word : {0x4500, 0x4000, AX_OUTER_TTL << 8}) // TOS 0; id 0, DF; TTL
		sum += htons(word);
	std::memcpy(half, &from.word[3], 4);
	std::memcpy(half + 2, &to.word[3], 4);
	for (const std::uint16_t word : half)
		sum += word;
	return sum;
}

} // namespace anycast
