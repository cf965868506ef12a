// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Carries the health of backends into the pools of what is attached: active <-> down. What an
// operator has set (draining, maintenance, down) is left alone.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/check.h"
#include "kernel/attachment.h"
#include "kernel/next_hops.h"

namespace anycast::agent {

using BackendHealth = std::map<std::string, Health>; // by "POOL/NAME"

// The states as they shall be; `downed`: those that health has taken out on this interface, kept up
// to date. Pure.
std::vector<std::string> follow_health(Config &config, const BackendHealth &health,
				       std::set<std::string> &downed);

class BackendKeeper {
public:
	BackendKeeper(Paths paths, const std::set<std::string> &downed)
		: paths_(std::move(paths)), downed_(downed)
	{
	}

	// One round, level-triggered: looks only where health or what is attached has changed.
	// Returns what it did ("eth0: backend web/b1 down"); `problems` what it could not.
	std::vector<std::string> sync(const BackendHealth &health,
				      std::vector<std::string> &problems);
	// Looks at a few backends each time, at all within five seconds or so: asks the kernel to
	// keep their next hops resolved, since routes change, and kernels before 5.16 forget
	// neighbours.
	void refresh_next_hops(const Config &config);
	// Tells what is attached of devices that have come, gone or changed since attach or apply.
	// Returns what went wrong, "" if nothing did.
	std::string refresh_devices(const std::vector<Interface> &all);
	// {"known","not_known","why":{BACKEND: WHY}}
	[[nodiscard]] nlohmann::ordered_json next_hops() const;

	[[nodiscard]] const std::set<std::string> &downed() const { return downed_; }
	// Has an attached interface that VIP, as of the last round?
	[[nodiscard]] bool steers(const Vip &vip) const;

private:
	struct Seen {
		std::string state; // of the interface's state directory
		BackendHealth health;
		std::int64_t warming = 0; // when a slow start goes on; 0: none is
		int ifindex = 0;
		bool generic = false;
		std::set<Address> vips{};
		[[nodiscard]] bool is_due(std::int64_t now) const
		{
			return warming != 0 && now >= warming;
		}
		[[nodiscard]] bool is_of(const std::string &now, const BackendHealth &current) const
		{
			return state == now && health == current;
		}
	};
	std::vector<std::string> sync_one(const std::string &interface, const BackendHealth &health,
					  std::vector<std::string> &problems);

	// Why packets to the backend would be dropped; "": they would not.
	[[nodiscard]] std::string keep_next_hop(const Address &backend) const;

	Paths paths_;
	std::optional<DeviceWays> ways_;      // as what is attached was told
	std::vector<Departures> departures_;  // from each attached interface
	std::map<Address, std::string> hops_; // why there is none; "": there is
	Address next_;			      // to look at
	std::set<std::string> downed_;	      // "INTERFACE/POOL/NAME"
	std::map<std::string, Seen> seen_;
};

} // namespace anycast::agent
