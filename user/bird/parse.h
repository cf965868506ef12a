// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What BIRD's replies say. Lines that mean nothing to us are skipped; what a needed line lacks is
// an error.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bird/client.h"
#include "core/address.h"
#include "core/bgp.h"

namespace anycast::bird {

struct DaemonStatus {
	std::string version, router_id, last_reboot, last_reconfiguration;
};
Result<DaemonStatus> parse_status(const Reply &reply); // show status

struct Protocol {
	std::string name, kind;		   // "upstream", "BGP"
	std::string state, since, info;	   // "up", "18:48:37.109", "Established"
	std::string bgp_state;		   // "Established"; "Down" if it is disabled
	std::string neighbour, last_error; // of BGP
	std::string source;		   // our own address, of a session that is up
	std::uint32_t neighbour_asn = 0, local_asn = 0;
	bool ipv4 = false, ipv6 = false;	  // its channels
	std::uint64_t imported = 0, exported = 0; // over them
};
Result<std::vector<Protocol>> parse_protocols(const Reply &reply); // show protocols all

// Neighbour address (without interface) -> "Up", "Down", "Init", "AdminDown".
Result<std::map<std::string, std::string>> parse_bfd(const Reply &reply); // show bfd sessions

struct Route {
	Address address;
	unsigned length = 0;
	std::string protocol; // where it comes from
	bool best = false;
	BgpAttributes attributes; // with `all`; communities with 65535:0
};
Result<std::vector<Route>> parse_routes(const Reply &reply); // show route [all] ...

} // namespace anycast::bird
