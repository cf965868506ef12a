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

constexpr unsigned kFewBits = 12; // of a prefix whose addresses are told to the filter one by one

// Address, bits, protocol byte, port. Ordered, so that the same VIPs give the same list.
using Place = std::tuple<Address, std::uint8_t, std::uint8_t, std::uint16_t>;

class Keys {
public:
	// An earlier claim stays.
	bool add(const Vip &vip, unsigned protocol, std::uint16_t port, std::uint32_t id)
	{
		const auto bits = static_cast<std::uint8_t>(
			vip.prefix == 0 ? 0 : prefix_of(vip).mapped_bits());
		return places_
			.emplace(
				Place(vip.address, bits, static_cast<std::uint8_t>(protocol), port),
				id)
			.second;
	}

	[[nodiscard]] std::vector<std::pair<ax_vip_key, std::uint32_t>> list() const
	{
		std::vector<std::pair<ax_vip_key, std::uint32_t>> list;

		for (const auto &[place, id] : places_) {
			ax_vip_key key{};
			key.addr = std::get<0>(place).raw();
			key.bits = std::get<1>(place);
			key.proto = std::get<2>(place);
			key.port = htons(std::get<3>(place));
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
		if (!keys.add(vip, vip.protocol, vip.port, ids[i]))
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
		keys.add(vips[i], AX_VIP_ADDRESS, 0, ids[i]);

	// Port 0, which means any, comes first; then the lowest port.
	std::ranges::sort(by_port, {}, [&](std::size_t i) { return vips[i].port; });
	for (const std::size_t i : by_port) {
		if (vips[i].protocol != 0)
			keys.add(vips[i], vips[i].protocol | AX_VIP_FRAGMENT, 0, ids[i]);
	}
	for (std::size_t i = 0; i < vips.size(); ++i) {
		if (vips[i].protocol != 0)
			continue;
		for (const std::uint8_t transport : kTransports)
			keys.add(vips[i], transport | AX_VIP_FRAGMENT, 0, ids[i]);
	}
	result.keys = keys.list();
	for (const auto &[key, id] : result.keys) {
		if (key.bits == 0 || key.proto != AX_VIP_ADDRESS)
			continue;
		result.prefixes.push_back({key.addr, key.bits, {}});
		result.flags |= AX_SETTINGS_PREFIX;
	}
	return result;
}

namespace {

void set_filter_bit(ax_settings &settings, const ax_addr &raw, bool is_v4)
{
	__u32 folded = raw.word[3]; // folded as the words lie in memory, like bpf/steer.h does

	if (!is_v4)
		folded ^= raw.word[0] ^ raw.word[1] ^ raw.word[2];
	const std::uint32_t bit = ax_filter_bit(folded) % AX_VIP_FILTER_BITS;
	settings.vip_filter[bit / 64] |= 1ULL << (bit % 64);
}

} // namespace

void set_filter_bits(ax_settings &settings, const Prefix &prefix)
{
	const unsigned free = 128 - prefix.mapped_bits();
	ax_addr raw = prefix.address.raw();
	const std::uint32_t first = ntohl(raw.word[3]);

	if (free > kFewBits) {
		std::ranges::fill(settings.vip_filter, ~0ULL);
		return;
	}
	for (std::uint32_t i = 0; i >> free == 0; ++i) {
		raw.word[3] = htonl(first + i);
		set_filter_bit(settings, raw, prefix.address.is_v4());
	}
}

} // namespace anycast
