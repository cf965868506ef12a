// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// [bird], [[bird.neighbours]], and [vips.bgp].
#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "config/sections.h"
#include "core/damping.h"

namespace anycast {

namespace {

constexpr std::int64_t kMaxAsn = 0xffffffff;
constexpr std::int64_t kMaxHops = 254;
constexpr std::uint32_t kInternalHops = 64; // what BIRD takes for sessions within an AS
constexpr std::size_t kMaxPassword = 80;    // TCP_MD5SIG_MAXKEYLEN
constexpr std::size_t kMaxSocketPath = 107; // sockaddr_un
constexpr std::uint32_t kFastBfd = 100;	    // ms

// Numbers that no router accepts as somebody's own: RFC 7300, RFC 6793.
std::optional<std::uint32_t> read_asn(TableReader &table, std::string_view path)
{
	table.missing("asn");
	const auto asn = table.integer("asn", 1, kMaxAsn);
	if (!asn)
		return std::nullopt;
	if (asn->value == 23456 || asn->value == 65535 || asn->value == kMaxAsn)
		table.diagnostics().error(asn->at,
					  fmt::format("{}.asn: {} is reserved", path, asn->value));
	return static_cast<std::uint32_t>(asn->value);
}

// What stands between quotes in BIRD's configuration, which knows no escapes.
bool quotable(std::string_view text)
{
	return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f && c != '"'; });
}

void read_file_path(TableReader &bird, std::string_view key, std::string &path)
{
	const auto given = bird.string(key);
	if (!given)
		return;
	path = given->value;
	if (!path.starts_with('/') || !quotable(path) ||
	    path.find_first_of("*?[]{}\\") != path.npos)
		bird.diagnostics().error(given->at, fmt::format("bird.{}: expected an absolute "
								"path without quotes or wildcards",
								key));
	if (key == "socket" && path.size() > kMaxSocketPath)
		bird.diagnostics().error(given->at, fmt::format("bird.socket: longer than {} bytes",
								kMaxSocketPath));
}

void read_interface(TableReader &table, std::string_view path, std::string &interface)
{
	const auto name = table.string("interface");
	if (!name)
		return;
	interface = name->value;
	if (!usable_interface_name(interface) || !quotable(interface) ||
	    interface.find_first_of("*?'") != interface.npos)
		table.diagnostics().error(name->at,
					  fmt::format("{}.interface: \"{}\" cannot be an interface",
						      path, name->value));
}

bool is_link_local(const Address &address)
{
	return address.bytes()[0] == 0xfe && (address.bytes()[1] & 0xc0) == 0x80;
}

class Neighbours {
public:
	Neighbours(Diagnostics &diagnostics, BirdConfig &bird)
		: diagnostics_(diagnostics), bird_(bird)
	{
	}
	void read(TableReader &reader);

private:
	void read_name(TableReader &reader, BgpNeighbour &neighbour);
	void read_addresses(TableReader &reader, BgpNeighbour &neighbour);
	void read_session(TableReader &reader, BgpNeighbour &neighbour, bool external);
	void read_password(TableReader &reader, BgpNeighbour &neighbour);
	void read_families(TableReader &reader, BgpNeighbour &neighbour);

	Diagnostics &diagnostics_;
	BirdConfig &bird_;
	std::map<std::string, Where> names_;
	std::map<std::pair<Address, std::string>, Where> addresses_;
};

void Neighbours::read_name(TableReader &reader, BgpNeighbour &neighbour)
{
	reader.missing("name");
	const auto name = reader.string("name");
	if (!name)
		return;
	check_name(diagnostics_, "bird.neighbours.name", *name);
	neighbour.name = name->value;
	const auto [first, is_new] = names_.emplace(name->value, name->at);
	if (!is_new)
		diagnostics_.error(name->at, fmt::format("duplicate neighbour name {} (first on "
							 "line {})",
							 name->value, first->second.line));
}

