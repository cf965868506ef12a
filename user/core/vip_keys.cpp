// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/vip_keys.h"

#include <arpa/inet.h>

#include <algorithm>
#include <map>
#include <tuple>

#include <anycast_xdp/hash.h>
#include <fmt/format.h>

namespace anycast {

namespace {

constexpr std::uint8_t kTransports[] = {6, 17}; // what a VIP of any protocol takes fragments of

// Address, protocol byte, port. Ordered, so that the same VIPs give the same list.
using Place = std::tuple<Address, std::uint8_t, std::uint16_t>;

class Keys {
public:
	// An earlier claim stays.
	bool add(const Address &address, std::uint8_t protocol, std::uint16_t port,
		 std::uint32_t id)
	{
		return places_.emplace(Place(address, protocol, port), id).second;
	}

	[[nodiscard]] std::vector<std::pair<ax_vip_key, std::uint32_t>> list() const
	{
		std::vector<std::pair<ax_vip_key, std::uint32_t>> list;

		for (const auto &[place, id] : places_) {
			ax_vip_key key{};
			key.addr = std::get<0>(place).raw();
			key.proto = std::get<1>(place);
			key.port = htons(std::get<2>(place));
			list.emplace_back(key, id);
		}
		return list;
	}

private:
	std::map<Place, std::uint32_t> places_;
};

} // namespace

Result<VipKeys> vip_keys(std::span<const Vip> vips, std::span<const std::uint16_t> ids)
{
	std::vector<std::size_t> by_id(vips.size()), by_port(vips.size());
	VipKeys result;
	Keys keys;

	for (std::size_t i = 0; i < vips.size(); ++i) {
		const Vip &vip = vips[i];
		by_id[i] = by_port[i] = i;
		if (!keys.add(vip.address, vip.protocol, vip.port, ids[i]))
			return fail(Exit::kUsage,
				    fmt::format("VIP {}: another VIP has that address, "
						"protocol and port",
						vip.name));
		if (vip.protocol == 0)
			result.flags |= AX_SETTINGS_ANY_PROTO;
		else if (vip.port == 0)
			result.flags |= AX_SETTINGS_ANY_PORT;
	}
	std::ranges::sort(by_id, {}, [&](std::size_t i) { return ids[i]; });
	for (const std::size_t i : by_id)
		keys.add(vips[i].address, AX_VIP_ADDRESS, 0, ids[i]);

	// Port 0, which means any, comes first; then the lowest port.
	std::ranges::sort(by_port, {}, [&](std::size_t i) { return vips[i].port; });
	for (const std::size_t i : by_port) {
		if (vips[i].protocol != 0)
			keys.add(vips[i].address, vips[i].protocol | AX_VIP_FRAGMENT, 0, ids[i]);
	}
	for (std::size_t i = 0; i < vips.size(); ++i) {
		if (vips[i].protocol != 0)
			continue;
		for (const std::uint8_t transport : kTransports)
			keys.add(vips[i].address, transport | AX_VIP_FRAGMENT, 0, ids[i]);
	}
	result.keys = keys.list();
	return result;
}

void set_filter_bit(ax_settings &settings, const Address &address)
{
	const ax_addr raw = address.raw();
	__u32 folded = raw.word[3]; // folded as the words lie in memory, like bpf/steer.h does

	if (!address.is_v4())
		folded ^= raw.word[0] ^ raw.word[1] ^ raw.word[2];
	const std::uint32_t bit = ax_filter_bit(folded) % AX_VIP_FILTER_BITS;
	settings.vip_filter[bit / 64] |= 1ULL << (bit % 64);
}

} // namespace anycast
