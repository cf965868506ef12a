// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// [host] and [agent]: the node around the data plane.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/address.h"
#include "core/endpoint.h"
#include "core/prefix.h"

namespace anycast {

struct HostOptions {
	std::string interface = "anycast0";	  // carries the VIPs
	bool forwarding = true;			  // of both families
	std::uint32_t hash_policy = 1;		  // fib_multipath_hash_policy; 1: layer 4
	std::uint32_t rmem_max = 0, wmem_max = 0; // bytes at least; 0: as they are
	bool persist = false;			  // in /etc/sysctl.d too
	bool operator==(const HostOptions &) const = default;
};

enum class OnStop { kWithdraw, kLeave };
enum class OverloadAction { kNone, kDrain, kWithdraw };

// Beyond `high` for the hold time: overloaded; below `low` for the same time: no longer. 0: not
// looked at.
struct Threshold {
	std::uint32_t high = 0, low = 0;
	bool operator==(const Threshold &) const = default;
};

struct OverloadOptions { // [agent.overload]
	OverloadAction action = OverloadAction::kDrain;
	std::chrono::milliseconds hold{10000};
	Threshold cpu;		// percent busy, of all CPUs
	Threshold cpu_pressure; // PSI "some", percent of the last 10 s
	Threshold memory_pressure;
	Threshold io_pressure;
	Threshold temperature; // degrees Celsius, the hottest sensor
	Threshold loss;	       // per mille, of the data path's measured flows
	bool operator==(const OverloadOptions &) const = default;
};

struct AgentOptions {
	std::string group;		     // may use the control socket; "": root alone
	std::string exec_user = "nobody";    // exec checks run as
	std::optional<Address> http_address; // metrics and status page; loopback
	std::uint16_t http_port = 9180;
	std::optional<Endpoint> marks_listen; // /marks, for edges; a management address
	std::vector<Prefix> marks_allow;      // who may ask there
	std::vector<Endpoint> marks_from;     // whose /marks this edge asks for
	OnStop on_stop = OnStop::kWithdraw;
	std::chrono::milliseconds canary_hold{30000};
	OverloadOptions overload;
	bool operator==(const AgentOptions &) const = default;
};

} // namespace anycast