void Neighbours::read_addresses(TableReader &reader, BgpNeighbour &neighbour)
{
	reader.missing("address");
	read_interface(reader, "bird.neighbours", neighbour.interface);
	const auto address = reader.address("address");
	if (address) {
		check_unicast(diagnostics_, "bird.neighbours.address", *address);
		neighbour.address = address->value;
		if (is_link_local(address->value) != !neighbour.interface.empty())
			diagnostics_.error(
				address->at,
				is_link_local(address->value)
					? "bird.neighbours.address: a link-local address "
					  "needs its `interface`"
					: "bird.neighbours.interface: only link-local "
					  "addresses need it");
		const auto [first, is_new] = addresses_.emplace(
			std::pair(address->value, neighbour.interface), address->at);
		if (!is_new)
			diagnostics_.error(
				address->at,
				fmt::format("duplicate neighbour address {} (first on line {})",
					    address->value.text(), first->second.line));
	}
	const auto local = reader.address("local");
	if (!local)
		return;
	check_unicast(diagnostics_, "bird.neighbours.local", *local);
	neighbour.local = local->value;
	if (address && local->value.is_v4() != address->value.is_v4())
		diagnostics_.error(local->at, "bird.neighbours.local: of another family than the "
					      "neighbour's address");
	if (address && local->value == address->value)
		diagnostics_.error(local->at,
				   "bird.neighbours.local: the neighbour's address, not ours");
}

void Neighbours::read_session(TableReader &reader, BgpNeighbour &neighbour, bool external)
{
	neighbour.multihop = external ? 0 : kInternalHops;
	if (const auto hops = reader.integer("multihop", 0, kMaxHops))
		neighbour.multihop = static_cast<std::uint32_t>(hops->value);
	if (neighbour.multihop != 0 && !neighbour.interface.empty())
		diagnostics_.error(reader.at("multihop"), "bird.neighbours.multihop: a link-local "
							  "neighbour is on the link: multihop = 0");
	neighbour.ttl_security = neighbour.bfd = neighbour.multihop == 0;
	if (const auto on = reader.boolean("ttl_security"))
		neighbour.ttl_security = on->value;
	if (const auto on = reader.boolean("bfd"))
		neighbour.bfd = on->value;
	if (const auto seconds = reader.integer("hold_time", 3, 65535))
		neighbour.hold_time = static_cast<std::uint32_t>(seconds->value);
	if (const auto client = reader.boolean("rr_client")) {
		neighbour.rr_client = client->value;
		if (client->value && external)
			diagnostics_.error(client->at, "bird.neighbours.rr_client: routes are "
						       "reflected within an AS only");
	}
}

void Neighbours::read_password(TableReader &reader, BgpNeighbour &neighbour)
{
	const auto password = reader.string("password");
	if (!password)
		return;
	neighbour.password = password->value;
	if (password->value.empty() || password->value.size() > kMaxPassword ||
	    !quotable(password->value))
		diagnostics_.error(password->at,
				   fmt::format("bird.neighbours.password: expected 1..{} printable "
					       "ASCII characters without quotes",
					       kMaxPassword));
}

void Neighbours::read_families(TableReader &reader, BgpNeighbour &neighbour)
{
	const bool own = neighbour.address.is_v4();
	neighbour.ipv4 = own;
	neighbour.ipv6 = !own;
	const std::size_t errors = diagnostics_.error_count();
	const auto families = reader.choices("families", kFamilies);
	if (!reader.has("families"))
		return;
	neighbour.ipv4 = neighbour.ipv6 = false;
	for (const Placed<int> &family : families)
		(family.value == 4 ? neighbour.ipv4 : neighbour.ipv6) = true;
	if (diagnostics_.error_count() != errors)
		return;
	if (!neighbour.ipv4 && !neighbour.ipv6)
		diagnostics_.error(reader.at("families"),
				   "bird.neighbours.families: at least one is needed");
	if (own && neighbour.ipv6)
		diagnostics_.error(
			reader.at("families"),
			"bird.neighbours.families: an IPv4 session has no next hop for "
			"IPv6 routes; give the neighbour's IPv6 address a session of its "
			"own");
}

