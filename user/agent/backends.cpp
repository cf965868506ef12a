// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "agent/backends.h"

#include <sys/stat.h>

#include <algorithm>
#include <ctime>

#include <fmt/format.h>

#include "core/names.h"
#include "core/slow_start.h"
#include "net/interfaces.h"

namespace anycast::agent {

namespace {

// Changes whenever somebody applies something to the interface.
std::string fingerprint(const std::string &directory)
{
	struct stat info {};
	if (stat(directory.c_str(), &info))
		return {};
	return fmt::format("{}.{}.{}", info.st_ino, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

constexpr std::size_t kPasses = 5; // seconds until all backends have been looked at
constexpr int kLoopback = 1;	   // its index: the way to this node's own addresses

} // namespace

std::vector<std::string> follow_health(Config &config, const BackendHealth &health,
				       std::set<std::string> &downed)
{
	std::vector<std::string> changes;
	std::set<std::string> still_downed;
	for (Pool &pool : config.pools)
		for (Backend &backend : pool.backends) {
			const std::string key = pool.name + "/" + backend.name;
			const auto found = health.find(key);
			const Health now =
				found == health.end() ? Health::kUp : found->second; // no check
			const ax_backend_state before = backend.state;
			// Unknown keeps things as they are, either way.
			if (before == AX_BACKEND_ACTIVE && now == Health::kDown)
				backend.state = AX_BACKEND_DOWN;
			else if (before == AX_BACKEND_DOWN && now == Health::kUp &&
				 downed.contains(key))
				backend.state = AX_BACKEND_ACTIVE;
			const bool ours = downed.contains(key) || before == AX_BACKEND_ACTIVE;
			if (backend.state == AX_BACKEND_DOWN && ours)
				still_downed.insert(key);
			if (backend.state != before)
				changes.push_back(fmt::format("backend {} {}", key,
							      state_name(backend.state)));
		}
	downed = std::move(still_downed);
	return changes;
}

std::vector<std::string> BackendKeeper::sync_one(const std::string &interface,
						 const BackendHealth &health,
						 std::vector<std::string> &problems)
{
	const auto instance = open_instance(paths_, interface);
	if (!instance) {
		problems.push_back(fmt::format("{}: {}", interface, instance.error().what));
		return {};
	}
	const std::string prefix = interface + "/";
	std::set<std::string> downed;
	for (const std::string &key : downed_)
		if (key.starts_with(prefix))
			downed.insert(key.substr(prefix.size()));
	Config config = instance->applied.config;
	std::vector<std::string> changes = follow_health(config, health, downed);
	const std::int64_t now = std::time(nullptr);
	const bool warming = next_warming(config, now) != 0;
	carry_slow_starts(instance->applied.config, config, now);
	if (!changes.empty() || warming || config != instance->applied.config) {
		const auto report = apply(paths_, interface, config, &instance->applied.config);
		if (report && report->outdated) // another command was faster: next time
			return {};
		if (!report) {
			problems.push_back(fmt::format("{}: backend states cannot be changed: {}",
						       interface, report.error().what));
			return {};
		}
	}
	std::erase_if(downed_, [&](const std::string &key) { return key.starts_with(prefix); });
	for (const std::string &key : downed)
		downed_.insert(prefix + key);
	Seen &seen = seen_[interface] = {fingerprint(state_directory(paths_, interface)), health,
					 next_warming(config, now), instance->attached.ifindex,
					 instance->attached.mode == XdpMode::kGeneric};
	if (instance->applied.roles & AX_ROLE_EDGE)
		for (const Vip &vip : config.vips)
			seen.vips.insert(vip.address);
	for (std::string &change : changes)
		change = interface + ": " + change;
	return changes;
}

bool BackendKeeper::steers(const Vip &vip) const
{
	return std::ranges::any_of(
		seen_, [&](const auto &seen) { return seen.second.vips.contains(vip.address); });
}

std::vector<std::string> BackendKeeper::sync(const BackendHealth &health,
					     std::vector<std::string> &problems)
{
	const auto interfaces = attached_interfaces(paths_);
	if (!interfaces) {
		problems.push_back(interfaces.error().what);
		return {};
	}
	std::erase_if(seen_, [&](const auto &seen) {
		return std::ranges::find(*interfaces, seen.first) == interfaces->end();
	});
	std::vector<std::string> changes;
	for (const std::string &interface : *interfaces) {
		const auto seen = seen_.find(interface);
		if (seen != seen_.end() && !seen->second.is_due(std::time(nullptr)) &&
		    seen->second.is_of(fingerprint(state_directory(paths_, interface)), health))
			continue;
		for (std::string &change : sync_one(interface, health, problems))
			changes.push_back(std::move(change));
	}
	return changes;
}

std::string BackendKeeper::keep_next_hop(const Address &backend) const
{
	const auto route = route_to(backend);
	if (!route)
		return route.error().what;
	if (route->ifindex == kLoopback)
		return {};
	if (const auto kept = keep_neighbour(route->ifindex, route->gateway); !kept)
		return kept.error().what;
	if (!neighbour_resolved(route->ifindex, route->gateway))
		return fmt::format("neighbour {} does not answer", route->gateway.text());
	for (const Departures &departures : departures_)
		if (std::string trouble = departures.trouble(*route, backend.is_v4());
		    !trouble.empty())
			return trouble;
	return {};
}

std::string BackendKeeper::refresh_devices(const std::vector<Interface> &all)
{
	departures_.clear();
	for (const auto &[interface, seen] : seen_)
		departures_.emplace_back(all, seen.ifindex, seen.generic);
	DeviceWays ways = ways_out(all);
	if (ways_ == ways)
		return {};
	const auto interfaces = attached_interfaces(paths_);
	if (!interfaces)
		return interfaces.error().what;
	for (const std::string &interface : *interfaces) {
		auto instance = open_instance(paths_, interface);
		if (!instance)
			return fmt::format("{}: {}", interface, instance.error().what);
		const bool generic = instance->attached.mode == XdpMode::kGeneric;
		if (const auto told = write_devices(instance->dataplane, generic, ways); !told)
			return fmt::format("{}: devices: {}", interface, told.error().what);
	}
	ways_ = std::move(ways);
	return {};
}

void BackendKeeper::refresh_next_hops(const Config &config)
{
	std::set<Address> all;
	for (const Pool &pool : config.pools)
		for (const Backend &backend : pool.backends)
			all.insert(backend.address);
	std::erase_if(hops_, [&](const auto &hop) { return !all.contains(hop.first); });
	auto at = all.lower_bound(next_);
	for (std::size_t left = (all.size() + kPasses - 1) / kPasses; left > 0; left--) {
		if (at == all.end())
			at = all.begin();
		hops_[*at] = keep_next_hop(*at);
		++at;
	}
	next_ = at == all.end() ? Address() : *at;
}

nlohmann::ordered_json BackendKeeper::next_hops() const
{
	std::map<std::string, std::string> why;
	for (const auto &[backend, trouble] : hops_)
		if (!trouble.empty())
			why[backend.text()] = trouble;
	return {{"known", hops_.size() - why.size()}, {"not_known", why.size()}, {"why", why}};
}

} // namespace anycast::agent
