// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/plan.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/names.h"
#include "core/steer.h"

namespace anycast {

namespace {

constexpr std::uint32_t kProbes = 65536; // hash values that tables of unequal size are held by

const Pool *pool_named(const Config &config, const std::string &name)
{
	const auto found = std::ranges::find(config.pools, name, &Pool::name);
	return found == config.pools.end() ? nullptr : &*found;
}

const Backend *backend_named(const Pool *pool, const std::string &name)
{
	if (pool == nullptr)
		return nullptr;
	const auto found = std::ranges::find(pool->backends, name, &Backend::name);
	return found == pool->backends.end() ? nullptr : &*found;
}

const ax_pool *table_of(const PlanSide &side, const std::string &name)
{
	const auto found = std::ranges::find(side.config.pools, name, &Pool::name);
	return found == side.config.pools.end()
		       ? nullptr
		       : &side.image.pools[static_cast<std::size_t>(
				 std::distance(side.config.pools.begin(), found))];
}

// Who has the slot: an id, or -1.
int owner_of(const PlanSide &side, const ax_pool &pool, std::uint32_t slot)
{
	const ax_slot &entry = side.image.slots.at(pool.first + slot);
	return entry.count == 0 ? -1 : entry.backend[0];
}

std::string name_of(const PlanSide &side, int id)
{
	if (id < 0)
		return "";
	const std::string &full = side.image.ids.backends.at(static_cast<std::size_t>(id)).name;
	return full.substr(full.find('/') + 1);
}

// Why a slot goes from one backend to another.
std::string cause(const PlanSide &from, const PlanSide &to, const std::string &pool,
		  const std::string &loser, const std::string &winner)
{
	const Pool *before = pool_named(from.config, pool), *after = pool_named(to.config, pool);
	const Backend *left = backend_named(after, loser), *came = backend_named(before, winner);

	if (loser.empty())
		return "nobody was up";
	if (winner.empty())
		return "nobody is up";
	if (left == nullptr)
		return fmt::format("{} is removed", loser);
	if (left->state != AX_BACKEND_ACTIVE)
		return fmt::format("{} is {}", loser, state_name(left->state));
	if (loser == winner)
		return fmt::format("{} has another address", loser);
	if (came == nullptr)
		return fmt::format("{} is added", winner);
	if (came->state != AX_BACKEND_ACTIVE)
		return fmt::format("{} is active again", winner);
	if (from.config.hash_seed != to.config.hash_seed)
		return "another hash_seed";
	if (before->hash != after->hash)
		return "another hash input";
	if (before->table_size != after->table_size)
		return fmt::format("table_size {} -> {}", before->table_size, after->table_size);
	return "weights or the set of backends";
}

// Ids are kept with their things; another generation is another address.
bool same_backend(const PlanSide &from, const PlanSide &to, int before, int after)
{
	if (before < 0 || after < 0)
		return before == after;
	return before == after &&
	       from.image.ids.backends[static_cast<std::size_t>(before)].gen ==
		       to.image.ids.backends[static_cast<std::size_t>(after)].gen;
}

void plan_slots(const PlanSide &from, const PlanSide &to, PlannedPool &pool)
{
	const ax_pool *before = table_of(from, pool.name), *after = table_of(to, pool.name);
	if (before == nullptr || after == nullptr)
		return;
	pool.size_before = before->size;
	pool.size_after = after->size;
	if (before->size == 0 && after->size == 0)
		return;
	const bool equal = before->size == after->size;
	const std::uint32_t probes = equal ? before->size : kProbes;
	std::map<std::pair<int, int>, std::uint32_t> moves;
	for (std::uint32_t i = 0; i < probes; i++) {
		const std::uint32_t hash = equal ? i : i << 16 | 0x8000;
		const int old = before->size ? owner_of(from, *before, hash % before->size) : -1;
		const int now = after->size ? owner_of(to, *after, hash % after->size) : -1;
		if (!same_backend(from, to, old, now))
			moves[{old, now}]++;
	}
	std::uint32_t moved = 0;
	for (const auto &[who, count] : moves) {
		const double share = static_cast<double>(count) / probes;
		moved += count;
		pool.moved = static_cast<double>(moved) / probes;
		pool.why[cause(from, to, pool.name, name_of(from, who.first),
			       name_of(to, who.second))] += share;
	}
}

std::vector<PlannedBackend> backends_of(const PlanSide &from, const PlanSide &to,
					const std::string &name)
{
	std::map<std::string, PlannedBackend> found;
	std::vector<std::string> order;
	const auto take = [&](const PlanSide &side, bool is_after) {
		const Pool *pool = pool_named(side.config, name);
		const ax_pool *table = table_of(side, name);
		if (pool == nullptr || table == nullptr)
			return;
		const auto shares =
			slot_shares(side.image.slots, *table, side.image.backends.size());
		for (const Backend &backend : pool->backends) {
			PlannedBackend &planned = found[backend.name];
			if (planned.name.empty())
				order.push_back(backend.name);
			planned.name = backend.name;
			(is_after ? planned.after : planned.before) = backend.state;
			const auto id = std::ranges::find(side.image.ids.backends,
							  name + "/" + backend.name, &Named::name);
			if (id != side.image.ids.backends.end())
				(is_after ? planned.share_after : planned.share_before) =
					shares[static_cast<std::size_t>(std::distance(
						side.image.ids.backends.begin(), id))];
		}
	};
	take(to, true);
	take(from, false);
	std::vector<PlannedBackend> list;
	for (const std::string &backend : order)
		list.push_back(found[backend]);
	return list;
}

class FlowPlanner {
public:
	FlowPlanner(const PlanSide &from, const PlanSide &to, bool reset, Plan &plan)
		: from_(from), to_(to), reset_(reset), plan_(plan)
	{
		for (PlannedPool &pool : plan.pools)
			for (PlannedBackend &backend : pool.backends)
				rows_[pool.name + "/" + backend.name] = &backend;
	}

