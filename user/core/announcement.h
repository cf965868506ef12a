// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What BIRD is to announce, and what it says it does.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/bgp.h"
#include "core/model.h"
#include "util/result.h"

namespace anycast {

// One VIP address that is to be announced, as /32 or /128, or as the prefix that it begins.
struct Announcement {
	Address address;
	BgpAttributes attributes;
	bool draining = false; // with 65535:0: "prefer anybody else"
	bool operator==(const Announcement &) const = default;
};

struct Wanted {
	std::vector<Announcement> announcements; // by address, each once
	std::vector<Address> vips;		 // all configured ones, sorted: the others are not
						 // to be announced
	std::uint32_t asn = 0;			 // ours
	std::map<Address, std::uint8_t> lengths{}; // of those that begin a prefix
	[[nodiscard]] unsigned length_of(const Address &vip) const;
	bool operator==(const Wanted &) const = default;
};

enum class Reach { kWithdrawn, kDraining, kAnnounced };
std::string_view reach_name(Reach reach); // "withdrawn", "draining", "announced"
std::optional<Reach> reach_from(std::string_view name);

std::vector<Address> vip_addresses(const Config &config); // sorted, each once
// Of all VIPs with that address: "www,dns".
std::string vip_names(const Config &config, const Address &address);
// Those of the VIP with this name or address, or all.
Result<std::vector<Address>> asked_addresses(const Config &config, bool all,
					     const std::string &vip);
// The attributes of each VIP's address come from the configuration; addresses that `reach` does
// not name, or that are no VIP, are withdrawn.
Wanted wanted_for(const Config &config, const std::map<Address, Reach> &reach);

// How BIRD answers.
enum class BirdState {
	kRunning,
	kAbsent,   // nobody listens on the control socket
	kHung,	   // it does not answer in time
	kRefused,  // a version that we do not know, or it denies us
	kNotOurs,  // it runs, but its configuration does not include our file
	kRejected, // it refuses our file; the old announcements are in force
};
std::string_view bird_state_name(BirdState state); // "running", "absent", "hung", ...

struct SessionStatus {
	std::string name;      // of BIRD's protocol
	std::string neighbour; // its address
	std::uint32_t local_asn = 0, neighbour_asn = 0;
	bool configured = true; // in our file; if that names no neighbours, every one is
	bool exists = true;	// in BIRD
	std::string state;	// Idle, Connect, Active, OpenSent, OpenConfirm, Established, Down
	std::string since;	// as BIRD prints it
	std::string last_error; // "Received: Hold timer expired", "Socket: Connection refused"
	std::string advice;	// what the error or the state means, and what to do; may be empty
	std::string bfd;	// "Up", "Down", ...; empty: no BFD
	std::uint32_t expected = 0, exported = 0;		// of our VIPs
	std::uint64_t routes_exported = 0, routes_imported = 0; // BIRD's own counts, all routes
	std::vector<Address> missing;				// wanted, and not exported
	std::vector<Address> unwanted;				// exported, though withdrawn
	std::vector<Address> seen;				// VIPs that it announces to us
	[[nodiscard]] bool established() const { return exists && state == "Established"; }
	bool operator==(const SessionStatus &) const = default;
};

struct BirdStatus {
	BirdState state = BirdState::kAbsent;
	std::string problem; // why it is not kRunning, with what to do
	std::string version, router_id;
	bool in_force = false; // BIRD's own table holds exactly what is wanted
	std::vector<SessionStatus> sessions;
	std::vector<std::string> mended;   // what this round has changed
	std::vector<std::string> problems; // what is wrong though BIRD runs

	[[nodiscard]] std::size_t established() const;
	[[nodiscard]] std::size_t configured() const;
	// Some, but not all, of the sessions are up.
	[[nodiscard]] bool degraded() const;
	// A session other than ours brings a route for it: somebody else announces it.
	[[nodiscard]] bool announced_by_others(const Address &vip) const;
	// "ok", "degraded", "down"
	[[nodiscard]] std::string_view verdict() const;
};

} // namespace anycast