void Neighbours::read(TableReader &reader)
{
	BgpNeighbour neighbour;
	read_name(reader, neighbour);
	neighbour.asn = read_asn(reader, "bird.neighbours").value_or(0);
	read_addresses(reader, neighbour);
	read_session(reader, neighbour, neighbour.asn != bird_.asn);
	read_password(reader, neighbour);
	read_families(reader, neighbour);
	if (const auto import = reader.choice("import", kImports))
		neighbour.import = static_cast<BgpImport>(import->value);
	bird_.neighbours.push_back(std::move(neighbour));
}

void read_bfd(TableReader &reader, BirdConfig &config)
{
	if (const auto interval = reader.integer("bfd_interval_ms", 10, 60000)) {
		config.bfd_interval = static_cast<std::uint32_t>(interval->value);
		if (config.bfd_interval < kFastBfd)
			reader.diagnostics().warn(
				interval->at,
				fmt::format("bird.bfd_interval_ms: {} ms gives false alarms when "
					    "the CPU is busy",
					    config.bfd_interval));
	}
	if (const auto multiplier = reader.integer("bfd_multiplier", 2, 255))
		config.bfd_multiplier = static_cast<std::uint32_t>(multiplier->value);
}

void read_router_id(TableReader &reader, BirdConfig &config)
{
	const auto id = reader.address("router_id");
	if (!id)
		return;
	config.router_id = id->value;
	if (!id->value.is_v4() || id->value.is_unspecified())
		reader.diagnostics().error(id->at, "bird.router_id: expected an IPv4 address, also "
						   "where only IPv6 is routed");
}

void read_damping(TableReader &reader, BirdConfig &config)
{
	std::vector<Choice> profiles;
	for (const DampingProfile &profile : damping_profiles())
		profiles.push_back({profile.name, static_cast<int>(profiles.size())});
	if (const auto profile = reader.choice("damping", profiles))
		config.damping = damping_profiles()[static_cast<std::size_t>(profile->value)].name;
}

template <typename T, typename Check>
void read_communities(TableReader &reader, std::string_view key, std::string_view form,
		      std::vector<T> &list, Check check)
{
	for (const Placed<std::string> &text : reader.strings(key)) {
		const auto community = T::parse(text.value);
		if (!community)
			reader.diagnostics().error(text.at,
						   fmt::format("vips.bgp.{}: \"{}\" is not {}", key,
							       text.value, form));
		else if (check(*community, text.at))
			list.push_back(*community);
	}
	std::ranges::sort(list);
	list.erase(std::ranges::unique(list).begin(), list.end());
}

} // namespace

void read_bird(TableReader &root, Config &config)
{
	root.section("bird", [&](TableReader &reader) {
		BirdConfig &bird = config.bird;
		bird.asn = read_asn(reader, "bird").value_or(0);
		read_router_id(reader, bird);
		read_file_path(reader, "socket", bird.socket);
		read_file_path(reader, "include", bird.include);
		read_interface(reader, "bird", bird.interface);
		read_damping(reader, bird);
		read_bfd(reader, bird);
		Neighbours neighbours(root.diagnostics(), bird);
		reader.each("neighbours", [&](TableReader &one) { neighbours.read(one); });
	});
}

BgpAttributes read_attributes(TableReader &reader)
{
	BgpAttributes attributes;
	const auto not_the_drains = [&](const Community &community, Where at) {
		if (community == kGracefulShutdown)
			reader.diagnostics().error(at, "vips.bgp.communities: 65535:0 is what "
						       "`drain` adds (RFC 8326)");
		return community != kGracefulShutdown;
	};
	read_communities(reader, "communities", "ASN:VALUE, each within 0..65535",
			 attributes.communities, not_the_drains);
	read_communities(reader, "large_communities", "ASN:VALUE:VALUE",
			 attributes.large_communities,
			 [](const LargeCommunity &, Where) { return true; });
	if (const auto prepend = reader.integer("prepend", 0, kMaxPrepend))
		attributes.prepend = static_cast<std::uint32_t>(prepend->value);
	if (const auto med = reader.integer("med", 0, kMaxAsn))
		attributes.med = static_cast<std::uint32_t>(med->value);
	if (const auto preference = reader.integer("local_pref", 0, kMaxAsn))
		attributes.local_pref = static_cast<std::uint32_t>(preference->value);
	return attributes;
}

} // namespace anycast
