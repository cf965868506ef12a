// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/image.h"

#include <netinet/in.h>

#include <cstring>

#include <algorithm>
#include <charconv>

#include <anycast_xdp/hash.h>
#include <fmt/format.h>

#include "core/ids.h"
#include "core/image_digest.h"
#include "core/image_limits.h"
#include "core/maglev.h"
#include "core/mark.h"
#include "core/names.h"
#include "core/own_addresses.h"
#include "core/vip_places.h"
#include "core/reasons.h"
#include "core/slow_start.h"
#include "core/vip_keys.h"

namespace anycast {

namespace {

// The outer header of IPv4 tunnels, as ax_backend.outer holds it: the MAC addresses come later.
void write_outer(const Address &source, const Address &destination, ax_backend &entry)
{
	// type IPv4; version and IHL, TOS; length; id; DF; TTL, protocol; checksum
	const std::uint8_t fixed[14] = {0x08,	      0, 0x45, 0, 0, 0, 0, 0, 0x40, 0, AX_OUTER_TTL,
					IPPROTO_IPIP, 0, 0};
	const ax_addr from = source.raw(), to = destination.raw();

	std::memcpy(entry.outer + 12, fixed, sizeof(fixed));
	std::memcpy(entry.outer + 26, &from.word[3], 4);
	std::memcpy(entry.outer + 30, &to.word[3], 4);
	entry.csum4 = outer_checksum(source, destination);
}

// And the node's addresses that lie within prefixes of VIPs.
AddressSet vip_addresses(const Config &config, const NodeFacts &facts)
{
	const std::vector<Prefix> prefixes = prefix_vips(config);
	AddressSet set;

	for (const Vip &vip : config.vips)
		set.insert(vip.address);
	for (const auto *list : {&facts.interface_addresses, &facts.node_addresses}) {
		for (const Address &address : *list) {
			if (std::ranges::any_of(prefixes, [&](const Prefix &prefix) {
				    return prefix.contains(address);
			    }))
				set.insert(address);
		}
	}
	return set;
}

// Who takes new flows; with nobody active, last_known takes everybody who is not in maintenance.
std::vector<bool> who_is_up(const Pool &pool)
{
	std::vector<bool> up;
	bool any = false;

	for (const Backend &backend : pool.backends) {
		up.push_back(backend.state == AX_BACKEND_ACTIVE);
		any = any || up.back();
	}
	if (!any && pool.all_down == AX_ALL_DOWN_LAST_KNOWN) {
		for (std::size_t i = 0; i < up.size(); ++i)
			up[i] = pool.backends[i].state != AX_BACKEND_MAINTENANCE;
	}
	return up;
}

bool is_tunnelled(const Config &config, const Pool &pool)
{
	return std::ranges::any_of(config.vips, [&](const Vip &vip) {
		return vip.pool == pool.name &&
		       (vip.forward == AX_FORWARD_IPIP || vip.forward == AX_FORWARD_GUE);
	});
}

// Per CPU and window of the data path; one at least, unless there shall be none.
std::uint32_t answers_per_window(std::uint32_t per_second)
{
	const std::uint64_t each = (std::uint64_t{per_second} << AX_ANSWER_WINDOW) / 1'000'000'000;
	return per_second == 0 ? 0 : static_cast<std::uint32_t>(std::max<std::uint64_t>(each, 1));
}

// Local backends count too: on other nodes they are not local, and the MTU must not depend on the
// node.
std::uint8_t largest_overhead(const Pool &pool, ax_forward forward, unsigned gue_variant)
{
	std::uint32_t most = 0;

	for (const Backend &backend : pool.backends)
		most = std::max(most,
				tunnel_overhead(forward, backend.address.is_v4(), gue_variant));
	return static_cast<std::uint8_t>(most);
}

class Compiler {
public:
	Compiler(const Config &config, const NodeFacts &facts, const Ids &previous)
		: config_(config), facts_(facts), vips_(vip_addresses(config, facts)),
		  node_(facts.node_addresses.begin(), facts.node_addresses.end()),
		  vip_ids_(previous.vips), backend_ids_(previous.backends),
		  peer_ids_(previous.peers)
	{
	}

