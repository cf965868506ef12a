// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What comes in over the control socket.
#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "agent/agent.h"

namespace anycast::agent {

namespace {

constexpr std::chrono::seconds kBirdPatience{8};

double wall_clock()
{
	return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
		.count();
}

} // namespace

void Agent::handle(const ControlRequest &request, const Peer &peer, const Answer &answer)
{
	if (request.command == "status")
		return answer({{}, status()});
	if (request.command == "marks")
		return answer({{}, marks_->status()});
	if (request.command == "reload") {
		reload();
		const auto found = problems_.find("reload");
		if (found != problems_.end())
			return answer({fail(Exit::kUsage, found->second), {}});
		return answer({{}, nlohmann::ordered_json::object()});
	}
	if (request.command == "announce" || request.command == "withdraw" ||
	    request.command == "drain")
		return take_order(request, peer, answer);
	answer({fail(Exit::kUsage, fmt::format("the agent knows no command {}", request.command),
		     "it may be older or newer than this program: restart it"),
		{}});
}

void Agent::take_order(const ControlRequest &request, const Peer &peer, const Answer &answer)
{
	const auto vips = asked_addresses(config_, request.all, request.vip);
	if (!vips)
		return answer({tl::unexpected(vips.error()), {}});
	const double now = wall_clock();
	Order order{.kind = request.order_kind(),
		    .reason = request.reason,
		    .since = now,
		    .expires = {}};
	if (request.seconds)
		order.expires = now + *request.seconds;
	Pending pending{.round = 0, .vips = *vips, .before = {}, .answer = answer, .limit = 0};
	for (const Address &vip : *vips) {
		pending.before[vip] = reach_.contains(vip) ? reach_[vip] : Reach::kWithdrawn;
		announcer_.order(vip, order);
		around_.log(fmt::format("user {} orders: {} {}{}", peer.uid, request.command,
					vip_names(config_, vip),
					request.reason.empty() ? "" : ": " + request.reason));
	}
	act();
	if (!bird_)
		return answer_order(pending, false);
	pending.round = bird_->post(wanted_for(config_, reach_));
	pending_.push_back(std::move(pending));
	const std::uint64_t round = pending_.back().round;
	pending_.back().limit = loop_.at(Loop::Clock::now() + kBirdPatience, [this, round] {
		const auto late = std::ranges::find(pending_, round, &Pending::round);
		if (late == pending_.end())
			return;
		Pending taken = std::move(*late);
		pending_.erase(late);
		taken.limit = 0;
		answer_order(taken, false);
	});
}

void Agent::on_bird(const BirdStatus &status, std::uint64_t round)
{
	bird_status_ = status;
	round_ = round;
	problem("bird", status.state == BirdState::kRunning
				? ""
				: fmt::format("BIRD: {}: {}", bird_state_name(status.state),
					      status.problem));
	for (const std::string &mended : status.mended)
		around_.log("BIRD: " + mended);
	std::vector<Pending> done;
	for (auto pending = pending_.begin(); pending != pending_.end();) {
		if (pending->round <= round && status.in_force) {
			done.push_back(std::move(*pending));
			pending = pending_.erase(pending);
		} else {
			++pending;
		}
	}
	for (Pending &pending : done)
		answer_order(pending, true);
}

OrderResult Agent::result_for(const Address &vip, const Pending &pending, bool in_force) const
{
	OrderResult result;
	result.vip = vip_names(config_, vip);
	result.address = vip;
	result.in_force = in_force;
	const auto decision = announcer_.memory().decisions.find(vip);
	if (decision == announcer_.memory().decisions.end())
		return result;
	const auto before = pending.before.find(vip);
	result.wait = decision->second.wait;
	result.state = result.wait > 0 ? "waiting" : reach_name(decision->second.reach);
	result.changed = before == pending.before.end() || before->second != decision->second.reach;
	if (result.wait > 0)
		result.problem = decision->second.reason;
	else if (!in_force)
		result.problem = !bird_		? "no [bird] is configured"
				 : bird_status_ ? bird_status_->problem
						: "BIRD has not answered yet";
	return result;
}

void Agent::answer_order(Pending &pending, bool in_force)
{
	loop_.cancel(pending.limit);
	std::vector<OrderResult> results;
	for (const Address &vip : pending.vips)
		results.push_back(result_for(vip, pending, in_force));
	pending.answer({{}, results_to_json(results)});
}

} // namespace anycast::agent
