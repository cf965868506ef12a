// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// [[pools]].
#include <algorithm>
#include <cctype>
#include <charconv>

#include "config/services.h"
#include "core/generations.h"
#include "core/maglev.h"

namespace anycast {

namespace {

constexpr std::size_t kMaxServerDigits = 30;
constexpr std::uint64_t kSlotsPerBackend = 100; // the paper's advice for shares within 1 %
constexpr std::int64_t kLeastClampMtu = 576;	// RFC 791: what every host takes

} // namespace

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

namespace {

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

} // namespace

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
	if (const auto mtu = reader.integer("clamp_mss_to_mtu", kLeastClampMtu, UINT16_MAX))
		pool.clamp_mss = static_cast<std::uint16_t>(mtu->value);
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

} // namespace anycast
