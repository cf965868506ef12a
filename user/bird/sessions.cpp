// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The speaker's sessions: what each sends of our VIPs, and what it should.
#include <algorithm>

#include <fmt/format.h>

#include "bird/round.h"

namespace anycast::bird {

// A route that the export filter lets through, and that has not been sent all the same for two
// rounds: the filter has changed under `configure soft`.
void Speaker::resend(Round &round)
{
	for (const SessionStatus &session : round.status.sessions) {
		int &rounds = lagging_[session.name];
		if (!session.established() || session.missing.empty() || !round.status.in_force) {
			rounds = 0;
			continue;
		}
		if (++rounds < 3 || Clock::now() < next_try_)
			continue;
		next_try_ = Clock::now() + pause_;
		const auto of = [&](bool v4) {
			return std::ranges::find(session.missing, v4, &Address::is_v4) !=
			       session.missing.end();
		};
		const auto passing = routes_of_vips(round, fmt::format("export '{}'", session.name),
						    {of(true), of(false)});
		if (!passing)
			continue;
		const bool passes = std::ranges::any_of(*passing, [&](const Route &route) {
			return std::ranges::find(session.missing, route.address) !=
			       session.missing.end();
		});
		if (!passes)
			continue;
		const auto reloaded =
			client_.ask(fmt::format("reload out '{}'", session.name), round.deadline);
		if (reloaded && reloaded->ok())
			round.status.mended.push_back(
				fmt::format("sent the routes to {} again", session.name));
	}
}

// What a session sends of our VIPs, and what it should.
void Speaker::compare_exports(Round &round, SessionStatus &session, bool ipv4, bool ipv6)
{
	std::vector<Address> expected;
	for (const Announcement &announcement : round.wanted.announcements)
		if (announcement.address.is_v4() ? ipv4 : ipv6)
			expected.push_back(announcement.address);
	session.expected = static_cast<std::uint32_t>(expected.size());
	if (!session.established() || !round.included)
		return;
	const auto routes =
		routes_of_vips(round, fmt::format("exported '{}'", session.name), {ipv4, ipv6});
	if (!routes) {
		if (round.status.state == BirdState::kRunning)
			round.problem(routes.error().message());
		return;
	}
	std::vector<Address> exported;
	for (const Route &route : *routes) {
		if (route.length != round.wanted.length_of(route.address))
			continue;
		exported.push_back(route.address);
		if (std::ranges::find(expected, route.address) == expected.end()) {
			session.unwanted.push_back(route.address);
			round.problem(fmt::format("{} exports {}, which is withdrawn, from {}",
						  session.name, route.address.text(),
						  route.protocol));
		}
	}
	for (const Address &address : expected)
		if (std::ranges::find(exported, address) == exported.end())
			session.missing.push_back(address);
	session.exported = static_cast<std::uint32_t>(exported.size() - session.unwanted.size());
}

namespace {

SessionStatus session_of(const Protocol &protocol, const std::map<std::string, std::string> &bfd)
{
	SessionStatus session;
	session.name = protocol.name;
	session.neighbour = protocol.neighbour;
	session.local_asn = protocol.local_asn;
	session.neighbour_asn = protocol.neighbour_asn;
	session.state = protocol.bgp_state;
	session.since = protocol.since;
	session.last_error = protocol.last_error;
	session.routes_exported = protocol.exported;
	session.routes_imported = protocol.imported;
	const auto found = bfd.find(protocol.neighbour.substr(0, protocol.neighbour.find('%')));
	if (found != bfd.end())
		session.bfd = found->second;
	return session;
}

std::string address_of(const BgpNeighbour &neighbour)
{
	return neighbour.interface.empty() ? neighbour.address.text()
					   : neighbour.address.text() + "%" + neighbour.interface;
}

SessionStatus absent_session(const BgpNeighbour &neighbour, std::uint32_t asn)
{
	SessionStatus session;
	session.name = neighbour.name;
	session.neighbour = address_of(neighbour);
	session.local_asn = asn;
	session.neighbour_asn = neighbour.asn;
	session.exists = false;
	session.state = "Down";
	return session;
}

} // namespace

void Speaker::compare_sessions(Round &round)
{
	const auto bfd_reply = client_.ask("show bfd sessions", round.deadline);
	const auto bfd = bfd_reply ? parse_bfd(*bfd_reply) : tl::unexpected(bfd_reply.error());
	std::vector<const BgpNeighbour *> found;
	for (const Protocol &protocol : round.protocols) {
		if (protocol.kind != "BGP")
			continue;
		SessionStatus session =
			session_of(protocol, bfd ? *bfd : std::map<std::string, std::string>());
		const auto neighbour =
			std::ranges::find(config_.neighbours, protocol.neighbour, address_of);
		const bool known = neighbour != config_.neighbours.end();
		session.configured = known || config_.neighbours.empty();
		if (known)
			found.push_back(&*neighbour);
		if (known && neighbour->asn != protocol.neighbour_asn)
			round.problem(fmt::format("{}: BIRD has AS {} for {}, our file has {}",
						  protocol.name, protocol.neighbour_asn,
						  protocol.neighbour, neighbour->asn));
		compare_exports(round, session, protocol.ipv4, protocol.ipv6);
		session.advice = advice_for(session);
		round.status.sessions.push_back(std::move(session));
	}
	for (const BgpNeighbour &neighbour : config_.neighbours)
		if (std::ranges::find(found, &neighbour) == found.end()) {
			round.status.sessions.push_back(absent_session(neighbour, config_.asn));
			SessionStatus &session = round.status.sessions.back();
			session.advice = advice_for(session);
		}

	if (!round.included || round.status.state == BirdState::kHung)
		return;
	const auto routes = routes_of_vips(round, "", {});
	if (!routes)
		return;
	for (const Route &route : *routes)
		for (SessionStatus &session : round.status.sessions)
			if (session.name == route.protocol &&
			    route.length == round.wanted.length_of(route.address))
				session.seen.push_back(route.address);
}

} // namespace anycast::bird
