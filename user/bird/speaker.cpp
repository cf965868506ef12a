// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bird/speaker.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "bird/round.h"

namespace anycast::bird {

namespace {

// Reply codes; doc/reply_codes in BIRD's source.
constexpr int kReconfigured = 3, kInProgress = 4, kQueued = 5, kCheckOk = 20;
constexpr std::chrono::seconds kLongestPause{30};

// The reason is in the lines before the last one, too: "0002-Reading configuration from ..."
std::string refusal(const Reply &reply)
{
	return fmt::format("{:04} {}", reply.code(), reply.last());
}

std::string seconds_text(std::chrono::seconds seconds)
{
	return fmt::format("{} s", seconds.count());
}

} // namespace

BirdStatus Speaker::reconcile(const Wanted &wanted, std::chrono::milliseconds budget)
{
	Round round{wanted, Clock::now() + budget, true};
	run(round);
	return std::move(round.status);
}

BirdStatus Speaker::inspect(const Wanted &wanted, std::chrono::milliseconds budget)
{
	Round round{wanted, Clock::now() + budget, false};
	run(round);
	return std::move(round.status);
}

void Speaker::run(Round &round)
{
	// First, since a BIRD that is absent or hung reads it when it is back.
	if (round.may_mend)
		keep_include(round);
	if (!ask_daemon(round) || !read_protocols(round) || !read_own_routes(round))
		return;
	if (round.may_mend && (unread_ || (!round.status.in_force && round.included)))
		mend(round);
	if (round.status.in_force)
		pause_ = std::chrono::seconds{1};
	if (round.status.state == BirdState::kRunning && !round.included)
		round.stop(BirdState::kNotOurs,
			   Error{Exit::kFailed,
				 fmt::format("BIRD's configuration does not include {}",
					     config_.include),
				 "see `anycast-xdp bird render`, or docs/bird.md for a "
				 "configuration of your own"});
	compare_sessions(round);
	if (round.may_mend)
		resend(round);
}

Result<Reply> Speaker::ask(Round &round, const std::string &command)
{
	auto reply = client_.ask(command, round.deadline);
	if (reply)
		return reply;
	round.stop(client_.trouble() == Trouble::kHung	    ? BirdState::kHung
		   : client_.trouble() == Trouble::kRefused ? BirdState::kRefused
							    : BirdState::kAbsent,
		   reply.error());
	return reply;
}

void Speaker::keep_include(Round &round)
{
	const std::string text = include_text(round.wanted);
	const auto current = read_file(config_.include);
	if (!current)
		return round.problem(current.error().message());
	if (*current == text)
		return;
	if (text == rejected_ && Clock::now() < next_try_)
		return;
	round.before = *current;
	if (const auto replaced = replace_file(config_.include, text); !replaced)
		return round.problem(replaced.error().message());
	round.written = unread_ = true;
	round.status.mended.push_back(fmt::format("wrote {}", config_.include));
}

bool Speaker::ask_daemon(Round &round)
{
	const auto reply = ask(round, "show status");
	if (!reply)
		return false;
	const auto status = parse_status(*reply);
	if (!status) {
		round.stop(BirdState::kRefused, status.error());
		return false;
	}
	round.status.state = BirdState::kRunning;
	round.status.version = status->version;
	round.status.router_id = status->router_id;
	return true;
}

bool Speaker::read_protocols(Round &round)
{
	const auto reply = ask(round, "show protocols all");
	if (!reply)
		return false;
	auto protocols = parse_protocols(*reply);
	if (!protocols) {
		round.stop(BirdState::kRefused, protocols.error());
		return false;
	}
	round.protocols = std::move(*protocols);
	const auto has = [&](std::string_view name) {
		return std::ranges::find(round.protocols, name, &Protocol::name) !=
		       round.protocols.end();
	};
	round.included = has(kStatic4) && has(kStatic6);
	return true;
}

// Would BIRD take it? A refusal puts the old file back.
bool Speaker::check(Round &round)
{
	const auto reply = ask(round, "configure check");
	if (!reply)
		return false;
	if (reply->code() == kCheckOk) {
		rejected_.clear();
		return true;
	}
	restore(round, refusal(*reply));
	return false;
}

void Speaker::restore(Round &round, const std::string &complaint)
{
	const std::string text = include_text(round.wanted);
	round.stop(BirdState::kRejected,
		   Error{Exit::kFailed,
			 fmt::format("BIRD refuses its configuration: {}", complaint),
			 "the old announcements are in force; see: bird -p"});
	// A file that was the same before this round is not what BIRD has come to dislike.
	if (!round.written || round.before.empty())
		return;
	if (const auto restored = replace_file(config_.include, round.before); !restored)
		return round.problem(restored.error().message());
	const auto again = client_.ask("configure check", round.deadline);
	if (again && again->code() == kCheckOk) {
		rejected_ = text;
		complaint_ = complaint;
		return;
	}
	// It is not our text: somebody edits the base configuration. Ours waits for them to finish.
	(void)replace_file(config_.include, text);
}

void Speaker::mend(Round &round)
{
	if (Clock::now() < next_try_ && !round.written) {
		if (!rejected_.empty())
			round.stop(BirdState::kRejected,
				   Error{Exit::kFailed,
					 fmt::format("BIRD refuses our file: {}", complaint_),
					 "the old announcements are in force"});
		return emergency(round);
	}
	next_try_ = Clock::now() + pause_;
	pause_ = std::min(2 * pause_, kLongestPause);
	if (!check(round))
		return emergency(round);
	const auto reply = ask(round, "configure");
	if (!reply)
		return;
	switch (reply->code()) {
	case kReconfigured:
		unread_ = false;
		round.status.mended.emplace_back("reconfigured BIRD");
		break;
	case kInProgress:
	case kQueued: // the next round looks again
		round.status.mended.emplace_back("asked BIRD to reconfigure");
		break;
	default:
		round.stop(BirdState::kRejected,
			   Error{Exit::kFailed,
				 fmt::format("BIRD does not reconfigure: {}", refusal(*reply)),
				 "the old announcements are in force"});
		return emergency(round);
	}
	if (!read_protocols(round) || !read_own_routes(round))
		return;
	if (!round.status.in_force && round.included)
		round.problem(fmt::format("BIRD has been reconfigured, and announces {} of {} VIPs "
					  "as wanted so far; the next try is in {}",
					  round.own.size(), round.wanted.announcements.size(),
					  seconds_text(pause_)));
}

// BIRD runs but cannot be reconfigured. Where nothing of a family is to be announced, its protocol
// can be stopped all the same. (The next `configure` that works starts it again.)
void Speaker::emergency(Round &round)
{
	for (const bool v4 : {true, false}) {
		const auto of_family = [&](const Address &address) {
			return address.is_v4() == v4;
		};
		const bool any_wanted = std::ranges::any_of(round.wanted.announcements, of_family,
							    &Announcement::address);
		const bool any_there = std::ranges::any_of(
			round.own, [&](const auto &route) { return of_family(route.first); });
		if (any_wanted || !any_there)
			continue;
		const std::string_view name = v4 ? kStatic4 : kStatic6;
		const auto reply = client_.ask(fmt::format("disable {}", name), round.deadline);
		if (reply && reply->ok())
			round.status.mended.push_back(fmt::format(
				"disabled {}: BIRD does not take its configuration", name));
	}
}

} // namespace anycast::bird
