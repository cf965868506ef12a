// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// BGP as the configuration knows it: the node's neighbours, and what a VIP's route carries.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/address.h"

namespace anycast {

struct Community { // RFC 1997, "64512:100"
	std::uint32_t asn = 0, value = 0;
	static std::optional<Community> parse(std::string_view text);
	[[nodiscard]] std::string text() const;
	auto operator<=>(const Community &) const = default;
};
inline constexpr Community kGracefulShutdown{65535, 0}; // RFC 8326

struct LargeCommunity { // RFC 8092, "64512:1:100"
	std::uint32_t asn = 0, first = 0, second = 0;
	static std::optional<LargeCommunity> parse(std::string_view text);
	[[nodiscard]] std::string text() const;
	auto operator<=>(const LargeCommunity &) const = default;
};

// [vips.bgp]. VIPs that share an address share one route, hence these.
struct BgpAttributes {
	std::vector<Community> communities; // sorted, each once
	std::vector<LargeCommunity> large_communities;
	std::uint32_t prepend = 0; // how often our ASN stands once more in eBGP's path
	std::optional<std::uint32_t> med, local_pref;
	bool operator==(const BgpAttributes &) const = default;
};

inline constexpr std::uint32_t kMaxPrepend = 16;

// What is accepted from a neighbour.
enum class BgpImport {
	kNone,
	kVips,	  // VIPs that others announce: evidence that we are not the last one
	kDefault, // default routes
	kAll,
};

struct BgpNeighbour { // [[bird.neighbours]]
	std::string name;
	Address address;
	std::string interface; // of a link-local address
	std::uint32_t asn = 0;
	std::optional<Address> local; // our end; default: BIRD finds it
	std::uint32_t multihop = 0;   // hops; 0: on our link
	bool ttl_security = true;     // RFC 5082; the default only on our link
	bool bfd = true;
	std::uint32_t hold_time = 9;   // seconds
	std::string password;	       // RFC 2385; empty: none
	bool rr_client = false;	       // we reflect routes to it
	bool ipv4 = true, ipv6 = true; // what it carries; default: its own family
	BgpImport import = BgpImport::kNone;
	bool operator==(const BgpNeighbour &) const = default;
};

struct BirdConfig { // [bird]
	std::string socket = "/run/bird/bird.ctl";
	std::string include = "/var/lib/anycast-xdp/bird.conf"; // the one file that is ours
	std::string interface = "anycast0";			// where the VIPs are
	std::uint32_t asn = 0;					// 0: no [bird] in the file
	std::optional<Address> router_id;			// IPv4
	std::string damping = "rfc2439";  // profile, core/damping.h: what the upstreams use
	std::uint32_t bfd_interval = 300; // ms
	std::uint32_t bfd_multiplier = 3;
	std::vector<BgpNeighbour> neighbours;
	bool operator==(const BirdConfig &) const = default;
};

} // namespace anycast
