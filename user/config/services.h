// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// [[pools]] and [[vips]]: one reader, since each is checked against the other. Its members are in
// pools.cpp, vips.cpp, and, for what concerns both, services.cpp.
#pragma once

#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "config/sections.h"

namespace anycast {

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

} // namespace anycast
