// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The configuration compiled into what one half of the maps holds. Pure: the same configuration,
// facts and previous ids give the same image.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <anycast_xdp/abi.h>

#include "core/model.h"
#include "util/result.h"

namespace anycast {

inline constexpr std::size_t kMaxLocalAddresses = 256; // of [gtsm] local and [tunnel] addresses
inline constexpr std::size_t kMaxEdges = 1024;

// What compiling needs to know about the node and the interface; net/ gathers it.
struct NodeFacts {
	std::vector<Address> interface_addresses; // of the attached interface, link-local included
	std::vector<Address> node_addresses;	  // of all interfaces
	std::int64_t now = 0;			  // Unix time; 0: every slow start is over
	std::uint32_t hz = 250;			  // jiffies a second
};

// An id is kept as long as its thing exists, and reused afterwards with the next generation number,
// so that a flow entry can tell.
struct Named {
	std::string name; // VIP: its name; backend: "pool/backend"; peer: its address
	std::string
		identity; // VIP: address, port, protocol; backend: address. Another: another thing
	std::uint16_t gen = 0;
	bool used = false;
	bool operator==(const Named &) const = default;
};

struct Ids {
	std::vector<Named> vips, backends, peers; // indexed by id
	bool operator==(const Ids &) const = default;
};

struct Image {
	ax_settings settings{};
	std::vector<std::pair<ax_vip_key, std::uint32_t>> vip_keys; // half = 0
	std::vector<ax_prefix> prefixes;  // which of them are for prefixes
	std::vector<ax_vip> vips;	  // by VIP id
	std::vector<ax_pool> pools;	  // by order in the configuration
	std::vector<ax_slot> slots;	  // all pools, one after the other
	std::vector<ax_backend> backends; // by backend id
	std::vector<std::pair<ax_quic_key, std::uint32_t>> quic_servers; // half = 0
	std::vector<std::pair<Address, ax_gtsm_peer>> gtsm_peers;
	std::vector<Address> gtsm_local;
	std::vector<Address> tunnel_addresses;
	std::vector<Address> tunnel_backends; // where tunnels of this configuration may end
	std::vector<std::uint32_t> tags;      // of GUE, by backend id; 0 where there is none
	std::vector<Address> edges;
	Ids ids;
	std::uint64_t digest = 0; // of everything that steering depends on; equal on equal nodes
};

Result<Image> compile(const Config &config, const NodeFacts &facts, const Ids &previous);

// Bytes that sending to a backend adds to a packet.
std::uint32_t tunnel_overhead(ax_forward forward, bool outer_v4, unsigned gue_variant = 0);

// Share of the pool's slots that each backend owns, by backend id; from an image or from the maps.
std::vector<double> slot_shares(const std::vector<ax_slot> &slots, const ax_pool &pool,
				std::size_t backends);

} // namespace anycast
