// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The configuration as a value: what the TOML file says, checked, with defaults filled in.
// Pure data; config/ makes it, core/image.h compiles it into map contents.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <anycast_xdp/abi.h>
#include <anycast_xdp/gue.h>

#include "core/address.h"
#include "core/bgp.h"
#include "core/check.h"
#include "core/node_options.h"

namespace anycast {

struct Backend {
	std::string name; // unique in its pool; the address's text unless given
	Address address;
	std::uint32_t weight = 100; // 1..65535, relative to the pool's others
	ax_backend_state state = AX_BACKEND_ACTIVE;
	std::string server_id{}; // in QUIC connection ids: hex digits; "" = none
	std::int64_t since = 0;	 // Unix time its slow start began; 0 = it has none, or it is over
	bool operator==(const Backend &) const = default;
};

// Who was in a pool, and with which weight, before one of its last changes. Its owners are
// candidates of their slots still: connections from then find their backend.
struct Generation {
	std::uint32_t number = 1; // counts up; a later one is newer
	std::int64_t retire = 0;  // Unix time: from then on the next change may drop it
	std::vector<std::pair<std::string, std::uint32_t>> weights; // by backend name, in its order
	bool operator==(const Generation &) const = default;
};

struct Pool {
	std::string name;
	std::uint32_t table_size = 65537; // prime
	ax_all_down all_down = AX_ALL_DOWN_DROP;
	std::vector<Backend> backends;	 // in the file's order; tables are built in canonical order
	std::vector<CheckSpec> checks{}; // of each backend
	ax_hash_input hash = AX_HASH_FLOW;
	std::uint8_t quic_rotation = 0; // 0..6; hash AX_HASH_QUIC
	bool fragment_notes = false;
	std::vector<Generation> generations{}; // earlier ones, oldest first
	std::uint32_t slow_start = 0; // seconds until a backend that comes has its whole share
	std::uint16_t clamp_mss = 0;  // MTU that its servers' MSS is lowered to fit into; 0 = off
	bool operator==(const Pool &) const = default;
};

struct Vip {
	std::string name;
	Address address;
	std::uint16_t port = 0;	   // host order, 0 = any
	std::uint8_t protocol = 6; // 6 TCP, 17 UDP, 0 = any (then the port is any too)
	std::string pool;
	ax_forward forward = AX_FORWARD_IPIP;
	ax_measure measure = AX_MEASURE_NONE; // what its UDP payload says of loss
	BgpAttributes bgp{};		      // of its address: equal on all VIPs that share it
	std::vector<CheckSpec> checks{};      // of this node's service: do we announce it?
	bool canary = false;	 // announced first; the others wait until it has stayed up
	std::uint8_t prefix = 0; // bits of the prefix that `address` begins; 0 = one address
	bool operator==(const Vip &) const = default;
};

struct GtsmPeer {
	Address address;
	std::uint16_t hops = 1; // TTL must be >= 256 - hops; 0 = exempt (multihop without GTSM)
	bool operator==(const GtsmPeer &) const = default;
};

struct Limits {				 // sizes of the maps: fixed at load, `apply` refuses others
	std::uint32_t flows_v4 = 524288; // entries over all CPUs; twice the expected peak
	std::uint32_t flows_v6 = 131072;
	std::uint32_t vips = 4096;
	std::uint32_t pools = 256;
	std::uint32_t backends = 4096;
	std::uint32_t table_slots = 1048576; // over all pools, one half
	std::uint32_t peers = 256;
	std::uint32_t inserts_per_second = 50000; // per CPU; 0 = no limit
	std::uint32_t loss_prefix_v4 = 24; // bits of the client prefixes that loss is summed by
	std::uint32_t loss_prefix_v6 = 48;
	std::uint32_t marked_flows = 32768; // of alternate marking: sent and received ones
	std::uint32_t flow_idle = 10800;    // seconds until the agent forgets a flow
	bool operator==(const Limits &) const = default;
};

struct IcmpOptions {				 // what the program sends in a VIP's name
	std::uint32_t answers_per_second = 1000; // packet-too-big and echo, of each, per CPU
	bool echo = false;			 // echo requests are answered before the stack
	bool operator==(const IcmpOptions &) const = default;
};

struct Config {
	// [node]
	std::string name; // default: host name
	std::array<std::uint64_t, 2> hash_seed{};
	std::vector<std::string> interfaces;
	std::uint32_t roles = AX_ROLE_EDGE; // ax_role bits
	std::string mode = "auto";	    // auto | native | generic | offload

	// [paths]; a command-line option wins, then the environment, then these
	std::optional<std::string> pin_dir, state_dir, socket;

	Limits limits;

	// [tunnel]
	std::optional<Address> source_v4,
		source_v6;		       // outer source; default: the interface's address
	std::vector<Address> edges;	       // who may encapsulate to us (backend role)
	std::vector<Address> tunnel_addresses; // where tunnels end; default: the interface's
	std::uint16_t gue_port = AX_GUE_PORT;
	std::uint8_t gue_variant = 0; // of what we send; both are understood
	bool second_chance = true;    // for TCP that goes by GUE
	bool marking = false; // packets to backends say in which period they were sent (mark.h)
	Milliseconds marking_period{1000};
	std::int32_t socket_netns = -1; // id of the namespace whose sockets are asked; -1: ours

	// [gtsm]
	std::vector<Address> gtsm_local; // default: the interface's addresses
	std::vector<GtsmPeer> gtsm_peers;

	// [guard.rules]: label -> action, of rules that the file names
	std::map<std::string, ax_action> rules;

	IcmpOptions icmp{}; // [icmp]

	std::vector<Pool> pools;
	std::vector<Vip> vips;

	BirdConfig bird{};		   // [bird]
	std::optional<HostOptions> host{}; // [host]; without it the host's set-up is not ours
	AgentOptions agent{};		   // [agent]

	bool operator==(const Config &) const = default;
};

} // namespace anycast
