// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/node.h"

#include <netinet/in.h>

#include <cstring>

#include <fmt/format.h>

#include "kernel/sizes.h"

#include "bench/rotation.h"

namespace anycast::bench {

namespace {

constexpr std::uint8_t kSourceMac[6] = {2, 0, 0, 0, 0, 1}, kNextHopMac[6] = {2, 0, 0, 0, 0, 2};

Pool pool_of(const std::string &name, const std::string &prefix, std::uint32_t backends)
{
	Pool pool{.name = name, .backends = {}};

	for (std::uint32_t i = 1; i <= backends; ++i) {
		const auto address = prefix.empty()
					     ? Address::v4(0x0a010000 + i)
					     : *Address::parse(fmt::format("{}{:x}", prefix, i));
		pool.backends.push_back({.name = address.text(), .address = address});
	}
	return pool;
}

Vip vip_of(const std::string &name, const Address &address, std::uint16_t port,
	   std::uint8_t protocol, const std::string &pool)
{
	return {.name = name, .address = address, .port = port, .protocol = protocol, .pool = pool};
}

template <typename Counts> std::uint64_t packets_of(const Counts &counts, int reason)
{
	for (const auto &row : *counts)
		if (row.reason == reason)
			return row.packets;
	return 0;
}

} // namespace

Config node_config(const NodeOptions &options)
{
	Config config;

	config.name = "bench";
	config.roles = options.roles;
	config.hash_seed = {0x0123456789abcdef, 0xfedcba9876543210};
	config.source_v4 = Address::parse("10.0.0.1");
	config.source_v6 = Address::parse("2001:db8:ffff::1");
	config.limits.flows_v4 = options.flows4 * 2 * possible_cpus();
	config.limits.flows_v6 = options.flows6 * 2 * possible_cpus();
	config.limits.inserts_per_second = options.inserts_per_second;
	config.limits.vips = options.vips + 4;
	config.limits.backends = options.backends + 3;
	config.gtsm_local = {*Address::parse(kSession), *Address::parse(kSession6)};
	config.gtsm_peers = {{*Address::parse(kPeer), 1}, {*Address::parse(kPeer6), 1}};
	config.edges = {*Address::parse(kEdge), *Address::parse(kEdge6)};
	config.tunnel_addresses = {*Address::parse(kTunnel), *Address::parse(kTunnel6)};
	config.marking = options.marking;
	config.pools = {pool_of("four", "", options.backends), pool_of("six", "2001:db8:2::", 3)};
	const Address vip4 = *Address::parse(kVip4), vip6 = *Address::parse(kVip6);
	config.vips = {vip_of("www4", vip4, 80, IPPROTO_TCP, "four"),
		       vip_of("dns4", vip4, 53, IPPROTO_UDP, "four"),
		       vip_of("www6", vip6, 80, IPPROTO_TCP, "six"),
		       vip_of("dns6", vip6, 53, IPPROTO_UDP, "six")};
	for (Vip &vip : config.vips)
		vip.forward = options.forward;
	for (std::uint32_t i = 0; i < options.vips; ++i)
		config.vips.push_back(vip_of(fmt::format("v{}", i),
					     Address::v4(BENCH_FIRST_VIP + i), 80, IPPROTO_TCP,
					     "four"));
	return config;
}

Result<Image> node_image(const Config &config, std::uint32_t ifindex, const NodeFacts &facts)
{
	auto image = compile(config, facts, Ids{});

	if (!image)
		return image;
	for (ax_backend &backend : image->backends) {
		if (backend.state == AX_BACKEND_ABSENT)
			continue;
		backend.flags |= AX_BACKEND_RESOLVED;
		backend.ifindex = ifindex;
		backend.mtu = 65535;
		std::memcpy(backend.smac, kSourceMac, sizeof(backend.smac));
		std::memcpy(backend.dmac, kNextHopMac, sizeof(backend.dmac));
	}
	return image;
}

Result<Program> load_node(const NodeOptions &options)
{
	const Config config = node_config(options);
	LoadOptions load;
	NodeFacts facts;

	if (options.serves)
		facts.node_addresses = {config.pools[0].backends[0].address};
	const auto image = node_image(config, options.ifindex, facts);
	ax_ctl control{};

	if (!image)
		return tl::unexpected(image.error());
	load.roles = options.roles;
	load.build = options.build;
	load.limits = config.limits;
	auto program = Program::load(load);
	if (!program)
		return program;
	control.abi = AX_ABI_VERSION;
	control.table_seed[0] = 0x243f6a8885a308d3; // nobody aims at this table
	control.table_seed[1] = 0x13198a2e03707344;
	control.insert_limit = inserts_per_window(config.limits.inserts_per_second);
	AX_TRY(program->dataplane().write_control(control));
	AX_TRY(program->dataplane().apply(*image));
	return program;
}

Status forget_flows(Dataplane &dataplane)
{
	for (const char *name :
	     {"ax_flow4_idx", "ax_flow4_slot", "ax_flow4_next", "ax_flow4", "ax_flow6_idx",
	      "ax_flow6_slot", "ax_flow6_next", "ax_flow6", "ax_cpu"}) {
		const Map &map = dataplane.map(name);
		if (!map.mapped())
			return fail(Exit::kUnsupported,
				    fmt::format("map {} is not memory-mapped here", name));
		// the kernel rounds a value's size up
		std::memset(map.mapped(), 0,
			    map.max_entries() * ((map.value_size() + 7ULL) & ~7ULL));
	}
	return {};
}

std::uint64_t count_of(const Dataplane &dataplane, int reason)
{
	const auto counts = dataplane.reasons();
	return counts ? packets_of(counts, reason) : 0;
}

std::uint64_t note_of(const Dataplane &dataplane, int reason)
{
	const auto counts = dataplane.notes();
	return counts ? packets_of(counts, reason) : 0;
}

} // namespace anycast::bench
