// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The host around the data plane: the interface that carries the VIPs, and the kernel's settings.
// Facts -> plan (pure) -> done and read back.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/model.h"
#include "net/interfaces.h"
#include "util/result.h"

namespace anycast {

struct Sysctl {
	std::string key; // "net/ipv4/ip_forward": interfaces' names may have dots
	std::string from, to;
	bool operator==(const Sysctl &) const = default;
};

struct HostFacts {
	std::vector<Interface> interfaces;
	// Every key that a plan may look at; nothing: this network namespace has none.
	std::map<std::string, std::optional<std::string>> sysctls;
	std::string persisted; // our file in /etc/sysctl.d; "": there is none
};
Result<HostFacts> host_facts(const HostOptions &options);

struct HostPlan {
	std::string interface;
	bool make_interface = false, bring_up = false;
	std::vector<Address> add, remove; // /32 and /128
	std::vector<Sysctl> sysctls;
	std::optional<std::string> persist; // the file's new text
	std::vector<std::string> warnings;

	[[nodiscard]] bool changes() const
	{
		return make_interface || bring_up || !add.empty() || !remove.empty() ||
		       !sysctls.empty() || persist;
	}
};

// An error if it cannot be done without harm: a VIP on another interface, or an interface of that
// name that is for something else.
Result<HostPlan> plan_host(const HostOptions &options, const std::vector<Address> &vips,
			   const HostFacts &facts);

struct HostReport {
	HostPlan plan;	  // what was done, or would be
	std::string kind; // of the interface: "dummy"; "bridge" where the kernel has no dummy
};
// Plans, does it unless `dry_run`, and reads it back. What had been done before an error stays.
Result<HostReport> set_up_host(const HostOptions &options, const std::vector<Address> &vips,
			       bool dry_run);

std::vector<std::string> describe(const HostReport &report); // one change a line

std::string sysctl_name(const std::string &key); // "net.ipv4.ip_forward"
std::optional<std::string> read_sysctl(const std::string &key);
std::string sysctl_file(); // ours; $ANYCAST_XDP_SYSCTL_DIR in front, else /etc/sysctl.d

} // namespace anycast