	Result<Image> run()
	{
		AX_TRY(check_limits(config_));
		settings();
		assign_ids();
		AX_TRY(pools());
		AX_TRY(tags());
		AX_TRY(virtual_services());
		AX_TRY(gtsm());
		AX_TRY(tunnels());
		image_.ids = {vip_ids_.take(), backend_ids_.take(), peer_ids_.take()};
		image_.digest = image_digest(config_, table_digests_);
		return std::move(image_);
	}

private:
	void settings()
	{
		ax_settings &s = image_.settings;
		const auto actions = default_actions();

		s.hash_seed[0] = config_.hash_seed[0];
		s.hash_seed[1] = config_.hash_seed[1];
		s.source4 = pick_source(config_.source_v4, true, facts_, vips_).raw();
		s.source6 = pick_source(config_.source_v6, false, facts_, vips_).raw();
		s.vips = static_cast<std::uint32_t>(config_.vips.size());
		s.flags = AX_SETTINGS_VALID;
		if (config_.icmp.echo)
			s.flags |= AX_SETTINGS_ECHO;
		s.answer_limit = answers_per_window(config_.icmp.answers_per_second);
		s.gue_port = htons(config_.gue_port);
		s.gue_variant = config_.gue_variant;
		s.second_chance = config_.second_chance && config_.gue_variant == 0;
		s.netns = config_.socket_netns;
		if (config_.marking)
			s.mark_shift = mark_shift(config_.marking_period, facts_.hz);
		std::ranges::copy(actions, s.action);
		for (const auto &[label, action] : config_.rules) {
			if (const ReasonInfo *reason = find_reason(label))
				s.action[reason->number] = static_cast<__u8>(action);
		}
		for (const Vip &vip : config_.vips)
			set_filter_bits(s, prefix_of(vip));
	}

	void assign_ids()
	{
		for (const Vip &vip : config_.vips)
			vip_ids_.want(vip.name, fmt::format("{} {}/{}", place_of(vip), vip.port,
							    vip.protocol));
		for (const Pool &pool : config_.pools) {
			for (const Backend &backend : pool.backends)
				backend_ids_.want(full_name(pool, backend), backend.address.text());
		}
		for (const GtsmPeer &peer : config_.gtsm_peers)
			peer_ids_.want(peer.address.text(), peer.address.text());
		vip_ids_.settle();
		backend_ids_.settle();
		peer_ids_.settle();
	}

	Status pools()
	{
		image_.backends.resize(backend_ids_.size());
		for (const Pool &pool : config_.pools) {
			const std::vector<bool> up = who_is_up(pool);
			std::vector<std::uint16_t> ids;
			for (std::size_t i = 0; i < pool.backends.size(); ++i) {
				const Backend &backend = pool.backends[i];
				ids.push_back(backend_ids_.id(full_name(pool, backend)));
				AX_TRY(one_backend(pool, backend, ids.back()));
				// last_known: what they have they keep, too
				if (up[i])
					image_.backends[ids.back()].state = AX_BACKEND_ACTIVE;
			}
			AX_TRY(one_table(pool, ids, up));
		}
		return {};
	}

	// What backends are called in GUE headers, from the configuration alone.
	Status tags()
	{
		std::map<std::uint32_t, std::string> seen;

		image_.tags.resize(image_.backends.size());
		for (const Pool &pool : config_.pools) {
			if (!is_tunnelled(config_, pool))
				continue;
			for (const Backend &backend : pool.backends) {
				const std::string name = full_name(pool, backend);
				const std::uint32_t tag =
					backend_tag(name, backend.address, config_.hash_seed);
				const auto [first, is_new] = seen.emplace(tag, name);
				if (!is_new)
					return fail(Exit::kUsage,
						    fmt::format("backends {} and {} have the same "
								"tag in GUE headers",
								first->second, name),
						    "rename one of them");
				image_.tags[backend_ids_.id(name)] = tag;
				image_.tunnel_backends.push_back(backend.address);
			}
		}
		image_.tunnel_backends = without(std::move(image_.tunnel_backends));
		return {};
	}

	Status one_backend(const Pool &pool, const Backend &backend, std::uint16_t id)
	{
		const bool v4 = backend.address.is_v4();
		const Address source(v4 ? image_.settings.source4 : image_.settings.source6);
		ax_backend &entry = image_.backends[id];

		entry.addr = backend.address.raw();
		entry.gen = backend_ids_.gen(id);
		entry.state = static_cast<__u8>(backend.state);
		if (node_.contains(backend.address)) {
			entry.flags |= AX_BACKEND_LOCAL;
			if (own_backends(pool) > 1)
				entry.flags |= AX_BACKEND_TWIN;
			if (config_.roles & AX_ROLE_EDGE)
				image_.settings.flags |= AX_SETTINGS_WATCH;
		} else if (source.is_unspecified() && config_.roles & AX_ROLE_EDGE &&
			   is_tunnelled(config_, pool))
			return fail(
				Exit::kUsage,
				fmt::format(
					"backend {} of pool {} is reached by an IPv{} tunnel, and "
					"this node has no IPv{} address to send it from",
					backend.name, pool.name, v4 ? 4 : 6, v4 ? 4 : 6),
				fmt::format(
					"set [tunnel] source_v{}, or give the interface an address",
					v4 ? 4 : 6));
		else if (v4 && source.is_v4())
			write_outer(source, backend.address, entry);
		return {};
	}