	void add(const FlowRecord &flow)
	{
		const Named *backend =
			named(from_.image.ids.backends, flow.backend, flow.backend_gen);
		if (backend == nullptr ||
		    named(from_.image.ids.vips, flow.vip, flow.vip_gen) == nullptr)
			return; // stale: its next packet is steered anew in any case
		if (const auto row = rows_.find(backend->name); row != rows_.end())
			row->second->flows_before++;
		const ax_slot *slot = slot_after(flow);
		const std::string owner = slot == nullptr || slot->count == 0
						  ? ""
						  : to_.image.ids.backends[slot->backend[0]].name;
		bool keeps = may_keep(flow);
		if (!keeps) {
			plan_.flows.broken++;
		} else if (owner == backend->name) {
			plan_.flows.stay++;
		} else if (slot != nullptr && is_candidate(flow, *slot)) {
			plan_.flows.second_chance++;
		} else if (reset_) {
			plan_.flows.forgotten++;
			keeps = false;
		} else {
			plan_.flows.pinned++;
		}
		if (const auto row = rows_.find(keeps ? backend->name : owner); row != rows_.end())
			row->second->flows_after++;
	}

private:
	static const Named *named(const std::vector<Named> &ids, std::uint16_t id,
				  std::uint16_t gen)
	{
		return id < ids.size() && ids[id].used && ids[id].gen == gen ? &ids[id] : nullptr;
	}

	// As the data path revalidates an entry.
	[[nodiscard]] bool may_keep(const FlowRecord &flow) const
	{
		if (named(to_.image.ids.vips, flow.vip, flow.vip_gen) == nullptr ||
		    named(to_.image.ids.backends, flow.backend, flow.backend_gen) == nullptr)
			return false;
		const __u8 state = to_.image.backends[flow.backend].state;
		return state == AX_BACKEND_ACTIVE || state == AX_BACKEND_DRAINING;
	}

	// None if its VIP is gone or nobody is up.
	[[nodiscard]] const ax_slot *slot_after(const FlowRecord &flow) const
	{
		const Named *vip = named(to_.image.ids.vips, flow.vip, flow.vip_gen);
		if (vip == nullptr)
			return nullptr;
		const ax_pool &pool = to_.image.pools[to_.image.vips[flow.vip].pool];
		if (pool.size == 0)
			return nullptr;
		const std::uint32_t hash =
			steer_hash(to_.config.hash_seed,
				   {flow.source, flow.destination, flow.source_port,
				    flow.destination_port, flow.protocol},
				   static_cast<ax_hash_input>(pool.hash));
		return &to_.image.slots.at(pool.first + hash % pool.size);
	}

	// TCP in GUE that names its slot's candidates: who has no socket for it passes it on.
	[[nodiscard]] bool is_candidate(const FlowRecord &flow, const ax_slot &slot) const
	{
		constexpr std::uint8_t kTcp = 6;
		const __u8 forward = to_.image.vips[flow.vip].forward & AX_FORWARD_HOW;
		if (flow.protocol != kTcp || forward != AX_FORWARD_GUE ||
		    !to_.image.settings.second_chance)
			return false;
		const auto *end = slot.backend + std::min<std::size_t>(slot.count, AX_CANDIDATES);
		return std::find(slot.backend, end, flow.backend) != end;
	}

	const PlanSide &from_, &to_;
	const bool reset_;
	Plan &plan_;
	std::map<std::string, PlannedBackend *> rows_;
};

} // namespace

Plan plan_change(const PlanSide &from, const PlanSide &to, std::span<const FlowRecord> flows,
		 bool reset_flows)
{
	Plan plan;

	for (const PlanSide *side : {&to, &from})
		for (const Pool &pool : side->config.pools) {
			if (std::ranges::find(plan.pools, pool.name, &PlannedPool::name) !=
			    plan.pools.end())
				continue;
			PlannedPool planned;
			planned.name = pool.name;
			if (const ax_pool *table = table_of(*side, pool.name))
				(side == &to ? planned.size_after : planned.size_before) =
					table->size;
			plan_slots(from, to, planned);
			planned.backends = backends_of(from, to, pool.name);
			plan.pools.push_back(std::move(planned));
		}
	FlowPlanner planner(from, to, reset_flows, plan);
	for (const FlowRecord &flow : flows)
		planner.add(flow);
	return plan;
}

} // namespace anycast
