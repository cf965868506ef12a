// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/announcement.h"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/vip_places.h"

namespace anycast {

namespace {

constexpr std::array<std::string_view, 3> kReach{"withdrawn", "draining", "announced"};
constexpr std::array<std::string_view, 6> kBirdState{"running", "absent",   "hung",
						     "refused", "not_ours", "rejected"};

} // namespace

std::string_view reach_name(Reach reach)
{
	return kReach.at(static_cast<std::size_t>(reach));
}

std::optional<Reach> reach_from(std::string_view name)
{
	const auto found = std::ranges::find(kReach, name);
	if (found == kReach.end())
		return std::nullopt;
	return static_cast<Reach>(found - kReach.begin());
}

std::string_view bird_state_name(BirdState state)
{
	return kBirdState.at(static_cast<std::size_t>(state));
}

std::vector<Address> vip_addresses(const Config &config)
{
	std::set<Address> addresses;
	for (const Vip &vip : config.vips)
		addresses.insert(vip.address);
	return {addresses.begin(), addresses.end()};
}

std::string vip_names(const Config &config, const Address &address)
{
	std::string names;
	for (const Vip &vip : config.vips)
		if (vip.address == address)
			names += (names.empty() ? "" : ",") + vip.name;
	return names;
}

Result<std::vector<Address>> asked_addresses(const Config &config, bool all, const std::string &vip)
{
	if (all)
		return vip_addresses(config);
	const auto address = Address::parse(vip);
	for (const Vip &candidate : config.vips)
		if (candidate.name == vip || (address && candidate.address == *address))
			return std::vector{candidate.address};
	std::vector<std::string> names;
	for (const Vip &candidate : config.vips)
		names.push_back(candidate.name);
	return fail(Exit::kUsage, fmt::format("there is no VIP {}", vip),
		    fmt::format("VIPs: {}", fmt::join(names, ", ")));
}

Wanted wanted_for(const Config &config, const std::map<Address, Reach> &reach)
{
	Wanted wanted{.announcements = {}, .vips = vip_addresses(config), .asn = config.bird.asn};
	for (const Prefix &prefix : prefix_vips(config))
		wanted.lengths.emplace(prefix.address, prefix.bits);
	for (const Address &address : wanted.vips) {
		const auto found = reach.find(address);
		if (found == reach.end() || found->second == Reach::kWithdrawn)
			continue;
		const auto vip = std::ranges::find(config.vips, address, &Vip::address);
		wanted.announcements.push_back(
			{address, vip->bgp, found->second == Reach::kDraining});
	}
	return wanted;
}

unsigned Wanted::length_of(const Address &vip) const
{
	const auto found = lengths.find(vip);
	if (found != lengths.end())
		return found->second;
	return vip.is_v4() ? 32 : 128;
}

std::size_t BirdStatus::established() const
{
	return static_cast<std::size_t>(std::ranges::count_if(sessions, [](const auto &session) {
		return session.configured && session.established();
	}));
}

std::size_t BirdStatus::configured() const
{
	return static_cast<std::size_t>(
		std::ranges::count(sessions, true, &SessionStatus::configured));
}

bool BirdStatus::degraded() const
{
	return established() > 0 && established() < configured();
}

bool BirdStatus::announced_by_others(const Address &vip) const
{
	return std::ranges::any_of(sessions, [&](const SessionStatus &session) {
		return session.established() &&
		       std::ranges::find(session.seen, vip) != session.seen.end();
	});
}

std::string_view BirdStatus::verdict() const
{
	if (state == BirdState::kAbsent || state == BirdState::kHung ||
	    state == BirdState::kRefused || established() == 0)
		return "down";
	if (state != BirdState::kRunning || degraded() || !in_force || !problems.empty())
		return "degraded";
	return "ok";
}

} // namespace anycast
