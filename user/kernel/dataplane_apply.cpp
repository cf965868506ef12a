// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Writing a configuration into the idle half, and switching to it.
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>

#include <fmt/format.h>
#include <linux/membarrier.h>

#include <anycast_xdp/owners.h>

#include "kernel/dataplane.h"
#include "kernel/mark_reader.h"

namespace anycast {

void grace_period()
{
	if (::syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0)
		std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

namespace {

std::byte half_of(const ax_vip_key *, const std::byte *key)
{
	return key[offsetof(ax_vip_key, half)];
}

std::byte half_of(const ax_quic_key *, const std::byte *key)
{
	return key[offsetof(ax_quic_key, half)];
}

std::byte half_of(const ax_addr_key *, const std::byte *key)
{
	return key[offsetof(ax_addr_key, half)];
}

std::byte half_of(const ax_prefix_key *, const std::byte *key)
{
	return key[offsetof(ax_prefix_key, half)];
}

std::byte half_of(const ax_tag_key *, const std::byte *key)
{
	return key[offsetof(ax_tag_key, half)];
}

// The hash's entries of that half: its keys, whole.
template <typename Key> Result<std::vector<Key>> keys_of_half(const Map &map, std::uint32_t half)
{
	std::vector<Key> keys;

	AX_TRY(map.for_each([&](const std::byte *key, const std::byte *) {
		if (half_of(static_cast<const Key *>(nullptr), key) == static_cast<std::byte>(half))
			std::memcpy(&keys.emplace_back(), key, sizeof(Key));
	}));
	return keys;
}

template <typename Key, typename Value>
Status fill_hash(Map &map, const std::vector<std::pair<Key, Value>> &entries, std::uint32_t half)
{
	auto leftover = keys_of_half<Key>(map, half);
	if (!leftover)
		return tl::unexpected(std::move(leftover.error()));
	for (const Key &key : *leftover)
		AX_TRY(map.erase(&key));
	if (entries.size() > map.max_entries() / 2)
		return fail(Exit::kFailed,
			    fmt::format("map {} takes {} entries, not {}", map.name(),
					map.max_entries() / 2, entries.size()),
			    "raise the matching figure under [limits]");
	for (const auto &[key, value] : entries)
		AX_TRY(map.update(&key, &value));
	return {};
}

// The rest of the half becomes zero, down to what may have been in use.
template <typename T> Status fill_array(Map &map, const std::vector<T> &values, std::uint32_t half)
{
	const std::uint32_t size = map.max_entries() / 2;

	if (values.size() > size)
		return fail(Exit::kFailed,
			    fmt::format("map {} takes {} entries, not {}", map.name(), size,
					values.size()),
			    "raise the matching figure under [limits]");
	std::vector<T> whole = values;
	whole.resize(size);
	return map.write_at<T>(half * size, whole);
}

ax_addr_key address_key(const Address &address, std::uint32_t half)
{
	ax_addr_key key{};

	key.addr = address.raw();
	key.half = static_cast<__u8>(half);
	return key;
}

std::vector<std::pair<ax_addr_key, std::uint32_t>>
address_set(const std::vector<Address> &addresses, std::uint32_t half, std::uint32_t value)
{
	std::vector<std::pair<ax_addr_key, std::uint32_t>> entries;

	for (const Address &address : addresses)
		entries.emplace_back(address_key(address, half), value);
	return entries;
}

// The hashes of one half, as they shall be.
struct Hashes {
	std::vector<std::pair<ax_vip_key, std::uint32_t>> vips;
	std::vector<std::pair<ax_addr_key, ax_gtsm_peer>> peers;
	std::vector<std::pair<ax_addr_key, std::uint32_t>> local, tunnels, edges;
	std::vector<std::pair<ax_quic_key, std::uint32_t>> quic;
	std::vector<std::pair<ax_tag_key, std::uint32_t>> tags;
	std::vector<std::pair<ax_prefix_key, ax_prefix>> prefixes;
};

// An address may be both: of a backend, and here.
std::vector<std::pair<ax_addr_key, std::uint32_t>> tunnel_ends(const Image &image,
							       std::uint32_t half)
{
	std::map<Address, std::uint32_t> flags;
	std::vector<std::pair<ax_addr_key, std::uint32_t>> entries;

	for (const Address &address : image.tunnel_addresses)
		flags[address] |= AX_TUNNEL_DECAP;
	for (const Address &address : image.tunnel_backends)
		flags[address] |= AX_TUNNEL_BACKEND;
	for (const auto &[address, value] : flags)
		entries.emplace_back(address_key(address, half), value);
	return entries;
}

Hashes hashes_of(const Image &image, std::uint32_t half)
{
	Hashes hashes{image.vip_keys,
		      {},
		      address_set(image.gtsm_local, half, 1),
		      tunnel_ends(image, half),
		      address_set(image.edges, half, 1),
		      image.quic_servers,
		      {},
		      {}};

	for (auto &[key, id] : hashes.vips)
		key.half = static_cast<__u8>(half);
	for (auto &[key, id] : hashes.quic)
		key.half = static_cast<__u8>(half);
	for (const ax_prefix &prefix : image.prefixes)
		hashes.prefixes.emplace_back(
			ax_prefix_key{static_cast<__u32>(AX_PREFIX_BITS + prefix.bits),
				      static_cast<__u8>(half),
				      {},
				      prefix.addr},
			prefix);
	for (const auto &[address, peer] : image.gtsm_peers)
		hashes.peers.emplace_back(address_key(address, half), peer);
	for (std::uint32_t id = 0; id < image.tags.size(); ++id) {
		if (image.tags[id] != 0)
			hashes.tags.emplace_back(
				ax_tag_key{image.tags[id], static_cast<__u8>(half), {}}, id);
	}
	return hashes;
}

template <typename Key, typename Value>
Result<bool> hash_holds(const Map &map, const std::vector<std::pair<Key, Value>> &entries,
			std::uint32_t half)
{
	auto keys = keys_of_half<Key>(map, half);
	if (!keys)
		return tl::unexpected(std::move(keys.error()));
	if (keys->size() != entries.size())
		return false;
	for (const auto &[key, value] : entries) {
		Value found{};
		auto there = map.lookup(&key, &found);
		if (!there)
			return tl::unexpected(std::move(there.error()));
		if (!*there || std::memcmp(&found, &value, sizeof(Value)) != 0)
			return false;
	}
	return true;
}

template <typename T>
Result<bool> array_holds(const Map &map, const std::vector<T> &values, std::uint32_t half)
{
	const std::uint32_t size = map.max_entries() / 2;
	if (values.size() > size)
		return false;

	std::vector<T> found(values.size());
	AX_TRY(map.read_at<T>(half * size, found));
	return values.empty() ||
	       std::memcmp(found.data(), values.data(), values.size() * sizeof(T)) == 0;
}

Result<bool> backends_hold(const Map &map, const std::vector<ax_backend> &values,
			   std::uint32_t half)
{
	const std::uint32_t size = map.max_entries() / 2;
	if (values.size() > size)
		return false;

	std::vector<ax_backend> found(values.size());
	AX_TRY(map.read_at<ax_backend>(half * size, found));
	return values.empty() ||
	       std::memcmp(found.data(), values.data(), values.size() * sizeof(values[0])) == 0;
}

std::vector<ax_owners> owners_of(const std::vector<ax_slot> &slots)
{
	std::vector<ax_owners> groups(ax_owner_groups(slots.size()));

	for (std::size_t i = 0; i < slots.size(); ++i)
		groups[i / 4].backend[i % 4] = slots[i].count ? slots[i].backend[0] : AX_NOBODY;
	return groups;
}

} // namespace

Status Dataplane::fill(const Image &image, std::uint32_t half)
{
	const Hashes hashes = hashes_of(image, half);
	const std::uint32_t slots = map("ax_slot").max_entries() / 2;

	AX_TRY(fill_hash(map("ax_vip"), hashes.vips, half));
	AX_TRY(fill_hash(map("ax_prefix"), hashes.prefixes, half));
	AX_TRY(fill_hash(map("ax_gtsm_peer"), hashes.peers, half));
	AX_TRY(fill_hash(map("ax_gtsm_local"), hashes.local, half));
	AX_TRY(fill_hash(map("ax_tunnel_dst"), hashes.tunnels, half));
	AX_TRY(fill_hash(map("ax_edge"), hashes.edges, half));
	AX_TRY(fill_hash(map("ax_quic"), hashes.quic, half));
	AX_TRY(fill_hash(map("ax_gue_backend"), hashes.tags, half));
	AX_TRY(fill_array(map("ax_gue_tag"), image.tags, half));
	AX_TRY(fill_array(map("ax_vip_info"), image.vips, half));
	AX_TRY(fill_array(map("ax_pool"), image.pools, half));
	AX_TRY(fill_array(map("ax_backend"), image.backends, half));
	if (image.slots.size() > slots)
		return fail(
			Exit::kFailed,
			fmt::format("tables of {} slots do not fit {}", image.slots.size(), slots),
			"raise [limits] table_slots, or take smaller tables");
	// Slots behind the last pool's are never looked at: `first` and `size` bound every access.
	AX_TRY(map("ax_slot").write_at<ax_slot>(half * slots, image.slots));
	AX_TRY(map("ax_owner")
		       .write_at<ax_owners>(half * ax_owner_groups(slots), owners_of(image.slots)));

	Map &record = map("ax_ctl");
	if (record.mapped() && record.writable()) {
		reinterpret_cast<ax_ctl *>(record.mapped())->half[half] = image.settings;
		return {};
	}
	auto ctl = control();
	if (!ctl)
		return tl::unexpected(std::move(ctl.error()));
	ctl->half[half] = image.settings;
	return write_control(*ctl);
}

// An id that names another thing now begins to count at 0.
Status Dataplane::clear_reused_counters(const Image &image, std::uint32_t running)
{
	std::vector<ax_vip> vips(map("ax_vip_info").max_entries() / 2);
	std::vector<ax_backend> backends(map("ax_backend").max_entries() / 2);

	AX_TRY(map("ax_vip_info")
		       .read_at<ax_vip>(running * static_cast<std::uint32_t>(vips.size()), vips));
	AX_TRY(map("ax_backend")
		       .read_at<ax_backend>(running * static_cast<std::uint32_t>(backends.size()),
					    backends));
	for (std::uint32_t i = 0; i < image.vips.size(); ++i) {
		if (image.vips[i].gen != 0 && image.vips[i].gen != vips[i].gen) {
			AX_TRY(map("ax_vip_ctr").clear(i));
			AX_TRY(map("ax_vip_loss").clear(i));
		}
	}
	for (std::uint32_t i = 0; i < image.backends.size(); ++i) {
		if (image.backends[i].gen != 0 && image.backends[i].gen != backends[i].gen) {
			AX_TRY(map("ax_backend_ctr").clear(i));
			AX_TRY(map("ax_backend_loss").clear(i));
		}
	}
	for (const auto &[address, peer] : image.gtsm_peers) {
		const ax_addr_key key = address_key(address, running);
		ax_gtsm_peer before{};
		auto found = map("ax_gtsm_peer").lookup(&key, &before);
		if (!found)
			return tl::unexpected(std::move(found.error()));
		if (!*found || before.id != peer.id)
			AX_TRY(map("ax_peer_ctr").clear(peer.id));
	}
	return {};
}

// From now on an absent record means that nothing was counted. What was counted by another period,
// or before it was switched off for a while, goes.
Status Dataplane::start_marking(const Image &image, const ax_settings &before)
{
	if (!optional_map("ax_mark") || !optional_map("ax_mark_sum"))
		return fail(
			Exit::kUnsupported,
			"[tunnel] marking: the attached program cannot mark packets",
			"attach again if a version before attached it; kernels before 5.6 cannot "
			"at all: set marking = false");
	if (before.mark_shift == image.settings.mark_shift)
		return {};
	AX_TRY(map("ax_mark").erase_all());
	AX_TRY(map("ax_mark_sum").erase_all());
	return say_that_marks_count();
}

Status Dataplane::restart_marking()
{
	auto ctl = control();
	if (!ctl)
		return tl::unexpected(std::move(ctl.error()));
	if (ctl->half[ctl->generation & 1].mark_shift == 0)
		return {};
	return say_that_marks_count();
}

Status Dataplane::say_that_marks_count()
{
	for (const ax_mark_kind kind : {AX_MARK_UNSENT, AX_MARK_UNRECEIVED}) {
		ax_mark_key key{};
		::ax_mark state{};
		key.kind = kind;
		state.since = mark_clock().jiffies;
		AX_TRY(map("ax_mark_sum").update(&key, &state));
	}
	return {};
}

Result<std::uint32_t> Dataplane::apply(const Image &image)
{
	auto ctl = control();
	if (!ctl)
		return tl::unexpected(std::move(ctl.error()));
	const std::uint32_t running = ctl->generation & 1;

	// Packets that began on the idle half, before the last switch, are done after this.
	if (ctl->generation != 0)
		grace_period();
	Status written = fill(image, running ^ 1);
	if (written)
		written = clear_reused_counters(image, running);
	if (written && image.settings.mark_shift != 0)
		written = start_marking(image, ctl->half[running]);
	const std::uint32_t next = next_generation(ctl->generation);
	if (written)
		written = set_generation(next);
	if (!written) {
		Error error = std::move(written.error());
		error.what +=
			fmt::format(" (the running configuration, generation {}, is untouched)",
				    ctl->generation);
		return tl::unexpected(std::move(error));
	}
	return next;
}

Result<bool> Dataplane::holds(const Image &image) const
{
	auto ctl = control();
	if (!ctl)
		return tl::unexpected(std::move(ctl.error()));
	const std::uint32_t half = ctl->generation & 1;
	const Hashes hashes = hashes_of(image, half);
	const std::uint32_t slots = map("ax_slot").max_entries() / 2;

	if (ctl->generation == 0 || image.slots.size() > slots ||
	    std::memcmp(&ctl->half[half], &image.settings, sizeof(image.settings)) != 0)
		return false;
	for (const auto &held : {
		     hash_holds(map("ax_vip"), hashes.vips, half),
		     hash_holds(map("ax_prefix"), hashes.prefixes, half),
		     hash_holds(map("ax_gtsm_peer"), hashes.peers, half),
		     hash_holds(map("ax_gtsm_local"), hashes.local, half),
		     hash_holds(map("ax_tunnel_dst"), hashes.tunnels, half),
		     hash_holds(map("ax_edge"), hashes.edges, half),
		     hash_holds(map("ax_quic"), hashes.quic, half),
		     hash_holds(map("ax_gue_backend"), hashes.tags, half),
		     array_holds(map("ax_gue_tag"), image.tags, half),
		     array_holds(map("ax_vip_info"), image.vips, half),
		     array_holds(map("ax_pool"), image.pools, half),
		     backends_hold(map("ax_backend"), image.backends, half),
		     array_holds(map("ax_slot"), image.slots, half),
		     array_holds(map("ax_owner"), owners_of(image.slots), half),
	     }) {
		if (!held || !*held)
			return held;
	}
	return true;
}

} // namespace anycast
