// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/maglev.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <string>

#include <anycast_xdp/hash.h>

namespace anycast {

namespace {

using Rank = std::uint16_t; // a backend's position in canonical order

constexpr Rank kNobody = 0xffff;
constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15ULL;

// With half of the backends down, one slot in four billion needs more than this many jumps.
constexpr std::uint32_t kJumps = 32;

constexpr std::uint8_t kParts = 16; // of MaglevBackend::warmth

std::uint64_t hash_bytes(std::string_view bytes, const MaglevSeed &seed)
{
	std::uint64_t hash = ax_mix(seed[0] ^ (bytes.size() * kGolden));
	for (std::size_t i = 0; i < bytes.size(); i += 8) {
		std::uint64_t word = 0;
		for (std::size_t k = 0; k < 8 && i + k < bytes.size(); k++)
			word |= std::uint64_t{static_cast<unsigned char>(bytes[i + k])} << (8 * k);
		hash = ax_mix(hash ^ seed[1] ^ word);
	}
	return hash;
}

// 0 .. n-1 from the hash's upper half, without a division.
std::uint32_t reduce(std::uint64_t hash, std::uint32_t n)
{
	return static_cast<std::uint32_t>(((hash >> 32) * n) >> 32);
}

Permutation permutation(std::string_view key, std::uint32_t size, const MaglevSeed &seed)
{
	const std::uint64_t hash = hash_bytes(key, seed);
	return {reduce(hash, size), reduce(ax_mix(hash + kGolden), size - 1) + 1};
}

// How many slots each backend gets: its exact share rounded down, and one more for those with the
// largest remainders (the earlier of equals).
std::vector<std::uint32_t> quotas(std::span<const std::uint32_t> weights, std::uint32_t size)
{
	const auto sum = std::accumulate(weights.begin(), weights.end(), std::uint64_t{0});
	std::vector<std::uint32_t> quota;
	std::vector<std::uint64_t> remainder;
	std::uint32_t left = size;
	for (const std::uint32_t weight : weights) {
		const std::uint64_t share = std::uint64_t{size} * weight;
		quota.push_back(static_cast<std::uint32_t>(share / sum));
		remainder.push_back(share % sum);
		left -= quota.back();
	}

	std::vector<std::uint32_t> order(weights.size());
	std::iota(order.begin(), order.end(), 0);
	std::ranges::stable_sort(order, std::ranges::greater(),
				 [&](std::uint32_t i) { return remainder[i]; });
	for (std::uint32_t i = 0; i < left; i++)
		quota[order[i]]++;
	return quota;
}

// Whose turn it is, `size` turns long. The heaviest backend has a turn in every round, one of
// weight w its k-th in round floor(k * heaviest / w): with equal weights the paper's plain rounds.
// A counting sort by round, so the cost does not depend on how unequal the weights are.
std::vector<std::uint32_t> turns(std::span<const std::uint32_t> weights, std::uint32_t size)
{
	const std::vector<std::uint32_t> quota = quotas(weights, size);
	const std::uint32_t heaviest = *std::ranges::max_element(weights);

	const auto each_turn = [&](auto visit) {
		for (std::uint32_t i = 0; i < weights.size(); i++) {
			const std::uint32_t whole = heaviest / weights[i];
			const std::uint32_t part = heaviest % weights[i];
			std::uint32_t round = 0;
			std::uint64_t parts = 0;
			for (std::uint32_t k = 0; k < quota[i]; k++) {
				visit(i, round);
				round += whole;
				parts += part;
				if (parts >= weights[i]) {
					parts -= weights[i];
					round++;
				}
			}
		}
	};

	std::vector<std::uint32_t> position(std::size_t{size} + 2);
	each_turn([&](std::uint32_t, std::uint32_t round) { position[round + 1]++; });
	std::partial_sum(position.begin(), position.end(), position.begin());
	std::vector<std::uint32_t> order(size);
	each_turn([&](std::uint32_t i, std::uint32_t round) { order[position[round]++] = i; });
	return order;
}

// Finds stand-ins. Every slot has a fixed sequence of candidates that depends on the configuration
// only, and its stand-in is the first of them that is up: so what happens to one backend cannot
// change the choice of a slot that had not chosen it. Jumps through the full table meet backends in
// proportion to their weights.
class StandIns {
public:
	StandIns(const std::vector<Rank> &owners, const std::vector<std::uint8_t> &up,
		 const MaglevSeed &seed, const std::vector<std::uint8_t> *warmth = nullptr)
		: owners_(owners), up_(up), seed_(seed), warmth_(warmth)
	{
	}

