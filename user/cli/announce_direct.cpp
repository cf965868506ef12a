// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "agent/state_file.h"
#include "bird/ledger.h"
#include "bird/speaker.h"
#include "cli/announce.h"
#include "kernel/state.h"

namespace anycast::cli {

namespace {

constexpr std::chrono::milliseconds kRound{2000};
constexpr std::chrono::seconds kPatience{8};

double now_seconds()
{
	return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
		.count();
}

class DirectOrder {
public:
	DirectOrder(const Context &context, const Config &config, std::string state_dir,
		    bird::Ledger ledger)
		: context_(context), config_(config), state_dir_(std::move(state_dir)),
		  ledger_(std::move(ledger)), speaker_(config.bird)
	{
	}
	Result<std::vector<OrderResult>> carry_out(const ControlRequest &request);

private:
	Status plan(const Address &address, Reach wanted, bool force);
	void tell_next_agent(const ControlRequest &request,
			     const std::vector<Address> &addresses) const;
	BirdStatus put_in_force(const Wanted &wanted);

	const Context &context_;
	const Config &config_;
	std::string state_dir_;
	bird::Ledger ledger_;
	bird::Speaker speaker_;
	std::map<Address, Reach> reach_;
	std::vector<OrderResult> results_;
};

// What the damping model says, and what it is told.
Status DirectOrder::plan(const Address &address, Reach wanted, bool force)
{
	const double now = now_seconds();
	const auto found = reach_.find(address);
	const Reach was = found == reach_.end() ? Reach::kWithdrawn : found->second;
	OrderResult result{vip_names(config_, address),
			   address,
			   std::string(reach_name(wanted)),
			   was != wanted,
			   false,
			   0,
			   ""};
	Damping &damping = ledger_.of(address);
	if (was != wanted && wanted != Reach::kWithdrawn) {
		const bool change = was != Reach::kWithdrawn;
		const double wait =
			change ? damping.wait_to_change(now) : damping.wait_to_announce(now);
		if (wait > 0 && !force)
			return fail(
				Exit::kFailed,
				fmt::format("{} {}: another flap within the next {:.0f} s could "
					    "get it suppressed upstream (profile {}, penalty "
					    "{:.0f} of {:.0f})",
					    result.vip, address.text(), wait, config_.bird.damping,
					    damping.penalty(now), damping.profile().suppress),
				fmt::format("wait that long, or insist with --force{}",
					    wanted == Reach::kDraining ? ", or withdraw it" : ""));
		change ? damping.changed(now) : damping.announced(now);
	} else if (was != wanted) {
		damping.withdrawn(now);
	}
	reach_[address] = wanted;
	results_.push_back(std::move(result));
	return {};
}

// An agent that starts later keeps the order, as if it had got it.
void DirectOrder::tell_next_agent(const ControlRequest &request,
				  const std::vector<Address> &addresses) const
{
	const std::string path = state_dir_ + "/agent.json";
	auto saved = agent::load_saved(path);
	if (!saved) {
		context_.warn(saved.error().message());
		saved = agent::Saved{};
	}
	const double now = now_seconds();
	// Insisting was for now: from then on health decides.
	const OrderKind kind =
		request.command == "announce" ? OrderKind::kAuto : request.order_kind();
	for (const Address &address : addresses) {
		const Reach reach = reach_.at(address);
		saved->announcer.decisions[address] = {.reach = reach,
						       .reason = "order, without an agent",
						       .wait = 0,
						       .since = now};
		if (kind == OrderKind::kAuto)
			saved->announcer.orders.erase(address);
		else
			saved->announcer.orders[address] = {.kind = kind,
							    .reason = request.reason,
							    .since = now,
							    .expires = {}};
	}
	if (const Status stored = agent::store_saved(path, *saved); !stored)
		context_.warn(stored.error().message());
}

BirdStatus DirectOrder::put_in_force(const Wanted &wanted)
{
	const auto deadline = bird::Clock::now() + kPatience;
	for (;;) {
		BirdStatus status = speaker_.reconcile(wanted, kRound);
		if (status.in_force || status.state != BirdState::kRunning ||
		    bird::Clock::now() >= deadline)
			return status;
		std::this_thread::sleep_for(std::chrono::milliseconds(200));
	}
}

Result<std::vector<OrderResult>> DirectOrder::carry_out(const ControlRequest &request)
{
	const auto addresses = asked_addresses(config_, request.all, request.vip);
	if (!addresses)
		return tl::unexpected(addresses.error());
	const auto text = bird::read_file(config_.bird.include);
	if (!text)
		return tl::unexpected(text.error());
	auto reach = bird::reach_in(*text);
	if (!reach)
		return tl::unexpected(reach.error());
	reach_ = std::move(*reach);
	const Reach wanted = request.command == "announce" ? Reach::kAnnounced
			     : request.command == "drain"  ? Reach::kDraining
							   : Reach::kWithdrawn;
	for (const Address &address : *addresses)
		AX_TRY(plan(address, wanted, request.force));
	// An announcement that nobody can account for is one too many; a withdrawal is not.
	const Status saved = ledger_.save(now_seconds());
	if (!saved && wanted != Reach::kWithdrawn)
		return tl::unexpected(saved.error());
	if (!saved)
		context_.warn(saved.error().message());

	tell_next_agent(request, *addresses);
	const BirdStatus status = put_in_force(wanted_for(config_, reach_));
	for (OrderResult &result : results_) {
		result.in_force = status.in_force;
		if (!status.in_force)
			result.problem = !status.problem.empty()   ? status.problem
					 : status.problems.empty() ? "BIRD has not taken it yet"
								   : status.problems.front();
	}
	for (const std::string &problem : status.problems)
		context_.warn(problem);
	return std::move(results_);
}

} // namespace

Result<std::vector<OrderResult>> order_directly(const Context &context, const Config &config,
						const std::string &state_dir,
						const ControlRequest &request)
{
	if (config.bird.asn == 0)
		return fail(Exit::kUsage, "the configuration has no [bird] section",
			    "give it `asn` there (see docs/bird.md)");
	const auto lock = state::Lock::take(state_dir + "/announce", 10);
	auto ledger = bird::Ledger::load(state_dir + "/damping.json",
					 *find_damping_profile(config.bird.damping));
	// A withdrawal never waits for anything that can be wrong with the state directory.
	const bool insists = request.command == "withdraw" || request.force;
	if (!insists && !lock)
		return tl::unexpected(lock.error());
	if (!insists && !ledger)
		return tl::unexpected(ledger.error());
	if (!lock)
		context.warn(lock.error().message());
	if (!ledger) {
		context.warn(ledger.error().message());
		ledger = bird::Ledger(state_dir + "/damping.json",
				      *find_damping_profile(config.bird.damping));
	}
	return DirectOrder(context, config, state_dir, std::move(*ledger)).carry_out(request);
}

} // namespace anycast::cli
