// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bird/parse.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "bird/include_file.h"

namespace anycast::bird {

namespace {

// Reply codes of what the replies list; doc/reply_codes in BIRD's source.
constexpr int kVersion = 1000, kUptime = 1011, kStatusEnd = 13;
constexpr int kProtocolList = 1002, kProtocolDetails = 1006;
constexpr int kBfd = 1020;
constexpr int kRouteList = 1007, kRouteAttributes = 1012;

std::string_view trimmed(std::string_view text)
{
	const std::size_t first = text.find_first_not_of(" \t");
	if (first == text.npos)
		return {};
	return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Takes the first word off.
std::string_view word(std::string_view &text)
{
	text = trimmed(text);
	const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
	const std::string_view first = text.substr(0, end);
	text = trimmed(text.substr(end));
	return first;
}

// "Label:   value" -> value, if it is that label.
std::optional<std::string_view> value_of(std::string_view text, std::string_view label)
{
	text = trimmed(text);
	if (!text.starts_with(label) || text.substr(label.size(), 1) != ":")
		return std::nullopt;
	return trimmed(text.substr(label.size() + 1));
}

template <typename T> bool number(std::string_view text, T &value)
{
	const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
	return error == std::errc() && end == text.data() + text.size();
}

tl::unexpected<Error> malformed(std::string_view what, std::string_view text)
{
	return fail(Exit::kFailed,
		    fmt::format("BIRD's {} is not understood: \"{}\"", what, text.substr(0, 80)),
		    "which version is it? (bird --version; tested with 2.0.12)");
}

Status refused(const Reply &reply, std::string_view what)
{
	if (reply.ok())
		return {};
	return fail(Exit::kFailed,
		    fmt::format("BIRD refuses {}: {:04} {}", what, reply.code(), reply.last()));
}

// A time may be one word or two: "18:48:37.109", "2026-11-22", "2026-11-22 18:48:37".
std::string time_of(std::string_view &text)
{
	std::string time(word(text));
	std::string_view after = text;
	const std::string_view next = word(after);
	if (time.find('-') != time.npos && next.size() >= 5 && next.find(':') == 2) {
		time += " " + std::string(next);
		text = after;
	}
	return time;
}

// upstream   BGP        ---        up     18:48:37.109  Established
Result<Protocol> protocol_of(std::string_view line)
{
	std::string_view rest = line;
	Protocol protocol;
	protocol.name = word(rest);
	protocol.kind = word(rest);
	word(rest); // table
	protocol.state = word(rest);
	if (protocol.state.empty())
		return malformed("list of protocols", line);
	protocol.since = time_of(rest);
	protocol.info = rest;
	return protocol;
}

// "Routes:         0 imported, 2 exported, 0 preferred"
void count_routes(std::string_view counts, Protocol &protocol)
{
	while (!counts.empty()) {
		std::uint64_t count = 0;
		const std::string_view first = word(counts), what = word(counts);
		if (!number(first, count))
			return;
		if (what.starts_with("imported"))
			protocol.imported += count;
		if (what.starts_with("exported"))
			protocol.exported += count;
	}
}

Status add_detail(std::string_view line, Protocol &protocol)
{
	for (const auto &[label, number_of] : {std::pair{"Neighbor AS", &Protocol::neighbour_asn},
					       {"Local AS", &Protocol::local_asn}})
		if (const auto value = value_of(line, label))
			if (!number(*value, protocol.*number_of))
				return malformed("AS number", line);
	if (const auto state = value_of(line, "BGP state"))
		protocol.bgp_state = *state;
	if (const auto neighbour = value_of(line, "Neighbor address"))
		protocol.neighbour = *neighbour;
	if (const auto source = value_of(line, "Source address"))
		protocol.source = *source;
	if (const auto error = value_of(line, "Last error"))
		protocol.last_error = *error;
	if (const auto counts = value_of(line, "Routes"))
		count_routes(*counts, protocol);
	protocol.ipv4 |= trimmed(line) == "Channel ipv4";
	protocol.ipv6 |= trimmed(line) == "Channel ipv6";
	return {};
}

// "(64512,100) (65535,0)": calls add(numbers) for each.
template <std::size_t kSize, typename Add> bool each_tuple(std::string_view text, Add add)
{
	while (!(text = trimmed(text)).empty()) {
		const std::size_t end = text.find(')');
		if (text.front() != '(' || end == text.npos)
			return false;
		std::string_view inside = text.substr(1, end - 1);
		text.remove_prefix(end + 1);
		std::array<std::uint32_t, kSize> numbers{};
		for (std::size_t i = 0; i < kSize; i++) {
			const std::size_t comma = std::min(inside.find(','), inside.size());
			if (!number(trimmed(inside.substr(0, comma)), numbers[i]) ||
			    (comma == inside.size()) != (i == kSize - 1))
				return false;
			inside.remove_prefix(std::min(comma + 1, inside.size()));
		}
		add(numbers);
	}
	return true;
}

bool optional_number(std::string_view text, std::optional<std::uint32_t> &value)
{
	return number(text, value.emplace());
}

Status add_attribute(std::string_view line, BgpAttributes &attributes)
{
	bool good = true;
	if (const auto value = value_of(line, "BGP.community"))
		good = each_tuple<2>(*value, [&](const auto &n) {
			attributes.communities.push_back({n[0], n[1]});
		});
	else if (const auto large = value_of(line, "BGP.large_community"))
		good = each_tuple<3>(*large, [&](const auto &n) {
			attributes.large_communities.push_back({n[0], n[1], n[2]});
		});
	else if (const auto med = value_of(line, "BGP.med"))
		good = optional_number(*med, attributes.med);
	else if (const auto preference = value_of(line, "BGP.local_pref"))
		good = optional_number(*preference, attributes.local_pref);
	else if (const auto prepend = value_of(line, kPrepend))
		good = number(*prepend, attributes.prepend);
	if (!good)
		return malformed("route attribute", trimmed(line));
	return {};
}

// "198.51.100.80/32     unicast [edge1 18:48:37.912] * (100) [AS64512i]"; further routes to the
// same net begin with blanks.
Result<Route> route_of(std::string_view line, const std::vector<Route> &before)
{
	Route route;
	std::string_view rest = line;
	if (!line.starts_with(' ')) {
		const std::string_view net = word(rest);
		const std::size_t slash = net.find('/');
		const auto address = Address::parse(net.substr(0, slash));
		if (!address || slash == net.npos || !number(net.substr(slash + 1), route.length) ||
		    route.length > (address->is_v4() ? 32 : 128))
			return malformed("route", line);
		route.address = *address;
	} else if (!before.empty()) {
		route.address = before.back().address;
		route.length = before.back().length;
	} else {
		return malformed("route", line);
	}
	const std::size_t open = rest.find('['), close = rest.find(']');
	if (open == rest.npos || close == rest.npos || close < open)
		return malformed("route", line);
	std::string_view source = rest.substr(open + 1, close - open - 1);
	route.protocol = word(source);
	route.best = trimmed(rest.substr(close + 1)).starts_with('*');
	return route;
}

} // namespace

Result<DaemonStatus> parse_status(const Reply &reply)
{
	AX_TRY(refused(reply, "show status"));
	DaemonStatus status;
	for (const Line &line : reply.lines) {
		constexpr std::string_view kName = "BIRD ", kRouter = "Router ID is ",
					   kReboot = "Last reboot on ",
					   kConfigured = "Last reconfiguration on ";
		const std::string_view text = line.text;
		if (line.code == kVersion && text.starts_with(kName))
			status.version = text.substr(kName.size());
		if (line.code == kUptime && text.starts_with(kRouter))
			status.router_id = text.substr(kRouter.size());
		if (line.code == kUptime && text.starts_with(kReboot))
			status.last_reboot = text.substr(kReboot.size());
		if (line.code == kUptime && text.starts_with(kConfigured))
			status.last_reconfiguration = text.substr(kConfigured.size());
	}
	if (reply.code() != kStatusEnd || status.version.empty())
		return malformed("status", reply.last());
	return status;
}

Result<std::vector<Protocol>> parse_protocols(const Reply &reply)
{
	AX_TRY(refused(reply, "show protocols"));
	std::vector<Protocol> protocols;
	for (const Line &line : reply.lines) {
		if (trimmed(line.text).empty())
			continue;
		if (line.code == kProtocolList) {
			auto protocol = protocol_of(line.text);
			if (!protocol)
				return tl::unexpected(protocol.error());
			protocols.push_back(std::move(*protocol));
		} else if (line.code == kProtocolDetails && !protocols.empty()) {
			AX_TRY(add_detail(line.text, protocols.back()));
		}
	}
	for (const Protocol &protocol : protocols)
		if (protocol.kind == "BGP" && protocol.bgp_state.empty())
			return malformed("BGP session", protocol.name);
	return protocols;
}

Result<std::map<std::string, std::string>> parse_bfd(const Reply &reply)
{
	std::map<std::string, std::string> sessions;
	if (!reply.ok()) // no BFD is configured
		return sessions;
	for (const Line &line : reply.lines) {
		std::string_view rest = line.text;
		const std::string_view address = word(rest);
		word(rest); // interface
		const std::string_view state = word(rest);
		if (line.code == kBfd && Address::parse(address)) {
			if (state.empty())
				return malformed("BFD session", line.text);
			sessions[std::string(address)] = state;
		}
	}
	return sessions;
}

Result<std::vector<Route>> parse_routes(const Reply &reply)
{
	AX_TRY(refused(reply, "show route"));
	std::vector<Route> routes;
	for (const Line &line : reply.lines) {
		const std::string_view text = line.text;
		if (line.code == kRouteAttributes && !routes.empty()) {
			AX_TRY(add_attribute(text, routes.back().attributes));
			continue;
		}
		// Tables, and next hops behind a tab, are not what is asked for.
		if (line.code != kRouteList || text.starts_with("Table ") ||
		    text.starts_with('\t') || trimmed(text).empty())
			continue;
		auto route = route_of(text, routes);
		if (!route)
			return tl::unexpected(route.error());
		routes.push_back(std::move(*route));
	}
	for (Route &route : routes) {
		std::ranges::sort(route.attributes.communities);
		std::ranges::sort(route.attributes.large_communities);
	}
	return routes;
}

} // namespace anycast::bird