	// Is it up, and warm enough for the slot? The more it warms, the more slots are added.
	[[nodiscard]] bool takes(Rank rank, std::uint32_t slot) const
	{
		if (!up_[rank])
			return false;
		return warmth_ == nullptr || (*warmth_)[rank] >= kParts ||
		       ax_mix(seed_[1] ^ ax_mix(slot + kGolden)) >> 60 < (*warmth_)[rank];
	}

	// Who stands in at `slot`, `except` aside; kNobody if there is nobody.
	Rank find(std::uint32_t slot, Rank except)
	{
		const auto size = static_cast<std::uint32_t>(owners_.size());
		std::uint64_t hash = ax_mix(seed_[0] ^ (slot + kGolden)) ^ seed_[1];
		for (std::uint32_t k = 0; k < kJumps; k++) {
			hash += kGolden;
			const Rank candidate = owners_[reduce(ax_mix(hash), size)];
			if (candidate != except && takes(candidate, slot))
				return candidate;
		}
		if (ring_.empty())
			make_ring();
		const auto ring_size = static_cast<std::uint32_t>(ring_.size());
		const Next &next = ring_[reduce(ax_mix(hash + kGolden), ring_size)];
		return next.first != except ? next.first : next.second;
	}

private:
	struct Next {
		Rank first, second; // the first two different living backends from here on
	};

	// The linear scan, done once for all starting points: around the full table, followed by
	// the backends whose weight earned them no slot, since they may be the only living ones.
	void make_ring()
	{
		std::vector<Rank> ring = owners_;
		std::vector<std::uint8_t> seen(up_.size());
		for (const Rank owner : owners_)
			seen[owner] = 1;
		for (std::size_t i = 0; i < seen.size(); i++)
			if (!seen[i])
				ring.push_back(static_cast<Rank>(i));

		ring_.resize(ring.size());
		Next next{kNobody, kNobody};
		for (int lap = 0; lap < 2; lap++) {
			for (std::size_t i = ring.size(); i-- > 0;) {
				if (up_[ring[i]] && ring[i] != next.first)
					next = {ring[i], next.first};
				ring_[i] = next;
			}
		}
	}