	[[nodiscard]] std::ptrdiff_t own_backends(const Pool &pool) const
	{
		return std::ranges::count_if(pool.backends, [&](const Backend &backend) {
			return node_.contains(backend.address);
		});
	}

	// struct ax_pool.own
	[[nodiscard]] std::uint16_t own_backend(const Pool &pool,
						const std::vector<std::uint16_t> &ids) const
	{
		if (own_backends(pool) != 1)
			return 0;
		std::size_t i = 0;
		while (!node_.contains(pool.backends[i].address))
			++i;
		return static_cast<std::uint16_t>(ids[i] + 1);
	}

	Status one_table(const Pool &pool, const std::vector<std::uint16_t> &ids,
			 const std::vector<bool> &up)
	{
		std::vector<MaglevBackend> candidates;
		std::vector<std::string_view> keys;
		ax_pool entry{};

		entry.first = static_cast<__u32>(image_.slots.size());
		entry.all_down = static_cast<__u8>(pool.all_down);
		entry.hash = static_cast<__u8>(pool.hash);
		entry.notes = pool.fragment_notes;
		entry.path_mtu = pool.clamp_mss;
		if (pool.fragment_notes)
			image_.settings.flags |= AX_SETTINGS_NOTES;
		if (pool.hash == AX_HASH_QUIC)
			quic_servers(pool, ids, entry);
		entry.own = own_backend(pool, ids);
		// The name, not the address, is the key: a machine that takes another's place under
		// its name takes over its slots, and nobody else's flows move.
		for (std::size_t i = 0; i < ids.size(); ++i) {
			keys.push_back(pool.backends[i].name);
			candidates.push_back({keys.back(), pool.backends[i].weight, up[i],
					      warmth(pool, pool.backends[i], facts_.now)});
		}
		if (std::ranges::find(up, true) != up.end()) {
			std::vector<MaglevGeneration> earlier;
			for (const Generation &generation : pool.generations)
				earlier.emplace_back(generation.weights.begin(),
						     generation.weights.end());
			auto table = build_table(candidates, pool.table_size, config_.hash_seed,
						 earlier);
			if (!table) {
				Error error = std::move(table.error());
				error.what = fmt::format("pool {}: {}", pool.name, error.what);
				return tl::unexpected(std::move(error));
			}
			table_digests_[pool.name] = table_digest(*table, keys);
			for (ax_slot slot : *table) {
				for (std::uint16_t i = 0; i < slot.count; ++i)
					slot.backend[i] = ids[slot.backend[i]];
				image_.slots.push_back(slot);
			}
			entry.size = pool.table_size;
		}
		image_.pools.push_back(entry);
		return {};
	}

	void quic_servers(const Pool &pool, const std::vector<std::uint16_t> &ids, ax_pool &entry)
	{
		entry.quic_rotation = pool.quic_rotation;
		for (std::size_t i = 0; i < ids.size(); ++i) {
			const std::string &digits = pool.backends[i].server_id;
			ax_quic_key key{};
			key.pool = static_cast<__u32>(image_.pools.size());
			for (std::size_t at = 0; at + 1 < digits.size() && at / 2 < AX_QUIC_SERVER;
			     at += 2)
				std::from_chars(digits.data() + at, digits.data() + at + 2,
						key.server[at / 2], 16);
			entry.quic_length = static_cast<__u8>(digits.size() / 2);
			image_.quic_servers.emplace_back(key, ids[i]);
		}
	}

	// Do answers of its services leave by this node, perhaps?
	[[nodiscard]] bool may_serve(const Pool &pool) const
	{
		return config_.roles & AX_ROLE_BACKEND ||
		       std::ranges::any_of(pool.backends, [&](const Backend &backend) {
			       return node_.contains(backend.address);
		       });
	}

