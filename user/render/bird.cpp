// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/bird.h"

#include <cmath>

#include <fmt/format.h>

#include "render/table.h"

namespace anycast::render {

namespace {

using nlohmann::ordered_json;

ordered_json or_null(const std::string &text)
{
	return text.empty() ? ordered_json() : ordered_json(text);
}

std::vector<std::string> texts_of(const std::vector<Address> &addresses)
{
	std::vector<std::string> texts;
	for (const Address &address : addresses)
		texts.push_back(address.text());
	return texts;
}

ordered_json session_json(const SessionStatus &session)
{
	// What cannot be known while the session is down is null.
	const auto if_up = [&](ordered_json value) {
		return session.established() ? std::move(value) : ordered_json();
	};
	return {{"name", session.name},
		{"neighbour", session.neighbour},
		{"local_asn", session.local_asn},
		{"neighbour_asn", session.neighbour_asn},
		{"configured", session.configured},
		{"exists", session.exists},
		{"state", session.state},
		{"since", or_null(session.since)},
		{"last_error", or_null(session.last_error)},
		{"advice", or_null(session.advice)},
		{"bfd", or_null(session.bfd)},
		{"expected", session.expected},
		{"exported", if_up(session.exported)},
		{"missing", texts_of(session.missing)},
		{"unwanted", texts_of(session.unwanted)},
		{"seen", texts_of(session.seen)},
		{"routes_exported", if_up(session.routes_exported)},
		{"routes_imported", if_up(session.routes_imported)}};
}

ordered_json announcement_json(const Announcement &announcement)
{
	const BgpAttributes &attributes = announcement.attributes;
	ordered_json communities = ordered_json::array(), large = ordered_json::array();
	for (const Community &community : attributes.communities)
		communities.push_back(community.text());
	for (const LargeCommunity &community : attributes.large_communities)
		large.push_back(community.text());
	const auto number = [](const std::optional<std::uint32_t> &value) {
		return value ? ordered_json(*value) : ordered_json();
	};
	return {{"address", announcement.address.text()},
		{"state", reach_name(announcement.draining ? Reach::kDraining : Reach::kAnnounced)},
		{"communities", std::move(communities)},
		{"large_communities", std::move(large)},
		{"prepend", attributes.prepend},
		{"med", number(attributes.med)},
		{"local_pref", number(attributes.local_pref)}};
}

std::string announced_text(const Wanted &wanted)
{
	std::string text;
	for (const Address &vip : wanted.vips) {
		Reach reach = Reach::kWithdrawn;
		for (const Announcement &announcement : wanted.announcements)
			if (announcement.address == vip)
				reach = announcement.draining ? Reach::kDraining
							      : Reach::kAnnounced;
		text += fmt::format("  {}  {}\n", vip.text(), reach_name(reach));
	}
	return text;
}

std::string sessions_text(const BirdStatus &status)
{
	Table table({{"neighbour"},
		     {"protocol"},
		     {"AS", Align::kRight},
		     {"ours", Align::kRight},
		     {"state"},
		     {"since"},
		     {"BFD"},
		     {"VIPs", Align::kRight},
		     {"routes in", Align::kRight},
		     {"out", Align::kRight}});
	std::string notes;
	for (const SessionStatus &session : status.sessions) {
		const bool up = session.established();
		table.row({session.neighbour, session.name, std::to_string(session.neighbour_asn),
			   std::to_string(session.local_asn),
			   session.exists ? session.state : "not in BIRD", session.since,
			   session.bfd, fmt::format("{}/{}", session.exported, session.expected),
			   up ? std::to_string(session.routes_imported) : "",
			   up ? std::to_string(session.routes_exported) : ""});
		if (!session.last_error.empty() && !up)
			notes += fmt::format("{}: last error: {}\n", session.name,
					     session.last_error);
		if (!session.advice.empty())
			notes += fmt::format("{}: {}\n", session.name, session.advice);
		if (!session.seen.empty())
			notes += fmt::format("{}: announces to us: {}\n", session.name,
					     fmt::join(texts_of(session.seen), ", "));
	}
	return table.empty() ? "" : "\n" + table.text() + (notes.empty() ? "" : "\n" + notes);
}

} // namespace

ordered_json bird_json(const BirdStatus &status, const Wanted &wanted)
{
	ordered_json sessions = ordered_json::array(), announcements = ordered_json::array();
	for (const SessionStatus &session : status.sessions)
		sessions.push_back(session_json(session));
	for (const Announcement &announcement : wanted.announcements)
		announcements.push_back(announcement_json(announcement));
	return {{"verdict", status.verdict()},
		{"state", bird_state_name(status.state)},
		{"problem", or_null(status.problem)},
		{"version", or_null(status.version)},
		{"router_id", or_null(status.router_id)},
		{"in_force", status.in_force},
		{"established", status.established()},
		{"configured", status.configured()},
		{"announcements", std::move(announcements)},
		{"sessions", std::move(sessions)},
		{"mended", status.mended},
		{"problems", status.problems}};
}

std::string bird_text(const BirdStatus &status, const Wanted &wanted)
{
	std::string text = fmt::format("BIRD: {}", bird_state_name(status.state));
	if (!status.version.empty())
		text += fmt::format(", version {}, router id {}", status.version, status.router_id);
	std::string verdict(status.verdict());
	verdict.front() = static_cast<char>(std::toupper(verdict.front()));
	text += fmt::format("\n{}: {} of {} established\n", verdict, status.established(),
			    count_text(status.configured(), "session"));
	if (!status.problem.empty())
		text += status.problem + "\n";
	for (const std::string &problem : status.problems)
		text += problem + "\n";
	text += fmt::format("VIPs{}:\n{}", status.in_force ? "" : " (not confirmed by BIRD)",
			    announced_text(wanted));
	return text + sessions_text(status);
}

std::string orders_text(const std::vector<OrderResult> &results)
{
	std::string text;
	for (const OrderResult &result : results) {
		text += fmt::format("{} {}: {}{}", result.vip, result.address.text(), result.state,
				    result.changed ? "" : ", unchanged");
		if (result.wait > 0)
			text += fmt::format(", announced in {:.0f} s", std::ceil(result.wait));
		if (!result.problem.empty())
			text += ": " + result.problem;
		text += "\n";
	}
	return text;
}

} // namespace anycast::render