	const std::vector<Rank> &owners_;
	const std::vector<std::uint8_t> &up_;
	const MaglevSeed &seed_;
	const std::vector<std::uint8_t> *warmth_;
	std::vector<Next> ring_;
};

Status check(std::span<const MaglevBackend> backends, std::span<const std::uint32_t> order,
	     std::uint32_t size)
{
	const std::string what = "table of " + std::to_string(size) + " slots: ";
	if (!is_prime(size) || size > kMaxTableSize)
		return fail(Exit::kUsage, what + "the size must be a prime, at most " +
						  std::to_string(kMaxTableSize));
	if (backends.size() > kMaxTableBackends)
		return fail(Exit::kUsage,
			    what + "more than " + std::to_string(kMaxTableBackends) + " backends");
	for (std::size_t i = 0; i < order.size(); i++) {
		const MaglevBackend &backend = backends[order[i]];
		if (backend.weight == 0)
			return fail(Exit::kUsage,
				    what + "weight 0 of backend " + std::string(backend.key));
		if (i > 0 && backend.key == backends[order[i - 1]].key)
			return fail(Exit::kUsage,
				    what + "two backends are " + std::string(backend.key));
	}
	return {};
}

} // namespace

bool is_prime(std::uint32_t n)
{
	if (n < 4)
		return n >= 2;
	if (n % 2 == 0)
		return false;
	for (std::uint64_t divisor = 3; divisor * divisor <= n; divisor += 2)
		if (n % divisor == 0)
			return false;
	return true;
}

std::uint32_t next_prime(std::uint32_t n)
{
	if (n <= 2)
		return 2;
	while (n != 0 && !is_prime(n)) // wraps to 0
		n++;
	return n;
}

std::vector<std::uint32_t> maglev_fill(std::span<const Permutation> permutations,
				       std::span<const std::uint32_t> weights, std::uint32_t size)
{
	std::vector<Permutation> cursors(permutations.begin(), permutations.end());
	std::vector<std::uint32_t> owners(size);
	// One bit a slot: the probing, some ln(size) looks a slot, stays within the L1 or L2 cache.
	std::vector<std::uint64_t> taken(size / 64 + 1);

	for (const std::uint32_t i : turns(weights, size)) {
		const std::uint32_t skip = cursors[i].skip;
		std::uint32_t slot = cursors[i].offset;
		const auto advance = [&] {
			slot += skip;
			if (slot >= size)
				slot -= size;
		};
		while (taken[slot / 64] >> (slot % 64) & 1)
			advance();
		taken[slot / 64] |= std::uint64_t{1} << (slot % 64);
		owners[slot] = i;
		advance();
		cursors[i].offset = slot;
	}
	return owners;
}

namespace {

void add(ax_slot &slot, std::uint16_t backend)
{
	const std::span<const std::uint16_t> so_far(slot.backend, slot.count);

	if (slot.count < AX_CANDIDATES && std::ranges::find(so_far, backend) == so_far.end())
		slot.backend[slot.count++] = backend;
}

// What one generation says of each slot: its owner, and who stands in if that is not up.
struct Layer {
	std::vector<std::uint16_t> owner, first; // indices into `backends`, kNobody: gone
};

Layer layer_of(const MaglevGeneration &generation, std::span<const MaglevBackend> backends,
	       std::uint32_t size, const MaglevSeed &seed)
{
	std::map<std::string_view, std::uint16_t> now;
	for (std::uint16_t i = 0; i < backends.size(); i++)
		now.emplace(backends[i].key, i);
	MaglevGeneration sorted = generation;
	std::ranges::sort(sorted);

	std::vector<std::uint16_t> index;
	std::vector<std::uint8_t> up;
	std::vector<Permutation> permutations;
	std::vector<std::uint32_t> weights;
	for (const auto &[key, weight] : sorted) {
		const auto found = now.find(key);
		index.push_back(found == now.end() ? kNobody : found->second);
		up.push_back(found != now.end() && backends[found->second].up);
		permutations.push_back(permutation(key, size, seed));
		weights.push_back(weight);
	}
	const std::vector<std::uint32_t> filled = maglev_fill(permutations, weights, size);
	const std::vector<Rank> owners(filled.begin(), filled.end());
	const bool any = std::ranges::find(up, 1) != up.end();
	StandIns stand_ins(owners, up, seed);
	Layer layer;
	layer.owner.reserve(size);
	layer.first.reserve(size);
	for (std::uint32_t s = 0; s < size; s++) {
		layer.owner.push_back(index[owners[s]]);
		if (up[owners[s]] || !any)
			layer.first.push_back(index[owners[s]]);
		else
			layer.first.push_back(index[stand_ins.find(s, owners[s])]);
	}
	return layer;
}

} // namespace

Result<std::vector<ax_slot>> build_table(std::span<const MaglevBackend> backends,
					 std::uint32_t size, const MaglevSeed &seed,
					 std::span<const MaglevGeneration> earlier)
{
	std::vector<std::uint32_t> order(backends.size());
	std::iota(order.begin(), order.end(), 0);
	std::ranges::sort(order, {}, [&](std::uint32_t i) { return backends[i].key; });
	AX_TRY(check(backends, order, size));

	std::vector<ax_slot> slots(size);
	std::vector<std::uint8_t> up, warm;
	std::vector<Permutation> permutations;
	std::vector<std::uint32_t> weights;
	for (const std::uint32_t i : order) {
		up.push_back(backends[i].up);
		warm.push_back(backends[i].warmth);
		permutations.push_back(permutation(backends[i].key, size, seed));
		weights.push_back(backends[i].weight);
	}
	const auto living = std::ranges::count(up, 1);
	if (living == 0)
		return slots;

	const std::vector<std::uint32_t> filled = maglev_fill(permutations, weights, size);
	const std::vector<Rank> owners(filled.begin(), filled.end()); // half the cache lines
	const bool all_warm = std::ranges::all_of(warm, [](auto w) { return w >= kParts; });
	StandIns stand_ins(owners, up, seed, all_warm ? nullptr : &warm);
	std::vector<Layer> layers;
	for (std::size_t g = earlier.size(); g-- > 0;)
		if (!earlier[g].empty())
			layers.push_back(layer_of(earlier[g], backends, size, seed));
	for (std::uint32_t s = 0; s < size; s++) {
		const Rank owner = owners[s];
		const auto index = [&](Rank rank) {
			return static_cast<std::uint16_t>(order[rank]);
		};
		// Where nobody is warm enough, the owner serves.
		const bool absent = !up[owner] || (!stand_ins.takes(owner, s) && living > 1 &&
						   stand_ins.takes(stand_ins.find(s, owner), s));
		if (absent)
			slots[s] = {{index(stand_ins.find(s, owner)), index(owner), 0}, 2};
		else if (living > 1)
			slots[s] = {{index(owner), index(stand_ins.find(s, owner)), 0}, 2};
		else
			slots[s] = {{index(owner), 0, 0}, 1};
		if (layers.empty())
			continue;
		ax_slot merged{};
		add(merged, slots[s].backend[0]);
		if (absent)
			add(merged, index(owner));
		for (const Layer &layer : layers) {
			if (layer.owner[s] != kNobody)
				add(merged, layer.owner[s]);
		}
		for (const Layer &layer : layers) {
			if (layer.first[s] != kNobody)
				add(merged, layer.first[s]);
		}
		if (slots[s].count > 1)
			add(merged, slots[s].backend[1]);
		slots[s] = merged;
	}
	return slots;
}

std::uint32_t backend_tag(std::string_view full_name, const Address &address,
			  const MaglevSeed &seed)
{
	const auto &bytes = address.bytes();
	const std::uint64_t hash =
		hash_bytes({reinterpret_cast<const char *>(bytes.data()), bytes.size()},
			   {hash_bytes(full_name, seed), seed[0]});
	const auto tag = static_cast<std::uint32_t>(hash >> 32);

	return tag != 0 ? tag : 1;
}

std::uint64_t table_digest(std::span<const ax_slot> slots, std::span<const std::string_view> keys)
{
	constexpr MaglevSeed kDigestSeed{0x616e7963617374ULL, 0x6d61676c6576ULL};
	std::vector<std::uint64_t> key_hash;
	for (const std::string_view key : keys)
		key_hash.push_back(hash_bytes(key, kDigestSeed));

	std::uint64_t digest = ax_mix(slots.size() + kGolden);
	for (const ax_slot &slot : slots) {
		digest = ax_mix(digest ^ (slot.count + kGolden));
		for (std::uint32_t c = 0; c < slot.count; c++)
			digest = ax_mix(digest + key_hash[slot.backend[c]]);
	}
	return digest;
}

} // namespace anycast
