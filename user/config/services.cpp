// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// [[pools]] and [[vips]].
#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "config/sections.h"
#include "core/generations.h"
#include "core/maglev.h"
#include "core/vip_places.h"

namespace anycast {

namespace {

constexpr std::size_t kMaxServerDigits = 30;
constexpr std::uint64_t kSlotsPerBackend = 100; // the paper's advice for shares within 1 %

class Services {
public:
	Services(Diagnostics &diagnostics, Config &config)
		: diagnostics_(diagnostics), config_(config)
	{
	}

	void read_pool(TableReader &reader);
	void read_vip(TableReader &reader);
	void check_targets_of_pools();
	void check_backends_against_vips();
	void check_overlaps();
	void warn_of_unused_pools();
	void warn_of_tunnels_for_nobody(Where at);
	void share_attributes();

private:
	// What must be unique, and where it was first.
	template <typename T> using Seen = std::map<T, Where>;

	struct BackendPlace {
		Address address;
		Where at;
	};

	template <typename T>
	bool once(Seen<T> &seen, const T &value, Where at, std::string_view what,
		  std::string_view text)
	{
		const auto [first, is_new] = seen.emplace(value, at);
		if (!is_new)
			diagnostics_.error(at, fmt::format("duplicate {} {} (first on line {})",
							   what, text, first->second.line));
		return is_new;
	}
	void within_limit(std::size_t count, std::string_view key, std::uint32_t limit, Where at)
	{
		if (count == limit + 1ull) // the first one too many
			diagnostics_.error(
				at, fmt::format("more {} than limits.{} = {}", key, key, limit));
	}

	std::string read_name(TableReader &reader, std::string_view what);
	void read_table_size(TableReader &reader, Pool &pool);
	Backend read_backend(TableReader &reader, Seen<std::string> &names,
			     Seen<Address> &addresses);
	void read_hash(TableReader &reader, Pool &pool);
	void check_server_ids(const Pool &pool, Where at);
	Generation read_generation(TableReader &reader, const Pool &pool);
	void warn_of_coarse_table(const Pool &pool, Where at);
	void warn_of_nobody_active(const Pool &pool, Where at);
	std::optional<Where> read_place(TableReader &reader, Vip &vip);
	void read_port(TableReader &reader, Vip &vip);
	void check_ports_of(const Vip &vip, TableReader &reader);
	void check_pool_of(const Vip &vip, TableReader &reader, Where pool_at);

