// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "agent/targets.h"

#include <netinet/in.h>

#include <algorithm>

#include <fmt/format.h>

#include "core/own_addresses.h"

namespace anycast::agent {

namespace {

using health::Target;

bool is_tunnelled(const Vip &vip)
{
	return vip.forward == AX_FORWARD_IPIP || vip.forward == AX_FORWARD_GUE;
}

// Is the check a question to the very service of that VIP?
bool asks_service(const CheckSpec &check, const Vip &vip)
{
	if (check.type == CheckType::kIcmp)
		return true;
	if (check.type == CheckType::kExec)
		return false;
	const bool udp = check.type == CheckType::kUdp || check.type == CheckType::kDns;
	return (vip.port == 0 || vip.port == check.port) &&
	       (vip.protocol == 0 || vip.protocol == (udp ? IPPROTO_UDP : IPPROTO_TCP));
}

class Ways {
public:
	Ways(const Config &config, const std::set<Address> &own) : config_(config), own_(own)
	{
		facts_.node_addresses.assign(own.begin(), own.end());
		for (const Vip &vip : config.vips)
			vips_.insert(vip.address);
	}

	// Through the tunnel, unless the backend is this node, whose own kernel serves the VIP.
	void choose(Target &target, const Pool &pool) const
	{
		const Vip *vip = target.spec.target ? named(pool, *target.spec.target)
						    : fitting(pool, target);
		if (!vip)
			return;
		const Address backend = target.address;
		target.address = vip->address;
		if (own_.contains(backend))
			return;
		const bool v4 = backend.is_v4();
		target.tunnel = {.backend = backend,
				 .source = v4 ? config_.source_v4 : config_.source_v6};
		if (const Address other = source(!v4); !other.is_unspecified())
			target.tunnel->other_source = other;
		if (vip->forward == AX_FORWARD_GUE)
			target.tunnel->gue_port = config_.gue_port;
	}

private:
	[[nodiscard]] Address source(bool v4) const
	{
		return pick_source(v4 ? config_.source_v4 : config_.source_v6, v4, facts_, vips_);
	}
	[[nodiscard]] const Vip *named(const Pool &pool, const Address &address) const
	{
		const auto found = std::ranges::find_if(config_.vips, [&](const Vip &vip) {
			return vip.address == address && vip.pool == pool.name && is_tunnelled(vip);
		});
		return found == config_.vips.end() ? nullptr : &*found;
	}
	// Of the backend's family, if there is one; else one that this node can ask at all.
	[[nodiscard]] const Vip *fitting(const Pool &pool, const Target &target) const
	{
		const Vip *other = nullptr;
		if (target.spec.direct)
			return nullptr;
		for (const Vip &vip : config_.vips) {
			if (vip.pool != pool.name || !is_tunnelled(vip) ||
			    !asks_service(target.spec, vip))
				continue;
			if (vip.address.is_v4() == target.address.is_v4())
				return &vip;
			if (!other && !source(vip.address.is_v4()).is_unspecified())
				other = &vip;
		}
		return other;
	}

	const Config &config_;
	const std::set<Address> &own_;
	NodeFacts facts_;
	AddressSet vips_;
};

} // namespace

std::vector<Target> targets_of(const Config &config, const std::set<Address> &own_addresses)
{
	const Ways ways(config, own_addresses);
	std::vector<Target> targets;
	for (const Vip &vip : config.vips)
		for (std::size_t i = 0; i < vip.checks.size(); i++) {
			const CheckSpec &spec = vip.checks[i];
			targets.push_back({fmt::format("vip/{}/{}", vip.name, i), spec,
					   spec.target.value_or(vip.address),
					   spec.port != 0 ? spec.port : vip.port});
		}
	for (const Pool &pool : config.pools)
		for (const Backend &backend : pool.backends)
			for (std::size_t i = 0; i < pool.checks.size(); i++) {
				targets.push_back(
					{fmt::format("pool/{}/{}/{}", pool.name, backend.name, i),
					 pool.checks[i], backend.address, pool.checks[i].port});
				ways.choose(targets.back(), pool);
			}
	return targets;
}

} // namespace anycast::agent
