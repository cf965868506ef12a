// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What pools and VIPs have to do with each other.
#include <algorithm>

#include "config/services.h"
#include "core/vip_places.h"

namespace anycast {

// A pool's check with a target goes through the tunnel, as what clients send to that VIP.
void Services::check_targets_of_pools()
{
	for (std::size_t i = 0; i < config_.pools.size(); i++)
		for (const CheckSpec &check : config_.pools[i].checks) {
			const auto tunnelled = [&](const Vip &vip) {
				return check.target && prefix_of(vip).contains(*check.target) &&
				       vip.pool == config_.pools[i].name &&
				       (vip.forward == AX_FORWARD_IPIP ||
					vip.forward == AX_FORWARD_GUE);
			};
			if (check.target && std::ranges::none_of(config_.vips, tunnelled))
				diagnostics_.error(
					pools_at_[i],
					fmt::format("pools.checks.target: {} is no VIP of pool {} "
						    "with forward ipip or gue",
						    check.target->text(), config_.pools[i].name));
		}
}

void Services::check_backends_against_vips()
{
	std::map<Address, std::string_view> vips;
	std::vector<std::pair<Prefix, std::string_view>> prefixes;
	for (const auto &[place, first] : places_) {
		if (place.is_host())
			vips.emplace(place.address, first.first);
		else
			prefixes.emplace_back(place, first.first);
	}
	for (const BackendPlace &backend : backends_) {
		const auto within = std::ranges::find_if(prefixes, [&](const auto &prefix) {
			return prefix.first.contains(backend.address);
		});
		const auto vip = vips.find(backend.address);
		if (vip != vips.end() || within != prefixes.end())
			diagnostics_.error(
				backend.at,
				fmt::format("pools.backends.address: {} is {} VIP {}: packets "
					    "would go round in circles",
					    backend.address.text(),
					    vip != vips.end() ? "the address of" : "within",
					    vip != vips.end() ? vip->second : within->second));
	}
}

// One address is of one prefix, so that nobody has to know which of two wins. An address of its own
// may lie within one: it is asked first. But routes are told apart by their first address.
void Services::check_overlaps()
{
	const std::pair<const Prefix, std::pair<std::string, Where>> *last = nullptr;
	for (const auto &place : places_) { // by first address, shorter prefixes before longer
		if (last != nullptr && last->first.overlaps(place.first) &&
		    (!place.first.is_host() || last->first.address == place.first.address))
			diagnostics_.error(
				place.second.second,
				fmt::format("vips.address: {} overlaps {} of VIP {} on line {}",
					    place.first.is_host() ? place.first.address.text()
								  : place.first.text(),
					    last->first.text(), last->second.first,
					    last->second.second.line));
		else if (!place.first.is_host())
			last = &place;
	}
}

void Services::warn_of_unused_pools()
{
	for (std::size_t i = 0; i < config_.pools.size(); i++)
		if (!used_pools_.contains(config_.pools[i].name))
			diagnostics_.warn(pools_at_[i], fmt::format("pool {}: no VIP uses it",
								    config_.pools[i].name));
}

// What edges send to this node in tunnels must be for one of its VIPs (tunnel_not_vip).
void Services::warn_of_tunnels_for_nobody(Where at)
{
	if (config_.roles & AX_ROLE_BACKEND && config_.vips.empty())
		diagnostics_.warn(at, "role backend, but no [[vips]]: all that edges send here in "
				      "tunnels is dropped as tunnel_not_vip; name the same "
				      "services as in the edges' files");
}

void Services::share_attributes()
{
	for (Vip &vip : config_.vips)
		if (const auto found = attributes_.find(vip.address); found != attributes_.end())
			vip.bgp = found->second.first;
}

void read_services(TableReader &root, Config &config)
{
	Services services(root.diagnostics(), config);
	root.each("pools", [&](TableReader &pool) { services.read_pool(pool); });
	root.each("vips", [&](TableReader &vip) { services.read_vip(vip); });
	services.share_attributes();
	services.check_targets_of_pools();
	services.check_backends_against_vips();
	services.check_overlaps();
	services.warn_of_unused_pools();
	services.warn_of_tunnels_for_nobody(root.at("node"));
}

} // namespace anycast