	Diagnostics &diagnostics_;
	Config &config_;
	Seen<std::string> pool_names_, vip_names_;
	Seen<std::tuple<Prefix, std::uint16_t, std::uint8_t>> vip_keys_;
	std::map<Prefix, std::pair<std::string, Where>> places_; // the first VIP of each
	std::vector<Where> pools_at_;
	std::vector<BackendPlace> backends_;
	std::set<std::string> used_pools_;
	std::map<Address, std::pair<BgpAttributes, Where>> attributes_;
	std::size_t backend_count_ = 0; // over all pools
	std::uint64_t slots_ = 0;
};

std::string Services::read_name(TableReader &reader, std::string_view what)
{
	reader.missing("name");
	const auto name = reader.string("name");
	if (!name)
		return {};
	check_name(diagnostics_, what, *name);
	return name->value;
}

void Services::read_table_size(TableReader &reader, Pool &pool)
{
	const Where at = reader.at("table_size");
	if (const auto size = reader.integer("table_size", 2, kMaxTableSize)) {
		pool.table_size = static_cast<std::uint32_t>(size->value);
		if (!is_prime(pool.table_size))
			diagnostics_.error(at, fmt::format("pools.table_size: {} is not prime; the "
							   "next prime is {}",
							   pool.table_size,
							   next_prime(pool.table_size)));
	}
	const std::uint64_t limit = config_.limits.table_slots;
	if (slots_ <= limit && slots_ + pool.table_size > limit)
		diagnostics_.error(at,
				   fmt::format("pools.table_size: {} slots with the pools before "
					       "it, but limits.table_slots = {}",
					       slots_ + pool.table_size, limit));
	slots_ += pool.table_size;
}

Backend Services::read_backend(TableReader &reader, Seen<std::string> &names,
			       Seen<Address> &addresses)
{
	Backend backend;
	bool name_counts = false; // a repeated address without names is one mistake, not two
	reader.missing("address");
	if (const auto address = reader.address("address")) {
		check_unicast(diagnostics_, "pools.backends.address", *address);
		backend.address = address->value;
		backend.name = address->value.text();
		backends_.push_back({address->value, address->at});
		name_counts = once(addresses, address->value, address->at, "backend address",
				   backend.name);
	}
	if (const auto name = reader.string("name")) {
		check_name(diagnostics_, "pools.backends.name", *name);
		backend.name = name->value;
		name_counts = true;
	}
	if (name_counts)
		once(names, backend.name, reader.at("name"), "backend name", backend.name);
	if (const auto weight = reader.integer("weight", 1, 65535))
		backend.weight = static_cast<std::uint32_t>(weight->value);
	if (const auto since = reader.integer("since", 0, INT64_MAX))
		backend.since = since->value;
	if (const auto server = reader.string("server_id")) {
		backend.server_id = server->value;
		std::ranges::transform(backend.server_id, backend.server_id.begin(),
				       [](unsigned char c) { return std::tolower(c); });
		const std::size_t digits = backend.server_id.size();
		if (digits % 2 != 0 || digits < 2 || digits > kMaxServerDigits ||
		    backend.server_id.find_first_not_of("0123456789abcdef") != std::string::npos)
			diagnostics_.error(server->at,
					   "pools.backends.server_id: expected 1 to 15 bytes as "
					   "pairs of hex digits");
	}
	if (const auto state = reader.choice("state", kStates))
		backend.state = static_cast<ax_backend_state>(state->value);
	return backend;
}

// NAME=WEIGHT
std::optional<std::pair<std::string, std::uint32_t>> weight_from(const std::string &text)
{
	const std::size_t sign = text.rfind('=');
	std::uint32_t weight = 0;
	if (sign == text.npos || sign == 0)
		return std::nullopt;
	const char *end = text.data() + text.size();
	const auto [rest, error] = std::from_chars(text.data() + sign + 1, end, weight);
	if (error != std::errc() || rest != end || weight == 0 || weight > 65535)
		return std::nullopt;
	return std::pair(text.substr(0, sign), weight);
}

Generation Services::read_generation(TableReader &reader, const Pool &pool)
{
	Generation generation;
	reader.missing("number");
	reader.missing("retire");
	reader.missing("backends");
	if (const auto number = reader.integer("number", 1, UINT32_MAX))
		generation.number = static_cast<std::uint32_t>(number->value);
	if (const auto retire = reader.integer("retire", 0, INT64_MAX))
		generation.retire = retire->value;
	std::set<std::string> names;
	for (const Placed<std::string> &text : reader.strings("backends")) {
		const auto weight = weight_from(text.value);
		if (!weight || !names.insert(weight->first).second)
			diagnostics_.error(text.at,
					   fmt::format("pools.generations.backends: \"{}\" is not "
						       "NAME=WEIGHT, or its name is there twice",
						       text.value));
		else
			generation.weights.push_back(*weight);
	}
	if (pool.generations.size() >= kMaxGenerations)
		diagnostics_.error(reader.at(),
				   fmt::format("pools.generations: more than {}", kMaxGenerations));
	if (!pool.generations.empty() && pool.generations.back().number >= generation.number)
		diagnostics_.error(reader.at("number"),
				   "pools.generations.number: must be above the one before it");
	std::ranges::sort(generation.weights);
	return generation;
}

void Services::warn_of_coarse_table(const Pool &pool, Where at)
{
	const std::uint64_t backends = pool.backends.size();
	const std::uint64_t wanted = kSlotsPerBackend * backends;
	if (pool.table_size < wanted) {
		// One slot more or less is what two equal backends may differ by.
		const auto each =
			static_cast<double>(pool.table_size) / static_cast<double>(backends);
		std::string advice;
		if (wanted <= kMaxTableSize)
			advice = fmt::format("; {} slots keep it within 1 %",
					     next_prime(static_cast<std::uint32_t>(wanted)));
		diagnostics_.warn(
			at, fmt::format("pool {}: {} slots for {} backends: equal shares may "
					"differ by {:.1f} %{}",
					pool.name, pool.table_size, backends, 100 / each, advice));
	}

	std::uint64_t sum = 0;
	for (const Backend &backend : pool.backends)
		sum += backend.weight;
	for (const Backend &backend : pool.backends)
		if (std::uint64_t{pool.table_size} * backend.weight < sum)
			diagnostics_.warn(at,
					  fmt::format("pool {}: weight {} of {} earns backend {} "
						      "less than one of {} slots, maybe none",
						      pool.name, backend.weight, sum, backend.name,
						      pool.table_size));
}

// draft-ietf-quic-load-balancers: one configuration has one length of server ids.
void Services::read_hash(TableReader &reader, Pool &pool)
{
	if (const auto hash = reader.choice("hash", kHashes))
		pool.hash = static_cast<ax_hash_input>(hash->value);
	if (const auto rotation = reader.integer("quic_rotation", 0, 6))
		pool.quic_rotation = static_cast<std::uint8_t>(rotation->value);
	if (const auto fragments = reader.choice("fragments", kFragments))
		pool.fragment_notes = fragments->value != 0;
	if (pool.hash != AX_HASH_QUIC && reader.has("quic_rotation"))
		diagnostics_.error(reader.at("quic_rotation"),
				   "pools.quic_rotation: of use with hash = \"quic\" only");
}

void Services::check_server_ids(const Pool &pool, Where at)
{
	std::map<std::string_view, std::string_view> seen;
	for (const Backend &backend : pool.backends) {
		if (pool.hash != AX_HASH_QUIC) {
			if (!backend.server_id.empty())
				diagnostics_.error(
					at, fmt::format("pool {}: backend {} has a server_id, "
							"which needs hash = \"quic\"",
							pool.name, backend.name));
			continue;
		}
		if (backend.server_id.empty()) {
			diagnostics_.error(at, fmt::format("pool {}: hash = \"quic\", and "
							   "backend {} has no server_id",
							   pool.name, backend.name));
			continue;
		}
		if (backend.server_id.size() != pool.backends.front().server_id.size())
			diagnostics_.error(at, fmt::format("pool {}: backend {}: server_ids of a "
							   "pool have one length",
							   pool.name, backend.name));
		const auto [other, is_new] = seen.emplace(backend.server_id, backend.name);
		if (!is_new)
			diagnostics_.error(at, fmt::format("pool {}: backends {} and {} have the "
							   "same server_id",
							   pool.name, other->second, backend.name));
	}
}

void Services::warn_of_nobody_active(const Pool &pool, Where at)
{
	const auto active = [](const Backend &backend) {
		return backend.state == AX_BACKEND_ACTIVE;
	};
	if (std::ranges::none_of(pool.backends, active))
		diagnostics_.warn(at, fmt::format("pool {}: no backend is active", pool.name));
}

void Services::read_pool(TableReader &reader)
{
	Pool pool;
	pool.name = read_name(reader, "pools.name");
	if (!pool.name.empty())
		once(pool_names_, pool.name, reader.at("name"), "pool name", pool.name);
	read_table_size(reader, pool);
	constexpr Milliseconds kLongest = std::chrono::hours(24);
	if (const auto slow = reader.duration("slow_start", std::chrono::seconds(1), kLongest))
		pool.slow_start = static_cast<std::uint32_t>(
			std::chrono::duration_cast<std::chrono::seconds>(slow->value).count());
	if (const auto all_down = reader.choice("all_down", kAllDown))
		pool.all_down = static_cast<ax_all_down>(all_down->value);

	Seen<std::string> names;
	Seen<Address> addresses;
	const std::size_t errors = diagnostics_.error_count();
	reader.each("backends", [&](TableReader &backend) {
		pool.backends.push_back(read_backend(backend, names, addresses));
		within_limit(++backend_count_, "backends", config_.limits.backends, backend.at());
	});
	if (pool.backends.empty() && diagnostics_.error_count() == errors)
		diagnostics_.error(reader.at("backends"),
				   fmt::format("pool {} has no backends", pool.name));
	read_hash(reader, pool);
	check_server_ids(pool, reader.at());
	pool.checks = read_checks(reader, false);
	reader.each("generations", [&](TableReader &generation) {
		pool.generations.push_back(read_generation(generation, pool));
	});
	warn_of_coarse_table(pool, reader.at("table_size"));
	warn_of_nobody_active(pool, reader.at());

	config_.pools.push_back(std::move(pool));
	pools_at_.push_back(reader.at());
	within_limit(config_.pools.size(), "pools", config_.limits.pools, reader.at());
}

void Services::read_port(TableReader &reader, Vip &vip)
{
	reader.missing("port");
	if (reader.is_string("port")) {
		if (const auto word = reader.string("port"); word && word->value != "any")
			diagnostics_.error(word->at, fmt::format("vips.port: expected 1..65535 or "
								 "\"any\", not \"{}\"",
								 word->value));
	} else if (const auto port = reader.integer("port", 1, 65535)) {
		vip.port = static_cast<std::uint16_t>(port->value);
	}
	if (vip.protocol == 0 && vip.port != 0)
		diagnostics_.error(reader.at("port"),
				   "vips.port: protocol \"any\" needs port \"any\"");
}

void Services::check_ports_of(const Vip &vip, TableReader &reader)
{
	for (const CheckSpec &check : vip.checks)
		if (vip.port == 0 && check.port == 0 && check.type != CheckType::kIcmp &&
		    check.type != CheckType::kExec)
			diagnostics_.error(reader.at("checks"),
					   fmt::format("vips.checks.port: {} has every port; which "
						       "one shall the {} check take?",
						       vip.name, check_type_name(check.type)));
	if (vip.prefix == 0)
		return;
	for (const CheckSpec &check : vip.checks)
		if (!check.target && check.type != CheckType::kExec)
			diagnostics_.error(
				reader.at("checks"),
				fmt::format("vips.checks.target: {} is many addresses; which one "
					    "shall the {} check take?",
					    vip.name, check_type_name(check.type)));
}

void Services::check_pool_of(const Vip &vip, TableReader &reader, Where pool_at)
{
	const auto pool = std::ranges::find(config_.pools, vip.pool, &Pool::name);
	if (pool == config_.pools.end()) {
		diagnostics_.error(pool_at,
				   fmt::format("vips.pool: there is no pool {}", vip.pool));
		return;
	}
	used_pools_.insert(vip.pool);
	if (vip.forward != AX_FORWARD_L2DSR)
		return;
	for (const Backend &backend : pool->backends)
		if (backend.address.is_v4() != vip.address.is_v4())
			diagnostics_.error(
				reader.at("forward"),
				fmt::format("vips.forward: l2dsr keeps the packet as it is, but "
					    "backend {} of pool {} is of another family than {}",
					    backend.name, pool->name, vip.address.text()));
}

// Where it is; nothing if that was not to be read.
std::optional<Where> Services::read_place(TableReader &reader, Vip &vip)
{
	reader.missing("address");
	const auto place = reader.prefix("address");
	if (!place)
		return std::nullopt;
	vip.address = place->value.address;
	check_unicast(diagnostics_, "vips.address", {vip.address, place->at});
	if (!place->value.is_host()) {
		const std::uint8_t shortest = vip.address.is_v4() ? kShortestVip4 : kShortestVip6;
		vip.prefix = place->value.bits;
		if (vip.prefix < shortest)
			diagnostics_.error(place->at,
					   fmt::format("vips.address: {} is more than a VIP can "
						       "be: at least /{}",
						       place->value.text(), shortest));
	}
	places_.try_emplace(place->value, vip.name, place->at);
	return place->at;
}

void Services::read_vip(TableReader &reader)
{
	Vip vip;
	vip.name = read_name(reader, "vips.name");
	if (!vip.name.empty())
		once(vip_names_, vip.name, reader.at("name"), "VIP name", vip.name);

	const auto address = read_place(reader, vip);
	if (const auto protocol = reader.choice("protocol", kProtocols))
		vip.protocol = static_cast<std::uint8_t>(protocol->value);
	read_port(reader, vip);
	if (address) {
		const std::string port = vip.port == 0 ? "any" : std::to_string(vip.port);
		once(vip_keys_, {prefix_of(vip), vip.port, vip.protocol}, *address, "VIP",
		     fmt::format("{} port {} protocol {}", place_of(vip), port,
				 word_of(kProtocols, vip.protocol)));
	}
	reader.section("bgp", [&](TableReader &bgp) {
		vip.bgp = read_attributes(bgp);
		const auto [first, is_new] =
			attributes_.try_emplace(vip.address, vip.bgp, bgp.at());
		if (address && !is_new && first->second.first != vip.bgp)
			diagnostics_.error(
				bgp.at(),
				fmt::format("vips.bgp: {} has other attributes on line {}, but one "
					    "address is one route",
					    vip.address.text(), first->second.second.line));
	});
	if (const auto forward = reader.choice("forward", kForwards))
		vip.forward = static_cast<ax_forward>(forward->value);
	if (const auto measure = reader.choice("measure", kMeasures)) {
		vip.measure = static_cast<ax_measure>(measure->value);
		if (vip.measure != AX_MEASURE_NONE && vip.protocol != 17)
			diagnostics_.error(
				measure->at,
				fmt::format("vips.measure: \"{}\" is UDP payload, and the VIP's "
					    "protocol is {}",
					    measure_name(vip.measure),
					    word_of(kProtocols, vip.protocol)));
	}
	vip.checks = read_checks(reader, true);
	check_ports_of(vip, reader);
	if (const auto canary = reader.boolean("canary"))
		vip.canary = canary->value;

	reader.missing("pool");
	if (const auto pool = reader.string("pool")) {
		vip.pool = pool->value;
		if (address)
			check_pool_of(vip, reader, pool->at);
	}
	config_.vips.push_back(std::move(vip));
	within_limit(config_.vips.size(), "vips", config_.limits.vips, reader.at());
}

// A pool's check with a target goes through the tunnel, as what clients send to that VIP.
void Services::check_targets_of_pools()
{
	for (std::size_t i = 0; i < config_.pools.size(); i++)
		for (const CheckSpec &check : config_.pools[i].checks) {
			const auto tunnelled = [&](const Vip &vip) {
				return check.target && prefix_of(vip).contains(*check.target) &&
				       vip.pool == config_.pools[i].name &&
				       (vip.forward == AX_FORWARD_IPIP ||
					vip.forward == AX_FORWARD_GUE);
			};
			if (check.target && std::ranges::none_of(config_.vips, tunnelled))
				diagnostics_.error(
					pools_at_[i],
					fmt::format("pools.checks.target: {} is no VIP of pool {} "
						    "with forward ipip or gue",
						    check.target->text(), config_.pools[i].name));
		}
}

void Services::check_backends_against_vips()
{
	std::map<Address, std::string_view> vips;
	std::vector<std::pair<Prefix, std::string_view>> prefixes;
	for (const auto &[place, first] : places_) {
		if (place.is_host())
			vips.emplace(place.address, first.first);
		else
			prefixes.emplace_back(place, first.first);
	}
	for (const BackendPlace &backend : backends_) {
		const auto within = std::ranges::find_if(prefixes, [&](const auto &prefix) {
			return prefix.first.contains(backend.address);
		});
		const auto vip = vips.find(backend.address);
		if (vip != vips.end() || within != prefixes.end())
			diagnostics_.error(
				backend.at,
				fmt::format("pools.backends.address: {} is {} VIP {}: packets "
					    "would go round in circles",
					    backend.address.text(),
					    vip != vips.end() ? "the address of" : "within",
					    vip != vips.end() ? vip->second : within->second));
	}
}

// One address is of one prefix, so that nobody has to know which of two wins. An address of its own
// may lie within one: it is asked first. But routes are told apart by their first address.
void Services::check_overlaps()
{
	const std::pair<const Prefix, std::pair<std::string, Where>> *last = nullptr;
	for (const auto &place : places_) { // by first address, shorter prefixes before longer
		if (last != nullptr && last->first.overlaps(place.first) &&
		    (!place.first.is_host() || last->first.address == place.first.address))
			diagnostics_.error(
				place.second.second,
				fmt::format("vips.address: {} overlaps {} of VIP {} on line {}",
					    place.first.is_host() ? place.first.address.text()
								  : place.first.text(),
					    last->first.text(), last->second.first,
					    last->second.second.line));
		else if (!place.first.is_host())
			last = &place;
	}
}

void Services::warn_of_unused_pools()
{
	for (std::size_t i = 0; i < config_.pools.size(); i++)
		if (!used_pools_.contains(config_.pools[i].name))
			diagnostics_.warn(pools_at_[i], fmt::format("pool {}: no VIP uses it",
								    config_.pools[i].name));
}

// What edges send to this node in tunnels must be for one of its VIPs (tunnel_not_vip).
void Services::warn_of_tunnels_for_nobody(Where at)
{
	if (config_.roles & AX_ROLE_BACKEND && config_.vips.empty())
		diagnostics_.warn(at, "role backend, but no [[vips]]: all that edges send here in "
				      "tunnels is dropped as tunnel_not_vip; name the same "
				      "services as in the edges' files");
}

void Services::share_attributes()
{
	for (Vip &vip : config_.vips)
		if (const auto found = attributes_.find(vip.address); found != attributes_.end())
			vip.bgp = found->second.first;
}

} // namespace

void read_services(TableReader &root, Config &config)
{
	Services services(root.diagnostics(), config);
	root.each("pools", [&](TableReader &pool) { services.read_pool(pool); });
	root.each("vips", [&](TableReader &vip) { services.read_vip(vip); });
	services.share_attributes();
	services.check_targets_of_pools();
	services.check_backends_against_vips();
	services.check_overlaps();
	services.warn_of_unused_pools();
	services.warn_of_tunnels_for_nobody(root.at("node"));
}

} // namespace anycast
