// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Interfaces, addresses and neighbours of this network namespace, by rtnetlink (libmnl).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/address.h"
#include "core/image.h"
#include "util/result.h"

namespace anycast {

struct Interface {
	int index = 0;
	std::string name;
	std::string kind;   // "veth", "bridge", "dummy", ""; IFLA_INFO_KIND
	std::string driver; // ethtool; "" if there is none
	std::uint32_t mtu = 0;
	bool up = false;
	int master = 0; // ifindex of the bridge or bond it is a port of
	int parent = 0; // IFLA_LINK, for VLAN devices; 0 if it is in another network namespace
	std::uint16_t vlan = 0;		  // of a VLAN device
	std::uint16_t vlan_type = 0x8100; // or 0x88a8: 802.1ad
	std::uint32_t rx_queues = 1;
	std::optional<bool> takes_frames; // from XDP, as things are now: net/netdev.h
	std::vector<Address> addresses;
	struct Assigned {
		Address address;
		std::uint8_t prefix = 0;
		bool link_local = false;
	};
	std::vector<Assigned> assigned; // the same, with more
	bool autoconfigured = false;	// has an IPv6 address by router advertisement
};

Result<std::vector<Interface>> interfaces();
Result<Interface> interface_named(const std::string &name); // error lists the names that exist

Result<NodeFacts> node_facts(const std::string &interface);

// Has it ndo_xdp_xmit? By its IFLA_INFO_KIND: a redirect to other devices is lost.
bool can_transmit(const std::string &kind);

// Where the kernel would send a packet to `destination`.
struct Route {
	int ifindex = 0;
	Address gateway; // the neighbour to resolve: gateway or the destination itself
	Address source;	 // preferred source, may be unspecified
	std::uint32_t mtu = 0;
};
namespace netlink {
class Socket;
}
Result<Route> route_to(const Address &destination, netlink::Socket *over = nullptr);

// Ask the kernel to resolve a neighbour and, where it can (5.16), to keep it resolved for as long
// as the interface lives, so that no process of ours has to.
Status keep_neighbour(int ifindex, const Address &neighbour, bool managed = true);

// Has the kernel its link-layer address?
bool neighbour_resolved(int ifindex, const Address &neighbour);

// The link-layer address that the kernel would send to; none if it is not resolved.
std::optional<std::array<std::uint8_t, 6>> neighbour_mac(int ifindex, const Address &neighbour);

// Does the kernel know managed neighbours? Changes nothing.
bool managed_neighbours();

// Feature flags of a device by name ("rx-vlan-hw-parse", "tx-checksum-ip-generic", "rx-gro").
Result<bool> device_feature(const std::string &interface, const std::string &feature);

} // namespace anycast
