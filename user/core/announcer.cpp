// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/announcer.h"

#include <algorithm>

#include <fmt/format.h>

namespace anycast {

namespace {

std::string with_reason(std::string_view what, const Order &order)
{
	return order.reason.empty() ? fmt::format("order: {}", what)
				    : fmt::format("order: {} ({})", what, order.reason);
}

} // namespace

void Announcer::order(const Address &vip, const Order &order)
{
	if (order.kind == OrderKind::kAuto)
		memory_.orders.erase(vip);
	else
		memory_.orders[vip] = order;
}

Reach Announcer::reach_of(const Address &vip) const
{
	const auto found = memory_.decisions.find(vip);
	return found == memory_.decisions.end() ? Reach::kWithdrawn : found->second.reach;
}

// All canaries announced, and healthy: since when?
void Announcer::watch_canaries(const std::map<Address, VipFacts> &facts, double now)
{
	bool all_up = true;
	canaries_ = false;
	for (const auto &[vip, fact] : facts)
		if (fact.canary) {
			canaries_ = true;
			all_up = all_up && fact.health == Health::kUp &&
				 reach_of(vip) == Reach::kAnnounced;
		}
	if (!canaries_ || !all_up)
		memory_.canaries_up_since.reset();
	else if (!memory_.canaries_up_since)
		memory_.canaries_up_since = now;
}

// Why a VIP has to wait for the canaries; "" if it has not. What is announced stays so: a canary
// that dies says nothing about a service that is healthy.
std::string Announcer::canary_says(const VipFacts &facts, const AgentOptions &options, Reach before,
				   double now) const
{
	if (!canaries_ || facts.canary || before != Reach::kWithdrawn)
		return {};
	if (!memory_.canaries_up_since)
		return "canary: not up yet";
	const double hold = static_cast<double>(options.canary_hold.count()) / 1000;
	const double up = std::max(now - *memory_.canaries_up_since, 0.0);
	return up >= hold ? "" : fmt::format("canary: up for {:.0f} s of {:.0f} s", up, hold);
}

std::optional<Announcer::Wish> Announcer::ordered(const Address &vip, const VipFacts &facts,
						  double now) const
{
	const auto found = memory_.orders.find(vip);
	if (found == memory_.orders.end() || !found->second.active(now))
		return std::nullopt;
	const Order &order = found->second;
	switch (order.kind) {
	case OrderKind::kAnnounce:
		return Wish{Reach::kAnnounced, with_reason("announce", order), false};
	case OrderKind::kWithdraw:
		return Wish{Reach::kWithdrawn, with_reason("withdraw", order)};
	case OrderKind::kDrain:
		if (facts.health == Health::kDown || !facts.served)
			return Wish{Reach::kWithdrawn, facts.served
							       ? "health: down, while it drains"
							       : "not served, while it drains"};
		// New flows have stopped: nobody loses anything by the withdrawal any more.
		if (facts.quiet || reach_of(vip) == Reach::kWithdrawn)
			return Wish{Reach::kWithdrawn, with_reason("drained", order)};
		return Wish{Reach::kDraining, with_reason("drain", order), false};
	case OrderKind::kAuto:
		break;
	}
	return std::nullopt;
}

Announcer::Wish Announcer::wish_for(const Address &vip, const VipFacts &facts,
				    const AgentOptions &options, bool overloaded, double now) const
{
	if (auto wish = ordered(vip, facts, now))
		return *wish;
	const Reach before = reach_of(vip);
	if (!facts.served)
		return {Reach::kWithdrawn,
			"not served: its backends are elsewhere, and no attached interface "
			"steers it"};
	if (facts.health == Health::kDown)
		return {Reach::kWithdrawn, "health: down"};
	if (facts.health == Health::kUnknown)
		return {before, before == Reach::kWithdrawn
					? "health: not known yet"
					: "health: not known yet, left as it was"};
	if (std::string why = canary_says(facts, options, before, now); !why.empty())
		return {Reach::kWithdrawn, std::move(why)};
	if (!overloaded || options.overload.action == OverloadAction::kNone)
		return {Reach::kAnnounced, "health: up"};
	if (options.overload.action == OverloadAction::kDrain)
		return {Reach::kDraining, "overload: drained"};
	// A node cannot know whether it is the last one, unless it sees another's route.
	return facts.others_announce
		       ? Wish{Reach::kWithdrawn, "overload: withdrawn, others announce it"}
		       : Wish{Reach::kDraining, "overload: drained only, no other is seen to "
						"announce it"};
}

void Announcer::follow(const Address &vip, Wish wish, double now)
{
	Decision &decision = memory_.decisions[vip];
	Damping &damping = damping_(vip);
	const Reach before = decision.reach;
	decision.reason = std::move(wish.reason);
	decision.wait = 0;
	if (wish.reach == before)
		return;
	// A withdrawal never waits.
	if (wish.ask_damping && wish.reach != Reach::kWithdrawn) {
		const bool change = before != Reach::kWithdrawn;
		decision.wait =
			change ? damping.wait_to_change(now) : damping.wait_to_announce(now);
		if (decision.wait > 0) {
			decision.reason = fmt::format(
				"damping: {}, but may be {} in {:.0f} s only", decision.reason,
				change ? "changed" : "announced", decision.wait);
			return;
		}
	}
	if (wish.reach == Reach::kWithdrawn)
		damping.withdrawn(now);
	else if (before == Reach::kWithdrawn)
		damping.announced(now);
	else
		damping.changed(now);
	decision.reach = wish.reach;
	decision.since = now;
}

const std::map<Address, Decision> &Announcer::decide(const std::map<Address, VipFacts> &facts,
						     const AgentOptions &options, bool overloaded,
						     double now)
{
	std::erase_if(memory_.decisions,
		      [&](const auto &decision) { return !facts.contains(decision.first); });
	std::erase_if(memory_.orders, [&](const auto &order) {
		return !facts.contains(order.first) || !order.second.active(now);
	});
	watch_canaries(facts, now);
	for (const auto &[vip, fact] : facts)
		follow(vip, wish_for(vip, fact, options, overloaded, now), now);
	return memory_.decisions;
}

} // namespace anycast