	Status virtual_services()
	{
		std::vector<std::uint16_t> ids;

		image_.vips.resize(vip_ids_.size());
		for (const Vip &vip : config_.vips) {
			const auto pool = std::ranges::find(config_.pools, vip.pool, &Pool::name);
			if (pool == config_.pools.end())
				return fail(Exit::kUsage,
					    fmt::format("VIP {}: no pool is called '{}'", vip.name,
							vip.pool));
			ids.push_back(vip_ids_.id(vip.name));
			ax_vip &entry = image_.vips[ids.back()];
			entry.gen = vip_ids_.gen(ids.back());
			entry.forward = static_cast<__u8>(vip.forward) | vip.measure;
			if (is_marked(config_, vip))
				entry.forward |= AX_FORWARD_LONG;
			entry.reserve = largest_overhead(*pool, vip.forward, config_.gue_variant);
			entry.pool = static_cast<__u32>(std::distance(config_.pools.begin(), pool));
			if (pool->clamp_mss != 0 && vip.protocol != IPPROTO_UDP && may_serve(*pool))
				image_.settings.flags |= AX_SETTINGS_CLAMP;
		}
		auto keys = vip_keys(config_.vips, ids);
		if (!keys)
			return tl::unexpected(std::move(keys.error()));
		image_.vip_keys = std::move(keys->keys);
		image_.prefixes = std::move(keys->prefixes);
		image_.settings.flags |= keys->flags;
		return {};
	}

	Status gtsm()
	{
		image_.gtsm_local = config_.gtsm_local.empty()
					    ? without(facts_.interface_addresses, vips_)
					    : without(config_.gtsm_local);
		if (!image_.gtsm_local.empty())
			image_.settings.flags |= AX_SETTINGS_GTSM;
		for (const GtsmPeer &peer : config_.gtsm_peers) {
			ax_gtsm_peer entry{};
			if (peer.hops != 0 && peer.hops < 256)
				entry.min_ttl = static_cast<__u8>(256 - peer.hops);
			entry.id = peer_ids_.id(peer.address.text());
			image_.gtsm_peers.emplace_back(peer.address, entry);
		}
		return too_many("session addresses", image_.gtsm_local.size(), kMaxLocalAddresses,
				"the most that [gtsm] local can name");
	}

	// A backend whose address is on another interface (on lo, say) has its tunnels end there.
	Status tunnels()
	{
		image_.edges =
			without(config_.edges); // an edge asks who may tunnel to its backends
		if (!(config_.roles & AX_ROLE_BACKEND))
			return {};
		if (!config_.tunnel_addresses.empty()) {
			image_.tunnel_addresses = without(config_.tunnel_addresses);
		} else {
			std::vector<Address> list = facts_.interface_addresses;
			for (const Pool &pool : config_.pools) {
				for (const Backend &backend : pool.backends) {
					if (node_.contains(backend.address))
						list.push_back(backend.address);
				}
			}
			image_.tunnel_addresses = without(std::move(list), vips_);
		}
		return too_many("tunnel addresses", image_.tunnel_addresses.size(),
				kMaxLocalAddresses, "the most that [tunnel] addresses can name");
	}

	const Config &config_;
	const NodeFacts &facts_;
	const AddressSet vips_, node_;
	IdTable vip_ids_, backend_ids_, peer_ids_;
	std::map<std::string, std::uint64_t> table_digests_; // by pool
	Image image_;
};

} // namespace

Result<Image> compile(const Config &config, const NodeFacts &facts, const Ids &previous)
{
	return Compiler(config, facts, previous).run();
}

std::uint32_t tunnel_overhead(ax_forward forward, bool outer_v4, unsigned gue_variant)
{
	const std::uint32_t outer = outer_v4 ? 20 : 40;

	if (forward == AX_FORWARD_GUE)
		return outer + (gue_variant == 0 ? AX_GUE_BYTES0 : AX_GUE_BYTES1);
	return forward == AX_FORWARD_IPIP ? outer : 0;
}

std::vector<double> slot_shares(const std::vector<ax_slot> &slots, const ax_pool &pool,
				std::size_t backends)
{
	std::vector<double> shares(backends);

	for (std::size_t i = pool.first;
	     i < std::size_t{pool.first} + pool.size && i < slots.size(); ++i) {
		if (slots[i].count > 0 && slots[i].backend[0] < backends)
			shares[slots[i].backend[0]] += 1;
	}
	for (double &share : shares) // whole numbers until here: all of them is 1, not a bit more
		share = pool.size == 0 ? 0 : share / pool.size;
	return shares;
}

} // namespace anycast
