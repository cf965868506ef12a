// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What BIRD has for our VIPs. A walk through its tables takes half a second at 500,000 routes (a
// node may have a full table), so VIPs are asked for one by one, as long as they are not thousands.
#include <algorithm>

#include <fmt/format.h>

#include "bird/round.h"

namespace anycast::bird {

namespace {

constexpr std::size_t kOneByOne = 512;
constexpr int kNotFound = 8001;

RouteMap wanted_routes(const Wanted &wanted)
{
	RouteMap routes;
	for (const Announcement &announcement : wanted.announcements) {
		BgpAttributes attributes = announcement.attributes;
		if (announcement.draining) {
			attributes.communities.push_back(kGracefulShutdown);
			std::ranges::sort(attributes.communities);
		}
		routes.emplace(announcement.address, std::move(attributes));
	}
	return routes;
}

} // namespace

Result<std::vector<Route>> Speaker::routes_of_vips(Round &round, const std::string &which,
						   Families families)
{
	if (round.wanted.vips.size() > kOneByOne) {
		const auto reply =
			ask(round, fmt::format("show route where net ~ {} || net ~ {} {}", kVips4,
					       kVips6, which));
		return reply ? parse_routes(*reply) : tl::unexpected(reply.error());
	}
	std::vector<Route> routes;
	for (const Address &vip : round.wanted.vips) {
		if (!(vip.is_v4() ? families.ipv4 : families.ipv6))
			continue;
		const auto reply = ask(round, fmt::format("show route {}/{} {}", vip.text(),
							  vip.is_v4() ? 32 : 128, which));
		if (!reply)
			return tl::unexpected(reply.error());
		if (reply->code() == kNotFound)
			continue;
		auto found = parse_routes(*reply);
		if (!found)
			return found;
		std::ranges::move(*found, std::back_inserter(routes));
	}
	return routes;
}

// What our static protocols announce now, compared with what they should.
bool Speaker::read_own_routes(Round &round)
{
	round.own.clear();
	round.status.in_force = false;
	if (!round.included)
		return true;
	for (const bool v4 : {true, false}) {
		const auto routes = routes_of_vips(
			round, fmt::format("protocol {} all", v4 ? kStatic4 : kStatic6),
			{.ipv4 = v4, .ipv6 = !v4});
		if (!routes && round.status.state != BirdState::kRunning)
			return false;
		if (!routes) {
			round.problem(routes.error().message());
			return true;
		}
		for (const Route &route : *routes)
			round.own.emplace(route.address, route.attributes);
	}
	// Those of VIPs that the configuration has no more.
	std::uint64_t known = 0;
	for (const Protocol &protocol : round.protocols)
		if (protocol.name == kStatic4 || protocol.name == kStatic6)
			known += protocol.imported;
	if (known != round.own.size() && !read_all_own_routes(round))
		return false;
	round.status.in_force = round.own == wanted_routes(round.wanted);
	return true;
}

bool Speaker::read_all_own_routes(Round &round)
{
	for (const std::string_view name : {kStatic4, kStatic6}) {
		const auto reply = ask(round, fmt::format("show route all protocol {}", name));
		if (!reply)
			return false;
		const auto routes = parse_routes(*reply);
		if (!routes) {
			round.problem(routes.error().message());
			continue;
		}
		for (const Route &route : *routes)
			round.own.emplace(route.address, route.attributes);
	}
	return true;
}

} // namespace anycast::bird
